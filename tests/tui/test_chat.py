"""The chat, driven by keys. A real assistant on the corpus that ships answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.events import Paste
from textual.widgets import ListView, OptionList, Static

from assistant.answering.answers import Citation
from assistant.inert import inert
from assistant.tui.app import ChatApp
from assistant.tui.evidence_pane import EvidencePane
from assistant.tui.help_screen import HelpScreen
from assistant.tui.messages import AnswerEvent, Place, StateChanged, Understood
from assistant.tui.models_screen import ModelsScreen
from assistant.tui.question_input import QuestionInput
from assistant.tui.source_screen import SourceScreen
from assistant.tui.transcript import Transcript
from assistant.tui.turn import Said, Turn, UnderstoodAs
from index.documents import Document, Locator, Voice
from index.embedders import LocalEmbedder
from index.settings import IndexSettings
from tests.conftest import run_build
from tests.scripted_server import Reply, scripted_server, spoken
from tests.tui.driving import SMALL, USUAL, WIDE, ask, ready, shown, state, until

pytestmark = pytest.mark.slow


@pytest.fixture
def app(debate_store: Path) -> ChatApp:
    return ChatApp({"store": debate_store})


async def test_an_answer_is_shown_with_its_sources_beside_it(app: ChatApp) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        turn = await ask(pilot, "Why does Lan doubt that the 1977 treaty is an alliance treaty?")
        assert "Ngo Di Lan, as reported by Khang Vu" in shown(turn)
        assert turn.places[0].reference == "Vu 2021, ¶2 (digest)"
        assert len(app.query_one(EvidencePane).query_one(ListView).children) == len(turn.places)


async def test_a_source_opens_at_the_cited_words_by_number_list_and_link(app: ChatApp) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        turn = await ask(pilot, "How many Vietnamese troops were in Laos in the late 1970s?")
        app.query_one(QuestionInput).text = "1"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, SourceScreen), "the source")
        await until(pilot, lambda: bool(app.screen.query(".cited")), "the cited place")
        await pilot.pause()
        place = turn.places[0]
        cited = app.screen.query(".cited .words").first(Static)
        content = cited.visual
        spans = [str(content)[span.start : span.end] for span in content.spans]  # type: ignore[attr-defined]
        # Before it the heading, dimmed.
        assert spans[-1] == inert(place.quote)
        visible = app.screen.query_one("#source-text").region
        assert cited.region.overlaps(visible)
        await pilot.press("escape")
        assert not isinstance(app.screen, SourceScreen)
        await pilot.press("ctrl+o", "enter")
        await until(pilot, lambda: isinstance(app.screen, SourceScreen), "the source from the list")
        await pilot.press("q")
        turn.query(Said).first().focus()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, SourceScreen), "the source from the sentence")


async def test_a_click_on_the_number_in_the_text_opens_the_source(app: ChatApp) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        turn = await ask(pilot, "Why does Lan doubt that the 1977 treaty is an alliance treaty?")
        body = turn.query(Said).first()
        for y in range(body.region.height):
            for x in range(body.region.width):
                screen_x, screen_y = body.region.x + x, body.region.y + y
                style = app.screen.get_style_at(screen_x, screen_y)
                if style.meta.get("@click"):
                    await pilot.click(offset=(screen_x, screen_y))
                    await until(pilot, lambda: isinstance(app.screen, SourceScreen), "the clicked source")
                    return
        raise AssertionError("no link on the screen")


async def test_follow_ups_show_how_they_were_understood_and_ctrl_n_forgets(app: ChatApp) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await ask(pilot, "Does Taiwan call the United States an ideological enemy?")
        turn = await ask(pilot, "And Beijing?")
        line = turn.query_one(UnderstoodAs)
        assert line.display and "Taiwan" in str(line.content)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: not app.query(Turn), "an empty transcript")
        assert app.query_one("#welcome").display
        turn = await ask(pilot, "And Beijing?")
        assert not turn.query_one(UnderstoodAs).display


async def test_what_the_sources_do_not_say_is_said_with_the_nearest_passages(app: ChatApp) -> None:
    async with app.run_test(size=USUAL) as pilot:
        await ready(pilot)
        turn = await ask(pilot, "What is the capital of Mongolia?")
        assert "The sources do not say" in shown(turn)
        assert len(turn.places) == 3


async def test_a_question_asked_before_the_model_is_there_is_answered_when_it_is(app: ChatApp) -> None:
    async with app.run_test(size=USUAL) as pilot:
        app.query_one(QuestionInput).text = "Who signed the treaty between China and North Korea?"
        await pilot.press("enter")
        await until(pilot, lambda: bool(app.query(Turn)), "the turn")
        turn = app.query_one(Turn)
        await until(pilot, lambda: bool(turn.places), "the answer")
        assert "Zhou Enlai" in shown(turn)


async def test_an_overlong_question_gets_a_sentence_in_its_turn(app: ChatApp) -> None:
    async with app.run_test(size=USUAL) as pilot:
        await ready(pilot)
        turn = await ask(pilot, "x" * 100_000)
        told = turn.query_one(".failed", Static)
        assert "the limit is 4,000" in str(told.content)
        await until(pilot, lambda: app.query_one(Transcript).region.contains_region(told.region), "the sentence in view")
        assert (await ask(pilot, "Who signed the treaty between China and North Korea?")).places


async def test_a_corpus_that_is_not_there_is_told_and_the_keyboard_lives(tmp_path: Path) -> None:
    app = ChatApp({"corpus": tmp_path / "nowhere", "store": tmp_path / "store"})
    async with app.run_test(size=USUAL) as pilot:
        await until(pilot, lambda: "does not exist" in state(app), "the failure")
        await pilot.press("h", "i")
        assert app.query_one(QuestionInput).text == "hi"
        await pilot.press("enter")
        await until(
            pilot, lambda: bool(app.query(Turn)) and bool(app.query_one(Turn).query(".failed")), "the failure in the turn"
        )
        assert "U in the library (F3) tries again" in str(app.query_one(Turn).query_one(".failed", Static).content)
        (tmp_path / "nowhere").mkdir()
        (tmp_path / "nowhere/a.txt").write_text("Glaciers feed the river in August.", encoding="utf-8")
        await pilot.press("f3", "u")
        await ready(pilot)
        await pilot.press("f2")
        assert (await ask(pilot, "What feeds the river in August?")).places


async def test_questions_asked_in_a_row_are_answered_in_their_turn(app: ChatApp) -> None:
    async with app.run_test(size=USUAL) as pilot:
        line = app.query_one(QuestionInput)
        for question in ("Who signed the treaty between China and North Korea?", "Who denied the reports of June 2000?", "When?"):
            line.text = question
            await pilot.press("enter")
            assert line.text == ""
        await until(pilot, lambda: [bool(turn.places) for turn in app.query(Turn)] == [True] * 3, "three answers")
        words = [shown(turn) for turn in app.query(Turn)]
        assert "Zhou Enlai" in words[0] and "fabricated" in words[1]


async def test_a_paste_of_several_lines_is_taken_whole(app: ChatApp) -> None:
    async with app.run_test(size=USUAL) as pilot:
        app.post_message(Paste("Who is\nKhang Vu?\n"))
        await until(pilot, lambda: app.query_one(QuestionInput).text == "Who is\nKhang Vu?\n", "the paste")


async def test_a_last_word_from_the_background_is_harmless_when_the_chat_closes(app: ChatApp) -> None:
    async with app.run_test(size=USUAL) as pilot:
        await app.query("#state").remove()
        await app.query(Transcript).remove()
        for late in (StateChanged("late", ready=True), Understood(1, "late"), AnswerEvent(1, "late")):
            app.post_message(late)
        await pilot.pause()
        assert app.is_running


async def test_the_index_is_built_behind_the_first_frame_and_the_library_takes_in_changes(corpus: Path, tmp_path: Path) -> None:
    app = ChatApp({"corpus": corpus, "store": tmp_path / "store"})
    async with app.run_test(size=USUAL) as pilot:
        await ready(pilot)
        assert "2 documents" in state(app)
        (corpus / "ice.txt").write_text("Glaciers feed the river in August.", encoding="utf-8")
        await pilot.press("f3", "u", "f2")
        await until(pilot, lambda: "3 documents" in state(app), "the new document")
        turn = await ask(pilot, "What feeds the river in August?")
        assert turn.places[0].document == "ice.txt"


async def test_an_open_chat_sees_what_another_process_adds(corpus: Path, tmp_path: Path, embedder: LocalEmbedder) -> None:
    settings = IndexSettings(corpus, corpus / "added", tmp_path / "store")
    run_build(settings, embedder)
    async with ChatApp({"corpus": corpus, "store": settings.store}).run_test(size=USUAL) as pilot:
        app = await ready(pilot)
        assert "2 documents" in state(app)
        (corpus / "ferries.txt").write_text("Mira Holt counts 91 ferries on the river in the year 1988.", encoding="utf-8")
        run_build(settings, embedder)
        await until(pilot, lambda: "3 documents" in state(app), "the new state")
        turn = await ask(pilot, "How many ferries does Mira Holt count?")
        assert turn.places[0].document == "ferries.txt"


@pytest.mark.parametrize("size", [WIDE, USUAL, SMALL])
async def test_every_screen_works_at_every_size(app: ChatApp, size: tuple[int, int]) -> None:
    async with app.run_test(size=size) as pilot:
        await ready(pilot)
        turn = await ask(pilot, "Do Vu and Lan agree on how to define an alliance?")
        question = app.query_one("#question")
        assert question.region.height >= 1 and question.region.bottom <= size[1]
        assert app.query_one(Transcript).region.height >= 3
        assert turn.region.overlaps(app.query_one(Transcript).region)
        await pilot.press("ctrl+o")
        pane = app.query_one(EvidencePane)
        assert pane.region.width >= 34 and pane.query_one(ListView).has_focus
        await pilot.press("enter")
        await until(pilot, lambda: bool(app.screen.query(".cited")), "the source")
        await pilot.pause()
        assert app.screen.query(".cited").first().region.overlaps(app.screen.query_one("#source-text").region)
        await pilot.press("escape", "f1")
        assert isinstance(app.screen, HelpScreen)
        keys = str(app.screen.query_one(Static).content)
        for words in ("New", "Evidence", "Quit", "Conversations"):
            assert words in keys
        await pilot.press("escape", "ctrl+p")
        await pilot.pause()
        assert app.screen.__class__.__name__ == "CommandPalette"


async def test_resizing_keeps_everything_in_reach(app: ChatApp) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await ask(pilot, "Why does Lan doubt that the 1977 treaty is an alliance treaty?")
        for size in (SMALL, WIDE, USUAL, SMALL):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert app.query_one("#question").region.bottom <= size[1]
            assert app.query_one(EvidencePane).display == (size == WIDE)


async def test_text_of_a_source_is_text_whatever_it_holds(tmp_path: Path) -> None:
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "a.txt").write_text(
        "The lighthouse of [red]Alexandria[/red] \x1b]8;;http://x\x07link\x1b]8;;\x07 [unclosed **bold** `code` <b>x</b> \x9b31m burns at night.",
        encoding="utf-8",
    )
    app = ChatApp({"corpus": folder, "store": tmp_path / "store"})
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        turn = await ask(pilot, "Which lighthouse burns at night?")
        words = shown(turn)
        for literal in ("[red]Alexandria[/red]", "[unclosed **bold** `code` <b>x</b>", "␛]8;;http://x"):
            assert literal in words
        app.query_one(QuestionInput).text = "[1]"
        await pilot.press("enter")
        await until(pilot, lambda: bool(app.screen.query(".cited")), "the source")
        await pilot.pause()
        screen = "\n".join("".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips())
        assert "[red]Alexandria[/red]" in screen
        assert not set(screen) & {"\x1b", "\x9b", "\x07"}


async def test_a_changed_source_says_so_and_a_megabyte_line_opens(app: ChatApp) -> None:
    text = "start " + "word " * 200_000 + "the cited words" + " tail" * 1000
    document = Document("d", "D", text, "x", (Locator(0, len(text), "¶1"),))
    at = text.index("the cited words")
    good = Place(1, "d", at, at + 15, "the cited words", "D, ¶1", "A", "A")
    stale = Place(2, "d", 0, 5, "other", "D, ¶1", "A", "A")
    async with app.run_test(size=USUAL) as pilot:
        await ready(pilot)
        await app.push_screen(SourceScreen([good, stale], 0, lambda _: document))
        await pilot.pause()
        shown = app.screen.query(".cited .words").first(Static).visual
        assert [str(shown)[span.start : span.end] for span in shown.spans] == ["the cited words"]  # type: ignore[attr-defined]
        await pilot.press("n")
        await pilot.pause()
        assert "The source has changed" in str(app.screen.query_one("#source-title", Static).content)


def test_places_keep_what_a_citation_says() -> None:
    citation = Citation(1, "d", "T", ("A B",), None, "B 2020", "note", "¶3", "words", 4, 9, "x", Voice("A", "B"))
    assert citation.reference == "B 2020, ¶3"


# -- with a language model -------------------------------------------------------------------------------------------------

WRITTEN = "Lan doubts that the 1977 treaty is an alliance because its duties are unclear [1]."


def written_by(url: str, store: Path) -> ChatApp:
    return ChatApp({"store": store, "generator": "openai", "chat_model": "small-model", "base_url": url})


async def test_words_appear_as_they_come_and_escape_keeps_what_there_is(debate_store: Path) -> None:
    endless = Reply((f"{WRITTEN} ", "And", " on"), seconds_between=0.05, is_endless=True)
    with scripted_server(endless) as (url, _):
        async with written_by(url, debate_store).run_test(size=WIDE) as pilot:
            app = await ready(pilot)
            assert "answers written on this machine (127.0.0.1" in state(app) and "by small-model" in state(app)
            app.query_one(QuestionInput).text = "Why does Lan doubt that the 1977 treaty is an alliance?"
            await pilot.press("enter")
            await until(pilot, lambda: bool(app.query(Turn)), "a turn")
            turn = app.query_one(Turn)
            await until(pilot, lambda: "And" in str(turn.query_one(".draft", Static).content), "words that are not checked yet")
            assert "duties are unclear" in shown(turn)
            # The keyboard is alive while words come.
            await pilot.press("n", "e", "x", "t")
            assert app.query_one(QuestionInput).text == "next"
            await pilot.press("escape")
            await until(pilot, lambda: bool(turn.places), "what there is")
            await pilot.pause()
            assert "Stopped" in str(turn.query_one(".notices", Static).content)
            assert not turn.query_one(".draft", Static).display
            assert "small-model" in str(turn.query_one(".measured", Static).content)


async def test_sentences_that_are_taken_back_are_gone(debate_store: Path) -> None:
    invented = "Vu says that Vietnam kept 90,000 troops in Laos [3]. The treaty was signed in Paris [1]."
    with scripted_server(spoken(invented)) as (url, _):
        async with written_by(url, debate_store).run_test(size=WIDE) as pilot:
            await ready(pilot)
            turn = await ask(pilot, "Why does Lan doubt that the 1977 treaty is an alliance?")
            assert "Paris" not in shown(turn) and "Lan doubts" in shown(turn)
            assert "this is the answer without it" in str(turn.query_one(".notices", Static).content)


async def test_who_writes_the_answers_is_chosen_in_the_chat(app: ChatApp, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted_server(spoken(WRITTEN)) as (url, script):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        async with app.run_test(size=WIDE) as pilot:
            await ready(pilot)
            assert "written on" not in state(app)
            await pilot.press("f6")
            await until(pilot, lambda: isinstance(app.screen, ModelsScreen), "the choice")
            assert script.listed == 0, "nothing is asked before the person wants to look"
            await pilot.press("down", "enter")
            await until(pilot, lambda: app.screen.query_one(OptionList).option_count == 3, "the models")
            await pilot.press("enter")
            await until(pilot, lambda: "written on this machine (127.0.0.1" in state(app), "the model")
            turn = await ask(pilot, "Why does Lan doubt that the 1977 treaty is an alliance?")
            assert "small-model" in str(turn.query_one(".measured", Static).content)
            await pilot.press("f6", "enter")
            await until(pilot, lambda: "written on" not in state(app), "the sources' own words")


async def test_a_model_that_is_not_there_is_told_and_the_answer_comes(debate_store: Path) -> None:
    async with written_by("http://127.0.0.1:9/v1", debate_store).run_test(size=WIDE) as pilot:
        await ready(pilot)
        turn = await ask(pilot, "Why does Lan doubt that the 1977 treaty is an alliance?")
        assert "nothing answers at 127.0.0.1:9" in str(turn.query_one(".notices", Static).content) and turn.places
