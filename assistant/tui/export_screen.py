"""Ctrl+E: a conversation, or its bibliography, as a file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, RadioSet, Static

from assistant.exporting import BIBLIOGRAPHIES, FORMATS, write_export
from assistant.history import History
from assistant.inert import one_line
from assistant.tui.signs import Choice
from index.documents import Document
from index.errors import AssistantError
from index.speakers import folded


class ExportScreen(ModalScreen[Path | None]):
    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,ctrl+e", "dismiss", "Close")]

    def __init__(self, conversation: int, history: History, read: Callable[[str], Document]) -> None:
        """read: document id -> document; raises AssistantError when it is gone."""
        super().__init__()
        self._history = history
        self._read = read
        self._kept = next(each for each in history.conversations() if each.number == conversation)

    def compose(self) -> ComposeResult:
        stem = re.sub(r"[^a-z0-9]+", "-", folded(self._kept.title)).strip("-")[:50] or "conversation"
        with Vertical(classes="dialog"):
            yield Static(Content("Export this conversation").stylize("bold"), markup=False)
            with RadioSet(compact=True):
                for number, name in enumerate(FORMATS):
                    words = f"{name}{', the sources' if name in BIBLIOGRAPHIES else ''}"
                    yield Choice(words, value=number == 0, compact=True)
            yield Static("File", markup=False)
            yield Input(str(Path.cwd() / f"{stem}.md"), id="path")
            yield Button("Write", compact=True, variant="primary")
            yield Static("Enter in the file's name writes it; nothing is overwritten. Esc closes.", markup=False, classes="note")

    @property
    def _format(self) -> str:
        return list(FORMATS)[max(0, self.query_one(RadioSet).pressed_index)]

    @on(RadioSet.Changed)
    def rename(self) -> None:
        line = self.query_one("#path", Input)
        end = next((each for each in sorted(FORMATS.values(), key=len, reverse=True) if line.value.endswith(each)), "")
        line.value = f"{line.value.removesuffix(end)}{FORMATS[self._format]}"

    @on(Input.Submitted)
    @on(Button.Pressed)
    def write(self) -> None:
        told = self.query_one("#path", Input).value.strip()
        if not told:
            return
        path = Path(told).expanduser()
        try:
            write_export(path, self._format, self._kept, self._history.turns(self._kept.number), self._read)
        except AssistantError as error:
            self.query_one(".note", Static).update(Content(f"✗ {one_line(str(error))}"))
            return
        self.dismiss(path)
