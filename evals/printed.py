"""A run on the command line: progress, table, file."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from assistant.assembly import Assistant
from assistant.inert import inert, one_line
from evals.cases import Suite
from evals.runner import Outcome, Summary, outcome_as_json, run, summarise, summary_as_json
from index.errors import SuiteError


def run_and_print(suite: Suite, assistant: Assistant, *, out: Path | None, limit: int | None, as_json: bool) -> None:
    """Raises SuiteError when the file for the cases cannot be written."""
    outcomes: list[Outcome] = []
    total = min(len(suite.cases), limit or len(suite.cases))
    with ExitStack() as stack:
        file = None
        if out is not None:
            try:
                file = stack.enter_context(out.open("w", encoding="utf-8"))
            except OSError as error:
                raise SuiteError(f"{out} cannot be written ({error.strerror}).") from error
        bar = stack.enter_context(
            Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=(progress_console := Console(stderr=True)),
                transient=True,
                disable=not progress_console.is_terminal,
            )
        )
        task = bar.add_task(f"Asking {suite.name}", total=total)
        # The model is loaded before the first question, so that its seconds are a question's seconds.
        assistant.warm()
        for outcome in run(suite, assistant, limit=limit):
            outcomes.append(outcome)
            bar.advance(task)
            if file is not None:
                file.write(json.dumps(outcome_as_json(outcome)) + "\n")
                file.flush()
    summary = summarise(suite, outcomes)
    if as_json:
        print(json.dumps(summary_as_json(summary), indent=2))  # noqa: T201
    else:
        _print_summary(suite, summary, outcomes)


def _print_summary(suite: Suite, summary: Summary, outcomes: list[Outcome]) -> None:
    console = Console(highlight=False)
    table = Table(title=inert(f"{suite.title}: {summary.cases} questions"), title_justify="left", box=None, pad_edge=False)
    table.add_column("measure")
    for name in ("mean", "95 % interval", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    for label, measure in summary.measures.items():
        if measure is None:
            table.add_row(label, "–", "–", "0")
        else:
            table.add_row(label, f"{measure.value:.3f}", f"{measure.low:.3f} – {measure.high:.3f}", str(measure.n))
    for label, seconds in (("seconds, median", summary.seconds_median), ("seconds, p95", summary.seconds_p95)):
        table.add_row(label, "–" if seconds is None else f"{seconds:.2f}", "", "")
    console.print(table)
    for outcome in outcomes:
        if outcome.error is not None:
            console.print(Text(one_line(f"! {outcome.case.id} failed: {outcome.error}")), soft_wrap=True)
