"""F3: the documents: found, previewed, described, added, removed, and the index brought up to date."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import unquote, urlparse

from rich.text import Text
from textual import events, on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import DataTable, Input, Static, Switch

from assistant.inert import inert, one_line, shortened
from assistant.tui.mode_screen import ModeScreen, behind, show
from index.build import Plan, Progress
from index.chunks import Chunk
from index.documents import Document
from index.errors import AssistantError
from index.ledger import DocumentRow
from index.speakers import folded

if TYPE_CHECKING:
    from assistant.adding import Removed

_COLUMNS = ("Title", "State", "Author", "Date", "Kind", "Chunks", "Tokens", "Added")
_LONGEST_PREVIEW = 6_000
_LONGEST_TITLE = 44
_LONGEST_AUTHOR = 20
_MOST_COPIES = 3


class LibraryScreen(ModeScreen):
    CSS_PATH = "tables.tcss"
    MODE = "library"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "add", "Add"),
        Binding("u", "update", "Update the index"),
        Binding("x", "stop", "Stop the update", show=False),
        Binding("delete,d", "remove", "Remove"),
        Binding("t", "describe", "Title, author"),
        Binding("ctrl+z", "undo", "Put back", priority=True, show=False),
        Binding("v", "view", "Text or chunks"),
        Binding("s", "sort", "Sort", show=False),
        Binding("w", "watch", "Watch the folder", show=False),
        Binding("f", "failures", "Troubles", show=False),
        Binding("slash", "find", "Find", key_display="/"),
        Binding("enter", "open", "Open", show=False),
        Binding("escape", "to_table", "Back to the table", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[DocumentRow] = []
        self._plan: Plan | None = None
        self._seconds: float | None = None
        """How long bringing the index up to date would take, about."""
        self._sorted = 0
        self._is_reversed = False
        self._shows_chunks = False
        self._removed: list[Removed] = []
        self._began: float | None = None
        self._just_added: list[str] = []
        """Not looked at yet whether it says the same as another."""

    def body(self) -> Iterable[Widget]:
        with Horizontal(id="shelf"):
            with Vertical(id="documents-side"):
                yield Input(placeholder="Find a document", id="find", compact=True)
                yield DataTable(id="documents", cursor_type="row", zebra_stripes=True)
            with VerticalScroll(id="preview", can_focus=False):
                yield Static("", markup=False)
        with Horizontal(id="build"):
            yield Static("", markup=False, id="plan")
            yield Static("not watching (W)", markup=False, id="watch-label")
            yield Switch(id="watch", animate=False)

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        for name in _COLUMNS:
            table.add_column(name, key=name)
        table.focus()
        self.query_one("#preview").border_title = "Text"
        self.watch(self.app, "version", self._look)
        self.watch(self.app, "progress", self._show_progress)
        self.watch(self.app, "state", self._look_again)

    # -- what there is ---------------------------------------------------------------------------------------------------

    def on_screen_resume(self) -> None:
        self._look(self.chat.version)

    def _look_again(self) -> None:
        if self.chat.progress is None:
            self._look(self.chat.version)

    def _look(self, version: int) -> None:
        if self.chat.assistant is not None:
            self._read_rows()
        else:
            self._tell_plan()

    @behind("rows")
    def _read_rows(self) -> None:
        assistant = self.chat.assistant
        if assistant is None:
            return
        try:
            rows, plan = assistant.own.documents(), assistant.drift()
            seconds = None
            if plan is not None and (plan.new or plan.touched) and rows:
                seconds = assistant.seconds_for(plan)
            show(self, self._show_rows, rows, plan, seconds)
        except AssistantError as error:
            self.app.call_from_thread(self.notify, one_line(str(error)), severity="error", markup=False)

    def _show_rows(self, rows: list[DocumentRow], plan: Plan | None, seconds: float | None) -> None:
        if self.is_attached:
            self._rows, self._plan, self._seconds = rows, plan, seconds
            if self._just_added and {row.id for row in rows}.issuperset(self._just_added):
                self._tell_same(self._just_added)
                self._just_added = []
            self._fill()
            self._tell_plan()

    def _state_of(self, name: str) -> str:
        plan = self._plan
        if plan is None:
            return "– folder gone"
        failed = any(sentence.startswith(f"{name}:") for sentence in self.chat.report.failed) if self.chat.report else False
        if failed:
            return "✗ not read"
        return "! changed" if name in plan.touched else "! gone" if name in plan.removed else "✓ current"

    def _fill(self) -> None:
        table = self.query_one(DataTable)
        wanted = folded(self.query_one("#find", Input).value).split()
        at = self._row_at()
        cells: list[tuple[str, tuple[object, ...]]] = []
        for row in self._rows:
            state = self._state_of(row.id)
            told = (
                row.title, state, ", ".join(row.authors), row.published or "", row.kind, row.chunks, row.tokens, row.indexed
            )  # fmt: skip
            if all(word in folded(f"{row.id} {' '.join(map(str, told[:5]))}") for word in wanted):
                cells.append((row.id, told))
        cells.sort(key=lambda each: _in_order(each[1][self._sorted]), reverse=self._is_reversed)
        table.clear()
        for name, (title, is_current, author, date, kind, chunks, tokens, indexed) in cells:
            words = (
                shortened(one_line(str(title)), _LONGEST_TITLE),
                str(is_current),
                shortened(one_line(str(author)), _LONGEST_AUTHOR),
                one_line(str(date)),
                one_line(str(kind)),
                f"{chunks:>6}",
                f"{tokens:>7,}",
                datetime.fromtimestamp(float(str(indexed))).astimezone().strftime("%Y-%m-%d"),
            )
            table.add_row(*map(Text, words), key=name)
        known = {row.id for row in self._rows}
        others = [(name, "+ new") for name in (self._plan.new if self._plan else ())]
        others += [(name, "✗ not read") for name in (self._plan.unchanged if self._plan else ()) if name not in known]
        for name, state in others:
            if all(word in folded(f"{name} {state}") for word in wanted):
                blank = ("" for _ in _COLUMNS[2:])
                table.add_row(*map(Text, (shortened(one_line(name), _LONGEST_TITLE), state, *blank)), key=name)
        if at is not None and at in table.rows:
            table.move_cursor(row=table.get_row_index(at))
        for number, name in enumerate(_COLUMNS):
            mark = (" ▼" if self._is_reversed else " ▲") if number == self._sorted else ""
            table.columns[next(key for key in table.columns if key.value == name)].label = Text(f"{name}{mark}")
        table.refresh()
        if not table.row_count:
            self._preview(
                Content(
                    "No document has these words in its title, author, kind or path."
                    if wanted
                    else "No document yet; A adds some."
                )
            )

    def _row_at(self) -> str | None:
        table = self.query_one(DataTable)
        if not table.row_count:
            return None
        return table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value

    @on(Input.Changed, "#find")
    def find(self) -> None:
        self._fill()

    @on(Input.Submitted, "#find")
    def found(self) -> None:
        self.action_to_table()

    @on(DataTable.HeaderSelected)
    def sort_by(self, event: DataTable.HeaderSelected) -> None:
        self._is_reversed = not self._is_reversed if event.column_index == self._sorted else False
        self._sorted = event.column_index
        self._fill()

    def action_sort(self) -> None:
        """By the next column; after the last, the other way round."""
        self._sorted = (self._sorted + 1) % len(_COLUMNS)
        self._is_reversed = self._is_reversed != (self._sorted == 0)
        self._fill()

    def action_find(self) -> None:
        self.query_one("#find").focus()

    def action_to_table(self) -> None:
        self.query_one(DataTable).focus()

    # -- one document ----------------------------------------------------------------------------------------------------

    @on(DataTable.RowHighlighted)
    def look_at(self, event: DataTable.RowHighlighted) -> None:
        if event.row_key is not None and event.row_key.value is not None:
            self._read_document(event.row_key.value)

    @on(DataTable.RowSelected)
    def action_open(self) -> None:
        from assistant.tui.messages import OpenPlace, Place

        name = self._row_at()
        row = next((each for each in self._rows if each.id == name), None)
        if row is not None:
            self.post_message(OpenPlace([Place(1, row.id, 0, 0, "", row.cite_as, ", ".join(row.authors), "")], 0))

    def action_view(self) -> None:
        self._shows_chunks = not self._shows_chunks
        self.query_one("#preview").border_title = "Chunks, as the index sees them" if self._shows_chunks else "Text"
        if (name := self._row_at()) is not None:
            self._read_document(name)

    @behind("preview")
    def _read_document(self, name: str) -> None:
        assistant = self.chat.assistant
        if assistant is None:
            return
        try:
            document = assistant.store.document(name)
            shown = _chunks(assistant.chunks_of(name)) if self._shows_chunks else _text(document)
        except AssistantError:
            is_new = self._plan is not None and name in self._plan.new
            shown = Content("Not in the index yet; U takes it in." if is_new else "Not read; F tells why, U tries again.")
        show(self, self._preview, shown)

    def _preview(self, words: Content) -> None:
        if (preview := next(iter(self.query("#preview Static").results(Static)), None)) is not None:
            preview.update(words)
            self.query_one("#preview", VerticalScroll).scroll_home(animate=False)

    # -- the index -------------------------------------------------------------------------------------------------------

    def _tell_plan(self) -> None:
        plan, assistant = self._plan, self.chat.assistant
        if self.chat.progress is not None:
            return
        if assistant is None:
            words = "The assistant is still starting." if not self.chat.state.failed else "U tries again."
        elif plan is None:
            words = "The corpus folder is gone; what is indexed still answers."
        elif plan.is_empty:
            words = f"✓ The index is up to date: {len(self._rows)} documents."
        else:
            told = [
                f"{len(plan.new)} new",
                f"{len(plan.touched)} changed",
                f"{len(plan.removed)} gone",
                f"{len(plan.unchanged)} unchanged",
            ]
            words = f"! U takes in {', '.join(told)}{_about(self._seconds)}"
        if (report := self.chat.report) is not None and report.failed:
            words += f" · {len(report.failed)} could not be read (F tells why)"
        self.query_one("#plan", Static).update(Content(words))

    def _show_progress(self, progress: Progress | None) -> None:
        if progress is None:
            self._began = None
            self._tell_plan()
            return
        now = time.monotonic()
        self._began = self._began or now
        words = f"○ {progress.stage} {progress.done:,} of {progress.total:,}"
        if progress.stage == "preparing":
            words = "○ preparing the model for this machine, once"
        elif progress.done and progress.total:
            rate = progress.done / max(now - self._began, 0.1)
            left = (progress.total - progress.done) / rate
            filled = int(20 * progress.done / progress.total)
            words += f" {'█' * filled}{'░' * (20 - filled)} {rate:,.0f} a second, {left:,.0f} s left"
        self.query_one("#plan", Static).update(Content(f"{words} · X stops"))

    def action_update(self) -> None:
        self.chat.update_index()

    def action_stop(self) -> None:
        if self.chat.is_building:
            self.chat.stop_building()
            self.notify("Stopping after this step …", timeout=4)
        else:
            self.notify("Nothing is being built.", timeout=4)

    def action_failures(self) -> None:
        report = self.chat.report
        told = [*report.failed, *report.warnings] if report else []
        words = "\n\n".join(inert(each) for each in told) or "Nothing failed since the chat was opened."
        self._preview(Content(words))

    @on(Switch.Changed, "#watch")
    def watch_changed(self, event: Switch.Changed) -> None:
        self.chat.is_watching = event.value
        self.query_one("#watch-label", Static).update(Content("watching (W)" if event.value else "not watching (W)"))

    def action_watch(self) -> None:
        self.query_one("#watch", Switch).toggle()

    # -- adding and removing ---------------------------------------------------------------------------------------------

    def action_add(self, paths: Sequence[str] = ()) -> None:
        from assistant.tui.add_screen import AddScreen

        if self.chat.assistant is not None:
            self.app.push_screen(AddScreen(self.chat.assistant, paths), self._added)

    def _added(self, names: list[str] | None) -> None:
        if names:
            self.query_one("#find", Input).clear()
            self._just_added = names
            self.chat.update_index()

    @behind("same")
    def _tell_same(self, names: list[str]) -> None:
        """Copies of what is there are told, and kept: a person decides."""
        from assistant.assembly import same_as
        from index.sameness import MOST_COMPARED

        if self.chat.assistant is None:
            return
        try:
            found = [
                f"{same.words}; Delete takes one out." for same in same_as(self.chat.assistant.settings, names[:MOST_COMPARED])
            ]
        except AssistantError as error:
            found = [f"Copies were not looked for: {error}"]
        told = found[:_MOST_COPIES]
        told += [f"{len(found) - _MOST_COPIES} more say the same as others."] if len(found) > _MOST_COPIES else []
        if len(names) > MOST_COMPARED:
            told.append(f"Copies were looked for among the first {MOST_COMPARED} of {len(names)} documents alone.")
        for words in told:
            self.app.call_from_thread(self.notify, one_line(words), severity="warning", timeout=15, markup=False)

    def on_paste(self, event: events.Paste) -> None:
        """Files that are dropped on a terminal come as a paste of their paths."""
        if paths := dropped_paths(event.text):
            event.stop()
            self.action_add(paths)

    def action_describe(self) -> None:
        from assistant.tui.describe_screen import DescribeScreen

        name, assistant = self._row_at(), self.chat.assistant
        if name is None or assistant is None:
            return
        try:
            document = assistant.own.document(name)
        except AssistantError:
            self.notify("Not in the index yet; U takes it in first.", timeout=6)
            return
        self.app.push_screen(DescribeScreen(document, assistant.settings.for_index()), self._described)

    def _described(self, is_changed: bool | None) -> None:
        if is_changed:
            self.chat.update_index()

    def action_remove(self) -> None:
        from assistant.adding import remove_source

        name = self._row_at()
        if name is None or self.chat.assistant is None:
            return
        try:
            self._removed.append(remove_source(name, self.chat.assistant.settings.for_index()))
        except AssistantError as error:
            self.notify(one_line(str(error)), severity="warning", timeout=12, markup=False)
            return
        self.notify(f"{one_line(name)} is taken out; Ctrl+Z puts it back.", timeout=10, markup=False)
        self.chat.update_index()

    def action_undo(self) -> None:
        from assistant.adding import put_back

        if not self._removed:
            self.notify("Nothing was removed here.", timeout=4)
            return
        removed = self._removed.pop()
        try:
            put_back(removed)
        except AssistantError as error:
            self.notify(one_line(str(error)), severity="error", timeout=12, markup=False)
            return
        self.notify(f"{one_line(removed.document)} is back.", timeout=6, markup=False)
        self.chat.update_index()


def dropped_paths(text: str) -> list[str]:
    """The paths that a paste names, if it names nothing else: in quotes, with escapes, or as file addresses, as terminals do."""
    found: list[str] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        try:
            words = [line] if Path(line).expanduser().exists() else shlex.split(line)
        except (ValueError, OSError, RuntimeError):
            return []
        for word in words:
            path = unquote(urlparse(word).path) if word.startswith("file://") else word
            with suppress(OSError, ValueError, RuntimeError):
                if re.match(r"[/~.]|[A-Za-z]:", path) and Path(path).expanduser().exists():
                    found.append(path)
                    continue
            return []
    return found


def _in_order(value: object) -> tuple[float, str]:
    return (float(value), "") if isinstance(value, int | float) else (0.0, folded(str(value)))


def _about(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f", ≈ {seconds / 60:.0f} min" if seconds > 120 else f", ≈ {max(1, round(seconds))} s"


def _text(document: Document) -> Content:
    who = " · ".join(filter(None, (", ".join(document.authors), document.publisher, document.published, document.kind)))
    return Content.assemble(
        (one_line(document.title), "bold"), f"\n{one_line(who)}\n", (one_line(document.id), "dim"), "\n\n",
        shortened(inert(document.text), _LONGEST_PREVIEW),
    )  # fmt: skip


def _chunks(chunks: Sequence[Chunk]) -> Content:
    parts: list[str | tuple[str, str]] = []
    size = 0
    for number, chunk in enumerate(chunks, start=1):
        place = " › ".join(map(one_line, chunk.headings))
        parts += [
            (f"{number} of {len(chunks)} · {chunk.tokens} tokens · {one_line(str(chunk.voice))}\n", "bold $text-accent"),
            (f"{place}\n", "dim") if place else "",
            f"{inert(chunk.text)}\n\n",
        ]
        size += len(chunk.text)
        if size > _LONGEST_PREVIEW:
            parts.append((f"… {len(chunks) - number} more", "dim"))
            break
    return Content.assemble(*parts)
