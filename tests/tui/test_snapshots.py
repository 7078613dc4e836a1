"""How the screens look. After a wanted change: `.venv/bin/python -m pytest tests/tui --snapshot-update`, and look."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from textual.pilot import Pilot

from assistant.answering.answers import Answer, Citation, Delta, Sentence
from assistant.tui.app import ChatApp
from assistant.tui.ask_screen import Transcript
from assistant.tui.messages import AnswerEvent, Place, StateChanged, Understood
from assistant.tui.question_input import QuestionInput
from assistant.tui.source_screen import SourceScreen
from assistant.tui.transcript import Turn
from index.documents import Voice
from index.loaders.markdown import load_markdown
from tests.conftest import RIVERS

Snapshot = Callable[..., bool]
SIZES = [(140, 40), (80, 24), (40, 12)]

DOCUMENT = load_markdown("rivers.md", RIVERS, "d")
QUOTE = "Keller doubts that the river treaty is fair, because the upper bank holds all the dams."
AT = DOCUMENT.text.index(QUOTE)
KELLER = Voice("Jonas Keller", "Ada Moreno")
CITATION = Citation(
    1,
    "rivers.md",
    DOCUMENT.title,
    DOCUMENT.authors,
    DOCUMENT.published,
    DOCUMENT.cite_as,
    "digest",
    "¶2",
    QUOTE,
    AT,
    AT + len(QUOTE),
    "d",
    KELLER,
)
SENTENCE = Sentence(QUOTE, (1,), "verified", 1.2)


def answer(*, abstained: bool) -> Answer:
    return Answer(
        question="Who doubts it?",
        standalone_question="Who doubts it? (the river treaty)",
        short="The sources do not say." if abstained else QUOTE,
        abstained=abstained,
        reason="No passage carries an answer; the nearest is Moreno 1999, ¶3 (confidence 0.12)." if abstained else "",
        confidence=0.12 if abstained else 0.93,
        sentences=() if abstained else (SENTENCE,),
        citations=() if abstained else (CITATION,),
        passages=(),
        locators=(),
        references=(),
        generator="extractive",
        seconds={"total": 0.25},
    )


class StillApp(ChatApp):
    """The chat without a model behind it: what is shown is given by the test."""

    def _load_assistant(self) -> None:  # type: ignore[override]
        self.post_message(StateChanged("ready · 2 documents, 4 passages", ready=True))

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(QuestionInput).cursor_blink = False


async def talk(pilot: Pilot[None]) -> None:
    app = pilot.app
    for number, (question, abstained) in enumerate([("Who doubts it?", False), ("How long is the river?", True)], start=1):
        await app.query_one(Transcript).mount(Turn(number, question, pilot.app.colour))
        app.query_one("#welcome").display = False
        await pilot.pause()
        if not abstained:
            app.post_message(Understood(number, "Who doubts it? (the river treaty)"))
            app.post_message(AnswerEvent(number, Delta(SENTENCE, (CITATION,))))
        app.post_message(AnswerEvent(number, answer(abstained=abstained)))
        await pilot.pause()
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES)
def test_welcome(snap_compare: Snapshot, size: tuple[int, int]) -> None:
    assert snap_compare(StillApp({}), terminal_size=size)


@pytest.mark.parametrize("size", SIZES)
def test_an_answer_and_an_abstention(snap_compare: Snapshot, size: tuple[int, int]) -> None:
    assert snap_compare(StillApp({}), terminal_size=size, run_before=talk)


@pytest.mark.parametrize("size", SIZES)
def test_a_source_at_the_cited_words(snap_compare: Snapshot, size: tuple[int, int]) -> None:
    async def open_source(pilot: Pilot[None]) -> None:
        place = Place(1, "rivers.md", AT, AT + len(QUOTE), QUOTE, CITATION.reference, str(KELLER), KELLER.speaker)
        screen = SourceScreen([place], 0, lambda _: DOCUMENT)
        await pilot.app.push_screen(screen)
        await pilot.pause()

    assert snap_compare(StillApp({}), terminal_size=size, run_before=open_source)


def test_the_keys(snap_compare: Snapshot) -> None:
    assert snap_compare(StillApp({}), terminal_size=(80, 24), press=["f1"])
