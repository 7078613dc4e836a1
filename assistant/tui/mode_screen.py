"""What the four modes share: a first line with the modes and what the assistant is doing, and the keys at the foot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, NamedTuple, cast

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.screen import Screen
from textual.style import Style
from textual.widget import Widget
from textual.widgets import Footer, Static

from assistant.inert import one_line

if TYPE_CHECKING:
    from assistant.tui.app import ChatApp

MODE_KEYS = {"ask": ("f2", "Ask"), "library": ("f3", "Library"), "evals": ("f4", "Evals"), "debate": ("f5", "Debate")}
"""Mode -> its key and its name."""


class State(NamedTuple):
    """What the assistant is doing."""

    words: str
    ready: bool = False
    failed: bool = False


class TopLine(Horizontal):
    def __init__(self, mode: str) -> None:
        super().__init__(id="top")
        self._mode = mode

    def compose(self) -> ComposeResult:
        parts: list[Content] = []
        for mode, (key, name) in MODE_KEYS.items():
            here = mode == self._mode
            tab = Content.assemble((f" {key.upper()} ", "dim"), (f"{name} ", "bold reverse" if here else ""))
            parts.append(tab.stylize(Style.from_meta({"@click": f"app.mode('{mode}')"})))
        yield Static(Content.assemble(*parts), markup=False, id="modes")
        yield Static("○ starting", markup=False, id="state")

    def on_mount(self) -> None:
        self.watch(self.app, "state", self._show)

    def _show(self, state: State) -> None:
        line = next(iter(self.query("#state").results(Static)), None)
        if line is not None:
            sign = "✗" if state.failed else "●" if state.ready else "○"
            line.update(Content(f"{sign} {one_line(state.words)}"))
            line.set_class(state.failed, "failed")


class ModeScreen(Screen[None]):
    MODE: ClassVar[str]

    def compose(self) -> ComposeResult:
        yield TopLine(self.MODE)
        yield from self.body()
        yield Footer()

    def body(self) -> Iterable[Widget]:
        raise NotImplementedError

    @property
    def chat(self) -> ChatApp:
        return cast("ChatApp", self.app)
