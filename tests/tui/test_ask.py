"""What is done with answers: evidence, asking again, filters, conversations, exports, settings."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input, ListView, OptionList, Select, Static

from assistant.exporting import FORMATS
from assistant.history import History
from assistant.tui.again_screen import AgainScreen
from assistant.tui.app import ChatApp
from assistant.tui.conversations_screen import ConversationsScreen
from assistant.tui.evidence_pane import CHANGED
from assistant.tui.export_screen import ExportScreen
from assistant.tui.filter_screen import FilterScreen, Ticks
from assistant.tui.question_input import QuestionInput
from assistant.tui.settings_screen import SettingsScreen
from assistant.tui.signs import Choice, Tick
from assistant.tui.source_screen import SourceScreen
from assistant.tui.transcript import Transcript
from assistant.tui.turn import AnswerView, Said, UnderstoodAs
from index.embedders import LocalEmbedder
from index.settings import IndexSettings
from tests.assistant.test_history import ANSWER
from tests.conftest import run_build
from tests.scripted_server import scripted_server, spoken
from tests.tui.driving import SMALL, USUAL, WIDE, ask, ready, shown, until

pytestmark = pytest.mark.slow
DOUBTS = "Who doubts that the river treaty is fair?"


@pytest.fixture
def app(corpus: Path, settings: IndexSettings, embedder: LocalEmbedder) -> ChatApp:
    run_build(settings, embedder)
    return ChatApp({"corpus": corpus, "store": settings.store})


def evidence(app: ChatApp) -> str:
    return str(app.query_one("#evidence .passage Static", Static).content)


def told(app: ChatApp) -> str:
    """What was said in passing."""
    return "\n".join(note.message for note in app._notifications)


async def note(pilot: Pilot[None], words: str) -> None:
    app = pilot.app
    assert isinstance(app, ChatApp)
    await until(pilot, lambda: words in str(app.screen.query_one(".note", Static).content), words)


# -- evidence ------------------------------------------------------------------------------------------------------------


async def test_the_evidence_follows_the_sentence_that_has_the_focus(debate_store: Path) -> None:
    app = ChatApp({"store": debate_store})
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        turn = await ask(pilot, "Do Vu and Lan agree on how to define an alliance?")
        said = list(turn.query(Said))
        assert len(said) > 1 and len(turn.places) > 1
        said[0].focus()
        for sentence in said:
            place = next(each for each in turn.places if each.number == sentence.markers[0])
            await until(pilot, lambda place=place: " ".join(place.quote.split()) in " ".join(evidence(app).split()), "its words")
            assert app.query_one("#evidence ListView", ListView).index == turn.places.index(place)
            assert place.voice in evidence(app) and "passage " in evidence(app) and "by words" in evidence(app)
            await pilot.press("down")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, SourceScreen), "the whole document")


async def test_the_quote_is_copied_with_its_reference(app: ChatApp) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        turn = await ask(pilot, DOUBTS)
        turn.query(Said).first().focus()
        await pilot.press("c")
        quote = " ".join(turn.places[0].quote.split())
        assert app.clipboard == f"“{quote}” ({turn.places[0].reference}; rivers.md)"
        await pilot.press("o")
        await until(pilot, lambda: "names no address" in told(app), "that there is no original")


async def test_brackets_walk_the_citations(debate_store: Path) -> None:
    app = ChatApp({"store": debate_store})
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        turn = await ask(pilot, "Do Vu and Lan agree on how to define an alliance?")
        await pilot.press("ctrl+o")
        entries = app.query_one("#evidence ListView", ListView)
        assert entries.has_focus and entries.index == 0
        await pilot.press("]")
        assert entries.index == 1
        await pilot.press("[", "[")
        assert entries.index == len(turn.places) - 1
        await pilot.press("ctrl+o")
        assert app.query_one(QuestionInput).has_focus


async def test_an_understood_follow_up_can_be_changed_and_asked_again(debate_store: Path) -> None:
    app = ChatApp({"store": debate_store})
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await ask(pilot, "Does Taiwan call the United States an ideological enemy?")
        turn = await ask(pilot, "And Beijing?")
        turn.query_one(UnderstoodAs).focus()
        await pilot.press("enter")
        line = app.query_one(QuestionInput)
        assert line.has_focus and "Beijing" in line.text and "Taiwan" in line.text


# -- the line to ask in --------------------------------------------------------------------------------------------------


async def test_up_and_down_bring_back_what_was_asked_also_in_the_next_chat(app: ChatApp) -> None:
    async with app.run_test(size=USUAL) as pilot:
        await ready(pilot)
        await ask(pilot, DOUBTS)
        await ask(pilot, "How hot must the oven be?")
        line = app.query_one(QuestionInput)
        line.fill("not sent yet")
        await pilot.press("up")
        assert line.text == "How hot must the oven be?"
        await pilot.press("up", "up")
        assert line.text == DOUBTS
        await pilot.press("down", "down")
        assert line.text == "not sent yet"
    again = ChatApp(app._given)
    async with again.run_test(size=USUAL) as pilot:
        await ready(pilot)
        await pilot.pause()
        await until(pilot, lambda: bool(again.query_one(QuestionInput)._asked), "what was asked before")
        await pilot.press("up")
        assert again.query_one(QuestionInput).text == "How hot must the oven be?"


async def test_letters_typed_on_a_sentence_begin_a_question(app: ChatApp) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        turn = await ask(pilot, DOUBTS)
        await pilot.press("shift+tab")
        assert turn.query(Said).last().has_focus
        await pilot.press(*"What now?")
        assert app.query_one(QuestionInput).text == "What now?" and app.query_one(QuestionInput).has_focus
        await pilot.press("ctrl+n")
        await until(pilot, lambda: app.query_one(QuestionInput).text == "", "an empty line")


async def test_a_question_may_have_several_lines(app: ChatApp) -> None:
    async with app.run_test(size=USUAL) as pilot:
        await ready(pilot)
        await pilot.press(*"Who doubts", "ctrl+j", *"the treaty?")
        line = app.query_one(QuestionInput)
        assert line.text == "Who doubts\nthe treaty?" and line.region.height >= 4
        await pilot.press("up", "enter")
        await until(pilot, lambda: bool(app.query(AnswerView)), "the turn")
        assert line.text == ""


async def test_suggestions_come_from_the_corpus_and_are_asked(app: ChatApp) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await until(pilot, lambda: bool(app.query("#suggestions")), "suggestions")
        assert "¶1" in str(app.query_one("#suggestions", OptionList).options[0].prompt)
        await pilot.press("tab", "enter")
        await until(pilot, lambda: bool(app.query(AnswerView)), "the turn")


# -- again ---------------------------------------------------------------------------------------------------------------


async def test_a_question_is_asked_again_under_other_settings_beside_the_first_answer(app: ChatApp) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        turn = await ask(pilot, "What is the capital of Mongolia?")
        assert turn.answer is not None and turn.answer.abstained
        await pilot.press("ctrl+r")
        await until(pilot, lambda: isinstance(app.screen, AgainScreen), "the choice")
        app.screen.query_one("#passages", Input).value = "0"
        await pilot.press("enter")
        await note(pilot, "whole number from 1 to 50")
        app.screen.query_one("#passages", Input).value = "2"
        app.screen.query_one("#threshold", Input).value = "0"
        await pilot.press("enter")
        await until(pilot, lambda: len(turn.query(AnswerView)) == 2, "room for another answer")
        second = list(turn.query(AnswerView))[1]
        await until(pilot, lambda: second.answer is not None, "the other answer")
        assert second.answer is not None and not second.answer.abstained and len(second.answer.passages) == 2
        first = turn.query(AnswerView).first()
        assert first.region.y == second.region.y and first.region.right <= second.region.x
        assert "2 passages, refused below 0" in str(second.query_one(".label", Static).content)
    (kept,) = History(Path(app.history.path)).conversations() if app.history else ()
    assert app.history is not None
    (told_turn,) = app.history.turns(kept.number)
    assert [settings for settings, _ in told_turn.again] == ["2 passages, refused below 0"]


async def test_the_sources_own_words_beside_a_written_answer(debate_store: Path) -> None:
    written = "Lan doubts that the 1977 treaty is an alliance because its duties are unclear [1]."
    with scripted_server(spoken(written)) as (url, _):
        app = ChatApp({"store": debate_store, "generator": "openai", "chat_model": "small-model", "base_url": url})
        async with app.run_test(size=WIDE) as pilot:
            await ready(pilot)
            turn = await ask(pilot, "Why does Lan doubt that the 1977 treaty is an alliance?")
            await pilot.press("ctrl+r")
            await until(pilot, lambda: isinstance(app.screen, AgainScreen), "the choice")
            app.screen.query_one("#quoting", Tick).value = True
            await pilot.press("enter")
            await until(pilot, lambda: len(turn.query(AnswerView)) == 2, "room for another answer")
            second = list(turn.query(AnswerView))[1]
            await until(pilot, lambda: second.answer is not None, "the other answer")
            assert turn.answer is not None and turn.answer.generator == "openai"
            assert second.answer is not None and second.answer.generator == "extractive"


# -- filters -------------------------------------------------------------------------------------------------------------


async def test_only_the_chosen_voices_answer_and_a_chip_says_so(app: ChatApp) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("f8")
        await until(pilot, lambda: isinstance(app.screen, FilterScreen), "the filter")
        names = app.screen.query_one("#only-voices", Ticks)
        assert names.region.height > 4
        names.highlighted = names._names.index("Jonas Keller")
        # Both at once, as from a hasty hand: the second does not overtake the first.
        app.post_message(Key("space", " "))
        app.post_message(Key("ctrl+s", None))
        await until(pilot, lambda: app.query_one("#chips").display, "the chip")
        assert "voice: Jonas Keller" in str(app.query_one("#chips", Static).content)
        turn = await ask(pilot, "What is said of the river treaty?")
        assert {place.speaker for place in turn.places} == {"Jonas Keller"}
        assert turn.answer is not None and turn.answer.notices == ("Only this was looked at: voice Jonas Keller.",)
        await pilot.click("#chips", offset=(8, 0))
        await until(pilot, lambda: not app.query_one("#chips").display, "no chip")
        await pilot.press("f8")
        await until(pilot, lambda: isinstance(app.screen, FilterScreen), "the filter")
        names = app.screen.query_one("#only-voices", Ticks)
        names.highlighted = names._names.index("Jonas Keller")
        await pilot.press("enter", "ctrl+s")
        await until(pilot, lambda: app.query_one("#chips").display, "the chip")
        await pilot.press("f8")
        await until(pilot, lambda: isinstance(app.screen, FilterScreen), "the filter")
        assert app.screen.query_one("#only-voices", Ticks).ticked == ("Jonas Keller",)
        app.screen.query_one("#since", Input).value = "soon"
        await pilot.press("ctrl+s")
        await note(pilot, "is no date")
        app.screen.query_one("#since", Input).value = "2030"
        await pilot.press("ctrl+s")
        await note(pilot, "No passage is of these")
        app.screen.query_one("#until", Input).value = "2020"
        await pilot.press("ctrl+s")
        await note(pilot, "2030 is after 2020")
        await pilot.click("#all")
        await until(pilot, lambda: not app.query_one("#chips").display, "no chip")


# -- conversations -------------------------------------------------------------------------------------------------------


async def test_a_conversation_is_reopened_where_it_was_and_goes_on(app: ChatApp, corpus: Path) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        first = shown(await ask(pilot, DOUBTS))
        await pilot.press("ctrl+n")
        await until(pilot, lambda: not app.query(AnswerView), "a new conversation")
        await ask(pilot, "How hot must the oven be?")
        await pilot.press("f7")
        await until(pilot, lambda: isinstance(app.screen, ConversationsScreen), "the conversations")
        options = app.screen.query_one(OptionList)
        assert options.option_count == 2
        await pilot.press(*"keller")
        await until(pilot, lambda: options.option_count == 1, "the one that holds the word")
        await pilot.press("enter")
        await until(pilot, lambda: len(app.query(AnswerView)) == 1 and app.query(AnswerView).first().answer is not None, "it")
        turn = app.query_one(Transcript).turn(app.ask_screen._asked)
        assert turn is not None and shown(turn) == first
        await until(pilot, lambda: "Keller doubts" in evidence(app), "its evidence")
        # What was said before is leaned on.
        follow_up = await ask(pilot, "Why?")
        assert follow_up.query_one(UnderstoodAs).display


async def test_a_citation_of_a_changed_source_says_so_when_reopened(app: ChatApp, corpus: Path) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await ask(pilot, DOUBTS)
        text = (corpus / "rivers.md").read_text(encoding="utf-8")
        (corpus / "rivers.md").write_text(text.replace("Keller doubts that", "Keller never doubted that"), encoding="utf-8")
        await pilot.press("f3", "u")
        await until(pilot, lambda: "up to date" in told(app), "the new index")
        await pilot.press("f2", "ctrl+n", "f7")
        await until(pilot, lambda: isinstance(app.screen, ConversationsScreen), "the conversations")
        await pilot.press("enter")
        await until(pilot, lambda: CHANGED in evidence(app), "that the source has changed")
        assert "It said: Keller doubts that" in evidence(app)


async def test_conversations_are_renamed_pinned_deleted_and_brought_back(app: ChatApp) -> None:
    async with app.run_test(size=USUAL) as pilot:
        await ready(pilot)
        for question in (DOUBTS, "How hot must the oven be?"):
            await ask(pilot, question)
            await pilot.press("ctrl+n")
            await until(pilot, lambda: not app.query(AnswerView), "a new conversation")
        await pilot.press("f7")
        await until(pilot, lambda: isinstance(app.screen, ConversationsScreen), "the conversations")
        options = app.screen.query_one(OptionList)
        assert "oven" in str(options.options[0].prompt)
        await pilot.press("ctrl+r")
        app.screen.query_one("#find", Input).value = "Bread"
        await pilot.press("enter")
        assert str(options.options[0].prompt).startswith("Bread")
        options.highlighted = 1
        await pilot.press("ctrl+t")
        assert "pinned" in str(options.options[0].prompt) and "river" in str(options.options[0].prompt)
        options.highlighted = 0
        await pilot.press("ctrl+d")
        assert options.option_count == 1
        await note(pilot, "Ctrl+Z brings it back")
        await pilot.press("ctrl+z")
        assert options.option_count == 2
        await pilot.press("escape")
        assert not isinstance(app.screen, ConversationsScreen)


async def test_what_is_asked_after_the_open_conversation_was_deleted_is_kept_in_another(app: ChatApp) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await ask(pilot, DOUBTS)
        await pilot.press("f7")
        await until(pilot, lambda: isinstance(app.screen, ConversationsScreen), "the conversations")
        await pilot.press("ctrl+d", "escape")
        await until(pilot, lambda: len(app.screen_stack) == 1, "the end of it")
        await ask(pilot, "How hot must the oven be?")
        assert app.history is not None
        assert [kept.title for kept in app.history.conversations()] == ["How hot must the oven be?"]


async def test_a_long_conversation_shows_its_end_and_more_when_asked(app: ChatApp, tmp_path: Path) -> None:
    history = History(tmp_path / "conversations.db")
    number = history.begin("Long", str(app._given["corpus"]))
    for at in range(40):
        history.answered(history.ask(number, f"question {at}?"), ANSWER, "said")
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("f7")
        await until(pilot, lambda: isinstance(app.screen, ConversationsScreen), "the conversations")
        await pilot.press("enter")
        transcript = app.query_one(Transcript)
        await until(pilot, lambda: len(transcript.turns) == 12 and transcript.turns[-1].answer is not None, "its end")
        assert transcript.turns[-1].question == "question 39?" and transcript.earlier == 28
        await pilot.press("ctrl+b")
        await until(pilot, lambda: len(transcript.turns) == 24 and transcript.turns[0].answer is not None, "some before")
        assert [turn.question for turn in transcript.turns][:2] == ["question 16?", "question 17?"] and transcript.earlier == 16
        turn = await ask(pilot, DOUBTS)
        assert turn is transcript.turns[-1] and len(transcript.turns) == 12 and transcript.earlier == 29
        await pilot.press("ctrl+b", "ctrl+b", "ctrl+b")
        await until(pilot, lambda: transcript.earlier == 0, "all of it")
        assert [turn.question for turn in transcript.turns] == [*(f"question {at}?" for at in range(40)), DOUBTS]
        await until(pilot, lambda: all(turn.answer for turn in transcript.turns), "their answers")


async def test_an_answer_that_never_came_is_told_when_reopened(app: ChatApp, tmp_path: Path) -> None:
    history = History(tmp_path / "conversations.db")
    history.ask(history.begin("What now?", "elsewhere"), "What now?")
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("f7")
        await until(pilot, lambda: isinstance(app.screen, ConversationsScreen), "the conversations")
        await pilot.press("enter")
        await until(pilot, lambda: bool(app.query(".failed")), "why there is none")
        assert "ended before the answer came" in str(app.query_one(".failed", Static).content)
        assert "over another corpus" in told(app)


async def test_where_nothing_can_be_kept_it_is_told_and_asking_goes_on(
    app: ChatApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no.db").write_bytes(b"no database" * 1000)
    monkeypatch.setenv("ASSISTANT_HISTORY", str(tmp_path / "no.db"))
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await until(pilot, lambda: "is not kept" in told(app), "that nothing is kept")
        assert (await ask(pilot, DOUBTS)).places


async def test_a_conversation_is_exported(app: ChatApp, tmp_path: Path) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await ask(pilot, DOUBTS)
        await pilot.press("ctrl+e")
        await until(pilot, lambda: isinstance(app.screen, ExportScreen), "the export")
        list(app.screen.query(Choice))[list(FORMATS).index("JSON")].value = True
        line = app.screen.query_one("#path", Input)
        await until(pilot, lambda: line.value.endswith(".json"), "the ending of the format")
        line.value = str(tmp_path / "out.json")
        line.focus()
        await pilot.press("enter")
        await until(pilot, lambda: (tmp_path / "out.json").exists(), "the file")
        assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["turns"][0]["question"] == DOUBTS
        await pilot.press("ctrl+e")
        await until(pilot, lambda: isinstance(app.screen, ExportScreen), "the export")
        app.screen.query_one("#path", Input).value = str(tmp_path / "out.json")
        app.screen.query_one("#path", Input).focus()
        await pilot.press("enter")
        await note(pilot, "is there already")


# -- settings ------------------------------------------------------------------------------------------------------------


async def test_settings_are_written_beside_their_comments_and_hold_at_once(
    app: ChatApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("assistant.toml").write_text("# mine\npassages = 7 # few\n", encoding="utf-8")
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("f9")
        await until(pilot, lambda: isinstance(app.screen, SettingsScreen), "the settings")
        assert app.screen.query_one("#passages", Input).value == "7"
        app.screen.query_one("#passages", Input).value = "99"
        await pilot.press("ctrl+s")
        await note(pilot, "passages is not usable")
        app.screen.query_one("#passages", Input).value = "3"
        app.screen.query_one("#theme", Select).value = "nord"
        await pilot.pause()
        assert app.theme == "nord"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: not isinstance(app.screen, SettingsScreen), "the end of it")
        text = Path("assistant.toml").read_text(encoding="utf-8")
        assert "# mine\npassages = 3 # few\n" in text and tomllib.loads(text)["theme"] == "nord"
        turn = await ask(pilot, DOUBTS)
        assert turn.answer is not None and len(turn.answer.passages) == 3
        await pilot.press("f9")
        await until(pilot, lambda: isinstance(app.screen, SettingsScreen), "the settings")
        app.screen.query_one("#theme", Select).value = "dracula"
        await pilot.pause()
        await pilot.press("escape")
        assert app.theme == "nord"
    again = ChatApp(app._given)
    async with again.run_test(size=WIDE) as pilot:
        await ready(pilot)
        assert again.theme == "nord"


@pytest.mark.parametrize("size", [WIDE, USUAL, SMALL])
async def test_every_dialog_fits(app: ChatApp, size: tuple[int, int]) -> None:
    async with app.run_test(size=size) as pilot:
        await ready(pilot)
        await ask(pilot, DOUBTS)
        for key in ("ctrl+r", "f6", "f7", "f8", "f9", "ctrl+e", "f1"):
            await pilot.press(key)
            await until(pilot, lambda: len(app.screen_stack) == 2, f"what {key} opens")
            await pilot.pause()
            box = next(iter(app.screen.children))
            assert box.region.right <= size[0] and box.region.bottom <= size[1] and box.region.height >= 3, key
            assert app.screen.focused is None or app.screen.focused.region.height > 0, key
            await pilot.press("escape")
            await until(pilot, lambda: len(app.screen_stack) == 1, f"the end of {key}")
