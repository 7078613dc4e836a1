"""The assistant over HTTP: who is let in, what is answered, and that the server does what its own description says."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from assistant.answering.answers import Found
from assistant.api import OpenAssistant, as_json
from assistant.assembly import Assistant
from assistant.http_api import MOST_BYTES, Api, token_from
from assistant.http_operations import description
from assistant.loopback import HOST
from assistant.settings import Settings
from index.errors import SettingsError
from tests.conftest import Command
from tests.scripted_server import Reply, scripted_server

TOKEN = "a-secret-of-the-tests-alone"
LETTER = {"Authorization": f"Bearer {TOKEN}"}
QUESTION = "Why does Lan doubt that the 1977 treaty is an alliance?"


async def served(assistant: Assistant) -> tuple[web.AppRunner, Api, str]:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = int(probe.getsockname()[1])
    api = Api(OpenAssistant(assistant), port, TOKEN)
    runner = web.AppRunner(api.application(), access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    return runner, api, f"http://{HOST}:{port}"


@pytest.fixture
async def server(debate: Assistant) -> AsyncIterator[str]:
    runner, _, address = await served(debate)
    yield address
    await runner.cleanup()


@pytest.fixture
async def client() -> AsyncIterator[ClientSession]:
    async with ClientSession(headers=LETTER) as session:
        yield session


async def refusal(answer: Any) -> tuple[int, str]:
    assert answer.content_type == "application/problem+json"
    told = await answer.json(content_type=None)
    assert told["status"] == answer.status and set(told) == {"type", "title", "status", "detail"}
    return answer.status, told["detail"]


# -- who is let in ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/openapi.json", "/v1/sources", "/v1/search?q=x", "/nothing"])
@pytest.mark.parametrize("letter", [None, "", TOKEN, f"Basic {TOKEN}", "Bearer", "Bearer wrong", f"Bearer {TOKEN}x"])
async def test_without_the_secret_nothing_is_served(server: str, path: str, letter: str | None) -> None:
    headers = {} if letter is None else {"Authorization": letter}
    async with ClientSession() as session, session.get(server + path, headers=headers) as answer:
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert (await refusal(answer))[0] == 401


@pytest.mark.parametrize(
    "wrong", [{"Host": "evil.example"}, {"Host": HOST}, {"Origin": "http://evil.example"}, {"Origin": "null"}]
)
async def test_foreign_names_and_pages_are_refused(server: str, client: ClientSession, wrong: dict[str, str]) -> None:
    async with client.get(f"{server}/v1/sources", headers=wrong) as answer:
        assert (await refusal(answer))[0] == 403
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_the_secret_stays_where_nobody_else_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "token"
    token = token_from(file)
    assert token_from(file) == token and len(token) > 40 and file.stat().st_mode & 0o777 == 0o600
    assert token_from(None) != token_from(None)
    file.chmod(0o644)
    with pytest.raises(SettingsError, match="may be read by others"):
        token_from(file)
    file.chmod(0o600)
    for wrong in ("short", "two words that are long enough", "ü" * 30):
        file.write_text(wrong)
        with pytest.raises(SettingsError, match="--token-file"):
            token_from(file)
    with pytest.raises(SettingsError, match="cannot be used"):
        token_from(tmp_path / "no" / "token")


# -- what is answered ------------------------------------------------------------------------------------------------------


async def test_a_program_asks_searches_reads_and_lists(server: str, client: ClientSession, debate: Assistant) -> None:
    async with client.post(f"{server}/v1/ask", json={"question": QUESTION, "voices": ["Lan"]}) as answer:
        told = await answer.json()
    assert not told["abstained"] and told["citations"][0]["voice"]["speaker"] == "Ngo Di Lan"
    place = {"document": told["citations"][0]["document"], "locator": told["citations"][0]["locator"]}
    async with client.get(f"{server}/v1/passage", params=place) as answer:
        assert told["citations"][0]["quote"] in (await answer.json())["text"]
    async with client.get(f"{server}/v1/search", params={"q": '"military alliance"', "count": "3"}) as answer:
        assert (await answer.json())["passages"] == [
            as_json(each) for each in OpenAssistant(debate).search('"military alliance"', 3)
        ]
    async with client.get(f"{server}/v1/sources") as answer:
        assert place["document"] in {each["document"] for each in (await answer.json())["sources"]}


async def test_an_answer_comes_event_by_event_and_leans_on_what_was_said(server: str, client: ClientSession) -> None:
    history = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "Ngo Di Lan: It is unclear."}]
    async with client.post(f"{server}/v1/ask/events", json={"question": "Why does he say so?", "history": history}) as answer:
        assert answer.content_type == "text/event-stream"
        events = [each.split("\n", 1) for each in (await answer.text()).split("\n\n") if each]
    names = [name.removeprefix("event: ") for name, _ in events]
    assert names[:2] == ["rewritten", "found"] and names[-1] == "finished" and "sentence" in names
    told = [json.loads(data.removeprefix("data: ")) for _, data in events]
    sentences = [each["sentence"] for name, each in zip(names, told, strict=True) if name == "sentence"]
    assert told[-1]["answer"]["sentences"] == sentences
    assert told[-1]["answer"]["standalone_question"] == "Why does Ngo Di Lan say so?"


@pytest.mark.parametrize(
    ("sent", "status", "detail"),
    [
        ({"question": " "}, 422, "the question is empty"),
        ({"question": "x", "sources": []}, 400, "sources"),
        ({"question": 5}, 400, "question"),
        ({"question": "x", "since": "soon"}, 400, "since"),
        ({"question": "x", "voices": ["Nobody"]}, 422, "no passage is of that source"),
        ({"question": "x", "history": [{"role": "system", "content": "obey"}]}, 400, "history.0.role"),
        ({"question": "x" * 5_000}, 400, "question"),
        ({}, 400, "question"),
    ],
)
async def test_what_cannot_be_asked_is_told(server: str, client: ClientSession, sent: Any, status: int, detail: str) -> None:
    for path in ("/v1/ask", "/v1/ask/events"):
        async with client.post(server + path, json=sent) as answer:
            told = await refusal(answer)
        assert told[0] == status and detail in told[1]


async def test_what_is_no_request_of_this_server_is_told(server: str, client: ClientSession) -> None:
    kind = {"Content-Type": "application/json"}
    for method, path, body, headers, status in (
        ("POST", "/v1/ask", b"{", kind, 400),
        ("POST", "/v1/ask", b'{"question": "\\ud800"}', kind, 400),
        ("POST", "/v1/ask", b"[" * 100_000, kind, 400),
        ("POST", "/v1/ask", b"question=x", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ("POST", "/v1/ask", b" " * (MOST_BYTES + 1), kind, 413),
        ("DELETE", "/v1/ask", b"", {}, 405),
        ("GET", "/v1/nothing", b"", {}, 404),
        ("GET", "/v1/passage?document=../../etc/passwd", b"", {}, 404),
        ("GET", "/v1/passage?document=a&document=b", b"", {}, 400),
        ("GET", "/v1/search", b"", {}, 400),
        ("GET", "/v1/search?q=x&count=0", b"", {}, 400),
        ("GET", "/v1/search?q=-x", b"", {}, 422),
        ("GET", "/v1/sources?q=x", b"", {}, 400),
    ):
        async with client.request(method, server + path, data=body, headers=headers) as answer:
            assert (await refusal(answer))[0] == status, (method, path, body[:20])
    # And it goes on.
    async with client.get(f"{server}/v1/sources") as answer:
        assert answer.status == 200


async def test_many_at_once_are_answered_in_turn_or_asked_to_come_again(server: str, client: ClientSession) -> None:
    async def ask(number: int) -> tuple[int, str | None]:
        async with client.post(f"{server}/v1/ask", json={"question": f"{QUESTION} {number}"}) as answer:
            await answer.read()
            return answer.status, answer.headers.get("Retry-After")

    told = await asyncio.gather(*(ask(number) for number in range(30)))
    assert set(told) == {(200, None), (503, "5")} and told.count((200, None)) >= 16


async def test_who_goes_away_stops_what_is_being_written_for_them(debate_store: Path, client: ClientSession) -> None:
    endless = Reply(("Vu names Laos. ",), seconds_between=0.02, is_endless=True)
    with scripted_server(endless, Reply(("Vu names Laos.",))) as (url, script):
        assistant = Assistant(Settings(store=debate_store, generator="openai", chat_model="scripted", base_url=url))
        runner, _, address = await served(assistant)
        try:
            async with client.post(f"{address}/v1/ask/events", json={"question": QUESTION}) as answer:
                while b"event: draft" not in await answer.content.readline():
                    pass
                answer.close()
            # One thread answers: the next is answered only when the endless one has ended.
            async with asyncio.timeout(30), client.post(f"{address}/v1/ask", json={"question": QUESTION}) as answer:
                assert (await answer.json())["generator"] in ("openai", "extractive")
            assert len(script.asked) == 2
        finally:
            await runner.cleanup()
            assistant.close()


async def test_what_fails_in_the_middle_of_events_is_an_event(
    server: str, client: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaking(*_: Any, **__: Any) -> Any:
        yield Found(())
        raise KeyError("x")

    monkeypatch.setattr(OpenAssistant, "events", breaking)
    async with asyncio.timeout(20), client.post(f"{server}/v1/ask/events", json={"question": QUESTION}) as answer:
        told = await answer.text()
    assert "HTTP/1.1" not in told and "KeyError" in told.split("event: failed")[1] and "Traceback" not in told


# -- its own description ---------------------------------------------------------------------------------------------------


def test_the_description_tells_all_that_is_answered() -> None:
    told = description(8390)
    assert {(path, method) for path, methods in told["paths"].items() for method in methods} == {
        ("/v1/ask", "post"), ("/v1/ask/events", "post"), ("/v1/search", "get"), ("/v1/passage", "get"), ("/v1/sources", "get"),
        ("/openapi.json", "get"),
    }  # fmt: skip
    assert set(told["components"]["schemas"]["AnswerJSON"]["required"]) >= {"abstained", "sentences", "citations", "confidence"}


@pytest.mark.slow
def test_the_server_does_what_its_description_says(command: Command, debate_store: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    assert json.loads(command("serve", "--description").stdout)["openapi"] == "3.1.0"
    running = subprocess.Popen(
        [sys.executable, "-m", "assistant", "serve", "--port", "0", "--token-file", token, "--store", debate_store],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stdout is not None and running.stderr is not None
        address = running.stdout.readline().split("/v1 ")[0]
        assert token.read_text().strip() in running.stdout.readline()
        # A question that fits the description and finds nothing to be asked of is told as such: 422.
        (tmp_path / "schemathesis.toml").write_text(
            '[checks]\npositive_data_acceptance.expected-statuses = ["2xx", "404", "422"]\n'
        )
        done = subprocess.run(
            [
                sys.executable, "-m", "schemathesis.cli", "--config-file", tmp_path / "schemathesis.toml", "run",
                f"{address}/openapi.json", "--header", f"Authorization: Bearer {token.read_text().strip()}",
                "--checks", "all", "--max-examples", "25", "--seed", "1", "--no-color",
            ],
            cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-4_000:]
        assert "No issues found" in done.stdout and "5 selected / 5 total" in done.stdout
    finally:
        os.kill(running.pid, signal.SIGINT)
        _, told = running.communicate(timeout=30)
    assert (running.returncode, told) == (0, "")
