"""A in the library: which files to add, and what that would do, before it is done."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.suggester import Suggester
from textual.widgets import Input, Static

from assistant.adding import is_address
from assistant.inert import one_line
from assistant.tui.mode_screen import behind
from index.errors import AssistantError
from index.loaders.registry import supported_suffixes

if TYPE_CHECKING:
    from assistant.assembly import Assistant

_SEPARATOR = " ; "
_KEYS = (
    "Right arrow completes a path; a semicolon between several; web addresses too. Enter shows what would be added. "
    "Esc changes nothing."
)
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


class AddScreen(ModalScreen[list[str] | None]):
    """Gives the ids of what was added."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Close")]

    def __init__(self, assistant: Assistant, paths: Sequence[str] = ()) -> None:
        super().__init__()
        self._assistant = assistant
        self._given = paths
        self._stop = Flag()
        self._is_adding = False
        self._planned: str | None = None
        """The paths as they were when the plan was shown: Enter again adds them."""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide-dialog"):
            yield Static(
                Content.assemble(("Add files, folders or web addresses", "bold"), f"  ({supported_suffixes()})"), markup=False
            )
            yield Input(_SEPARATOR.join(self._given), placeholder="~/papers", suggester=PathSuggester(), id="paths")
            yield Static("", markup=False, id="adding-plan")
            yield Static(_KEYS, markup=False, classes="note")

    async def action_dismiss(self, result: list[str] | None = None) -> None:
        if self._is_adding:
            # What has come is kept; the next address is not asked for any more.
            self._stop.set()
            self._tell(Content("○ ending after this address …"), "")
        else:
            self.dismiss(result)

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
        # An address may hold a semicolon of its own.
        told = [part.strip() for part in re.split(r"\s;\s|;(?=\s)|(?<=\s);|;(?=https?:|[~/.])", value) if part.strip()]
        addresses = [each for each in told if is_address(each)]
        paths = [Path(each).expanduser() for each in told if not is_address(each)]
        if not told or self._is_adding:
            return
        if value == self._planned:
            self._is_adding = True
            self._add(paths, addresses)
        else:
            self._plan(value, paths, addresses)

    @behind("adding")
    def _plan(self, value: str, paths: list[Path], addresses: list[str]) -> None:
        from assistant.adding import Wanted, plan_adding

        try:
            index = self._assistant.settings.for_index()
            wanted = plan_adding(paths, index, replace=False) if paths else Wanted((), (), (), 0)
            seconds = self._assistant.seconds_for_size(wanted.size) if wanted.copied else None
        except (AssistantError, OSError) as error:
            self.app.call_from_thread(self._tell, Content(f"✗ {one_line(str(error))}"), _KEYS)
            return
        about = f", ≈ {max(1, round(seconds))} s" if seconds is not None else ""
        lines = []
        if paths:
            size = f"{wanted.size / 1_000_000:.1f} MB{about}"
            lines.append(f"{len(wanted.copied)} to add ({size}), {len(wanted.present)} there already")
        if wanted.copied:
            more = " …" if len(wanted.copied) > _MOST_NAMES else ""
            lines.append(f"  {one_line(', '.join(wanted.copied[:_MOST_NAMES]))}{more}")
        if addresses:
            try:
                hosts = ", ".join(dict.fromkeys(urlsplit(each).netloc for each in addresses))
            except ValueError as error:
                self.app.call_from_thread(
                    self._tell, Content(f"✗ an address is not well formed ({one_line(str(error))})."), _KEYS
                )
                return
            lines.append(f"{len(addresses)} to fetch from {one_line(hosts)}")
        lines += [f"✗ {one_line(each)}" for each in wanted.refused[:_MOST_REFUSALS]]
        lines += [f"✗ … and {len(wanted.refused) - _MOST_REFUSALS} more"] if len(wanted.refused) > _MOST_REFUSALS else []
        adds = bool(wanted.copied or addresses)
        if adds:
            self._planned = value
        keys = "Enter adds them and brings the index up to date. Esc changes nothing." if adds else _KEYS
        self.app.call_from_thread(self._tell, Content("\n".join(lines)), keys)

    @behind("adding")
    def _add(self, paths: list[Path], addresses: list[str]) -> None:
        from assistant.adding import add_addresses, add_sources

        index = self._assistant.settings.for_index()
        added: list[str] = []
        refused: list[str] = []
        try:
            if paths:
                done = add_sources(paths, index, replace=False)
                added, refused = list(done.copied), list(done.refused)
            for number, each in enumerate(addresses, start=1):
                if self._stop.is_set():
                    refused.append(f"{len(addresses) - number + 1} of {len(addresses)} addresses were not fetched any more.")
                    break
                self.app.call_from_thread(self._tell, Content(f"○ fetching {number} of {len(addresses)} …"), "")
                arrived = next(add_addresses([each], index))
                added += [arrived.name] if arrived.is_new else []
                refused += [arrived.refused or f"{arrived.name} is there already."] if not arrived.is_new else []
        except (AssistantError, OSError) as error:
            refused.append(str(error))
        finally:
            self._is_adding = False
        if added:
            for each in refused[:_MOST_REFUSALS]:
                self.app.call_from_thread(self.app.notify, one_line(each), severity="warning", timeout=12, markup=False)
            self.app.call_from_thread(self.dismiss, added)
        elif self._stop.is_set():
            self.app.call_from_thread(self.dismiss, None)
        else:
            lines = "\n".join(f"✗ {one_line(each)}" for each in refused[:_MOST_REFUSALS])
            self.app.call_from_thread(self._tell, Content(lines), _KEYS)

    def _tell(self, plan: Content, keys: str) -> None:
        if self.is_attached:
            self.query_one("#adding-plan", Static).update(plan)
            self.query_one(".note", Static).update(Content(keys))
