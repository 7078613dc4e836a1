"""F2: the conversation, with the evidence beside it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.style import Style
from textual.widget import Widget
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from assistant.inert import one_line
from assistant.tui.evidence_pane import EvidencePane
from assistant.tui.messages import AnswerEvent, OpenPlace, Reword, ShowPlaces, TypedElsewhere, Understood
from assistant.tui.mode_screen import ModeScreen, State, behind, show, trouble
from assistant.tui.question_input import QuestionInput
from assistant.tui.transcript import SHOWN, Transcript
from index.errors import AssistantError, HistoryError

if TYPE_CHECKING:
    from assistant.answering.answers import Answer
    from assistant.answering.conversation import Conversation
    from assistant.assembly import Assistant
    from assistant.history import Kept, KeptTurn
    from assistant.retrieval.followups import Turn as Spoken
    from assistant.tui.again_screen import Otherwise
    from assistant.tui.turn import Turn
    from index.documents import Document
    from index.filters import Filter

# A number alone, with or without its brackets, asks for that source of the last answer.
_SOURCE_NUMBER = re.compile(r"\[?(\d{1,2})\]?")
_WELCOME = (
    "Ask what the sources say, and who says it; Enter sends the question, Ctrl+J begins a new line.\n"
    "Each sentence of an answer rests on words of a source: click its number, or press Ctrl+O, to see them in their place.\n"
    "F1 shows all keys. F3 is the library, F4 measures the answers, F5 maps who holds what."
)
_REMEMBERED = 200
_FIELDS = {"voices": "voice:", "documents": "source:", "kinds": "kind:", "since": "from", "until": "until"}
"""Of a filter, as its chips call them."""


class AskScreen(ModeScreen):
    MODE = "ask"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+o", "evidence", "Evidence", priority=True),
        Binding("ctrl+r", "again", "Ask again", priority=True),
        Binding("f7", "conversations", "Conversations", priority=True),
        Binding("f8", "filter", "Filter", priority=True),
        Binding("ctrl+b", "earlier", "Earlier questions", priority=True, show=False),
        Binding("ctrl+e", "export", "Export", priority=True, show=False),
        Binding("escape", "stop_or_back", "Stop the answer, or back to the question", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._transcript = Transcript()
        self._evidence = EvidencePane(self._read, lambda speaker: self.chat.colour(speaker), id="evidence")
        self._conversation: Conversation | None = None
        self._kept: int | None = None
        """The number of the conversation among those that are kept; None before its first question."""
        self._asked = 0
        self._answering: int | None = None
        self._stopped = Flag()
        self.is_changing = False
        """Whether who writes the answers is being changed: questions wait."""
        self._waiting: deque[int] = deque()
        self._before: dict[int, tuple[Spoken, ...]] = {}
        """What had been said when the question with this number was asked."""
        self._rows: dict[int, int] = {}
        """The number of its turn among those that are kept."""
        self._only: Filter | None = None
        self._failure: str | None = None

    def body(self) -> Iterable[Widget]:
        with Horizontal(id="desk"):
            with self._transcript, Vertical(id="welcome"):
                yield Static(_WELCOME, markup=False)
            yield self._evidence
        yield Static("", markup=False, id="chips")
        yield QuestionInput("Ask the sources", id="question")

    def _read(self, document_id: str) -> Document:
        assistant = self.chat.assistant
        if assistant is None:
            raise AssistantError("the chat is still starting; look again in a moment.")
        return assistant.store.document(document_id)

    def on_mount(self) -> None:
        self.query_one("#question").focus()
        self.query_one("#chips").display = False
        self.watch(self.app, "state", self._follow)

    def _follow(self, state: State) -> None:
        assistant = self.chat.assistant
        if assistant is not None and self._conversation is None:
            self._failure = None
            self._conversation = assistant.converse(only=self._only)
            self._suggest()
        elif state.failed and self._conversation is None:
            self._failure = state.words
        self.next()

    # -- an empty chat ---------------------------------------------------------------------------------------------------

    @behind("suggest")
    def _suggest(self) -> None:
        if self.chat.history is not None:
            self.app.call_from_thread(self.query_one(QuestionInput).remember, self.chat.history.questions(_REMEMBERED))
        if self.chat.assistant is not None:
            asked = self.chat.assistant.suggestions()
            self.app.call_from_thread(lambda: self._show_suggestions(asked))

    @work(group="suggestions")
    async def _show_suggestions(self, questions: list[str]) -> None:
        if questions and self.query("#welcome") and not self.query("#suggestions"):
            options = OptionList(*(Option(Content(one_line(question))) for question in questions), id="suggestions")
            words = "Tab and Enter, or a click, ask one of these:"
            await self.query_one("#welcome").mount(Static(words, markup=False, id="suggest"), options)
            options.highlighted = 0

    @on(OptionList.OptionSelected, "#suggestions")
    def ask_suggested(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.post_message(QuestionInput.Asked(str(event.option.prompt)))
        self.query_one("#question").focus()

    # -- asking ----------------------------------------------------------------------------------------------------------

    @on(QuestionInput.Asked)
    async def ask(self, event: QuestionInput.Asked) -> None:
        number = _SOURCE_NUMBER.fullmatch(event.question)
        if number:
            self._open_number(int(number[1]))
            return
        await self._mount(event.question)
        # Asked before the model is there, or before the last answer: answered in its turn.
        self._waiting.append(self._asked)
        self.next()

    async def _mount(self, question: str) -> Turn:
        from assistant.tui.turn import Turn

        self.query_one("#welcome").display = False
        self._asked += 1
        turn = Turn(self._asked, question, self.chat.colour)
        await self._transcript.begin(turn, is_kept=self.chat.history is not None)
        return turn

    def next(self) -> None:
        """Begins the next question if nothing is being answered and there is something to answer with."""
        if self._answering is not None or self.is_changing or not self._waiting:
            return
        if self._conversation is not None:
            # Set here and not in the worker: whatever comes next must find it set.
            self._answering = self._waiting.popleft()
            self._stopped = Flag()
            turn = self._turn(self._answering)
            if turn is not None:
                self._before[turn.number] = self._conversation.turns
                self._answer(turn.number, turn.question, self._conversation, self._stopped, 0, "")
            else:
                self._answering = None
        elif self._failure is not None:
            while self._waiting:
                self.post_message(AnswerEvent(self._waiting.popleft(), f"{self._failure} U in the library (F3) tries again."))

    def _open_number(self, number: int) -> None:
        turns = self._transcript.turns
        places = turns[-1].places if turns else []
        if 0 < number <= len(places):
            self.post_message(OpenPlace(places, number - 1))
        else:
            self.notify(f"The last answer has no source {number}.", timeout=4)

    @work(thread=True, group="ask")
    def _answer(self, number: int, question: str, conversation: Conversation, stopped: Flag, attempt: int, label: str) -> None:
        """attempt: 0 for the first answer, whose question is kept before anything is looked for."""
        from assistant.answering.answers import Delta, Draft, Finished, Rewritten, Waiting, Withdrawn

        try:
            row = self._keep_question(number, question) if attempt == 0 else self._rows.get(number)
            for event in conversation.ask(question, stopped):
                if self._answering != number:
                    stopped.set()
                    if attempt == 0 and row is not None and self.chat.history is not None:
                        self.chat.history.failed(row, "another conversation was begun before the answer came; Ctrl+R asks again.")
                    return
                if isinstance(event, Rewritten) and attempt == 0:
                    self.post_message(Understood(number, event.standalone_question))
                elif isinstance(event, Draft | Waiting | Withdrawn | Delta):
                    self.post_message(AnswerEvent(number, event, attempt))
                elif isinstance(event, Finished):
                    self._keep_answer(row, event.answer, label)
                    self.post_message(AnswerEvent(number, event.answer, attempt))
        except Exception as error:  # noqa: BLE001 - a worker's fault must be seen, not end the app
            self._fail(number, trouble(error), attempt)

    def _fail(self, number: int, why: str, attempt: int) -> None:
        row = self._rows.get(number)
        if attempt == 0 and row is not None and self.chat.history is not None:
            with suppress(HistoryError):
                self.chat.history.failed(row, why)
        self.post_message(AnswerEvent(number, why, attempt))

    def _keep_question(self, number: int, question: str) -> int | None:
        history = self.chat.history
        if history is None:
            return None
        try:
            kept = self._kept
            if kept is None:
                kept = history.begin(question, self.chat.corpus)
                if self._answering == number:
                    # Else a new conversation was begun meanwhile, and this is not it.
                    self._kept = kept
            self._rows[number] = history.ask(kept, question)
        except HistoryError as error:
            self.app.call_from_thread(self.chat.lose_history, error)
        return self._rows.get(number)

    def _keep_answer(self, row: int | None, answer: Answer, label: str) -> None:
        from assistant.answering.conversation import spoken

        history = self.chat.history
        if history is None or row is None:
            return
        try:
            if label:
                history.answered_again(row, label, answer)
            else:
                history.answered(row, answer, spoken(answer))
        except HistoryError as error:
            self.app.call_from_thread(self.chat.lose_history, error)

    def _turn(self, number: int) -> Turn | None:
        """None for a turn that was cleared away, and when the chat is closing."""
        turn = self._transcript.turn(number)
        return turn if turn is not None and turn.is_attached else None

    @on(Understood)
    def show_understood(self, message: Understood) -> None:
        turn = self._turn(message.number)
        if turn is not None:
            turn.understood(message.standalone_question)

    @on(AnswerEvent)
    async def show_answer(self, message: AnswerEvent) -> None:
        from assistant.answering.answers import Answer

        event = message.event
        is_last = isinstance(event, Answer | str)
        if is_last and self._answering == message.number:
            self._answering = None
            self.next()
        turn = self._turn(message.number)
        view = turn.view(message.attempt) if turn is not None else None
        if turn is None or view is None:
            return
        await view.take(event)
        if isinstance(event, Answer):
            await self._evidence.show(view.places, view.places_title)
        if is_last:
            # The question stays in view above a long answer; the trouble with a long question stands below it.
            in_view = turn.query_one(".failed") if isinstance(event, str) else turn
            self.call_after_refresh(self._transcript.scroll_to_widget, in_view, animate=False, top=in_view is turn)

    @on(ShowPlaces)
    async def show_places(self, message: ShowPlaces) -> None:
        await self._evidence.show(message.places, message.title, message.index)

    @on(Reword)
    def reword(self, message: Reword) -> None:
        line = self.query_one(QuestionInput)
        line.fill(message.words)
        line.focus()

    @on(TypedElsewhere)
    def take_letter(self, message: TypedElsewhere) -> None:
        self.to_question()
        self.query_one(QuestionInput).insert(message.letter)

    # -- again, under other settings -------------------------------------------------------------------------------------

    def action_again(self) -> None:
        from assistant.tui.again_screen import AgainScreen

        turns = self._transcript.turns
        focused = next((turn for turn in turns if self.focused is not None and turn in self.focused.ancestors), None)
        turn = focused or (turns[-1] if turns else None)
        if len(self.app.screen_stack) > 1 or self.chat.assistant is None:
            return
        if turn is None:
            self.notify("There is no question to ask again yet.", timeout=4)
        elif self._answering is not None:
            self.notify("An answer is being written; Esc ends it.", timeout=4)
        else:
            settings = self.chat.assistant.settings
            screen = AgainScreen(turn.question, settings, self.chat.assistant.writes)
            self.app.push_screen(screen, lambda otherwise: self._ask_again(turn, otherwise))

    async def _ask_again(self, turn: Turn, otherwise: Otherwise | None) -> None:
        assistant = self.chat.assistant
        if otherwise is None or assistant is None or self._answering is not None or not turn.is_attached:
            return
        try:
            conversation = assistant.converse(
                self._said_before(turn),
                only=self._only,
                abstain_below=otherwise.threshold,
                passages=otherwise.passages,
                is_quoting=otherwise.is_quoting,
            )
        except AssistantError as error:
            self.notify(one_line(str(error)), severity="error", markup=False)
            return
        attempt = await turn.again(otherwise.words)
        self._answering = turn.number
        self._stopped = Flag()
        self._answer(turn.number, turn.question, conversation, self._stopped, attempt, otherwise.words)

    def _said_before(self, turn: Turn) -> Sequence[Spoken]:
        """What had been said when it was asked. Raises HistoryError."""
        if turn.number in self._before or self.chat.history is None or self._kept is None:
            return self._before.get(turn.number, ())
        row = self._rows.get(turn.number, 0)
        return _spoken(told for told in self.chat.history.turns(self._kept) if told.number < row)

    # -- which passages may answer ---------------------------------------------------------------------------------------

    def action_filter(self) -> None:
        if self.chat.assistant is not None and len(self.app.screen_stack) == 1:
            self._look_for_choice(self.chat.assistant)

    @behind("filter")
    def _look_for_choice(self, assistant: Assistant) -> None:
        voices, documents = assistant.store.speaker_names(), [row.id for row in assistant.store.documents()]
        show(self, self._offer, assistant, voices, documents)

    def _offer(self, assistant: Assistant, voices: Sequence[str], documents: Sequence[str]) -> None:
        from assistant.tui.filter_screen import FilterScreen
        from index.filters import Filter

        if len(self.app.screen_stack) == 1:
            asked = FilterScreen(voices, documents, self._only or Filter(), assistant.check_filter)
            self.app.push_screen(asked, self._allow)

    def _allow(self, only: Filter | None) -> None:
        assistant = self.chat.assistant
        self.to_question()
        if only is None or assistant is None or self._conversation is None:
            return
        self._only = only if only else None
        self._conversation = assistant.converse(self._conversation.turns, only=self._only)
        chips = self.query_one("#chips", Static)
        chips.display = bool(only)
        parts: list[Content | str] = ["only "]
        for number, (name, value) in enumerate(_chosen(only)):
            words = f"{_FIELDS[name]} {one_line(value)} ✕"
            chip = Content(f" {words} ").stylize("reverse").stylize(Style.from_meta({"@click": f"screen.drop({number})"}))
            parts += [chip, " "]
        chips.update(Content.assemble(*parts, "(F8)"))

    def action_drop(self, number: int) -> None:
        """Takes one of the chips away."""
        from index.filters import Filter

        left = [each for at, each in enumerate(_chosen(self._only or Filter())) if at != number]
        many = {name: tuple(value for field, value in left if field == name) for name in ("voices", "documents", "kinds")}
        dates = {name: next((value for field, value in left if field == name), None) for name in ("since", "until")}
        self._allow(Filter(**many, **dates))  # type: ignore[arg-type]

    # -- conversations ---------------------------------------------------------------------------------------------------

    def action_new(self) -> None:
        self.run_worker(self.clear(), group="clear", exclusive=True)

    async def clear(self) -> None:
        """A new conversation: follow-ups lean on nothing. What was said is kept."""
        await self.chat.close_dialogs()
        while len(self.app.screen_stack) > 1:
            self.app.pop_screen()
        self._stopped.set()
        self._answering = None
        self._waiting.clear()
        self._kept = None
        self._before.clear()
        self._rows.clear()
        if self.chat.assistant is not None:
            self._conversation = self.chat.assistant.converse(only=self._only)
        await self._transcript.clear()
        await self._evidence.show([], "Evidence")
        self.query_one("#welcome").display = True
        self.query_one(QuestionInput).clear()
        self.to_question()

    def action_conversations(self) -> None:
        from assistant.tui.conversations_screen import ConversationsScreen

        if len(self.app.screen_stack) > 1:
            return
        if self.chat.history is None:
            self.notify("No conversations are kept (see the notice at the start).", timeout=6)
        else:
            self._remember_place()
            self.app.push_screen(ConversationsScreen(self.chat.history), self._reopen)

    def _remember_place(self) -> None:
        history, transcript = self.chat.history, self._transcript
        turns = self._transcript.turns
        if history is not None and self._kept is not None and turns:
            at = next((n for n, turn in enumerate(turns) if turn.virtual_region.bottom > transcript.scroll_offset.y), 0)
            with suppress(HistoryError):
                history.remember_place(self._kept, self._transcript.earlier + at)

    async def _reopen(self, kept: Kept | None) -> None:
        history, assistant = self.chat.history, self.chat.assistant
        if history is None:
            return
        try:
            if self._kept is not None and not history.holds(self._kept):
                # The one that is open was deleted: what is asked next belongs to another.
                self._kept = None
                self._rows.clear()
            if kept is None:
                return
            turns, place = history.turns(kept.number), history.place(kept.number)
        except HistoryError as error:
            self.notify(one_line(str(error)), severity="error", markup=False)
            return
        await self.clear()
        self._kept = kept.number
        begin = max(0, len(turns) - SHOWN)
        shown = [self._restored(told) for told in turns[begin:]]
        if shown:
            self.query_one("#welcome").display = False
            await self._transcript.insert(shown)
            await self._transcript.tell_earlier(begin)
        if assistant is not None:
            self._conversation = assistant.converse(_spoken(turns), only=self._only)
            if kept.corpus != self.chat.corpus:
                words = f"This conversation was over another corpus ({one_line(kept.corpus)})."
                self.notify(words, severity="warning", markup=False)
        for turn, told in zip(shown, turns[begin:], strict=True):
            await self._fill(turn, told)
        if shown:
            at = len(turns) - 1 if place is None else min(place, len(turns) - 1)
            there = shown[max(0, at - begin)]
            await self._evidence.show(there.places, "Evidence")
            self.call_after_refresh(self._transcript.scroll_to_widget, there, animate=False, top=True)

    def _restored(self, told: KeptTurn) -> Turn:
        from assistant.tui.turn import Turn

        self._asked += 1
        self._rows[self._asked] = told.number
        return Turn(self._asked, told.question, self.chat.colour)

    async def _fill(self, turn: Turn, told: KeptTurn) -> None:
        """With what was answered then."""
        view = turn.view(0)
        assert view is not None
        if told.answer is not None:
            if told.answer.standalone_question != told.question:
                turn.understood(told.answer.standalone_question)
            await view.restore(told.answer)
        elif told.said:
            await view.take(f"this release cannot show the answer as it was; it said: {told.said}")
        else:
            await view.take(told.failure or "the program ended before the answer came; Ctrl+R asks again.")
        for label, answer in told.again:
            again = turn.view(await turn.again(label))
            assert again is not None
            await again.restore(answer)

    async def action_earlier(self) -> None:
        """Shows some of the turns before those that are shown."""
        history, count = self.chat.history, self._transcript.earlier
        if not count or history is None or self._kept is None:
            return
        try:
            kept = history.turns(self._kept)[max(0, count - SHOWN) : count]
        except HistoryError as error:
            self.notify(one_line(str(error)), severity="error", markup=False)
            return
        await self._transcript.tell_earlier(count - len(kept))
        turns = [self._restored(told) for told in kept]
        await self._transcript.insert(turns)
        for turn, told in zip(turns, kept, strict=True):
            await self._fill(turn, told)

    def action_export(self) -> None:
        from assistant.tui.export_screen import ExportScreen

        if len(self.app.screen_stack) > 1:
            return
        if self._kept is None or self.chat.history is None or self._answering is not None:
            self.notify("There is no whole answer to export yet.", timeout=4)
        else:
            self.app.push_screen(ExportScreen(self._kept, self.chat.history, self._read), self._told_export)

    def _told_export(self, path: Path | None) -> None:
        if path is not None:
            self.notify(f"Written: {one_line(str(path))}", markup=False, timeout=10)

    # -- keys ------------------------------------------------------------------------------------------------------------

    def action_evidence(self) -> None:
        """Goes to the evidence, unfolding it where the terminal is narrow."""
        if len(self.app.screen_stack) > 1:
            return
        if self.has_class("unfolded") or self._evidence.has_focus_within:
            self.to_question()
        else:
            self.add_class("unfolded")
            self._evidence.focus_list()

    def action_stop_or_back(self) -> None:
        """Ends an answer that is being written, which keeps what there is; else goes back to the question."""
        if self._answering is not None:
            self._stopped.set()
        self.to_question()

    def action_last_sentence(self) -> None:
        """Goes to the last sentence of the last answer; to the suggestions where nothing was asked."""
        sentences = list(self._transcript.turns[-1].query("Said")) if self._transcript.turns else []
        if sentences:
            sentences[-1].focus()
        else:
            self.focus_previous()

    def to_question(self) -> None:
        self.remove_class("unfolded")
        self.query_one("#question").focus()

    def go_on_with(self) -> None:
        """With whoever writes now, and the turns of now: a new conversation may have been begun meanwhile."""
        self.is_changing = False
        if self.chat.assistant is not None and self._conversation is not None:
            self._conversation = self.chat.assistant.converse(self._conversation.turns, only=self._only)
        self.next()

    @property
    def is_answering(self) -> bool:
        return self._answering is not None

    def stop(self) -> None:
        self._remember_place()
        self._stopped.set()
        self._answering = None

    def scroll_answers(self, pages: int) -> None:
        transcript = self._transcript
        transcript.scroll_relative(y=pages * max(1, transcript.size.height - 2), animate=False)


def _chosen(only: Filter) -> list[tuple[str, str]]:
    """(field, value) of each thing that a filter asks for."""
    many = [(name, value) for name in ("voices", "documents", "kinds") for value in getattr(only, name)]
    return [*many, *((name, value) for name in ("since", "until") if (value := getattr(only, name)))]


def _spoken(turns: Iterable[KeptTurn]) -> list[Spoken]:
    """As a conversation remembers them."""
    from assistant.answering.conversation import spoken
    from assistant.retrieval.followups import Turn as Spoken

    said = []
    for told in turns:
        if told.answer is not None:
            said += [Spoken("user", told.question), Spoken("assistant", spoken(told.answer))]
    return said
