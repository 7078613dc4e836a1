"""R in the evals: which part of a suite to ask, and how much of it."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Static

from assistant.inert import one_line


class Asked(NamedTuple):
    suite: str
    part: str | None
    """None for the one that is meant unless told otherwise."""
    limit: int | None
    """How many questions, drawn with the seed; None for all."""


class RunScreen(ModalScreen[Asked | None]):
    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Close")]

    def __init__(self, suite: str) -> None:
        super().__init__()
        self._suite = suite

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(f"Run {one_line(self._suite)}").stylize("bold"), markup=False)
            with Horizontal(classes="field"):
                yield Label("Part (dev unless told otherwise)")
                yield Input(placeholder="dev", id="part", compact=True)
            with Horizontal(classes="field"):
                yield Label("Questions (all unless told otherwise)")
                yield Input(placeholder="all", type="integer", id="limit", compact=True)
            yield Button("Run", compact=True, variant="primary")
            yield Static("Enter runs it with the settings in force. Esc changes nothing.", markup=False, classes="note")

    def on_mount(self) -> None:
        self.query_one("#limit").focus()

    @on(Input.Submitted)
    @on(Button.Pressed)
    def go(self) -> None:
        limit, part = self.query_one("#limit", Input).value.strip(), self.query_one("#part", Input).value.strip()
        if limit and (not limit.isdecimal() or int(limit) < 1):
            self.query_one(".note", Static).update(
                Content("✗ The number of questions is a whole number from 1, or nothing for all.")
            )
            return
        self.dismiss(Asked(self._suite, part or None, int(limit) if limit else None))
