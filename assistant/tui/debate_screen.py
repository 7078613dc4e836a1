"""F5: who holds what on which issue, what happened when, and two voices side by side."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import DataTable, Input, Select, Static, TabbedContent, TabPane

from assistant.answering.debate import DebateMap
from assistant.inert import one_line, shortened
from assistant.tui.messages import OpenPlace, Place, place_of
from assistant.tui.mode_screen import ModeScreen, behind
from index.errors import AssistantError
from index.speakers import folded

if TYPE_CHECKING:
    from assistant.answering.answers import Citation
    from assistant.answering.debate import Issue
    from assistant.answering.timeline import Statement

_STATE_OF_PLAY = "State of play"
_MOST_SPEAKERS = 4
# By statements of the timeline that hold the words looked for.
_MOST_STATEMENTS = 2_000
_WIDE = 100
# Of a cell of the map.
_LINES = 3


class DebateScreen(ModeScreen):
    CSS_PATH = "tables.tcss"
    MODE = "debate"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "tab('map')", "Map"),
        Binding("t", "tab('timeline')", "Timeline"),
        Binding("c", "tab('compare')", "Compare"),
        Binding("a", "add_issue", "Add an issue"),
        Binding("slash", "find", "Find", key_display="/"),
        Binding("escape", "to_table", "Back to the table", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._map: DebateMap | None = None
        self._added: list[Issue] = []
        """Issues that the person added."""
        self._statements: list[Statement] = []
        self._shown: list[Statement] = []
        self._version = -1

    def body(self) -> Iterable[Widget]:
        with TabbedContent(id="debate-tabs"):
            with TabPane("Map", id="map"):
                yield Input(placeholder="Add an issue: each voice is asked", id="issue", compact=True)
                yield DataTable(id="issues", cursor_type="cell", zebra_stripes=True, fixed_columns=1)
                with VerticalScroll(id="position", can_focus=False):
                    yield Static("Drawing the map …", markup=False)
            with TabPane("Timeline", id="timeline"):
                yield Input(placeholder="Find in the timeline: words, a year", id="find", compact=True)
                yield DataTable(id="dates", cursor_type="row", zebra_stripes=True)
                with VerticalScroll(id="statement", can_focus=False):
                    yield Static("", markup=False)
            with TabPane("Compare", id="compare"):
                with Horizontal(id="voices"):
                    yield Select[str]((), prompt="a voice", id="one", compact=True)
                    yield Select[str]((), prompt="another voice", id="other", compact=True)
                with VerticalScroll(id="side-by-side"):
                    yield Vertical()

    def on_mount(self) -> None:
        self.watch(self.app, "version", self._look)

    def on_screen_resume(self) -> None:
        self._look(self.chat.version)

    def _look(self, version: int) -> None:
        if self.chat.assistant is not None and version != self._version:
            self._version = version
            self._read()

    @behind("debate")
    def _read(self) -> None:
        from assistant.answering.debate import MAP, map_of
        from assistant.answering.timeline import statements

        assistant = self.chat.assistant
        if assistant is None:
            return
        try:
            maps = [row.id for row in assistant.store.documents() if row.kind == MAP]
            shown = map_of(assistant.store.document(name) for name in maps)
            self.app.call_from_thread(self._show_map, shown)
            found = statements(assistant.spans(None))
            self.app.call_from_thread(self._show_statements, found)
        except AssistantError as error:
            self.app.call_from_thread(self.notify, one_line(str(error)), severity="error", markup=False)

    def action_tab(self, name: str) -> None:
        self.query_one(TabbedContent).active = name
        self.action_to_table()

    def action_to_table(self) -> None:
        active = self.query_one(TabbedContent).active
        wanted = {"map": "#issues", "timeline": "#dates", "compare": "#one"}[active or "map"]
        self.query_one(wanted).focus()

    def action_add_issue(self) -> None:
        self.query_one(TabbedContent).active = "map"
        self.query_one("#issue").focus()

    @on(Input.Submitted, "#issue")
    def ask_voices(self, event: Input.Submitted) -> None:
        event.stop()
        issue = " ".join(event.value.split())
        if issue and self.chat.assistant is not None:
            event.input.clear()
            self._tell_position(f"Asking each voice about {issue} …")
            self._ask_voices(issue)

    @behind("voices", exclusive=False)
    def _ask_voices(self, issue: str) -> None:
        assistant = self.chat.assistant
        if assistant is None:
            return
        try:
            known = list(self._map.speakers) if self._map is not None else []
            speakers = (known or assistant.store.speaker_names())[:_MOST_SPEAKERS]
            found = list(assistant.ask_voices([issue], speakers))
            self.app.call_from_thread(self._add_issues, found)
        except AssistantError as error:
            self.app.call_from_thread(self._tell_position, str(error))

    def _add_issues(self, found: list[Issue]) -> None:
        if self._map is not None and self.is_attached:
            own = self._map.issues[: len(self._map.issues) - len(self._added)]
            self._added += found
            self._show_map(DebateMap(own))
            self.query_one("#issues", DataTable).move_cursor(row=len(self._map.issues) - 1)
            if not any(issue.positions for issue in found):
                words = "Each voice was asked, and none says enough on it; F2 shows what comes nearest."
                self.call_after_refresh(self._tell_position, words)

    def _tell_position(self, words: str) -> None:
        if self.is_attached:
            self.query_one("#position Static", Static).update(Content(one_line(words)))

    def action_find(self) -> None:
        self.query_one(TabbedContent).active = "timeline"
        self.query_one("#find").focus()

    # -- map -------------------------------------------------------------------------------------------------------------

    def _columns(self) -> list[str]:
        if self._map is None:
            return []
        has_states = any(issue.state for issue in self._map.issues)
        return [*self._map.speakers[:_MOST_SPEAKERS], *([_STATE_OF_PLAY] if has_states else [])]

    def _show_map(self, shown: DebateMap) -> None:
        if not self.is_attached:
            return
        shown = DebateMap((*shown.issues, *self._added))
        self._map = shown
        table = self.query_one("#issues", DataTable)
        table.clear(columns=True)
        if not shown.issues:
            words = "This corpus has no issue map of its own. A adds an issue: each voice is asked for its position."
            self._tell_position(words)
            return
        columns = self._columns()
        narrow = self.size.width < _WIDE
        first = 18 if narrow else 28
        # Two characters of padding for each column.
        width = max(20, (self.size.width - first - 2 * (len(columns) + 2)) // max(1, len(columns)))
        for name in ("Issue", *columns):
            table.add_column(Text(one_line(name), style="bold"), key=name, width=first if name == "Issue" else width)
        for issue in shown.issues:
            row = [Text(one_line(issue.name), style="bold")]
            for name in columns:
                citations = _cell(issue, name)
                row.append(Text(shortened(_gist(citations[0].quote), _LINES * (width - 2)) if citations else "–"))
            table.add_row(*row, height=_LINES)
        table.focus()
        speakers = list(shown.speakers)
        for number, name in enumerate(("#one", "#other")):
            select = self.query_one(name, Select)
            select.set_options((one_line(speaker), speaker) for speaker in speakers)
            if number < len(speakers):
                select.value = speakers[number]

    def _citations_at(self, row: int, column: int) -> list[Citation]:
        if self._map is None or row >= len(self._map.issues):
            return []
        issue, columns = self._map.issues[row], self._columns()
        if column == 0:
            return [*issue.positions, *([issue.state] if issue.state else [])]
        return _cell(issue, columns[column - 1]) if column - 1 < len(columns) else []

    @on(DataTable.CellHighlighted, "#issues")
    def look_at_cell(self, event: DataTable.CellHighlighted) -> None:
        at = event.coordinate
        if self._map is None or at.row >= len(self._map.issues):
            return
        told = self._citations_at(at.row, at.column)
        parts: list[str | Content | tuple[str, str]] = [(one_line(self._map.issues[at.row].name), "bold"), "\n"]
        for citation in told:
            parts += [_spoken(citation, self.chat.colour(citation.voice.speaker)), "\n"]
        parts.append(("Enter opens the evidence." if told else "The map states no position of this voice here.", "dim"))
        self.query_one("#position Static", Static).update(Content.assemble(*parts))

    @on(DataTable.CellSelected, "#issues")
    def open_cell(self, event: DataTable.CellSelected) -> None:
        self._open(self._citations_at(event.coordinate.row, event.coordinate.column))

    def _open(self, citations: Sequence[Citation], at: int = 0) -> None:
        places: list[Place] = [place_of(citation, number=number) for number, citation in enumerate(citations, start=1)]
        if places:
            self.post_message(OpenPlace(places, at))

    # -- timeline --------------------------------------------------------------------------------------------------------

    def _show_statements(self, found: list[Statement]) -> None:
        if self.is_attached:
            self._statements = found
            table = self.query_one("#dates", DataTable)
            table.clear(columns=True)
            for name in ("Date", "Statement", "Voice", "Source"):
                table.add_column(name, key=name)
            self._fill_dates()

    @on(Input.Changed, "#find")
    def _fill_dates(self) -> None:
        wanted = folded(self.query_one("#find", Input).value).split()
        table = self.query_one("#dates", DataTable)
        table.clear()
        self._shown = [
            each
            for each in self._statements
            if all(word in folded(f"{each.date.iso} {each.citation.quote} {each.citation.voice}") for word in wanted)
        ][:_MOST_STATEMENTS]
        width = max(20, self.size.width - 66)
        for each in self._shown:
            citation = each.citation
            words = (
                each.date.iso,
                shortened(one_line(citation.quote), width),
                shortened(one_line(citation.voice.speaker), 18),
                shortened(one_line(citation.reference), 28),
            )
            table.add_row(*map(Text, words))

    @on(Input.Submitted, "#find")
    def found(self) -> None:
        self.action_to_table()

    @on(DataTable.RowHighlighted, "#dates")
    def look_at_date(self, event: DataTable.RowHighlighted) -> None:
        if 0 <= event.cursor_row < len(self._shown):
            statement = self._shown[event.cursor_row]
            told = _spoken(statement.citation, self.chat.colour(statement.citation.voice.speaker))
            words = Content.assemble((f"{statement.date.iso} (“{one_line(statement.date.words)}”)", "bold"), "\n", told)
            self.query_one("#statement Static", Static).update(words)

    @on(DataTable.RowSelected, "#dates")
    def open_date(self, event: DataTable.RowSelected) -> None:
        if 0 <= event.cursor_row < len(self._shown):
            self._open([each.citation for each in self._shown], event.cursor_row)

    # -- two voices ------------------------------------------------------------------------------------------------------

    @on(Select.Changed)
    async def compare(self) -> None:
        one, other = self.query_one("#one", Select).value, self.query_one("#other", Select).value
        side = self.query_one("#side-by-side Vertical", Vertical)
        await side.remove_children()
        if self._map is None or not isinstance(one, str) or not isinstance(other, str):
            return
        both = [issue for issue in self._map.issues if _cell(issue, one) and _cell(issue, other)]
        if one == other or not both:
            await side.mount(Static(Content("Choose two voices that take positions on the same issue."), markup=False))
            return
        rows: list[Widget] = []
        for issue in both:
            rows.append(Static(Content(one_line(issue.name)).stylize("bold"), markup=False, classes="issue"))
            pair = [Position(_cell(issue, name), self.chat.colour(name)) for name in (one, other)]
            rows.append(Horizontal(*pair, classes="pair"))
            if issue.state:
                rows.append(Position([issue.state], "dim", lead=f"{_STATE_OF_PLAY}: "))
        await side.mount_all(rows)


class Position(Static, can_focus=True):
    """What somebody holds; Enter or a click opens its evidence."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open the evidence"),
        Binding("down", "app.focus_next", "Next", show=False),
        Binding("up", "app.focus_previous", "Previous", show=False),
    ]

    def __init__(self, citations: Sequence[Citation], colour: str, *, lead: str = "") -> None:
        spoken = [_spoken(citation, colour, lead=lead) for citation in citations]
        super().__init__(Content("\n").join(spoken), markup=False)
        self._citations = citations

    def action_open(self) -> None:
        self.post_message(OpenPlace([place_of(each, number=n) for n, each in enumerate(self._citations, start=1)], 0))

    def on_click(self) -> None:
        self.action_open()


def _gist(quote: str) -> str:
    """Without the words that only say again what the row is about: "On control or protection, Vu's position is …"."""
    return re.sub(r"^On [^,]+, (?=\S)", "", one_line(quote))


def _cell(issue: Issue, name: str) -> list[Citation]:
    if name == _STATE_OF_PLAY:
        return [issue.state] if issue.state else []
    return [each for each in issue.positions if each.voice.speaker == name]


def _spoken(citation: Citation, colour: str, *, lead: str = "") -> Content:
    who = (lead, f"bold {colour}") if lead else (f"{one_line(str(citation.voice))}: ", f"bold {colour}")
    return Content.assemble(who, one_line(citation.quote), (f" ({one_line(citation.reference)})", "dim"))
