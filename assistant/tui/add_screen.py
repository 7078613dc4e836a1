"""A in the library: which files to add, and what that would do, before it is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.suggester import Suggester
from textual.widgets import Input, Static

from assistant.inert import one_line
from assistant.tui.mode_screen import behind
from index.errors import AssistantError
from index.loaders.registry import supported_suffixes

if TYPE_CHECKING:
    from assistant.assembly import Assistant

_SEPARATOR = " ; "
_KEYS = "Right arrow completes a path; a semicolon between several. Enter shows what would be added. Esc changes nothing."
_MOST_REFUSALS = 4
_MOST_NAMES = 6


class PathSuggester(Suggester):
    """Completes the last path that is being written."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        _, _, told = value.rpartition(_SEPARATOR.strip())
        told = told.lstrip()
        if not told or told.endswith(("..", "/.")):
            return None
        try:
            path = Path(told).expanduser()
            folder, begin = (path, "") if told.endswith("/") else (path.parent, path.name)
            names = sorted(
                (
                    each
                    for each in folder.iterdir()
                    if each.name.startswith(begin) and (begin.startswith(".") or not each.name.startswith("."))
                ),
                key=lambda each: each.name,
            )
            for each in names:
                whole = told[: len(told) - len(begin)] + each.name + ("/" if each.is_dir() else "")
                if whole != told:
                    return f"{value[: len(value) - len(told)]}{whole}"
        except (OSError, RuntimeError, ValueError):
            return None
        return None


class AddScreen(ModalScreen[bool | None]):
    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Close")]

    def __init__(self, assistant: Assistant, paths: Sequence[str] = ()) -> None:
        super().__init__()
        self._assistant = assistant
        self._given = paths
        self._planned: str | None = None
        """The paths as they were when the plan was shown: Enter again adds them."""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide-dialog"):
            yield Static(Content.assemble(("Add files or folders", "bold"), f"  ({supported_suffixes()})"), markup=False)
            yield Input(_SEPARATOR.join(self._given), placeholder="~/papers", suggester=PathSuggester(), id="paths")
            yield Static("", markup=False, id="adding-plan")
            yield Static(_KEYS, markup=False, classes="note")

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        if self._given:
            self.submitted()

    @on(Input.Changed)
    def changed(self) -> None:
        if self._planned is not None and self.query_one(Input).value != self._planned:
            self._planned = None
            self._tell(Content(""), _KEYS)

    @on(Input.Submitted)
    def submitted(self) -> None:
        value = self.query_one(Input).value
        paths = [Path(part.strip()).expanduser() for part in value.split(_SEPARATOR.strip()) if part.strip()]
        if not paths:
            return
        if value == self._planned:
            self._add(paths)
        else:
            self._plan(value, paths)

    @behind("adding")
    def _plan(self, value: str, paths: list[Path]) -> None:
        from assistant.adding import plan_adding

        try:
            wanted = plan_adding(paths, self._assistant.settings.for_index(), replace=False)
            seconds = self._assistant.seconds_for_size(wanted.size) if wanted.copied else None
        except (AssistantError, OSError) as error:
            self.app.call_from_thread(self._tell, Content(f"✗ {one_line(str(error))}"), _KEYS)
            return
        about = f", ≈ {max(1, round(seconds))} s" if seconds is not None else ""
        lines = [f"{len(wanted.copied)} to add ({wanted.size / 1_000_000:.1f} MB{about}), {len(wanted.present)} there already"]
        if wanted.copied:
            more = " …" if len(wanted.copied) > _MOST_NAMES else ""
            lines.append(f"  {one_line(', '.join(wanted.copied[:_MOST_NAMES]))}{more}")
        lines += [f"✗ {one_line(each)}" for each in wanted.refused[:_MOST_REFUSALS]]
        lines += [f"✗ … and {len(wanted.refused) - _MOST_REFUSALS} more"] if len(wanted.refused) > _MOST_REFUSALS else []
        if wanted.copied:
            self._planned = value
        keys = "Enter adds them and brings the index up to date. Esc changes nothing." if wanted.copied else _KEYS
        self.app.call_from_thread(self._tell, Content("\n".join(lines)), keys)

    @behind("adding")
    def _add(self, paths: list[Path]) -> None:
        from assistant.adding import add_sources

        try:
            add_sources(paths, self._assistant.settings.for_index(), replace=False)
        except (AssistantError, OSError) as error:
            self.app.call_from_thread(self._tell, Content(f"✗ {one_line(str(error))}"), _KEYS)
            return
        self.app.call_from_thread(self.dismiss, True)

    def _tell(self, plan: Content, keys: str) -> None:
        if self.is_attached:
            self.query_one("#adding-plan", Static).update(plan)
            self.query_one(".note", Static).update(Content(keys))
