"""The library, the evals and the debate, driven by keys."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest
from textual.events import Paste
from textual.widgets import DataTable, Input, Select, Static, Switch, TabbedContent

from assistant import assembly
from assistant.adding import plan_adding, put_back, remove_source
from assistant.fetching import Fetched, fetch
from assistant.settings import Settings
from assistant.tui.add_screen import AddScreen, PathSuggester
from assistant.tui.app import ChatApp
from assistant.tui.cases_screen import CasesScreen
from assistant.tui.debate_screen import DebateScreen, Position
from assistant.tui.describe_screen import DescribeScreen
from assistant.tui.library_screen import dropped_paths
from assistant.tui.run_screen import RunScreen
from assistant.tui.source_screen import SourceScreen
from index.build import Plan, Progress, Report
from index.embedders import LocalEmbedder
from index.errors import CorpusError
from index.settings import IndexSettings
from tests.conftest import BREAD, run_build
from tests.tui.driving import SMALL, USUAL, WIDE, ask, ready, until
from tests.tui.test_ask import told

pytestmark = pytest.mark.slow


@pytest.fixture
def app(corpus: Path, settings: IndexSettings, embedder: LocalEmbedder) -> ChatApp:
    run_build(settings, embedder)
    return ChatApp({"corpus": corpus, "store": settings.store})


def cells(app: ChatApp, table: str, column: int = 0) -> list[str]:
    rows = app.screen.query_one(table, DataTable)
    return [str(rows.get_row_at(number)[column]) for number in range(rows.row_count)]


def words(app: ChatApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).content)


# -- library -------------------------------------------------------------------------------------------------------------


async def test_the_documents_are_listed_found_sorted_and_previewed(app: ChatApp) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("f3")
        await until(pilot, lambda: cells(app, "#documents") == ["bread", "The River Treaty"], "the documents")
        assert cells(app, "#documents", 1) == ["✓ current"] * 2
        await pilot.press("s", *["s"] * 7)
        assert cells(app, "#documents") == ["The River Treaty", "bread"]
        await pilot.press("slash", *"moreno", "enter")
        assert cells(app, "#documents") == ["The River Treaty"]
        await until(pilot, lambda: "signed in Basel" in words(app, "#preview Static"), "its text")
        await pilot.press("v")
        await until(pilot, lambda: "tokens · Ada Moreno" in words(app, "#preview Static"), "its chunks")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, SourceScreen), "the whole document")


async def test_a_plan_is_shown_before_work_and_the_update_takes_it_in(app: ChatApp, corpus: Path) -> None:
    (corpus / "ice.txt").write_text("Glaciers feed the river in August.", encoding="utf-8")
    (corpus / "bread.txt").write_text("Rye bread needs a sour starter and salt.", encoding="utf-8")
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("f3")
        await until(pilot, lambda: "1 new, 1 changed, 0 gone, 1 unchanged, ≈ 1 s" in words(app, "#plan"), "the plan")
        assert "+ new" in cells(app, "#documents", 1) and "! changed" in cells(app, "#documents", 1)
        await pilot.press("u")
        await until(pilot, lambda: "✓ The index is up to date: 3 documents." in words(app, "#plan"), "the end of it")
        assert cells(app, "#documents", 1) == ["✓ current"] * 3


async def test_what_is_wanted_while_the_index_is_built_is_done_after_it(app: ChatApp, corpus: Path) -> None:
    for number in range(40):
        (corpus / f"n{number}.txt").write_text(f"Ferry number {number} left the pier. " * 40, encoding="utf-8")
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await until(pilot, lambda: not app.is_building, "the end of the start")
        await pilot.press("f3")
        app.update_index()
        assert app.is_building
        # It has looked what there is already.
        await until(pilot, lambda: app.progress is not None or not app.is_building, "it at work")
        (corpus / "late.txt").write_text("The pier of Ulm was built in 1888.", encoding="utf-8")
        app.update_index()
        await until(
            pilot, lambda: "late" in cells(app, "#documents") and "✓ The index is up to date" in words(app, "#plan"), "both"
        )


async def test_what_cannot_be_read_is_listed_with_its_reason(app: ChatApp, corpus: Path) -> None:
    (corpus / "bad.md").write_bytes(b"\x00\x01binary\xff" * 50)
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("f3", "u")
        await until(pilot, lambda: "1 could not be read" in words(app, "#plan"), "the failure")
        await pilot.press("f")
        await until(pilot, lambda: "bad.md" in words(app, "#preview Static"), "its reason")


async def test_files_are_added_after_a_plan_and_removed_and_put_back(app: ChatApp, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new/ferries.txt").write_text("Mira Holt counts 91 ferries.", encoding="utf-8")
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("f3", "a")
        await until(pilot, lambda: isinstance(app.screen, AddScreen), "the prompt")
        line = app.screen.query_one("#paths", Input)
        line.value = str(tmp_path / "nowhere")
        await pilot.press("enter")
        await until(pilot, lambda: "does not exist" in words(app, "#adding-plan"), "that it is not there")
        line.value = str(tmp_path / "new")
        await pilot.press("enter")
        await until(pilot, lambda: "1 to add" in words(app, "#adding-plan"), "the plan")
        assert not (tmp_path / "corpus/added").exists()
        await pilot.press("enter")
        await until(
            pilot, lambda: "ferries" in cells(app, "#documents") if not isinstance(app.screen, AddScreen) else False, "it"
        )
        table = app.screen.query_one("#documents", DataTable)
        table.move_cursor(row=cells(app, "#documents").index("bread"))
        await pilot.press("delete")
        await until(pilot, lambda: "was not added here" in told(app), "that the owner's files are left alone")
        table.move_cursor(row=cells(app, "#documents").index("ferries"))
        await pilot.press("delete")
        await until(pilot, lambda: "ferries" not in cells(app, "#documents"), "it gone")
        assert not (tmp_path / "corpus/added/new/ferries.txt").exists()
        await until(pilot, lambda: not app.is_building, "the end of the update")
        await pilot.press("ctrl+z")
        await until(pilot, lambda: "ferries" in cells(app, "#documents"), "it back")
        assert (tmp_path / "corpus/added/new/ferries.txt").read_text(encoding="utf-8") == "Mira Holt counts 91 ferries."


async def test_what_a_document_is_can_be_told(app: ChatApp, corpus: Path) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("f3")
        await until(pilot, lambda: "bread" in cells(app, "#documents"), "the documents")
        app.screen.query_one("#documents", DataTable).move_cursor(row=cells(app, "#documents").index("bread"))
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, DescribeScreen), "the dialog")
        app.screen.query_one("#authors", Input).value = "Ada Moreno;  Jonas Keller"
        app.screen.query_one("#published", Input).value = "soon"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "soon is no date" in words(app, ".note"), "that it is no date")
        assert not (corpus / "bread.txt.meta.toml").exists()
        app.screen.query_one("#published", Input).value = "1999-05"
        await pilot.press("ctrl+s")
        await until(
            pilot,
            lambda: not isinstance(app.screen, DescribeScreen) and "Ada Moreno, Jonas K…" in cells(app, "#documents", 2),
            "the authors",
        )
        assert app.assistant is not None and app.assistant.store.document("bread.txt").cite_as == "Moreno and Keller 1999"
        beside = corpus / "bread.txt.meta.toml"
        beside.write_text(f"# mine\n{beside.read_text()}")
        await until(pilot, lambda: not app.is_building, "the end of the update")
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, DescribeScreen), "the dialog")
        app.screen.query_one("#authors", Input).value = ""
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "authors" not in beside.read_text(), "it gone")
        assert beside.read_text() == '# mine\npublished = "1999-05"\n'


async def test_a_web_address_is_fetched_and_a_copy_is_told(app: ChatApp, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = BREAD.encode()
            self.send_response(200 if self.path == "/loaf.txt" else 404)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/loaf.txt"
    try:
        async with app.run_test(size=WIDE) as pilot:
            await ready(pilot)
            await pilot.press("f3", "a")
            await until(pilot, lambda: isinstance(app.screen, AddScreen), "the prompt")
            app.screen.query_one("#paths", Input).value = address
            await pilot.press("enter")
            await until(
                pilot, lambda: f"1 to fetch from 127.0.0.1:{server.server_port}" in words(app, "#adding-plan"), "the plan"
            )
            await pilot.press("enter")
            await until(pilot, lambda: "belongs to this machine" in words(app, "#adding-plan"), "that it is refused")
            assert not (corpus / "added").exists()
            # From a real server all the same.
            monkeypatch.setattr("assistant.fetching.fetch", lambda url, **_: fetch(url, max_bytes=10_000, allow_private=True))
            await pilot.press("enter")
            await until(pilot, lambda: "says word for word the same as bread.txt" in told(app), "that it is a copy")
            await until(pilot, lambda: any(title.startswith("loaf") for title in cells(app, "#documents")), "it")
    finally:
        server.shutdown()
        server.server_close()


async def test_escape_while_fetching_keeps_what_came_and_tells_what_did_not(
    app: ChatApp, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    go = Event()

    def slow(url: str, **_: object) -> Fetched:
        asked.append(url)
        assert go.wait(30)
        return Fetched(url, f"The pier {url[-1]} of Ulm was built in 1888.".encode(), f"web/{url[-1]}.txt")

    monkeypatch.setattr("assistant.fetching.fetch", slow)
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("f3", "a")
        await until(pilot, lambda: isinstance(app.screen, AddScreen), "the prompt")
        app.screen.query_one("#paths", Input).value = "https://example.org/a ; https://example.org/b ; https://example.org/c"
        await pilot.press("enter")
        await until(pilot, lambda: "3 to fetch from example.org" in words(app, "#adding-plan"), "the plan")
        await pilot.press("enter")
        await until(pilot, lambda: len(asked) == 1, "the first")
        await pilot.press("enter", "escape")
        await until(pilot, lambda: "ending after this address" in words(app, "#adding-plan"), "that it ends")
        go.set()
        await until(pilot, lambda: not isinstance(app.screen, AddScreen), "the end")
        await until(pilot, lambda: "2 of 3 addresses were not fetched any more" in told(app), "what did not come")
        await until(pilot, lambda: "a" in cells(app, "#documents"), "what came")
    assert asked == ["https://example.org/a"] and (corpus / "added/web/a.txt").is_file()


async def test_a_drop_of_paths_opens_the_prompt_with_its_plan(app: ChatApp, tmp_path: Path) -> None:
    (tmp_path / "two words.txt").write_text("Mira Holt counts 91 ferries.", encoding="utf-8")
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("f3")
        app.screen.post_message(Paste(f"'{tmp_path}/two words.txt'"))
        await until(pilot, lambda: isinstance(app.screen, AddScreen), "the prompt")
        await until(pilot, lambda: "1 to add" in words(app, "#adding-plan"), "the plan")


async def test_the_watched_folder_is_taken_in_by_itself(app: ChatApp, corpus: Path) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("f3", "w")
        assert app.screen.query_one(Switch).value
        (corpus / "ice.txt").write_text("Glaciers feed the river in August.", encoding="utf-8")
        await until(pilot, lambda: "ice" in cells(app, "#documents"), "the new document")
        await pilot.press("w")
        assert not app.is_watching


async def test_a_stopped_update_leaves_a_whole_index_and_asking_goes_on(
    app: ChatApp, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(400):
        (corpus / f"note-{number}.txt").write_text(
            " ".join(f"Glacier {number} feeds river {number * 7 + at} in August." for at in range(40)), encoding="utf-8"
        )
    # The build waits in its middle until it was told to stop: how fast a machine is decides nothing.
    go_on = Event()
    build_index = assembly.build_index

    def held(settings: Settings) -> Iterator[Plan | Progress | Report]:
        for event in build_index(settings):
            yield event
            if isinstance(event, Progress) and event.stage == "embedding" and event.done > 100:
                go_on.wait(120)

    monkeypatch.setattr(assembly, "build_index", held)
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("f3", "u")
        await until(pilot, lambda: "left" in words(app, "#plan") and "X stops" in words(app, "#plan"), "progress")
        await pilot.press("f2")
        turn = await ask(pilot, "Who doubts that the river treaty is fair?")
        assert turn.places and app.is_building
        await pilot.press("f3", "x")
        await until(pilot, lambda: "Stopping after this step" in told(app), "that it will stop")
        go_on.set()
        await until(pilot, lambda: "Stopped. What was built so far is whole" in told(app), "that it has stopped")
        await until(pilot, lambda: not app.is_building, "the end of the build")
        assert app.assistant is not None and app.assistant.drift() is not None
        assert 2 <= len(app.assistant.store.documents()) < 402
        await pilot.press("f2")
        assert (await ask(pilot, "How hot must the oven be?")).places


def test_only_what_was_added_is_removed_and_nothing_outside(settings: IndexSettings, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("words", encoding="utf-8")
    for name in ("rivers.md", "added/../rivers.md", "added/../../outside.txt", "../outside.txt"):
        with pytest.raises(CorpusError):
            remove_source(name, settings)
    assert (corpus / "rivers.md").exists() and (tmp_path / "outside.txt").exists()
    (settings.added / "deep").mkdir(parents=True)
    (settings.added / "deep/a.txt").write_text("one", encoding="utf-8")
    removed = remove_source("added/deep/a.txt", settings)
    (settings.added / "deep/a.txt").write_text("two", encoding="utf-8")
    with pytest.raises(CorpusError, match="is there again"):
        put_back(removed)
    assert (
        removed.kept.read_text(encoding="utf-8") == "one" and (settings.added / "deep/a.txt").read_text(encoding="utf-8") == "two"
    )


def test_a_plan_of_adding_does_nothing(settings: IndexSettings, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new/a.txt").write_text("one", encoding="utf-8")
    (tmp_path / "new/a.exe").write_text("one", encoding="utf-8")
    planned = plan_adding([tmp_path / "new", tmp_path / "new/a.exe"], settings, replace=False)
    assert planned.copied == ("added/new/a.txt",) and planned.size == 3 and len(planned.refused) == 1
    assert not settings.added.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="paths are written otherwise")
def test_pastes_that_are_paths_and_pastes_that_are_words(tmp_path: Path) -> None:
    one, other = tmp_path / "a b.txt", tmp_path / "c.txt"
    one.write_text("", encoding="utf-8")
    other.write_text("", encoding="utf-8")
    escaped = str(one).replace(" ", "\\ ")
    for text in (f"'{one}'", escaped, str(one), f"file://{str(one).replace(' ', '%20')}"):
        assert dropped_paths(text) == [str(one)], text
    assert dropped_paths(f"{escaped} {other}\n") == [str(one), str(other)]
    for text in ("What does Lan say?", "", f"{other} and more words", "/nowhere/at/all", "don't"):
        assert dropped_paths(text) == []


async def test_paths_are_completed(tmp_path: Path) -> None:
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers/one.txt").write_text("", encoding="utf-8")
    suggester = PathSuggester()
    assert await suggester.get_suggestion(f"{tmp_path}/pa") == f"{tmp_path}/papers/"
    assert await suggester.get_suggestion(f"{tmp_path} ; {tmp_path}/papers/") == f"{tmp_path} ; {tmp_path}/papers/one.txt"
    assert await suggester.get_suggestion(f"{tmp_path}/no") is None


# -- evals ---------------------------------------------------------------------------------------------------------------


async def test_a_suite_is_run_read_compared_and_reported(
    debate_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSISTANT_EVALS", str(tmp_path / "evals"))
    app = ChatApp({"store": debate_store})
    opened: list[str] = []
    monkeypatch.setattr(app, "open_url", opened.append)
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("f4")
        await until(pilot, lambda: cells(app, "#runs") == ["alliance"], "the suite that ships")
        for number in (1, 2):
            await pilot.press("r")
            await until(pilot, lambda: isinstance(app.screen, RunScreen), "the choice")
            app.screen.query_one("#limit", Input).value = "none" if number == 1 else "3"
            await pilot.press("enter")
            if number == 1:
                assert "whole number from 1" in words(app, ".note")
                app.screen.query_one("#limit", Input).value = "3"
                await pilot.press("enter")
            await until(pilot, lambda: "✓ alliance: 3 questions" in words(app, "#running"), "the end of the run")
            await until(pilot, lambda number=number: len(cells(app, "#runs")) == number, "it in the list")
            await until(pilot, lambda: all(each.is_finished for each in app.workers if each.group == "eval"), "its thread's end")
            app.screen.query_one("#running", Static).update("")
        await until(pilot, lambda: "95 % interval" in words(app, "#figures Static"), "its figures")
        await pilot.press("m", "down", "m")
        await until(pilot, lambda: "Compared" in words(app, "#figures Static"), "the comparison")
        await pilot.press("h")
        await until(pilot, lambda: bool(opened), "the report")
        assert opened[0].endswith(".html") and Path(opened[0].removeprefix("file://")).is_file()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, CasesScreen), "the questions")
        await until(pilot, lambda: "Gold" in words(app, "#figures Static"), "a question")
        for part in ("Answered", "Measured", "Retrieved"):
            assert part in words(app, "#figures Static")


async def test_a_run_is_stopped_and_what_was_asked_is_kept(
    debate_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSISTANT_EVALS", str(tmp_path / "evals"))
    app = ChatApp({"store": debate_store})
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("f4")
        await until(pilot, lambda: cells(app, "#runs") == ["alliance"], "the suite that ships")
        await pilot.press("r", "enter")
        await until(pilot, lambda: " of 99, " in words(app, "#running"), "progress")
        await pilot.press("x")
        await until(pilot, lambda: "are kept in" in words(app, "#running"), "the stop")
        await until(pilot, lambda: " of 99" in cells(app, "#runs", 2)[0], "it in the list")


# -- debate --------------------------------------------------------------------------------------------------------------


async def test_a_cell_of_the_map_opens_its_evidence(debate_store: Path) -> None:
    app = ChatApp({"store": debate_store})
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("f5")
        await until(pilot, lambda: len(cells(app, "#issues")) > 8, "the map")
        await pilot.press("right")
        await until(pilot, lambda: "Khang Vu" in words(app, "#position Static"), "the position")
        assert "Ngo Di Lan," not in words(app, "#position Static")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, SourceScreen) and bool(app.screen.query(".cited")), "its place")


async def test_an_issue_that_no_map_tells_of_is_asked_of_each_voice(app: ChatApp) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("f5")
        await until(pilot, lambda: "no issue map of its own" in words(app, "#position Static"), "that there is none")
        await pilot.press("a", *"the river treaty", "enter")
        await until(pilot, lambda: cells(app, "#issues") == ["the river treaty"], "the issue")
        row = app.screen.query_one("#issues", DataTable).get_row_at(0)
        assert any("Keller doubts" in str(cell) for cell in row)


async def test_the_timeline_is_in_order_found_in_and_opened(debate_store: Path) -> None:
    app = ChatApp({"store": debate_store})
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("f5", "t")
        await until(pilot, lambda: len(cells(app, "#dates")) > 20, "the timeline")
        dates = cells(app, "#dates")
        assert dates == sorted(dates)
        await pilot.press("slash", *"1961 korea")
        await until(pilot, lambda: 0 < len(cells(app, "#dates")) < 20, "what was looked for")
        assert isinstance(app.screen, DebateScreen)
        told = [f"{each.date.iso} {each.citation.quote} {each.citation.voice}".casefold() for each in app.screen._shown]
        assert all("1961" in each and "korea" in each for each in told)
        await pilot.press("enter", "enter")
        await until(pilot, lambda: isinstance(app.screen, SourceScreen) and bool(app.screen.query(".cited")), "its place")


async def test_two_voices_stand_side_by_side(debate_store: Path) -> None:
    app = ChatApp({"store": debate_store})
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("f5", "c")
        assert app.screen.query_one(TabbedContent).active == "compare"
        await until(pilot, lambda: len(app.screen.query(Position)) > 10, "both")
        one, other = list(app.screen.query(Position))[:2]
        await until(pilot, lambda: one.region.height > 0, "a layout")
        assert one.region.y == other.region.y and "Khang Vu" in str(one.content) and "Ngo Di Lan" in str(other.content)
        one.focus()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, SourceScreen), "its evidence")
        await pilot.press("escape")
        app.screen.query_one("#other", Select).value = "Khang Vu"
        await until(pilot, lambda: not app.screen.query(Position), "nothing to compare")


# -- all -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [WIDE, USUAL, SMALL])
async def test_every_mode_works_at_every_size(app: ChatApp, size: tuple[int, int]) -> None:
    async with app.run_test(size=size) as pilot:
        await ready(pilot)
        for key, table in (("f3", "#documents"), ("f4", "#runs"), ("f5", "#issues"), ("f2", "#question")):
            await pilot.press(key)
            await pilot.pause(0.2)
            region = app.screen.query_one(table).region
            assert region.height >= 3 or (key == "f2" and region.height >= 1), key
            assert region.right <= size[0] and region.bottom <= size[1], key
            await pilot.press("ctrl+p")
            await until(pilot, lambda: app.screen.__class__.__name__ == "CommandPalette", "the palette")
            await pilot.press("escape")


async def test_every_action_is_in_the_palette(app: ChatApp) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        for key in ("f2", "f3", "f4", "f5"):
            await pilot.press(key)
            await pilot.pause()
            names = {command.title for command in app.get_system_commands(app.screen)}
            wanted = {
                each.description for many in app.screen._bindings.key_to_bindings.values() for each in many if each.description
            }
            assert wanted <= names | {"New"}, wanted - names
            assert {"Ask", "Library", "Evals", "Debate", "New conversation", "Settings", "Update index"} <= names
