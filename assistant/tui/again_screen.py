"""Ctrl+R: the same question under other settings, beside the first answer."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.validation import Integer, Number
from textual.widgets import Button, Input, Label, Static

from assistant.inert import one_line, shortened
from assistant.settings import Settings
from assistant.tui.signs import Tick

_MOST_PASSAGES = 50


class Otherwise(NamedTuple):
    """Settings for one answer."""

    passages: int
    threshold: float
    is_quoting: bool
    words: str
    """The same, to be read."""


class AgainScreen(ModalScreen[Otherwise | None]):
    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,ctrl+r", "dismiss", "Close")]

    def __init__(self, question: str, settings: Settings, writes: str | None) -> None:
        """writes: who writes the answers, where a language model does."""
        super().__init__()
        self._question = question
        self._settings = settings
        self._writes = writes

    def compose(self) -> ComposeResult:
        settings = self._settings
        with Vertical(classes="dialog"):
            yield Static(
                Content.assemble(("Ask again, otherwise", "bold"), f"\n{shortened(one_line(self._question), 120)}"), markup=False
            )
            with Horizontal(classes="field"):
                yield Label("Passages read (1 to 50)")
                yield Input(
                    str(settings.passages), id="passages", type="integer", validators=[Integer(1, _MOST_PASSAGES)], compact=True,
                    select_on_focus=True,
                )  # fmt: skip
            with Horizontal(classes="field"):
                yield Label("Refuse below confidence (0 never, to 1)")
                yield Input(
                    f"{settings.abstain_below:g}", id="threshold", type="number", validators=[Number(0, 1)], compact=True,
                    select_on_focus=True,
                )  # fmt: skip
            if self._writes:
                yield Tick("The sources' own words, without the language model", id="quoting", compact=True)
            yield Button("Ask again", id="go", compact=True, variant="primary")
            yield Static("Enter asks, Esc changes nothing.", markup=False, classes="note")

    @on(Input.Submitted)
    @on(Button.Pressed)
    def go(self) -> None:
        passages, threshold = self.query_one("#passages", Input), self.query_one("#threshold", Input)
        for field, words in (
            (passages, "passages is a whole number from 1 to 50"),
            (threshold, "the confidence lies from 0 to 1"),
        ):
            told = field.validate(field.value)
            if not field.value or (told is not None and not told.is_valid):
                self.query_one(".note", Static).update(Content(f"✗ {words}."))
                field.focus()
                return
        quoting = bool(self._writes and self.query_one("#quoting", Tick).value)
        told_words = [f"{passages.value} passages", f"refused below {float(threshold.value):g}"]
        told_words += ["the sources' own words"] if quoting else []
        self.dismiss(Otherwise(int(passages.value), float(threshold.value), quoting, ", ".join(told_words)))
