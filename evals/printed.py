"""Runs in the terminal: progress, tables, what was won and lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from assistant.assembly import Assistant
from assistant.inert import inert, one_line, shortened
from evals.cases import GoldCase, Suite
from evals.comparison import Comparison, Gate, Pair, fallen_cases, gates
from evals.judging import Agreement
from evals.planning import ask_all
from evals.records import Record, Result, Run, differences, read_record
from evals.statistics import Difference, Estimate
from evals.summaries import LOWER_IS_BETTER, Summary, run_label
from index.errors import SuiteError

_SHOWN_FALLEN = 20
_WIDE = 200
# Of two runs: shown in their headings, or different whenever they differ in anything.
_TOLD_ELSEWHERE = ("changed.", "settings.", "limit", "questions", "measures", "gates")
_ANSWER_CHARACTERS = 300
_HEADLINES = ("nDCG@10", "evidence R@5", "R@5", "key-fact recall", "F1", "citation precision", "abstention F1")


def run_with_progress(
    suite: Suite,
    assistant: Assistant,
    cases: Sequence[GoldCase],
    described: Run,
    out: Path,
    *,
    fresh: bool,
    command: str,
) -> Record:
    """Asks what the file does not hold yet, and adds each case to it as it ends.

    command: what goes on with the run when it is stopped. Raises SuiteError when gold names what is not in the corpus, and
    when the file holds another run.
    """
    done = () if fresh else done_of(out, described)
    # What failed is asked again: the failure may have been the machine's, not the question's.
    done = tuple(result for result in done if result.error is None)
    console = Console(stderr=True)
    results = list(done)
    try:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        ) as bar:
            task = bar.add_task(f"Asking {inert(suite.name)}", total=len(cases), completed=len(done))
            for result in ask_all(suite, assistant, cases, described, out, done=done):
                results.append(result)
                bar.advance(task)
    except KeyboardInterrupt:
        console.print(Text(f"{len(results)} of {len(cases)} questions are kept; go on with: {inert(command)}"), soft_wrap=True)
        raise
    order = {case.id: number for number, case in enumerate(cases)}
    return Record(out, described, tuple(sorted(results, key=lambda result: order[result.id])))


def done_of(out: Path, described: Run) -> tuple[Result, ...]:
    """What the file holds of this run already. Raises SuiteError when it holds another."""
    if not out.exists() or not out.stat().st_size:
        return ()
    recorded = read_record(out)
    differing = differences(recorded.run, described)
    if differing:
        raise SuiteError(
            f"{out} holds another run, which cannot be gone on with; choose another --out, or begin anew with --fresh. "
            "It differs in " + "; ".join(differing) + "."
        )
    return recorded.results


def _without_model(result: Result) -> bool:
    """Whether a language model was asked, and the answer is not its own."""
    told = result.answer or {}
    return bool(told.get("model") and told.get("generator") == "extractive" and told.get("notices"))


def print_agreement(told: Agreement | None) -> None:
    out = Console(highlight=False)
    if told is None:
        out.print("No question has both a verdict and key facts: there is no agreement to tell.", soft_wrap=True)
        return
    kappa = "" if told.kappa is None else f", Cohen's kappa {told.kappa:.2f}"
    said = f"The judge and key-fact recall say the same of {told.share:.3f} of {told.questions} answers{kappa}."
    out.print(Text(said), soft_wrap=True)


# -- one run -----------------------------------------------------------------------------------------------------------------


def print_summary(summary: Summary, suite_folder: Path, *, quiet: bool) -> bool:
    """The table, failures and gates; quiet: only what is wrong, on stderr. Returns whether every gate holds."""
    record = summary.record
    told = gates(record)
    out = Console(highlight=False, stderr=quiet)
    if not quiet:
        run = record.run
        settings = "".join(f", {key}={value}" for key, value in run.changed.items())
        what = "retrieved for" if run.mode == "retrieval" else "answered"
        drawn = f", drawn with seed {run.seed}" if run.limit is not None else ""
        out.print(Text(inert(f"{run.title}, {run.part} part: {len(record.results)} questions {what}{drawn}{settings}"), "bold"))
        table = _table("measure", "mean", "95 % interval", "n")
        for name in summary.shown:
            measure = summary.measures[name]
            table.add_row(Text(inert(name)), f"{measure.value:.3f}", f"{measure.low:.3f} – {measure.high:.3f}", str(measure.n))
        for label, seconds in (("seconds, median", summary.seconds_median), ("seconds, p95", summary.seconds_p95)):
            if seconds is not None:
                table.add_row(label, f"{seconds:.2f}", "", "")
        out.print(table)
    if not quiet and record.run.mode == "answers":
        for name in record.run.measures:
            if name not in summary.measures:
                out.print(Text(one_line(f"! suite.toml asks for the measure {name}, which no question of this run has.")))
    for result in record.results:
        if result.error is not None:
            out.print(Text(one_line(f"! {result.id} failed: {result.error}")), soft_wrap=True)
    instead = sum(_without_model(result) for result in record.results)
    if instead:
        out.print(
            Text(f"! {instead} of {len(record.results)} answers were given without the language model; their notices tell why.")
        )
    for gate in told:
        _print_gate(out, gate, record, suite_folder, quiet=quiet)
    if not quiet:
        out.print(Text(f"The run is kept in {inert(str(record.path))}", "dim"), soft_wrap=True)
    return all(gate.holds for gate in told)


def _print_gate(out: Console, gate: Gate, record: Record, suite_folder: Path, *, quiet: bool) -> None:
    _print_verdict(out, gate, quiet=quiet)
    if gate.holds:
        return
    fallen = fallen_cases(gate, record, suite_folder)
    for pair in fallen[:_SHOWN_FALLEN]:
        _print_pair(out, pair, gate.measure, labels=("before", "now"))
    if len(fallen) > _SHOWN_FALLEN:
        out.print(Text(f"  … and {len(fallen) - _SHOWN_FALLEN} more"))


def _print_verdict(out: Console, gate: Gate, *, quiet: bool) -> None:
    """quiet: only when it has fallen."""
    reached = "none" if gate.reached is None else f"{gate.reached:.3f}"
    asked = f"{'at most' if gate.measure in LOWER_IS_BETTER else 'at least'} {gate.floor:.3f}"
    if not gate.holds:
        out.print(Text(f"gate {gate.measure} FALLEN: {reached}, {asked} is asked", "bold red"))
    elif not quiet:
        out.print(Text(f"gate {gate.measure} holds: {reached}, {asked} is asked", "green"))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left", no_wrap=bool(number))
    return table


# -- several runs ------------------------------------------------------------------------------------------------------------


def print_side_by_side(summaries: Sequence[Summary]) -> None:
    names = list(dict.fromkeys(name for summary in summaries for name in summary.shown))
    wide = max(map(len, names), default=0) + len(summaries) * (len("0.000 (0.000–0.000)") + 2)
    out = Console(highlight=False)
    narrow = out.is_terminal and wide > out.width
    if not out.is_terminal:
        out = Console(highlight=False, width=max(wide, out.width))
    labels = [run_label(number) for number in range(len(summaries))]
    for label, summary in zip(labels, summaries, strict=True):
        run, partial = summary.record.run, "" if summary.record.is_complete else f" of {summary.record.run.questions}"
        settings = ", ".join(f"{key}={value}" for key, value in run.changed.items()) or "the suite's settings"
        line = f"{label}: {run.title}, {run.part}, {len(summary.record.results)}{partial} questions, {settings}, {run.started}"
        out.print(Text(inert(line)), soft_wrap=True)
    table = _table("measure", *labels)
    for name in names:
        table.add_row(Text(inert(name)), *(_figure(summary.measures.get(name), bare=narrow) for summary in summaries))
    out.print(table)
    if narrow:
        out.print(Text(f"Intervals are shown from {wide} columns on.", "dim"))


def _figure(measure: Estimate | None, *, bare: bool) -> str:
    if measure is None:
        return "–"
    return f"{measure.value:.3f}" if bare else f"{measure.value:.3f} ({measure.low:.3f}–{measure.high:.3f})"


def print_runs(shipped: Sequence[str], records: Sequence[Record]) -> None:
    out = Console(highlight=False)
    table = _table("suite", "run", "questions", "figures")
    for number in (1, 3):
        table.columns[number].justify, table.columns[number].no_wrap = "left", False
        table.columns[number].overflow = "fold"
    if not out.is_terminal:
        out = Console(highlight=False, width=_WIDE)
    for suite, _, record in latest_runs(shipped, records):
        if record is None:
            table.add_row(suite, "no run yet", "", "")
            continue
        run = record.run
        asked = f"{len(record.results)}{'' if record.is_complete else f'/{run.questions}'}"
        settings = "".join(f" {key}={value}" for key, value in run.changed.items())
        means = "  ".join(f"{name} {value:.3f}" for name, value in _headline(record).items())
        table.add_row(Text(inert(suite)), Text(inert(record.path.stem)), asked, Text(inert(means + settings)))
    out.print(table)


def runs_as_json(shipped: Sequence[str], records: Sequence[Record]) -> list[dict[str, Any]]:
    return [
        {
            "suite": suite,
            "part": part or None,
            "last": None
            if record is None
            else {
                "run": record.path.stem,
                "started": record.run.started,
                "mode": record.run.mode,
                "questions": len(record.results),
                "complete": record.is_complete,
                "changed": dict(record.run.changed),
                "measures": _headline(record),
            },
        }
        for suite, part, record in latest_runs(shipped, records)
    ]


def latest_runs(shipped: Sequence[str], records: Sequence[Record]) -> list[tuple[str, str, Record | None]]:
    """The last run of each suite, part, mode and change of settings."""
    latest: dict[tuple[object, ...], Record] = {}
    for record in records:
        run = record.run
        latest.setdefault((run.suite, run.part, run.mode, tuple(run.changed.items())), record)
    listed: list[tuple[str, str, Record | None]] = [
        (record.run.suite, record.run.part, record) for _, record in sorted(latest.items(), key=lambda entry: str(entry[0]))
    ]
    run_before = {name for name, _, _ in listed}
    listed += [(name, "", None) for name in shipped if name not in run_before]
    return sorted(listed, key=lambda entry: entry[0])


def _headline(record: Record) -> dict[str, float]:
    from evals.summaries import values_of

    values = values_of(record.results)
    return {name: values[name] for name in _HEADLINES if name in values}


# -- comparison --------------------------------------------------------------------------------------------------------------


def print_comparison(told: Comparison, *, most: int, quiet: bool) -> bool:
    """quiet: nothing but fallen gates, on stderr. Returns whether the gates hold in the second run."""
    out = Console(highlight=False, stderr=quiet)
    judged = gates(told.second)
    if not quiet:
        table = _table("measure", "B − A", "95 % interval", "p", "n")
        for name, change in told.shown.items():
            sure = change.p < 0.05
            row = (f"{change.value:+.3f}", f"{change.low:+.3f} – {change.high:+.3f}", f"{change.p:.3f}", str(change.n))
            table.add_row(Text(inert(name)), *row, style="bold" if sure else None)
        for label, record in (("A", told.first), ("B", told.second)):
            settings = ", ".join(f"{key}={value}" for key, value in record.run.changed.items()) or "the suite's settings"
            out.print(Text(inert(f"{label}: {record.path.name}: {settings}; {record.run.started}")), soft_wrap=True)
        for line in differences(told.first.run, told.second.run, names=("in A", "in B")):
            if not line.startswith(_TOLD_ELSEWHERE):
                out.print(Text(inert(line), "dim"), soft_wrap=True)
        for label, count in (("A", told.only_first), ("B", told.only_second)):
            if count:
                out.print(Text(f"{count} questions only {label} asked are left out."))
        out.print(table)
        for word, pairs in (("won", told.won), ("lost", told.lost)) if told.by is not None else ():
            out.print(Text(f"{len(pairs)} {word} by {told.by}", "bold"))
            for pair in pairs[:most]:
                _print_pair(out, pair, told.by or "", labels=("A", "B"))
            if len(pairs) > most:
                out.print(Text(f"  … and {len(pairs) - most} more (--cases {len(pairs)})", "dim"))
    for gate in judged:
        _print_verdict(out, gate, quiet=quiet)
    return all(gate.holds for gate in judged)


def _print_pair(out: Console, pair: Pair, measure: str, *, labels: tuple[str, str]) -> None:
    before, after = (result.scores.get(measure) for result in (pair.first, pair.second))
    figures = "" if before is None or after is None else f" {before:.2f} → {after:.2f}"
    out.print(Text(one_line(f"  {pair.second.id}{figures}  {pair.second.question}")), soft_wrap=True)
    for label, result in zip(labels, (pair.first, pair.second), strict=True):
        said = spoken_answer(result)
        if said:
            out.print(Text(f"      {label}: {shortened(one_line(said), _ANSWER_CHARACTERS)}", "dim"), soft_wrap=True)


def spoken_answer(result: Result) -> str:
    """What was answered, in one line; empty when nothing was asked, or the answer is not kept."""
    if result.error is not None:
        return f"failed: {result.error}"
    if result.answer is None:
        return ""
    return str(result.answer["short"]) if result.abstained else " ".join(each["text"] for each in result.answer["sentences"])


def comparison_as_json(told: Comparison) -> dict[str, Any]:
    def case(pair: Pair) -> dict[str, Any]:
        return {
            "id": pair.second.id,
            "question": pair.second.question,
            "change": pair.change,
            "answers": [spoken_answer(pair.first), spoken_answer(pair.second)],
        }

    return {
        "runs": [str(told.first.path), str(told.second.path)],
        "differences": {name: _difference_as_json(change) for name, change in told.differences.items()},
        "by": told.by,
        "won": [case(pair) for pair in told.won],
        "lost": [case(pair) for pair in told.lost],
        "gates": [{**asdict(gate), "holds": gate.holds} for gate in gates(told.second)],
    }


def _difference_as_json(change: Difference) -> Mapping[str, float]:
    return change._asdict()
