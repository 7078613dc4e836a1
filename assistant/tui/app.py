"""The terminal chat. Nothing heavy is imported before the first frame; the model loads behind it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.events import Resize
from textual.screen import Screen
from textual.widgets import Footer, Static

from assistant.answering.answers import Answer, Delta, Draft, Finished, Rewritten, Waiting, Withdrawn
from assistant.inert import one_line
from assistant.tui.help_screen import HelpScreen
from assistant.tui.messages import AnswerEvent, OpenPlace, ShowPlaces, StateChanged, Understood
from assistant.tui.question_input import QuestionInput
from assistant.tui.source_screen import SourceScreen
from assistant.tui.sources_pane import SourcesPane
from assistant.tui.transcript import Transcript, Turn
from index.errors import AssistantError

if TYPE_CHECKING:
    from assistant.answering.conversation import Conversation
    from assistant.assembly import Assistant
    from assistant.tui.models_screen import Writer
    from index.build import Report

_WIDE = 100
_HIGH = 20
# A number alone, with or without its brackets, asks for that source of the last answer.
_SOURCE_NUMBER = re.compile(r"\[?(\d{1,2})\]?")
_WELCOME = (
    "Ask who says what in the debate between Khang Vu and Ngo Di Lan, and where it stands. For example:\n\n"
    "  Why does Lan doubt that the 1977 treaty is an alliance?\n"
    "  How many Vietnamese troops were in Laos in the late 1970s?\n"
    "  Do Vu and Lan agree on how to define an alliance?\n\n"
    "Each sentence of an answer rests on words of a source. To see them in their place click the number in brackets, type "
    "the number and Enter, or press Ctrl+O."
)
_WELCOME_ELSEWHERE = (
    "Ask what the sources say, and who says it.\n\n"
    "Each sentence of an answer rests on words of a source. To see them in their place click the number in brackets, type "
    "the number and Enter, or press Ctrl+O."
)


class ChatApp(App[None]):
    """given: settings from the command line."""

    TITLE = "Alliance Assistant"
    CSS_PATH = Path(__file__).with_name("assistant.tcss")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "help", "Keys", priority=True),
        Binding("ctrl+n", "new", "New conversation", priority=True),
        Binding("ctrl+o", "sources", "Sources", priority=True),
        Binding("f2", "models", "Who writes the answers", show=False, priority=True),
        Binding("f5", "update_index", "Update index"),
        Binding("escape", "stop_or_back", "Stop the answer, or back to the question", show=False),
        Binding("ctrl+q", "quit", "Quit", priority=True),
    ]

    def __init__(self, given: Mapping[str, Path | str | None]) -> None:
        super().__init__()
        self._given = given
        self._assistant: Assistant | None = None
        self._conversation: Conversation | None = None
        self._asked = 0
        self._answering: int | None = None
        self._stopped = Flag()
        self._is_changing = False
        self._waiting_questions: deque[tuple[int, str]] = deque()
        self._quitting = Flag()
        self._failure: str | None = None
        self._version_told = -1

    def compose(self) -> ComposeResult:
        yield Static("Alliance Assistant · starting", markup=False, id="state")
        with Horizontal(id="desk"):
            with Transcript(id="transcript"):
                yield Static(_WELCOME_ELSEWHERE if self._given.get("corpus") else _WELCOME, markup=False, id="welcome")
            yield SourcesPane(id="sources")
        yield QuestionInput(placeholder="Ask the sources", id="question")
        yield Footer()

    def on_mount(self) -> None:
        self.query_one("#question").focus()
        # Let the first frame be drawn, then load.
        self.call_after_refresh(self._load_assistant)
        self.set_interval(1, self._follow_store)

    @on(Resize)
    def fold(self, event: Resize) -> None:
        for screen in self.screen_stack:
            screen.set_class(event.size.width < _WIDE, "narrow")
            screen.set_class(event.size.height < _HIGH, "low")

    # -- loading and building ----------------------------------------------------------------------------------------

    @work(thread=True, exclusive=True, group="load")
    def _load_assistant(self) -> None:
        with self._troubles_shown():
            self._tell("loading settings")
            from assistant.settings import load_settings

            settings = load_settings(self._given)
            from assistant.assembly import Assistant, store_state, upgrade_store

            state = store_state(settings)
            if state == "outdated":
                self._tell("bringing the index to this release's format")
                upgrade_store(settings)
                state = store_state(settings)
            if state == "unbuilt":
                self._build()
            if self._quitting.is_set():
                return
            self._tell("loading the model")
            assistant = Assistant(settings)
            assistant.check_not_empty()
            assistant.warm()
            self._assistant, self._conversation = assistant, assistant.converse()
            self._tell_ready()

    @work(thread=True, exclusive=True, group="load")
    def _update_index(self) -> None:
        with self._troubles_shown():
            self._build()
            self._tell_ready()

    def _follow_store(self) -> None:
        """Another process may have brought the index up to date: answers see it by themselves, the state line through this."""
        busy = any(worker.group in ("load", "state") and not worker.is_finished for worker in self.workers)
        if self._assistant is not None and not busy:
            with suppress(AssistantError):
                # While a build goes on every document is a new version: what it comes to is told when it is done.
                store = self._assistant.store
                if not store.is_being_built and store.version != self._version_told:
                    self._tell_new_state()

    @work(thread=True, exclusive=True, group="state")
    def _tell_new_state(self) -> None:
        with self._troubles_shown():
            self._tell_ready()

    def action_update_index(self) -> None:
        """Brings the index up to date; asking goes on meanwhile. After a failed start it starts again."""
        if any(worker.group == "load" and not worker.is_finished for worker in self.workers):
            self.notify("The index is being built already.", timeout=4)
        elif self._assistant is None:
            self._failure = None
            self._load_assistant()
        else:
            self._update_index()

    @contextmanager
    def _troubles_shown(self) -> Iterator[None]:
        """A worker's failure is shown, whatever it is; it must not end the chat."""
        try:
            yield
        except AssistantError as error:
            self.post_message(StateChanged(str(error), ready=self._assistant is not None, failed=True))
        except Exception as error:  # noqa: BLE001 - shown to the person, with its name
            words = f"a fault of the program: {type(error).__name__}: {error}"
            self.post_message(StateChanged(words, ready=self._assistant is not None, failed=True))

    def _build(self) -> None:
        from assistant.assembly import build_index
        from assistant.settings import load_settings
        from index.build import Progress, Report

        for event in build_index(load_settings(self._given)):
            if self._quitting.is_set():
                return
            if isinstance(event, Progress):
                if event.stage == "preparing":
                    self._tell("preparing the model for this machine, once")
                else:
                    self._tell(f"building the index: {event.stage} {event.done} of {event.total}")
            elif isinstance(event, Report):
                self._tell_report(event)

    def _tell_report(self, report: Report) -> None:
        for sentence in (*report.failed, *report.warnings)[:3]:
            self.call_from_thread(self.notify, one_line(sentence), severity="warning", timeout=15, markup=False)
        done = f"{len(report.added)} added, {len(report.changed)} changed, {len(report.removed)} removed"
        self.call_from_thread(self.notify, f"The index is up to date: {done}.", timeout=8)

    def _tell(self, words: str) -> None:
        self.post_message(StateChanged(words, ready=self._assistant is not None))

    def _tell_ready(self) -> None:
        assistant = self._assistant
        if assistant is None:
            return
        self._version_told = assistant.store.version
        counts = assistant.store.ledger.counts()
        # First, so that it is seen in a narrow terminal too: where words go.
        words = f"answers {assistant.writes} · " if assistant.writes else ""
        words = f"ready · {words}{counts['documents']} documents, {counts['chunks']} passages"
        drift = assistant.drift()
        if drift is None:
            words += " · the corpus folder is gone"
        elif not drift.is_empty:
            words += " · the corpus has changed, F5 updates the index"
        if assistant.notice:
            self.call_from_thread(self.notify, one_line(assistant.notice), severity="warning", timeout=15, markup=False)
        self.post_message(StateChanged(words, ready=True))

    @on(StateChanged)
    def show_state(self, message: StateChanged) -> None:
        state = next(iter(self.query("#state").results(Static)), None)
        if state is None:
            # The chat is closing: its widgets are gone, a last word of a background thread is not.
            return
        sign = "✗" if message.failed else "●" if message.ready else "○"
        state.update(Content(f"{sign} Alliance Assistant · {one_line(message.words)}"))
        state.set_class(message.failed, "failed")
        if message.failed:
            self.notify(one_line(message.words), severity="error", timeout=30, markup=False)
            if self._conversation is None:
                self._failure = message.words
        self._next()

    # -- asking ------------------------------------------------------------------------------------------------------

    @on(QuestionInput.Asked)
    async def ask(self, event: QuestionInput.Asked) -> None:
        question = event.question
        number = _SOURCE_NUMBER.fullmatch(question)
        if number:
            self._open_number(int(number[1]))
            return
        self.query_one("#welcome").display = False
        self._asked += 1
        turn = Turn(self._asked, question)
        transcript = self.query_one(Transcript)
        await transcript.mount(turn)
        transcript.scroll_end(animate=False)
        # Asked before the model is there, or before the last answer: answered in its turn.
        self._waiting_questions.append((self._asked, question))
        self._next()

    def _next(self) -> None:
        """Begins the next question if nothing is being answered and there is something to answer with."""
        if self._answering is not None or self._is_changing or not self._waiting_questions:
            return
        if self._conversation is not None:
            # Set here and not in the worker: whatever comes next must find it set.
            self._answering, question = self._waiting_questions.popleft()
            self._stopped = Flag()
            self._answer(self._answering, question, self._conversation, self._stopped)
        elif self._failure is not None:
            while self._waiting_questions:
                number, _ = self._waiting_questions.popleft()
                self.post_message(AnswerEvent(number, f"{self._failure} F5 tries again."))

    def _open_number(self, number: int) -> None:
        turns = list(self.query(Turn))
        places = turns[-1].places if turns else []
        if 0 < number <= len(places):
            self.post_message(OpenPlace(places, number - 1))
        else:
            self.notify(f"The last answer has no source {number}.", timeout=4)

    @work(thread=True, group="ask")
    def _answer(self, number: int, question: str, conversation: Conversation, stopped: Flag) -> None:
        try:
            for event in conversation.ask(question, stopped):
                if self._answering != number:
                    # A new conversation was begun meanwhile.
                    stopped.set()
                    return
                if isinstance(event, Rewritten):
                    self.post_message(Understood(number, event.standalone_question))
                elif isinstance(event, Draft | Waiting | Withdrawn | Delta):
                    self.post_message(AnswerEvent(number, event))
                elif isinstance(event, Finished):
                    self.post_message(AnswerEvent(number, event.answer))
        except AssistantError as error:
            self.post_message(AnswerEvent(number, str(error)))
        except Exception as error:  # noqa: BLE001 - a worker's fault must be seen, not end the app
            self.post_message(AnswerEvent(number, f"a fault of the program: {type(error).__name__}: {error}"))

    def _turn(self, number: int) -> Turn | None:
        """None for a turn that was cleared away, and when the chat is closing."""
        transcript = next(iter(self.query(Transcript)), None)
        return None if transcript is None else transcript.turn(number)

    @on(Understood)
    def show_understood(self, message: Understood) -> None:
        turn = self._turn(message.number)
        if turn is not None:
            turn.understood(message.standalone_question)

    @on(AnswerEvent)
    async def show_answer(self, message: AnswerEvent) -> None:
        event = message.event
        is_last = isinstance(event, Answer | str)
        if is_last and self._answering == message.number:
            self._answering = None
            self._next()
        turn = self._turn(message.number)
        if turn is None:
            return
        if isinstance(event, Draft):
            turn.draft(event.words)
        elif isinstance(event, Waiting):
            turn.pending(f"The server asks to wait {event.seconds:.0f} seconds …")
        elif isinstance(event, Withdrawn):
            await turn.withdraw(event.why)
        elif isinstance(event, Delta):
            await turn.add(event)
        elif isinstance(event, str):
            await turn.fail(event)
        else:
            await turn.finish(event)
        if is_last:
            # The question stays in view above a long answer; the trouble with a long question stands below it.
            in_view = turn.query_one(".failed") if isinstance(event, str) else turn
            self.call_after_refresh(self.query_one(Transcript).scroll_to_widget, in_view, animate=False, top=in_view is turn)

    @on(ShowPlaces)
    async def show_places(self, message: ShowPlaces) -> None:
        await self.query_one(SourcesPane).show(message.places, message.title)

    @on(OpenPlace)
    def open_place(self, message: OpenPlace) -> None:
        if self._assistant is not None and not isinstance(self.screen, SourceScreen):
            screen = SourceScreen(message.places, message.index, self._assistant.store.document)
            screen.set_class(self.size.width < _WIDE, "narrow")
            screen.set_class(self.size.height < _HIGH, "low")
            self.push_screen(screen)

    # -- keys --------------------------------------------------------------------------------------------------------

    async def action_new(self) -> None:
        """A new conversation: the transcript is cleared and follow-ups lean on nothing."""
        while len(self.screen_stack) > 1:
            self.pop_screen()
        self._stopped.set()
        self._answering = None
        self._waiting_questions.clear()
        if self._assistant is not None:
            self._conversation = self._assistant.converse()
        await self.query_one(Transcript).query(Turn).remove()
        await self.query_one(SourcesPane).show([], "Sources")
        self.query_one("#welcome").display = True
        self.action_to_question()

    def action_sources(self) -> None:
        """Goes to the sources pane, unfolding it where the terminal is narrow."""
        if len(self.screen_stack) > 1:
            return
        if self.screen.has_class("unfolded"):
            self.action_to_question()
        else:
            self.screen.add_class("unfolded")
            self.query_one(SourcesPane).focus_list()

    def action_stop_or_back(self) -> None:
        """Ends an answer that is being written, which keeps what there is; else goes back to the question."""
        if self._answering is not None:
            self._stopped.set()
        self.action_to_question()

    def action_to_question(self) -> None:
        self.screen.remove_class("unfolded")
        self.query_one("#question").focus()

    def action_models(self) -> None:
        """Chooses who writes the answers."""
        from assistant.tui.models_screen import ModelsScreen

        if isinstance(self.screen, ModelsScreen):
            self.pop_screen()
        elif self._assistant is None:
            self.notify("The chat is still starting.", timeout=4)
        elif self._answering is not None:
            self.notify("An answer is being written; Esc ends it.", timeout=4)
        elif len(self.screen_stack) == 1:
            now = self._assistant.writes or "the sources' own words"
            self.push_screen(ModelsScreen(now, self._assistant.servers), self._write_with)

    def _write_with(self, writer: Writer | None) -> None:
        if writer is not None and self._assistant is not None and self._answering is None:
            # What is asked meanwhile waits for the new one.
            self._is_changing = True
            self._tell("changing who writes the answers")
            self._change_writer(writer, self._assistant)

    @work(thread=True, exclusive=True, group="load")
    def _change_writer(self, writer: Writer, assistant: Assistant) -> None:
        try:
            assistant.write_with(**writer._asdict())
        except Exception as error:  # noqa: BLE001 - shown to the person; what wrote before goes on
            told = str(error) if isinstance(error, AssistantError) else f"a fault of the program: {type(error).__name__}: {error}"
            self.call_from_thread(self.notify, one_line(told), severity="error", timeout=30, markup=False)
        self.call_from_thread(self._go_on)
        with self._troubles_shown():
            self._tell_ready()

    def _go_on(self) -> None:
        """With whoever writes now, and the turns of now: a new conversation may have been begun meanwhile."""
        self._is_changing = False
        if self._assistant is not None and self._conversation is not None:
            self._conversation = self._assistant.converse(self._conversation.turns)
        self._next()

    def action_help(self) -> None:
        if isinstance(self.screen, HelpScreen):
            self.pop_screen()
            return
        keys: dict[str, str] = {}
        for active in self.screen.active_bindings.values():
            if active.node in (self, self.screen) and active.binding.description and active.enabled:
                keys.setdefault(active.binding.description, self.get_key_display(active.binding))
        self.push_screen(HelpScreen([(key, words) for words, key in keys.items()]))

    async def action_quit(self) -> None:
        self._quitting.set()
        self._stopped.set()
        self._answering = None
        self.exit()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        yield from super().get_system_commands(screen)
        yield SystemCommand("New conversation", "Clear the transcript and begin again", self.action_new)
        yield SystemCommand("Sources", "Go to the sources of the last answer", self.action_sources)
        yield SystemCommand("Who writes the answers", "The sources' own words, or a language model", self.action_models)
        yield SystemCommand("Update index", "Bring the index up to date with the corpus", self.action_update_index)
