"""F1: the keys, read from the bindings that are really in force."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static


class HelpScreen(ModalScreen[None]):
    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f1,q", "dismiss", "Close")]

    def __init__(self, keys: list[tuple[str, str]]) -> None:
        """keys: (key as shown, what it does)."""
        super().__init__()
        self._keys = keys

    def compose(self) -> ComposeResult:
        width = max((len(key) for key, _ in self._keys), default=0)
        lines: list[str | tuple[str, str]] = [("Keys\n\n", "bold")]
        for key, words in self._keys:
            lines += [(f"{key:>{width}}", "bold"), f"  {words}\n"]
        lines.append("\nTo open a source click its number in brackets, or type the number and Enter.\nEsc closes this sheet.")
        with VerticalScroll(id="help"):
            yield Static(Content.assemble(*lines), markup=False)
