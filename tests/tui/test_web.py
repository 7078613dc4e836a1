"""The chat in a browser: who is let in, and that it works there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, CookieJar, WSServerHandshakeError, web

from assistant.web import HOST, WebChat
from tests.conftest import ROOT

# A program that begins as a chat does, and ends when it is told to.
ECHO = (
    f"{sys.executable} -c \"import sys; sys.stdout.write('__GANGLION__\\n'); sys.stdout.flush(); "
    "any(b'quit' in told for told in iter(lambda: sys.stdin.buffer.read1(65536), b''))\""
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
async def chat(unused_port: int) -> AsyncIterator[WebChat]:
    server = WebChat(ECHO, unused_port, most_sessions=2)
    runner = web.AppRunner(await server._make_app())
    await runner.setup()
    await web.TCPSite(runner, HOST, unused_port).start()
    yield server
    await runner.cleanup()


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def browser(chat: WebChat) -> AsyncIterator[ClientSession]:
    """One that has opened the link."""
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        async with session.get(chat.link) as answer:
            assert answer.status == 200 and str(answer.url) == f"http://{HOST}:{chat.port}/"
        yield session


async def test_the_link_lets_in_and_the_secret_leaves_the_address(chat: WebChat, browser: ClientSession) -> None:
    async with browser.get(f"http://{HOST}:{chat.port}/") as answer:
        page = await answer.text()
        assert answer.status == 200 and chat.token not in page
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"] and "http" not in re.sub(
            r"ws://[^\"]*", "", page
        )
    async with browser.get(f"http://{HOST}:{chat.port}/static/js/textual.js") as answer:
        assert answer.status == 200


@pytest.mark.parametrize("path", ["/", "/ws", "/static/js/textual.js", "/focus.js", "/download/x", "/?token=", "/?token=wrong"])
async def test_without_the_secret_nothing_is_served(chat: WebChat, path: str) -> None:
    async with ClientSession() as session, session.get(f"http://{HOST}:{chat.port}{path}") as answer:
        assert answer.status == 403
    cookies = {f"assistant-{chat.port}": "wrong"}
    async with ClientSession(cookies=cookies) as session, session.get(f"http://{HOST}:{chat.port}{path}") as answer:
        assert answer.status == 403


async def test_the_secret_is_taken_from_the_page_s_address_alone(chat: WebChat) -> None:
    async with ClientSession() as session, session.get(f"http://{HOST}:{chat.port}/ws?token={chat.token}") as answer:
        assert answer.status == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", f"http://{HOST}:1", f"https://{HOST}", ""])
async def test_a_foreign_origin_is_refused_though_it_has_the_cookie(chat: WebChat, browser: ClientSession, origin: str) -> None:
    with pytest.raises(WSServerHandshakeError) as refusal:
        await browser.ws_connect(f"http://{HOST}:{chat.port}/ws", headers={"Origin": origin} if origin else {})
    assert refusal.value.status == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", HOST, "127.0.0.1.evil.example"])
async def test_a_foreign_host_name_is_refused(chat: WebChat, browser: ClientSession, host: str) -> None:
    async with browser.get(f"http://{HOST}:{chat.port}/", headers={"Host": host}) as answer:
        assert answer.status == 403


async def test_files_outside_the_static_folder_are_not_served(chat: WebChat, browser: ClientSession) -> None:
    for path in ("/static/../server.py", "/static/%2e%2e/server.py", "/static/", "/static/js"):
        async with browser.get(f"http://{HOST}:{chat.port}{path}", allow_redirects=False) as answer:
            assert answer.status in (403, 404), path


async def test_more_chats_than_the_limit_are_refused(chat: WebChat, browser: ClientSession) -> None:
    address, own = f"http://{HOST}:{chat.port}/ws", {"Origin": f"http://{HOST}:{chat.port}"}
    async with browser.ws_connect(address, headers=own), browser.ws_connect(address, headers=own):
        with pytest.raises(WSServerHandshakeError) as refusal:
            await browser.ws_connect(address, headers=own)
        assert refusal.value.status == 503


# -- in a real browser ---------------------------------------------------------------------------------------------------


@pytest.fixture
def link(debate_store: Path, tmp_path: Path) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "assistant", "web", "--store", str(debate_store)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


# The library that drives the browser leaves its own process to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
async def test_a_question_is_typed_answered_and_its_citation_followed(link: str, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.async_api")
    async with playwright.async_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = await browser.new_page(viewport={"width": 1300, "height": 800})
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(link)
        # The terminal is drawn on a canvas: what it shows is read from what the program sends.
        received: list[bytes] = []
        page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: received.append(_bytes(frame))))
        await page.reload()

        async def seen(words: str) -> None:
            for _ in range(600):
                if words in plain(b"".join(received)):
                    return
                await page.wait_for_timeout(100)
            raise AssertionError(f"never came: {words}")

        await seen("ready")
        await page.keyboard.type("Why does Lan doubt that the 1977 treaty is an alliance?")
        await page.keyboard.press("Enter")
        await seen("verified, ")
        await page.keyboard.type("1")
        await page.keyboard.press("Enter")
        await seen("Next citation")
        picture = await page.screenshot(path=str(tmp_path / "page.png"))
        assert len(picture) > 10_000
        assert {re.sub(r"\?.*|:\d+", "", url).split("/")[2] for url in asked} == {HOST}, "nothing is fetched from elsewhere"
        await browser.close()


def _bytes(frame: str | bytes) -> bytes:
    return frame.encode() if isinstance(frame, str) else frame


def plain(sent: bytes) -> str:
    """Without the codes that move the cursor and colour."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", sent.decode("utf-8", "replace"))
