"""F8: whose words, and which documents, may answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from assistant.inert import one_line
from assistant.tui.mode_screen import behind, show
from index.errors import AssistantError, QuestionError
from index.filters import Filter, check_date


class Ticks(OptionList):
    """A list in which Space and Enter tick; a tick is a sign, not a colour."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("space", "select", "Tick", show=False)]

    def __init__(self, names: Sequence[str], ticked: Collection[str], *, id: str) -> None:
        super().__init__(*(Option(_tick(name, name in ticked)) for name in names), id=id, compact=True)
        self._names = names
        self._ticked = set(ticked)

    @property
    def ticked(self) -> tuple[str, ...]:
        return tuple(name for name in self._names if name in self._ticked)

    def action_select(self) -> None:
        """At once, not by a message: a key that follows must find it ticked."""
        at = self.highlighted
        if at is not None:
            name = self._names[at]
            self._ticked ^= {name}
            self.replace_option_prompt_at_index(at, _tick(name, name in self._ticked))


def _tick(name: str, is_ticked: bool) -> Content:
    return Content(f"{'[✓]' if is_ticked else '[ ]'} {one_line(name)}")


class FilterScreen(ModalScreen[Filter | None]):
    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f8", "dismiss", "Close"),
        Binding("ctrl+s", "apply", "Apply"),
    ]

    def __init__(self, voices: Sequence[str], documents: Sequence[str], now: Filter, check: Callable[[Filter], None]) -> None:
        """voices, documents: to choose from. check: raises QuestionError for a filter that allows nothing."""
        super().__init__()
        self._voices, self._documents = voices, documents
        self._now = now
        self._check = check

    def compose(self) -> ComposeResult:
        now = self._now
        folders = sorted({f"{name.rpartition('/')[0]}" for name in self._documents if "/" in name})
        with Vertical(classes="dialog wide-dialog"):
            yield Static(Content.assemble(("Only these may answer", "bold"), "  (nothing ticked: all)"), markup=False)
            with Horizontal(classes="lists"):
                yield Ticks(self._voices, now.voices, id="only-voices")
                yield Ticks([*(f"{each}/" for each in folders), *self._documents], now.documents, id="only-documents")
            with Horizontal(classes="field"):
                yield Label("Published from")
                yield Input(now.since or "", placeholder="such as 2021-06", id="since", compact=True)
            with Horizontal(classes="field"):
                yield Label("Published until")
                yield Input(now.until or "", placeholder="such as 2022", id="until", compact=True)
            with Horizontal(classes="buttons"):
                yield Button("Apply (Ctrl+S)", id="apply", compact=True, variant="primary")
                yield Button("All again", id="all", compact=True)
            yield Static("Space ticks, Tab goes on, Ctrl+S applies, Esc changes nothing.", markup=False, classes="note")

    def on_mount(self) -> None:
        self.query_one("#only-voices").border_title = "Voices"
        self.query_one("#only-documents").border_title = "Sources"

    @on(Button.Pressed, "#all")
    def allow_all(self) -> None:
        self.dismiss(Filter())

    @on(Input.Submitted)
    @on(Button.Pressed, "#apply")
    def action_apply(self) -> None:
        try:
            since, until = (
                check_date(self.query_one(f"#{name}", Input).value.strip() or None, name) for name in ("since", "until")
            )
        except AssistantError as error:
            self._tell(str(error))
            return
        voices, documents = (self.query_one(f"#only-{name}", Ticks).ticked for name in ("voices", "documents"))
        only = Filter(documents=documents, voices=voices, kinds=self._now.kinds, since=since, until=until)
        if since and until and since[: len(until)] > until[: len(since)]:
            self._tell(f"{since} is after {until}; nothing lies between.")
            return
        self._apply(only)

    @behind("check")
    def _apply(self, only: Filter) -> None:
        try:
            self._check(only)
        except QuestionError:
            show(self, self._tell, "No passage is of these voices, sources and dates together.")
        except AssistantError as error:
            show(self, self._tell, str(error))
        else:
            show(self, self.dismiss, only)

    def _tell(self, words: str) -> None:
        self.query_one(".note", Static).update(Content(f"✗ {one_line(words)}"))
