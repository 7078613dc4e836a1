"""F7: the conversations that were kept: found, reopened, renamed, pinned, deleted and brought back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from assistant.history import History, Kept
from assistant.inert import one_line
from index.errors import HistoryError


class ConversationsScreen(ModalScreen[Kept | None]):
    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f7", "back", "Close"),
        Binding("down", "to_list", "To the list", show=False),
        Binding("ctrl+r", "rename", "Rename", priority=True),
        Binding("ctrl+t", "pin", "Pin or unpin", priority=True),
        Binding("ctrl+d,delete", "delete", "Delete", priority=True),
        Binding("ctrl+z", "undo", "Bring back", priority=True),
    ]

    def __init__(self, history: History) -> None:
        super().__init__()
        self._history = history
        self._shown: list[Kept] = []
        self._deleted: list[Kept] = []
        self._renaming: Kept | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide-dialog"):
            yield Static(Content("Conversations").stylize("bold"), markup=False)
            yield Input(placeholder="Find words in what was asked and answered", id="find")
            yield OptionList(id="kept")
            keys = "Enter reopens · Ctrl+R renames · Ctrl+T pins · Ctrl+D deletes · Ctrl+Z brings back · Esc closes"
            yield Static(keys, markup=False, classes="note")

    def on_mount(self) -> None:
        self.query_one("#find").focus()
        self._list()

    def _list(self, at: int = 0) -> None:
        try:
            self._shown = self._history.conversations("" if self._renaming else self.query_one("#find", Input).value)
        except HistoryError as error:
            self._note(f"✗ {error}")
            return
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options(Option(_line(kept)) for kept in self._shown)
        if self._shown:
            options.highlighted = min(at, len(self._shown) - 1)
        else:
            options.add_option(Option(Content("Nothing is kept that holds these words."), disabled=True))

    def _note(self, words: str) -> None:
        self.query_one(".note", Static).update(Content(one_line(words)))

    @property
    def _chosen(self) -> Kept | None:
        at = self.query_one(OptionList).highlighted
        return self._shown[at] if at is not None and at < len(self._shown) else None

    @on(Input.Changed, "#find")
    def find(self) -> None:
        if self._renaming is None:
            self._list()

    @on(Input.Submitted, "#find")
    def submitted(self, event: Input.Submitted) -> None:
        if self._renaming is None:
            self.dismiss(self._chosen)
            return
        try:
            self._history.rename(self._renaming.number, event.value)
        except HistoryError as error:
            self._note(f"✗ {error}")
            return
        self._end_renaming()

    @on(OptionList.OptionSelected)
    def reopen(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(self._chosen)

    def action_to_list(self) -> None:
        self.query_one(OptionList).focus()

    def action_back(self) -> None:
        if self._renaming is not None:
            self._end_renaming()
        else:
            self.dismiss(None)

    def action_rename(self) -> None:
        kept = self._chosen
        if kept is not None:
            self._renaming = kept
            line = self.query_one("#find", Input)
            line.value = kept.title
            line.focus()
            self._note("Write the new name; Enter keeps it, Esc leaves the old one.")

    def _end_renaming(self) -> None:
        self._renaming = None
        self.query_one("#find", Input).value = ""
        self._note("Enter reopens · Ctrl+R renames · Ctrl+T pins · Ctrl+D deletes · Ctrl+Z brings back · Esc closes")
        self._list()

    def action_pin(self) -> None:
        if (kept := self._chosen) is not None:
            self._do(lambda: self._history.pin(kept.number, pinned=not kept.is_pinned))

    def action_delete(self) -> None:
        if (kept := self._chosen) is not None:
            self._do(lambda: self._history.delete(kept.number))
            self._deleted.append(kept)
            self._note(f"Deleted: {kept.title}. Ctrl+Z brings it back.")

    def action_undo(self) -> None:
        if self._deleted:
            kept = self._deleted.pop()
            self._do(lambda: self._history.restore(kept.number))
            self._note(f"Brought back: {kept.title}.")
        else:
            self._note("Nothing was deleted here.")

    def _do(self, change: Callable[[], None]) -> None:
        at = self.query_one(OptionList).highlighted or 0
        try:
            change()
        except HistoryError as error:
            self._note(f"✗ {error}")
            return
        self._list(at)


def _line(kept: Kept) -> Content:
    when = datetime.fromtimestamp(kept.touched).astimezone().strftime("%Y-%m-%d %H:%M")
    turns = "1 question" if kept.turns == 1 else f"{kept.turns} questions"
    pin = ("▲ pinned ", "bold $text-accent") if kept.is_pinned else ""
    return Content.assemble(pin, one_line(kept.title), (f"  {when} · {turns}", "dim"))
