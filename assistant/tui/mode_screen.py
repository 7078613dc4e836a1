"""What the four modes share: a first line with the modes and what the assistant is doing, and the keys at the foot."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, NamedTuple, ParamSpec, TypeVar, cast

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.screen import Screen
from textual.style import Style
from textual.widget import Widget
from textual.widgets import Footer, Static
from textual.worker import get_current_worker

from assistant.inert import one_line
from index.errors import AssistantError

if TYPE_CHECKING:
    from assistant.tui.app import ChatApp

MODE_KEYS = {"ask": ("f2", "Ask"), "library": ("f3", "Library"), "evals": ("f4", "Evals"), "debate": ("f5", "Debate")}
"""Mode -> its key and its name."""


Given = ParamSpec("Given")
Owner = TypeVar("Owner", bound=Screen[Any])


def behind(
    group: str, *, exclusive: bool = True
) -> Callable[[Callable[Concatenate[Owner, Given], None]], Callable[Concatenate[Owner, Given], object]]:
    """Runs a method in a thread, out of the keyboard's way. Its failure is told, whatever it is, and never ends the chat."""

    def decorate(method: Callable[Concatenate[Owner, Given], None]) -> Callable[Concatenate[Owner, Given], object]:
        @wraps(method)
        def told(self: Owner, *arguments: Given.args, **named: Given.kwargs) -> None:
            try:
                method(self, *arguments, **named)
            except Exception as error:  # noqa: BLE001 - shown to the person
                self.app.call_from_thread(self.app.notify, trouble(error), severity="error", timeout=15, markup=False)

        return work(thread=True, exclusive=exclusive, group=group)(told)

    return decorate


def show(owner: Screen[Any], method: Callable[Given, object], *told: Given.args, **named: Given.kwargs) -> None:
    """From a thread that `behind` runs: shows what was found, unless something newer is being looked for."""
    worker = get_current_worker()

    def if_newest() -> None:
        if not worker.is_cancelled:
            method(*told, **named)

    owner.app.call_from_thread(if_newest)


def trouble(error: BaseException) -> str:
    """In one sentence; what should not happen with its name."""
    told = str(error) if isinstance(error, AssistantError) else f"a fault of the program: {type(error).__name__}: {error}"
    return one_line(told)


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
        # Here and not at the foot, where a narrow screen would cut it off.
        parts.append(Content.assemble((" F1 ", "dim"), "Keys ").stylize(Style.from_meta({"@click": "app.help"})))
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
