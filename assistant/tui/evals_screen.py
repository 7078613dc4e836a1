"""F4: suites and their runs: made, read, drilled into, compared, reported."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import DataTable, Static

from assistant.inert import one_line
from assistant.tui.mode_screen import ModeScreen, behind, trouble
from index.errors import AssistantError

if TYPE_CHECKING:
    from assistant.tui.run_screen import Asked
    from evals.comparison import Comparison
    from evals.records import Record
    from evals.summaries import Summary

_COLUMNS = ("Suite", "Part", "Asked", "Mode", "When", "Changed settings")
_BAR = 20


class EvalsScreen(ModeScreen):
    CSS_PATH = "tables.tcss"
    MODE = "evals"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "run", "Run"),
        Binding("x", "stop", "Stop the run"),
        Binding("enter", "cases", "Questions", show=True),
        Binding("m", "mark", "Mark, compare"),
        Binding("h", "report", "HTML report"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._entries: list[tuple[str, str, Record | None]] = []
        self._marked: Record | None = None
        self._stopped = Flag()
        self._is_told = False
        """Whether the last line holds more than what it begins with."""

    def body(self) -> Iterable[Widget]:
        with Horizontal(id="bench"):
            with Vertical(id="runs-side"):
                yield DataTable(id="runs", cursor_type="row", zebra_stripes=True)
            with VerticalScroll(id="figures", can_focus=False):
                yield Static("", markup=False)
        yield Static("Looking at the runs …", markup=False, id="running")

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        for name in _COLUMNS:
            table.add_column(name, key=name)
        table.focus()

    def on_screen_resume(self) -> None:
        self._read_runs()

    @behind("runs")
    def _read_runs(self) -> None:
        from evals.printed import latest_runs
        from evals.records import read_runs
        from evals.suites import suite_names

        try:
            records = read_runs(self.chat.settings().evals_folder() / "runs")
            newest = {id(record) for _, _, record in latest_runs(suite_names(), records)}
            # The last of each kind first, then those before them.
            entries = latest_runs(suite_names(), records)
            entries += [(each.run.suite, each.run.part, each) for each in records if id(each) not in newest]
            self.app.call_from_thread(self._fill, entries)
        except AssistantError as error:
            self.app.call_from_thread(self._tell, f"✗ {error}")

    def _fill(self, entries: list[tuple[str, str, Record | None]]) -> None:
        if not self.is_attached:
            return
        table = self.query_one(DataTable)
        at = table.cursor_row
        self._entries = entries
        table.clear()
        for suite, part, record in entries:
            if record is None:
                table.add_row(*map(Text, (one_line(suite), "", "no run yet", "", "", "")))
                continue
            run = record.run
            asked = f"{len(record.results)}" if record.is_complete else f"{len(record.results)} of {run.questions}"
            mark = "◆ " if self._marked is not None and record.path == self._marked.path else ""
            changed = ", ".join(f"{key}={value}" for key, value in run.changed.items())
            when = run.started[:16].replace("T", " ")
            table.add_row(*(Text(one_line(each)) for each in (mark + suite, part, asked, run.mode, when, changed)))
        if entries:
            table.move_cursor(row=min(at, len(entries) - 1))
        if not self._is_told:
            self._is_told = True
            self._tell("R runs the suite · M marks a run to be compared with another")

    def _tell(self, words: str) -> None:
        if self.is_attached:
            self.query_one("#running", Static).update(Content(one_line(words)))

    @property
    def _entry(self) -> tuple[str, str, Record | None] | None:
        at = self.query_one(DataTable).cursor_row
        return self._entries[at] if 0 <= at < len(self._entries) else None

    @on(DataTable.RowHighlighted)
    def look_at(self) -> None:
        entry = self._entry
        if entry is not None and entry[2] is not None:
            self._summarise(entry[2])
        else:
            self._show_figures(Content("This suite was not run yet; R runs it."))

    @behind("figures")
    def _summarise(self, record: Record) -> None:
        from evals.comparison import gates
        from evals.summaries import summarise

        try:
            summary = summarise(record)
            fallen = {gate.measure for gate in gates(record) if not gate.holds}
            self.app.call_from_thread(self._show_figures, figures_of(summary, fallen))
        except AssistantError as error:
            self.app.call_from_thread(self._show_figures, Content(f"✗ {one_line(str(error))}"))

    def _show_figures(self, words: Content) -> None:
        if self.is_attached:
            self.query_one("#figures Static", Static).update(words)

    # -- running ---------------------------------------------------------------------------------------------------------

    @property
    def _is_running(self) -> bool:
        return any(worker.group == "eval" and not worker.is_finished for worker in self.app.workers)

    def action_run(self) -> None:
        from assistant.tui.run_screen import RunScreen

        entry = self._entry
        if self._is_running:
            self.notify("A run is going on; X stops it, and keeps what was asked.", timeout=6)
        elif entry is not None:
            self.app.push_screen(RunScreen(entry[0]), self._begin)

    def _begin(self, asked: Asked | None) -> None:
        if asked is not None:
            self._stopped = Flag()
            self._run(asked, self._stopped)

    @behind("eval")
    def _run(self, asked: Asked, stopped: Flag) -> None:
        try:
            told = self._ask(asked, stopped)
        except Exception as error:  # noqa: BLE001 - shown where the run is shown
            told = f"✗ {trouble(error)}"
        self.app.call_from_thread(self._tell, told)
        self.app.call_from_thread(self._read_runs)

    def _ask(self, asked: Asked, stopped: Flag) -> str:
        from assistant.assembly import Assistant, build_index, store_state
        from evals.planning import ask_all, new_file, settings_for, unusual
        from evals.records import describe
        from evals.runner import SEED, chosen_cases
        from evals.suites import load_suite
        from index.build import Progress

        def tell(words: str) -> None:
            self.app.call_from_thread(self._tell, words)

        suite = load_suite(asked.suite, part=asked.part)
        chat = self.chat.settings()
        # The chat's index is of its own corpus.
        is_same = suite.corpus is None or suite.corpus.expanduser().resolve() == chat.corpus.expanduser().resolve()
        settings, own_store = settings_for(suite, {}, chat.store if is_same else None)
        if own_store or (store_state(settings) == "unbuilt" and not settings.is_shared):
            for event in build_index(settings):
                if isinstance(event, Progress):
                    tell(f"○ indexing {suite.name}: {event.stage} {event.done} of {event.total}")
                if stopped.is_set():
                    return "Stopped before the first question."
        assistant = Assistant(settings)
        try:
            cases = chosen_cases(suite, limit=asked.limit, seed=SEED)
            described = describe(
                suite,
                mode="answers",
                documents=[(row.id, row.digest) for row in assistant.store.documents()],
                model=assistant.fingerprint,
                settings=settings.model_dump(mode="json"),
                changed=unusual(settings, suite),
                limit=asked.limit,
                seed=SEED,
                questions=len(cases),
            )
            out = new_file(settings.evals_folder() / "runs", described)
            began = time.monotonic()
            tell(f"○ {suite.name}: loading the model")
            done = 0
            for result in ask_all(suite, assistant, cases, described, out, done=()):
                done += 1
                left = (len(cases) - done) * (time.monotonic() - began) / done
                bar = "█" * (_BAR * done // len(cases)) + "░" * (_BAR - _BAR * done // len(cases))
                tell(f"○ {suite.name} {bar} {done} of {len(cases)}, {left:.0f} s left · {result.question} · X stops")
                if stopped.is_set():
                    return f"Stopped: {done} of {len(cases)} questions are kept in {out.name}."
        finally:
            assistant.close()
        return f"✓ {suite.name}: {done} questions in {time.monotonic() - began:.0f} s, kept in {out.name}"

    def action_stop(self) -> None:
        if self._is_running:
            self._stopped.set()
            self._tell("Stopping after this question …")
        else:
            self.notify("No run is going on.", timeout=4)

    # -- reading ---------------------------------------------------------------------------------------------------------

    @on(DataTable.RowSelected)
    def action_cases(self) -> None:
        from assistant.tui.cases_screen import CasesScreen

        entry = self._entry
        if entry is not None and entry[2] is not None:
            self.app.push_screen(CasesScreen(entry[2]))

    def action_mark(self) -> None:
        entry = self._entry
        if entry is None or entry[2] is None:
            return
        if self._marked is None or self._marked.path == entry[2].path:
            self._marked = None if self._marked is not None else entry[2]
            self._fill(self._entries)
            if self._marked is not None:
                self._tell("◆ marked; M on another run compares the two")
        else:
            self._compare(self._marked, entry[2])

    @behind("figures")
    def _compare(self, first: Record, second: Record) -> None:
        from evals.comparison import compare

        try:
            told = comparison_of(compare(first, second))
        except AssistantError as error:
            told = Content(f"✗ {one_line(str(error))}")
        self.app.call_from_thread(self._show_figures, told)

    def action_report(self) -> None:
        entry = self._entry
        if entry is not None and entry[2] is not None:
            self._report(entry[2])

    @behind("report")
    def _report(self, record: Record) -> None:
        from evals.report import write_report

        page = record.path.with_suffix(".html")
        try:
            self.app.call_from_thread(self._tell, "○ writing the report")
            write_report([record], page)
        except AssistantError as error:
            self.app.call_from_thread(self._tell, f"✗ {error}")
            return
        self.app.call_from_thread(self._tell, f"✓ {page} written")
        self.app.call_from_thread(self.app.open_url, Path(page).resolve().as_uri())


def figures_of(summary: Summary, fallen: set[str]) -> Content:
    """Each measure with its 95 % interval. fallen: those below what the suite has reached before."""
    run = summary.record.run
    width = max((len(name) for name in summary.shown), default=0)
    lines: list[str | tuple[str, str]] = [(f"{run.title}, {run.part}\n", "bold"), f"{len(summary.record.results)} questions"]
    lines.append(f", {summary.errors} failed" if summary.errors else "")
    lines += [f", median {summary.seconds_median:.2f} s" if summary.seconds_median is not None else "", "\n\n"]
    lines.append((f"{'':{width}}   mean   95 % interval     n\n", "dim"))
    for name in summary.shown:
        told = summary.measures[name]
        lines.append(f"{one_line(name):{width}}  {told.value:.3f}   {told.low:.3f} – {told.high:.3f}  {told.n:>4}")
        lines.append((" ▼ below its gate\n", "bold $text-error") if name in fallen else "\n")
    return Content.assemble(*lines)


def comparison_of(told: Comparison) -> Content:
    """What changed from the first run to the second, and which questions were won and lost."""
    width = max((len(name) for name in told.shown), default=0)
    lines: list[str | tuple[str, str]] = [("Compared\n", "bold"), f"A {told.first.path.stem}\nB {told.second.path.stem}\n\n"]
    lines.append((f"{'':{width}}   B − A   95 % interval     p      n\n", "dim"))
    for name, each in told.shown.items():
        sign = "higher" if each.low > 0 else "lower" if each.high < 0 else ""
        lines.append(
            f"{one_line(name):{width}}  {each.value:+.3f}  {each.low:+.3f} – {each.high:+.3f}  {each.p:.3f}  {each.n:>4} {sign}\n"
        )
    for words, pairs in (("Lost", told.lost), ("Won", told.won)):
        lines.append((f"\n{words}{f' by {told.by}' if told.by else ''}: {len(pairs)}\n", "bold"))
        lines += [f"{pair.change:+.2f}  {one_line(pair.second.question)}\n" for pair in pairs[:12]]
    return Content.assemble(*lines)
