"""Two runs over the same questions, and a run against what its suite has reached before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor
from pathlib import Path

from assistant.settings import ASIDE
from evals.cases import Suite
from evals.records import Record, Result, read_record, recording
from evals.statistics import Difference, difference
from evals.summaries import LOWER_IS_BETTER, Summary, measured, quality_of, statistic_of, values_of
from index.errors import SuiteError

REACHED = "reached.jsonl"
"""In a suite's folder: the run whose figures the gates were taken from, without its answers."""
RETRIEVAL_MEASURES = ("evidence R@5", "R@5", "nDCG@10")
"""What retrieval is judged by, question by question: the first that the question has."""
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Pair:
    """One question in both runs."""

    first: Result
    second: Result
    change: float
    """Of the measure looked at, second minus first."""


@dataclass(frozen=True, slots=True)
class Comparison:
    first: Record
    second: Record
    differences: Mapping[str, Difference]
    """Measure -> difference, over the questions that have it in both runs."""
    by: str | None
    """The measure that questions are won and lost by; None when the runs share none."""
    won: tuple[Pair, ...]
    """Where the second run is better, the most first."""
    lost: tuple[Pair, ...]
    only_first: int
    """Questions that only the first run asked."""
    only_second: int

    @property
    def shown(self) -> dict[str, Difference]:
        """The differences that the suite shows in tables."""
        wanted = self.second.run.measures or tuple(self.differences)
        return {name: told for name, told in self.differences.items() if name in wanted}


def compare(first: Record, second: Record, *, by: str | None = None) -> Comparison:
    """by: a measure of single questions; else what the quality of answers is taken to be, or retrieval is judged by.

    Raises SuiteError when the runs have no question in common, were asked of other gold, or lack the measure.
    """
    if first.run.gold != second.run.gold:
        raise SuiteError(f"{first.path} and {second.path} were asked of different gold questions; they cannot be compared.")
    others = {result.id: result for result in second.results}
    pairs = [(result, others[result.id]) for result in first.results if result.id in others]
    if not pairs:
        raise SuiteError(f"{first.path} and {second.path} have no question in common.")
    ones, twos = [one for one, _ in pairs], [two for _, two in pairs]
    differences = {
        name: told
        for name in measured([*ones, *twos])
        if (told := _difference(name, ones, twos, seed=first.run.seed)) is not None
    }
    shared = {name for one, two in pairs for name in one.scores if name in two.scores}
    if by is not None and by not in shared:
        raise SuiteError(f"no question has the measure {by} in both runs; there are: {', '.join(sorted(shared)) or 'none'}.")
    usual = (quality_of([*ones, *twos]), *RETRIEVAL_MEASURES)
    measure = by or next((name for name in usual if name in shared), None)
    changes = [
        Pair(one, two, two.scores[measure] - one.scores[measure])
        for one, two in pairs
        if measure is not None and measure in one.scores and measure in two.scores
    ]
    return Comparison(
        first=first,
        second=second,
        differences=differences,
        by=measure,
        won=tuple(sorted((pair for pair in changes if pair.change > _SAME), key=lambda pair: -pair.change)),
        lost=tuple(sorted((pair for pair in changes if pair.change < -_SAME), key=lambda pair: pair.change)),
        only_first=len(first.results) - len(pairs),
        only_second=len(second.results) - len(pairs),
    )


def _difference(name: str, first: Sequence[Result], second: Sequence[Result], *, seed: int) -> Difference | None:
    """Only questions that have the measure in both runs count."""
    columns = measured([*first, *second])[name]
    pairs = [(one, two) for one, two in zip(first, second, strict=True) if len(columns([one])[0]) and len(columns([two])[0])]
    if not pairs:
        return None
    ones, twos = [one for one, _ in pairs], [two for _, two in pairs]
    return difference(statistic_of(name), columns(ones), columns(twos), seed=seed)


# -- gates -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gate:
    measure: str
    floor: float
    """What must be reached; for measures of which less is better, what must not be passed."""
    reached: float | None
    """None when the run has no such measure."""

    @property
    def holds(self) -> bool:
        if self.reached is None:
            return False
        return self.reached <= self.floor if self.measure in LOWER_IS_BETTER else self.reached >= self.floor


def gates(record: Record) -> list[Gate]:
    """The suite's gates, where they can be judged: on the whole of a part that is not for testing only, answered with the
    suite's own settings. Else none.
    """
    run = record.run
    if run.part == "test" or run.limit is not None or run.changed or not record.is_complete or run.mode != "answers":
        return []
    reached = values_of(record.results)
    return [Gate(name, floor, reached.get(name)) for name, floor in run.gates.items()]


def fallen_cases(gate: Gate, record: Record, suite_folder: Path) -> tuple[Pair, ...]:
    """The questions that are worse than in the run that the gate was taken from; none where that run is not kept."""
    path = suite_folder / REACHED
    if not path.is_file():
        return ()
    before = read_record(path)
    if before.run.gold != record.run.gold:
        return ()
    if any(gate.measure in result.scores for result in record.results):
        return compare(before, record, by=gate.measure).lost
    # A measure of the whole suite falls with the questions that are refused or answered otherwise than before.
    others = {result.id: result for result in record.results}
    return tuple(
        Pair(result, others[result.id], 0.0)
        for result in before.results
        if result.id in others
        and result.abstained != others[result.id].abstained
        and others[result.id].abstained == others[result.id].answerable
    )


def accept(summary: Summary, suite: Suite) -> dict[str, float]:
    """Keeps a run as what its suite has reached; returns the floors: the lower ends of the intervals.

    Raises SuiteError for a run that is not whole, or of other gold.
    """
    record = summary.record
    run = record.run
    if run.gold != suite.digest:
        raise SuiteError(f"{record.path} was asked of other questions than {suite.gold} holds now; nothing was taken over.")
    if not record.is_complete or run.limit is not None or run.changed or run.mode != "answers":
        raise SuiteError(f"{record.path} is not a whole run with the suite's own settings; nothing was taken over.")
    # Where files lie on the machine is nobody's business but its user's.
    stripped = replace(run, settings={key: value for key, value in run.settings.items() if key not in ASIDE})
    slim = [replace(result, answer=None, passages=(), if_answered=None, answers=()) for result in record.results]
    with recording(suite.folder / REACHED, stripped, done=slim):
        pass
    return {
        # Rounded to the easier side, so that the run holds its own gates.
        name: ceil(told.high * 1000) / 1000 if name in LOWER_IS_BETTER else floor(told.low * 1000) / 1000
        for name, told in summary.measures.items()
        if name in (run.gates or summary.shown)
    }
