"""How the screens look. After a wanted change: `.venv/bin/python -m pytest tests/tui --snapshot-update`, and look."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from assistant.answering.answers import Answer, Citation, Delta, Draft, Sentence
from assistant.history import History
from assistant.settings import Settings
from assistant.tui.again_screen import AgainScreen
from assistant.tui.app import ChatApp
from assistant.tui.cases_screen import CasesScreen
from assistant.tui.conversations_screen import ConversationsScreen
from assistant.tui.debate_screen import DebateScreen
from assistant.tui.export_screen import ExportScreen
from assistant.tui.filter_screen import FilterScreen
from assistant.tui.library_screen import LibraryScreen
from assistant.tui.messages import AnswerEvent, Place, StateChanged, Understood
from assistant.tui.models_screen import ModelsScreen
from assistant.tui.question_input import QuestionInput
from assistant.tui.run_screen import RunScreen
from assistant.tui.settings_screen import SettingsScreen
from assistant.tui.source_screen import SourceScreen
from evals.records import Record, Result, Run
from evals.statistics import Estimate
from evals.summaries import Summary
from index.build import Plan, Progress
from index.documents import Document, Voice
from index.filters import Filter
from index.ledger import DocumentRow
from index.loaders.markdown import load_markdown
from tests.conftest import RIVERS, ROOT
from tests.tui.driving import until

Snapshot = Callable[..., bool]
Before = Callable[[Pilot[None]], Awaitable[None]]
SIZES = [(140, 40), (80, 24), (40, 12)]

DOCUMENT = load_markdown("rivers.md", RIVERS, "d")
QUOTE = "Keller doubts that the river treaty is fair, because the upper bank holds all the dams."
AT = DOCUMENT.text.index(QUOTE)
KELLER = Voice("Jonas Keller", "Ada Moreno")
CITATION = Citation(
    1, "rivers.md", DOCUMENT.title, DOCUMENT.authors, DOCUMENT.published, DOCUMENT.cite_as, "digest", "¶2", QUOTE, AT, AT + len(QUOTE),
    "d", KELLER,
)  # fmt: skip
SENTENCE = Sentence(QUOTE, (1,), "verified", 1.2)
DOUBTED = Sentence("The treaty was signed in Paris.", (), "unverified", None)


def answer(*, abstained: bool = False, is_doubted: bool = False) -> Answer:
    return Answer(
        question="Who doubts it?",
        standalone_question="Who doubts it? (the river treaty)",
        short="The sources do not say." if abstained else "Keller",
        abstained=abstained,
        reason="No passage carries an answer; the nearest is Moreno 1999, ¶3 (confidence 0.12)." if abstained else "",
        confidence=0.12 if abstained else 0.93,
        sentences=() if abstained else (SENTENCE, DOUBTED) if is_doubted else (SENTENCE,),
        citations=() if abstained else (CITATION,),
        passages=(),
        locators=(),
        references=(),
        generator="extractive",
        notices=("1 of 2 sentences was not found in the sources, and is marked.",) if is_doubted else (),
        seconds={"total": 0.25},
    )


class FewSources:
    """What the screens ask of an assistant, of one document."""

    writes = None
    settings = Settings()
    store: FewSources
    own: FewSources

    def __init__(self) -> None:
        self.store = self.own = self

    def document(self, document_id: str) -> Document:
        return DOCUMENT

    def documents(self) -> list[DocumentRow]:
        row = DocumentRow(
            "rivers.md", DOCUMENT.title, DOCUMENT.authors, DOCUMENT.published, DOCUMENT.kind, DOCUMENT.cite_as, "d", 900, 0, 120, 3, 0.0
        )  # fmt: skip
        return [row]

    def speaker_names(self) -> list[str]:
        return ["Ada Moreno", "Jonas Keller"]

    def converse(self, *_: object, **__: object) -> None:
        return None

    def drift(self) -> Plan:
        return Plan(("ice.txt",), (), (), ("rivers.md",))

    def seconds_for(self, plan: Plan) -> float:
        return 14.0

    def spans(self, question: None) -> list[tuple[Document, list[tuple[int, int]]]]:
        return [(DOCUMENT, [(0, len(DOCUMENT.text))])]

    def suggestions(self) -> list[str]:
        return ["What do the sources say about ¶1?"]


class StillApp(ChatApp):
    """The chat without a model behind it: what is shown is given by the test."""

    def _load_assistant(self) -> None:  # type: ignore[override]
        self.post_message(StateChanged("ready · 2 documents, 4 passages", ready=True))

    def _follow_store(self) -> None:
        pass

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(QuestionInput).cursor_blink = False


def with_sources(pilot: Pilot[None]) -> ChatApp:
    app = pilot.app
    assert isinstance(app, ChatApp)
    app.assistant = FewSources()  # type: ignore[assignment]
    return app


async def settled(pilot: Pilot[None]) -> None:
    await pilot.app.workers.wait_for_complete()
    for _ in range(3):
        await pilot.pause()


async def talk(pilot: Pilot[None], *, is_doubted: bool = False) -> None:
    app = with_sources(pilot)
    screen = app.ask_screen
    for number, (question, abstained) in enumerate([("Who doubts it?", False), ("How long is the river?", True)], start=1):
        await screen._mount(question)
        await pilot.pause()
        if not abstained:
            screen.post_message(Understood(number, "Who doubts it? (the river treaty)"))
            screen.post_message(AnswerEvent(number, Delta(SENTENCE, (CITATION,))))
            if is_doubted:
                screen.post_message(AnswerEvent(number, Delta(DOUBTED, ())))
        screen.post_message(AnswerEvent(number, answer(abstained=abstained, is_doubted=is_doubted)))
        await pilot.pause()
        if is_doubted:
            break
    await settled(pilot)


async def talk_with_doubt(pilot: Pilot[None]) -> None:
    await talk(pilot, is_doubted=True)


async def stream(pilot: Pilot[None]) -> None:
    screen = with_sources(pilot).ask_screen
    await screen._mount("Who doubts it?")
    # The question is scrolled into sight before anything is told below it.
    await settled(pilot)
    screen.post_message(AnswerEvent(1, Delta(SENTENCE, (CITATION,))))
    screen.post_message(AnswerEvent(1, Draft("And the second reason is that")))
    # Drawn when a person can see it, not at once.
    await until(pilot, lambda: any("reason is that" in str(each.content) for each in screen.query(Static)), "the draft")
    await settled(pilot)


async def fail(pilot: Pilot[None]) -> None:
    screen = with_sources(pilot).ask_screen
    await screen._mount("Who doubts it?")
    screen.post_message(
        AnswerEvent(1, "nothing answers at 127.0.0.1:9; start the server, or choose another (see: assistant models).")
    )
    await settled(pilot)


async def look_at_evidence(pilot: Pilot[None]) -> None:
    await talk_with_doubt(pilot)
    await pilot.press("ctrl+o")
    await settled(pilot)


async def open_source(pilot: Pilot[None]) -> None:
    place = Place(1, "rivers.md", AT, AT + len(QUOTE), QUOTE, CITATION.reference, str(KELLER), KELLER.speaker)
    await pilot.app.push_screen(SourceScreen([place], 0, lambda _: DOCUMENT))
    await settled(pilot)


def dialog(make: Callable[[ChatApp], object]) -> Before:
    async def push(pilot: Pilot[None]) -> None:
        app = with_sources(pilot)
        await app.push_screen(make(app))  # type: ignore[arg-type]
        for widget in app.screen.query(Input):
            widget.cursor_blink = False
        await settled(pilot)

    return push


async def library(pilot: Pilot[None]) -> None:
    app = with_sources(pilot)
    await pilot.press("f3")
    await settled(pilot)
    assert isinstance(app.screen, LibraryScreen)


async def building(pilot: Pilot[None]) -> None:
    await library(pilot)
    screen = pilot.app.screen
    assert isinstance(screen, LibraryScreen)
    screen._show_progress(Progress("embedding", 120, 400))
    await settled(pilot)


async def evals(pilot: Pilot[None]) -> None:
    from assistant.tui.evals_screen import EvalsScreen, figures_of

    with_sources(pilot)
    await pilot.press("f4")
    await settled(pilot)
    screen = pilot.app.screen
    assert isinstance(screen, EvalsScreen)
    screen._fill([("alliance", "dev", RECORD), ("alliance", "test", None)])
    await settled(pilot)
    summary = Summary(
        RECORD, {"F1": Estimate(0.5, 0.25, 0.75, 2), "AURC": Estimate(0.1, 0.0, 0.2, 2)}, ("F1", "AURC"), 0, 0.2, 0.3
    )
    screen._show_figures(figures_of(summary, {"F1"}))
    screen._tell("○ alliance ██████░░░░ 3 of 5, 2 s left · Who doubts it? · X stops")
    await settled(pilot)


async def debate(pilot: Pilot[None]) -> None:
    from assistant.answering.debate import map_of

    app = with_sources(pilot)
    await pilot.press("f5")
    await settled(pilot)
    screen = app.screen
    assert isinstance(screen, DebateScreen)
    path = ROOT / "corpus/debate/issue-map.md"
    screen._show_map(map_of([load_markdown("debate/issue-map.md", path.read_text(encoding="utf-8"), "d")]))
    await settled(pilot)


async def compare(pilot: Pilot[None]) -> None:
    await debate(pilot)
    await pilot.press("c")
    await settled(pilot)


async def timeline(pilot: Pilot[None]) -> None:
    with_sources(pilot).version = 1
    await pilot.press("f5")
    await settled(pilot)
    await pilot.press("t")
    await settled(pilot)


RUN = Run(
    "alliance", "The alliance debate", "dev", "answers", "g", {}, "m", {}, {}, None, 1, {}, {}, {}, "2026-01-02T03:04:05+00:00", 2
)  # fmt: skip
RESULTS = (
    Result("q1", "who", "Who doubts it?", True, {"F1": 1.0}, ("Keller",), abstained=False, confidence=0.9, answer={
        "short": "Keller", "sentences": [{"text": QUOTE, "support": "verified", "citations": [1]}],
        "citations": [{"marker": 1, "document": "rivers.md", "locator": "¶2", "quote": QUOTE, "voice": {"speaker": "Jonas Keller"}}],
        "passages": [{"document": "rivers.md", "locator": "¶2", "text": QUOTE}],
    }),
    Result("q2", "unanswerable", "How long is the river?", False, {}, abstained=False, confidence=0.6),
)  # fmt: skip
RECORD = Record(Path("alliance-dev.jsonl"), RUN, RESULTS)


def kept(tmp_path: Path) -> History:
    history = History(tmp_path / "snap.db")
    for title in ("Who doubts it?", "How hot must the oven be?"):
        history.ask(history.begin(title, "/corpus"), title)
    with history._lock:
        history._database.execute("UPDATE conversations SET touched = 1767322800 + number")
    history.pin(1, pinned=True)
    return history


SCREENS: dict[str, Before | None] = {
    "welcome": None,
    "an_answer_and_an_abstention": talk,
    "a_doubted_answer": talk_with_doubt,
    "a_stream": stream,
    "a_failure": fail,
    "evidence": look_at_evidence,
    "a_source": open_source,
    "library": library,
    "building": building,
    "evals": evals,
    "cases": dialog(lambda _: CasesScreen(RECORD)),
    "debate": debate,
    "timeline": timeline,
    "compare": compare,
    "again": dialog(lambda _: AgainScreen("Who doubts it?", Settings(), "written on this machine by small-model")),
    "filter": dialog(
        lambda app: FilterScreen(FewSources().speaker_names(), ["rivers.md"], Filter(voices=("Jonas Keller",)), lambda _: None)
    ),
    "models": dialog(lambda _: ModelsScreen("the sources' own words", list)),
    "run": dialog(lambda _: RunScreen("alliance")),
}


@pytest.fixture(autouse=True)
def same_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Times and paths are those of any machine."""
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("ASSISTANT_EVALS", str(tmp_path / "evals"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SCREENS)
def test_screen(snap_compare: Snapshot, name: str, size: tuple[int, int]) -> None:
    assert snap_compare(StillApp({}), terminal_size=size, run_before=SCREENS[name])


@pytest.mark.parametrize("size", SIZES)
def test_conversations(snap_compare: Snapshot, size: tuple[int, int], tmp_path: Path) -> None:
    history = kept(tmp_path)
    assert snap_compare(StillApp({}), terminal_size=size, run_before=dialog(lambda _: ConversationsScreen(history)))


@pytest.mark.parametrize("size", SIZES)
def test_export(snap_compare: Snapshot, size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "cwd", lambda: Path("/home/ada"))
    history = kept(tmp_path)
    assert snap_compare(
        StillApp({}), terminal_size=size, run_before=dialog(lambda _: ExportScreen(1, history, lambda _: DOCUMENT))
    )


@pytest.mark.parametrize("size", SIZES)
def test_settings(snap_compare: Snapshot, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assistant.tui.settings_screen.settings_file", lambda: Path("/home/ada/assistant.toml"))
    assert snap_compare(StillApp({}), terminal_size=size, run_before=dialog(lambda _: SettingsScreen(Settings())))


@pytest.mark.parametrize("size", SIZES)
def test_the_keys(snap_compare: Snapshot, size: tuple[int, int]) -> None:
    assert snap_compare(StillApp({}), terminal_size=size, press=["f1"])


def test_without_colour(snap_compare: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(StillApp({}), terminal_size=(140, 40), run_before=talk_with_doubt)
