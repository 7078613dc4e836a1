"""The questions of a run: what was asked, what gold says, what was answered and cited, what was retrieved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Static

from assistant.inert import inert, one_line, shortened

if TYPE_CHECKING:
    from evals.records import Record, Result

_LONGEST_PASSAGE = 300
_MOST_PASSAGES = 5
_LONGEST_QUESTION = 40


class CasesScreen(Screen[None]):
    CSS_PATH = "tables.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "Back"),
        Binding("w", "worst", "Worst first"),
    ]

    def __init__(self, record: Record) -> None:
        super().__init__()
        self._record = record
        self._results = list(record.results)
        self._is_worst_first = False

    def compose(self) -> ComposeResult:
        run = self._record.run
        yield Static(
            Content(f"{run.title}, {run.part} · {self._record.path.name}").stylize("bold"), markup=False, id="source-title"
        )
        with Horizontal(id="bench"):
            yield DataTable(id="cases", cursor_type="row", zebra_stripes=True)
            with VerticalScroll(id="figures", can_focus=False):
                yield Static("", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        for name in ("Question", "Type", "Answered", "Score"):
            table.add_column(name)
        table.focus()
        self._fill()

    def action_close(self) -> None:
        self.dismiss()

    def action_worst(self) -> None:
        self._is_worst_first = not self._is_worst_first
        self._results = sorted(self._record.results, key=quality) if self._is_worst_first else list(self._record.results)
        self._fill()

    def _fill(self) -> None:
        table = self.query_one(DataTable)
        table.clear()
        for result in self._results:
            told = (
                "✗ failed"
                if result.error
                else ""
                if result.abstained is None
                else "○ refused"
                if result.abstained
                else "✓ answered"
            )
            cells = (
                shortened(one_line(result.question), _LONGEST_QUESTION),
                one_line(result.type),
                told,
                f"{quality(result):.2f}",
            )
            table.add_row(*map(Text, cells))

    @on(DataTable.RowHighlighted)
    def look_at(self, event: DataTable.RowHighlighted) -> None:
        if 0 <= event.cursor_row < len(self._results):
            self.query_one("#figures Static", Static).update(case_of(self._results[event.cursor_row]))
            self.query_one("#figures", VerticalScroll).scroll_home(animate=False)


def quality(result: Result) -> float:
    """0 to 1, to put questions in order: right to refuse or to answer, and how well."""
    if result.abstained is not None and result.abstained == result.answerable:
        return 0.0
    names = ("key-fact recall", "F1", "citation precision", "nDCG@10")
    return next((result.scores[name] for name in names if name in result.scores), 1.0)


def case_of(result: Result) -> Content:
    parts: list[str | tuple[str, str]] = [
        (f"{one_line(result.question)}\n", "bold"),
        (f"{result.id} · {result.type}\n\n", "dim"),
    ]
    gold = "\n".join(map(one_line, result.answers)) or (
        "the sources do not say" if not result.answerable else "(key facts or places only)"
    )
    parts += [("Gold\n", "bold $text-accent"), f"{gold}\n\n", ("Answered\n", "bold $text-accent")]
    if result.error:
        parts.append((f"✗ {one_line(result.error)}\n", "$text-error"))
    answer: Mapping[str, Any] = result.answer or {}
    if result.abstained:
        parts.append(f"○ {one_line(str(answer.get('short', 'refused')))} {one_line(str(answer.get('reason', '')))}\n")
    elif answer.get("short"):
        parts.append(f"short: {one_line(str(answer['short']))}\n")
    for sentence in answer.get("sentences", ()):
        marks = "".join(f" [{marker}]" for marker in sentence["citations"])
        parts.append(f"{'? unverified: ' if sentence['support'] == 'unverified' else ''}{one_line(sentence['text'])}{marks}\n")
    if answer.get("citations"):
        parts.append(("\nCited\n", "bold $text-accent"))
    for citation in answer.get("citations", ()):
        where = f"{citation['document']}, {citation['locator']} ({citation['voice']['speaker']})"
        parts += [f"[{citation['marker']}] {one_line(where)}\n", (f"    {one_line(citation['quote'])}\n", "dim")]
    parts.append(("\nMeasured\n", "bold $text-accent"))
    if result.confidence is not None:
        parts.append(f"confidence {result.confidence:.2f}\n")
    parts += [f"{one_line(name)} {value:.3f}\n" for name, value in result.scores.items()]
    passages = [*answer.get("passages", ()), *result.passages]
    if passages:
        parts.append(("\nRetrieved\n", "bold $text-accent"))
    for number, passage in enumerate(passages[:_MOST_PASSAGES], start=1):
        text = shortened(inert(str(passage.get("text", ""))), _LONGEST_PASSAGE)
        parts += [
            f"{number}. {one_line(str(passage['document']))} {one_line(str(passage.get('locator', '')))}\n",
            (f"{text}\n", "dim"),
        ]
    return Content.assemble(*parts)
