"""The assistant for other programs: Python, and the Model Context Protocol as a client speaks it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from assistant import open_assistant
from assistant.api import OpenAssistant, as_json
from assistant.assembly import Assistant
from assistant.retrieval.syntax import Query, parse
from index.errors import QuestionError
from index.filters import Filter
from tests.conftest import Command

REPLY = "debate/vu-2021-06-reply.md"


@pytest.fixture
def opened(debate: Assistant) -> OpenAssistant:
    return OpenAssistant(debate)


# -- the search's syntax ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        ("secret treaties", Query("secret treaties")),
        ('a "formal  alliance" -war -"cold war"', Query("a formal  alliance", ("formal  alliance",), ("war", "cold war"))),
        ('x author:Vu voice:"Ngo Di Lan" kind:note', Query("x", authors=("Vu",), voices=("Ngo Di Lan",), kinds=("note",))),
        ("x source:debate source:a.md", Query("x", documents=("debate", "a.md"))),
        ("x date:>=2020 date:<=2021-06", Query("x", since="2020", until="2021-06")),
        ("x date:2021", Query("x", since="2021", until="2021")),
        ("x date:>2020 date:<2022-01", Query("x", since="2021", until="2021-12")),
        ("x date:>2020-12 date:<2022-03-01", Query("x", since="2021-01", until="2022-02-28")),
        ("Phạm Văn Đồng", Query("Phạm Văn Đồng", exact=("Phạm", "Văn", "Đồng"))),
        ('un"closed', Query('un"closed')),
        ("re-armed 1977-78", Query("re-armed 1977-78")),
    ],
)
def test_what_is_written_is_understood(told: str, asked: Query) -> None:
    assert parse(told) == asked


@pytest.mark.parametrize(
    "told", ["", "voice:Lan", "-war", "x date:>=soon", "x date:>2021-02-30", 'x voice:""', "x -kind:note", '""']
)
def test_what_searches_for_nothing_is_refused(told: str) -> None:
    with pytest.raises(QuestionError):
        parse(told)


def test_a_search_keeps_to_what_narrows_it(opened: OpenAssistant) -> None:
    found = opened.search('"military assistance" voice:Lan', 5)
    assert found and all("military assistance" in each.passage.chunk.text for each in found)
    assert {each.passage.chunk.voice.speaker for each in found} == {"Ngo Di Lan"}
    without = opened.search("troops -Laos -Lao", 10)
    assert without and not any("Lao" in each.passage.chunk.text for each in without)
    assert {each.document.authors for each in opened.search("treaty author:Lan", 5)} == {("Ngo Di Lan",)}
    assert all((each.document.published or "") >= "2021-06" for each in opened.search("treaty date:>=2021-06", 5))
    assert all(each.document.id.startswith("background/") for each in opened.search("treaty source:background", 5))
    with pytest.raises(QuestionError, match="no document is by Nobody"):
        opened.search("treaty author:Nobody")


def test_accents_do_not_matter_and_those_who_write_them_get_them_first(tmp_path: Path) -> None:
    corpus = tmp_path / "names"
    corpus.mkdir()
    (corpus / "plain.txt").write_text("Pham Van Dong signed the treaty of friendship in Vientiane in July.")
    (corpus / "accented.txt").write_text("Phạm Văn Đồng signed the treaty of friendship in Vientiane.")
    with open_assistant(corpus=corpus, store=tmp_path / "store") as assistant:
        assert {each.document.id for each in assistant.search("pham van dong", 5)} == {"plain.txt", "accented.txt"}
        assert assistant.search("Phạm Văn Đồng", 5)[0].document.id == "accented.txt"


# -- Python ----------------------------------------------------------------------------------------------------------------


def test_a_program_asks_searches_and_reads(opened: OpenAssistant) -> None:
    answer = opened.ask("Why does Lan doubt that the 1977 treaty is an alliance?")
    citation = answer.citation(answer.sentences[0].citations[0])
    place = opened.read(citation.document, citation.locator)
    assert citation.quote in place.text and place.document.text[place.start : place.end] == place.text
    follow_up = opened.ask("Why does he say so?", history=[(answer.question, "Ngo Di Lan: It is unclear what they must do.")])
    assert follow_up.standalone_question == "Why does Ngo Di Lan say so?"
    json.dumps([as_json(answer), as_json(place), *map(as_json, opened.search("troops", 2))])


def test_what_is_not_there_is_told(opened: OpenAssistant) -> None:
    with pytest.raises(QuestionError, match="no document"):
        opened.read("nothing.md")
    with pytest.raises(QuestionError, match="its places are ¶0, ¶1"):
        opened.read(REPLY, "¶99")


def test_whom_a_filter_names_answers_and_not_whom_they_report(tmp_path: Path) -> None:
    corpus = tmp_path / "weir"
    corpus.mkdir()
    (corpus / "reply.md").write_text(
        "---\nauthors: [Tomas Quenby]\n---\n\nDr Brandvold argues that the weir fell because of bad mortar. I disagree with her. "
        "The foundation of the weir was laid on clay, and slid."
    )
    with open_assistant(corpus=corpus, store=tmp_path / "store") as assistant:
        answer = assistant.ask("Why did the weir fall?", only=Filter(voices=("Quenby",)))
        assert answer.citations and {citation.voice.speaker for citation in answer.citations} == {"Tomas Quenby"}
        assert "mortar" not in answer.short


# -- MCP -------------------------------------------------------------------------------------------------------------------


def told(result: Any) -> dict[str, Any]:
    assert not result.is_error, result
    content: dict[str, Any] = json.loads(result.content[0].text)
    return content


@pytest.mark.slow
async def test_a_client_asks_searches_reads_and_lists(debate_store: Path) -> None:
    server = StdioServerParameters(command=sys.executable, args=["-m", "assistant", "mcp", "--store", str(debate_store)])
    async with Client(server) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["ask", "search", "read_passage", "list_sources"]
        question = "Why does Lan doubt that the 1977 treaty is an alliance?"
        answer = told(await client.call_tool("ask", {"question": question, "voices": ["Lan"]}))
        assert not answer["abstained"] and answer["citations"][0]["voice"]["speaker"] == "Ngo Di Lan"
        place = {"document": answer["citations"][0]["document"], "locator": answer["citations"][0]["locator"]}
        assert answer["citations"][0]["quote"] in told(await client.call_tool("read_passage", place))["text"]
        found = told(await client.call_tool("search", {"query": '"military alliance"', "count": 3}))["passages"]
        assert found and all("military alliance" in " ".join(each["text"].split()).lower() for each in found)
        listed = told(await client.call_tool("list_sources", {}))["sources"]
        assert REPLY in {each["document"] for each in listed}
        # What goes wrong is told in one sentence, and the server goes on.
        for tool, wrong in (
            ("ask", {"question": " "}),
            ("search", {"query": "-x"}),
            ("read_passage", {"document": "../../etc/passwd"}),
        ):
            refused = await client.call_tool(tool, wrong)
            assert refused.is_error and "Traceback" not in refused.content[0].text  # type: ignore[union-attr]
        assert told(await client.call_tool("list_sources", {}))["sources"] == listed


@pytest.mark.slow
def test_what_a_client_gets_is_what_the_command_line_prints(command: Command, debate_store: Path) -> None:
    done = command("search", "troops in Laos", "-n", "3", "--json", "--store", debate_store)
    with open_assistant(store=debate_store) as assistant:
        assert json.loads(done.stdout)["passages"] == [as_json(each) for each in assistant.search("troops in Laos", 3)]
    shown = command("search", "40,000 troops voice:Vu", "--store", debate_store).stdout
    assert "] Vu 2021, ¶7 · Why There Is No Gulf" in shown and "\nKhang Vu: " in shown
    refused = command("search", "date:>=2020", "--store", debate_store)
    assert refused.returncode == 1 and refused.stderr.startswith("assistant: nothing is searched for")
