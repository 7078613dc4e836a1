"""The terminal chat. Nothing heavy is imported before the first frame; the model loads behind it."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import on, work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.screen import ModalScreen, Screen, SystemModalScreen
from textual.worker import Worker

from assistant.inert import inert, one_line
from assistant.tui.ask_screen import AskScreen
from assistant.tui.messages import CopyPlace, OpenPlace, OpenUrl, StateChanged
from assistant.tui.mode_screen import MODE_KEYS, ModeScreen, State, trouble
from assistant.tui.voices import colour_among
from index.errors import AssistantError, HistoryError

if TYPE_CHECKING:
    from assistant.assembly import Assistant
    from assistant.history import History
    from assistant.settings import Settings
    from assistant.tui.models_screen import Writer
    from index.build import Plan, Progress, Report

_DAY = 86_400.0
_PROGRESS_SECONDS = 0.2
# Between the turns of threads that compute: a key waits for the others' turns.
_THREAD_SECONDS = 0.0005
_COPIERS = (("wl-copy",), ("xclip", "-selection", "clipboard"), ("xsel", "--clipboard", "--input"), ("pbcopy",), ("clip.exe",))


def _library() -> Screen[None]:
    from assistant.tui.library_screen import LibraryScreen

    return LibraryScreen()


def _evals() -> Screen[None]:
    from assistant.tui.evals_screen import EvalsScreen

    return EvalsScreen()


def _debate() -> Screen[None]:
    from assistant.tui.debate_screen import DebateScreen

    return DebateScreen()


class ChatApp(App[None]):
    """given: settings from the command line."""

    TITLE = "Alliance Assistant"
    CSS_PATH = Path(__file__).with_name("assistant.tcss")
    # Only the mode that is shown first is made before the first frame.
    MODES: ClassVar[dict[str, Any]] = {"ask": AskScreen, "library": _library, "evals": _evals, "debate": _debate}
    DEFAULT_MODE = "ask"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "help", "Keys", priority=True, show=False),
        *(Binding(key, f"mode('{mode}')", name, priority=True, show=False) for mode, (key, name) in MODE_KEYS.items()),
        Binding("ctrl+n", "new", "New", priority=True),
        Binding("f6", "models", "Who writes", priority=True, show=False),
        Binding("f9", "settings", "Settings", priority=True, show=False),
        Binding("ctrl+q", "quit", "Quit", priority=True),
    ]

    state: reactive[State] = reactive(State("starting"))
    progress: reactive[Progress | None] = reactive(None)
    """Of the build that goes on; None where none does."""
    version: reactive[int] = reactive(-1)
    """Of the store as it is shown; -1 before there is one."""

    def __init__(self, given: Mapping[str, Path | str | list[str] | None]) -> None:
        super().__init__()
        self.HORIZONTAL_BREAKPOINTS = [(0, "narrow"), (100, "wide")]
        self.VERTICAL_BREAKPOINTS = [(0, "low"), (20, "high")]
        self._given = given
        self.assistant: Assistant | None = None
        self.history: History | None = None
        self.corpus = ""
        self.colour: Callable[[str], str] = colour_among(())
        self.report: Report | None = None
        """Of the last build."""
        self.is_watching = False
        """Whether changes of the corpus are taken in by themselves."""
        self._drift_seen: Plan | None = None
        self._stop_building = Flag()
        self._wants_another = False
        """Whether the index is to be brought up to date once more after this build."""
        self._quitting = Flag()

    def on_mount(self) -> None:
        sys.setswitchinterval(_THREAD_SECONDS)
        # Let the first frame be drawn, then load.
        self.call_after_refresh(self._load_assistant)
        self.set_interval(1, self._follow_store)

    @property
    def ask_screen(self) -> AskScreen:
        screen = self.default_screen
        assert isinstance(screen, AskScreen)
        return screen

    # -- loading and building ----------------------------------------------------------------------------------------

    @work(thread=True, exclusive=True, group="load")
    def _load_assistant(self) -> None:
        with self._troubles_shown():
            self._tell("loading settings")
            settings = self.settings()
            self.call_from_thread(self._take_settings, settings)
            self._open_history(settings)
            from assistant.assembly import Assistant, store_state, upgrade_store

            self.corpus = str(settings.for_index().corpus)
            state = store_state(settings)
            if state == "outdated":
                self._tell("bringing the index to this release's format")
                upgrade_store(settings)
                state = store_state(settings)
            if state == "unbuilt" and not settings.is_shared:
                self._build()
            if self._quitting.is_set():
                return
            self._tell("loading the model")
            assistant = Assistant(settings)
            assistant.check_not_empty()
            assistant.warm()
            self.assistant = assistant
            self._tell_ready()

    def settings(self) -> Settings:
        """As they are told now. Raises SettingsError."""
        from assistant.settings import load_settings

        return load_settings(self._given)

    def _take_settings(self, settings: Settings) -> None:
        if settings.theme in self.available_themes:
            self.theme = settings.theme
        else:
            self.notify(f"There is no theme {one_line(settings.theme)}; F9 lists them.", severity="warning", markup=False)
        if settings.motion == "none":
            self.animation_level = "none"

    def _open_history(self, settings: Settings) -> None:
        from assistant.history import History

        try:
            self.history = History(settings.history_file())
            # What was deleted can be brought back for a month.
            self.history.forget(before=time.time() - 30 * _DAY)
        except HistoryError as error:
            self.call_from_thread(self.lose_history, error)

    def lose_history(self, error: HistoryError) -> None:
        """Asking goes on; that nothing is kept is told."""
        self.history = None
        told = f"What is said now is not kept: {error}"
        self.notify(one_line(told), severity="warning", timeout=30, markup=False)

    def update_index(self) -> None:
        """Brings the index up to date; asking goes on meanwhile. After a failed start it starts again."""
        if self.is_building:
            # What is wanted now may be of files that came after that one looked.
            self._wants_another = True
            self.notify("The index is being built already; what has changed since is taken in after that.", timeout=6)
        elif self.assistant is None:
            self._load_assistant()
        else:
            self._update_index()

    @property
    def is_building(self) -> bool:
        return any(worker.group == "load" and not worker.is_finished for worker in self.workers)

    def stop_building(self) -> None:
        """After the step that goes on; what is built so far is whole, and the next build goes on from there."""
        self._wants_another = False
        self._stop_building.set()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.worker.group == "load" and event.worker.is_finished and self._wants_another and not self._quitting.is_set():
            self._wants_another = False
            self.update_index()

    @work(thread=True, exclusive=True, group="load")
    def _update_index(self) -> None:
        with self._troubles_shown():
            self._build()
            self._tell_ready()

    def _follow_store(self) -> None:
        busy = any(worker.group in ("load", "state") and not worker.is_finished for worker in self.workers)
        if self.assistant is not None and not busy:
            self._look_at_store(self.assistant)

    @work(thread=True, exclusive=True, group="state")
    def _look_at_store(self, assistant: Assistant) -> None:
        """Another process may have brought the index up to date: answers see it by themselves, the state line through this.

        In a thread: where the index is shared, it is asked over a network.
        """
        with self._troubles_shown():
            try:
                # While a build goes on every document is a new version: what it comes to is told when it is done.
                is_new = not assistant.store.is_being_built and assistant.store.version != self.version
            except AssistantError:
                # Whoever asks is told.
                return
            if is_new:
                self._tell_ready()
            elif self.is_watching:
                self._look_for_changes(assistant)

    def _look_for_changes(self, assistant: Assistant) -> None:
        """Takes changes in when they have settled: the same at two looks."""
        drift = assistant.drift()
        settled, self._drift_seen = drift == self._drift_seen, drift
        if drift is not None and not drift.is_empty and settled:
            self._drift_seen = None
            self.call_from_thread(self.update_index)

    @contextmanager
    def _troubles_shown(self) -> Iterator[None]:
        """A worker's failure is shown, whatever it is; it must not end the chat."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - shown to the person, with its name
            self.post_message(StateChanged(trouble(error), ready=self.assistant is not None, failed=True))

    def _build(self) -> None:
        from assistant.assembly import build_index
        from index.build import Progress, Report
        from index.runtime import give_way

        self._stop_building.clear()
        told = 0.0
        for event in build_index(self.settings()):
            if self._quitting.is_set():
                return
            if self._stop_building.is_set():
                words = "Stopped. What was built so far is whole; the next update goes on from there."
                self.call_from_thread(self.notify, words, timeout=8)
                return
            if isinstance(event, Progress) and (time.monotonic() - told > _PROGRESS_SECONDS or event.done == event.total):
                # As often as a person can see, and no more: the keyboard comes first.
                told = time.monotonic()
                give_way()
                self._tell(
                    "preparing the model for this machine, once"
                    if event.stage == "preparing"
                    else f"building the index: {event.stage} {event.done} of {event.total}",
                    event,
                )
            elif isinstance(event, Report):
                self.report = event
                self._tell_report(event)

    def _tell_report(self, report: Report) -> None:
        for sentence in (*report.failed, *report.warnings)[:3]:
            self.call_from_thread(self.notify, one_line(sentence), severity="warning", timeout=15, markup=False)
        done = f"{len(report.added)} added, {len(report.changed)} changed, {len(report.removed)} removed"
        self.call_from_thread(self.notify, f"The index is up to date: {done}.", timeout=8)

    def _tell(self, words: str, progress: Progress | None = None) -> None:
        self.post_message(StateChanged(words, ready=self.assistant is not None, progress=progress))

    def _tell_ready(self) -> None:
        assistant = self.assistant
        if assistant is None:
            return
        version = assistant.store.version
        counts = assistant.store.counts()
        self.colour = colour_among(assistant.store.speaker_names())
        # First, so that it is seen in a narrow terminal too: where words go.
        words = f"answers {assistant.writes} · " if assistant.writes else ""
        words = f"ready · {words}{counts['documents']} documents, {counts['chunks']} passages"
        drift = assistant.drift()
        if drift is None:
            words += " · the corpus folder is gone"
        elif not drift.is_empty:
            words += " · the corpus has changed, U in the library (F3) takes it in"
        if assistant.notice:
            self.call_from_thread(self.notify, one_line(assistant.notice), severity="warning", timeout=15, markup=False)
        self.post_message(StateChanged(words, ready=True, version=version))

    @on(StateChanged)
    def show_state(self, message: StateChanged) -> None:
        self.progress = message.progress
        if message.version is not None:
            self.version = message.version
        self.state = State(message.words, message.ready, message.failed)
        if message.failed:
            self.notify(one_line(message.words), severity="error", timeout=30, markup=False)

    # -- places in the sources -------------------------------------------------------------------------------------------

    @on(OpenPlace)
    def open_place(self, message: OpenPlace) -> None:
        from assistant.tui.source_screen import SourceScreen

        if self.assistant is not None and not isinstance(self.screen, SourceScreen):
            self.push_screen(SourceScreen(message.places, message.index, self.assistant.store.document))

    @on(OpenUrl)
    @work(thread=True, group="url")
    def open_original(self, message: OpenUrl) -> None:
        if self.assistant is None:
            return
        try:
            url = self.assistant.store.document(message.place.document).url or ""
        except AssistantError as error:
            self.call_from_thread(self.notify, one_line(str(error)), severity="error", markup=False)
            return
        if url.startswith(("https://", "http://")):
            self.call_from_thread(self.open_url, url)
            self.call_from_thread(self.notify, f"Opening {one_line(url)}", timeout=6, markup=False)
        else:
            self.call_from_thread(self.notify, "The document names no address of an original.", timeout=4)

    @on(CopyPlace)
    def copy_place(self, message: CopyPlace) -> None:
        place = message.place
        self.copy(f"“{' '.join(inert(place.quote).split())}” ({one_line(place.reference)}; {one_line(place.document)})")
        self.notify(f"Copied: the words and {one_line(place.reference)}.", timeout=4, markup=False)

    def copy(self, text: str) -> None:
        """Asks the terminal (OSC 52), and a program of the desktop where there is one: not every terminal listens."""
        self.copy_to_clipboard(text)
        command = next((each for each in _COPIERS if shutil.which(each[0])), None)
        if command is not None:
            self.run_worker(lambda: _hand_over(command, text), thread=True, group="copy")

    # -- keys --------------------------------------------------------------------------------------------------------

    async def action_mode(self, mode: str) -> None:
        if mode in self.MODES and mode != self.current_mode:
            # A dialog belongs to what one was doing; the palette may be open once only.
            await self.close_dialogs()
            self.switch_mode(mode)

    async def close_dialogs(self) -> None:
        while isinstance(self.screen, ModalScreen):
            open_before = self.screen
            if isinstance(open_before, SystemModalScreen):
                # In its own way: the palette may be looking for commands still.
                await self.run_action("escape", open_before)
            if self.screen is open_before:
                self.pop_screen()

    def action_command_palette(self) -> None:
        """Once at a time, also where something was opened above it."""
        if not any(isinstance(each, SystemModalScreen) for each in self.screen_stack):
            super().action_command_palette()

    async def action_new(self) -> None:
        """A new conversation, from wherever one is."""
        await self.close_dialogs()
        await self.action_mode("ask")
        self.ask_screen.action_new()

    def action_scroll_transcript(self, pages: int) -> None:
        self.ask_screen.scroll_answers(pages)

    def action_models(self) -> None:
        """Chooses who writes the answers."""
        from assistant.tui.models_screen import ModelsScreen

        if isinstance(self.screen, ModelsScreen):
            self.pop_screen()
        elif self.assistant is None:
            self.notify("The chat is still starting.", timeout=4)
        elif self.ask_screen.is_answering:
            self.notify("An answer is being written; Esc ends it.", timeout=4)
        elif len(self.screen_stack) == 1:
            now = self.assistant.writes or "the sources' own words"
            self.push_screen(ModelsScreen(now, self.assistant.servers), self._write_with)

    def _write_with(self, writer: Writer | None) -> None:
        if writer is not None and self.assistant is not None and not self.ask_screen.is_answering:
            # What is asked meanwhile waits for the new one.
            self.ask_screen.is_changing = True
            self._tell("changing who writes the answers")
            self._change_writer(writer, self.assistant)

    @work(thread=True, exclusive=True, group="load")
    def _change_writer(self, writer: Writer, assistant: Assistant) -> None:
        try:
            assistant.write_with(**writer._asdict())
        except Exception as error:  # noqa: BLE001 - shown to the person; what wrote before goes on
            self.call_from_thread(self.notify, trouble(error), severity="error", timeout=30, markup=False)
        self.call_from_thread(self.ask_screen.go_on_with)
        with self._troubles_shown():
            self._tell_ready()

    def action_settings(self) -> None:
        from assistant.tui.settings_screen import SettingsScreen

        if isinstance(self.screen, SettingsScreen):
            self.pop_screen()
        elif len(self.screen_stack) == 1:
            try:
                settings = self.settings()
            except AssistantError as error:
                self.notify(one_line(str(error)), severity="error", markup=False)
                return
            self.push_screen(SettingsScreen(settings))

    def action_help(self) -> None:
        from assistant.tui.help_screen import HelpScreen

        if isinstance(self.screen, HelpScreen):
            self.pop_screen()
            return
        keys: dict[str, str] = {}
        for active in self.screen.active_bindings.values():
            # The keys of the library's own widgets are those of any line and any table.
            own = {binding.action for binding in type(active.node).BINDINGS if isinstance(binding, Binding)}
            is_ours = active.node in (self, self.screen) or (
                active.binding.action in own and type(active.node).__module__.startswith("assistant.")
            )
            if is_ours and active.binding.description and active.enabled:
                keys.setdefault(active.binding.description, self.get_key_display(active.binding))
        self.push_screen(HelpScreen([(key, words) for words, key in keys.items()]))

    def _fatal_error(self) -> None:
        """What nobody foresaw ends the chat with one sentence; the conversation so far is kept."""
        if os.environ.get("ASSISTANT_DEBUG") or self.is_headless:
            super()._fatal_error()
            return
        told = trouble(sys.exc_info()[1] or Exception("unknown"))
        words = f"assistant: {told} ended the chat; what was said is kept. ASSISTANT_DEBUG=1 shows the details to report."
        self._exit_renderables.append(Text(words))
        self._close_messages_no_wait()

    async def action_quit(self) -> None:
        self._quitting.set()
        if self.is_running:
            self.ask_screen.stop()
        self.exit()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        yield from super().get_system_commands(screen)
        for mode, (_, name) in MODE_KEYS.items():
            yield SystemCommand(name, f"Go to {name.lower()}", lambda mode=mode: self.action_mode(mode))
        yield SystemCommand("New conversation", "Begin again; what was said is kept", self.action_new)
        yield SystemCommand("Who writes the answers", "The sources' own words, or a language model", self.action_models)
        yield SystemCommand("Settings", "What is kept in assistant.toml", self.action_settings)
        yield SystemCommand("Update index", "Bring the index up to date with the corpus", self.update_index)
        base = screen if isinstance(screen, ModeScreen) else self.screen_stack[0]
        seen = {"New"}
        for binding in base._bindings.key_to_bindings.values():
            for each in binding:
                if each.description and each.description not in seen and isinstance(base, ModeScreen):
                    seen.add(each.description)
                    yield SystemCommand(
                        each.description,
                        f"{MODE_KEYS[base.MODE][1]}: {self.get_key_display(each)}",
                        lambda action=each.action: self.call_later(self.run_action, action, base),
                    )


def _hand_over(command: Sequence[str], text: str) -> None:
    import subprocess

    with suppress(OSError, subprocess.SubprocessError):
        subprocess.run(
            command, input=text.encode(), timeout=2, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )  # fmt: skip
