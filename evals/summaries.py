"""Results become figures: every mean with its interval, by suite and by type of question."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evals.records import Record, Result
from evals.statistics import (
    Estimate,
    Floats,
    Statistic,
    abstention_f1,
    abstention_precision,
    abstention_recall,
    aurc,
    auroc,
    estimate,
    expected_calibration_error,
    mean,
    quantile,
)

LOWER_IS_BETTER = frozenset({"AURC", "ECE"})
# What the quality of an answer is taken to be for the risk-coverage curve: the first that the suite has.
_QUALITIES = ("key-fact recall", "F1", "citation precision")
_ORDER = (
    "nDCG@10", "RR", "R@", "Success@", "evidence nDCG@10", "evidence RR", "evidence R@", "evidence Success@",
    "nDCG@10, ", "R@5, ", "both sides@", "argument R@",
    "key-fact recall", "judged right", "EM", "F1", "ROUGE-L", "citation precision", "citation recall",
    "quotes at their offsets", "right speaker",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Summary:
    record: Record
    measures: Mapping[str, Estimate]
    """Measure -> figure, in the order to show them; those that apply to no question are absent."""
    shown: tuple[str, ...]
    """The measures that the suite shows in tables; all of them where it names none."""
    errors: int
    seconds_median: float | None
    seconds_p95: float | None


def run_label(number: int) -> str:
    """A, B, …, Z, 27, 28, …: how a run is called where several stand side by side."""
    return chr(ord("A") + number) if number < 26 else str(number + 1)


def summarise(record: Record) -> Summary:
    seconds = np.array([result.seconds for result in record.results if result.seconds is not None])
    measures = figures(record.results, seed=record.run.seed)
    wanted = record.run.measures or tuple(measures)
    return Summary(
        record=record,
        measures=measures,
        shown=tuple(name for name in measures if name in wanted),
        errors=sum(result.error is not None for result in record.results),
        seconds_median=quantile(seconds, 0.5),
        seconds_p95=quantile(seconds, 0.95),
    )


def by_type(record: Record, names: Collection[str] = ()) -> dict[str, dict[str, Estimate]]:
    """Type of question -> measure -> figure. names: the measures wanted; all when empty."""
    types = dict.fromkeys(result.type for result in record.results)
    return {
        each: figures([result for result in record.results if result.type == each], seed=record.run.seed, names=names)
        for each in types
    }


def figures(results: Sequence[Result], *, seed: int, names: Collection[str] = ()) -> dict[str, Estimate]:
    """Every measure that applies, with its interval. names: the measures wanted; all when empty."""
    found = {}
    for name, columns in measured(results).items():
        if names and name not in names:
            continue
        value = estimate(statistic_of(name), *columns(results), seed=seed)
        if value is not None:
            found[name] = value._replace(n=_judged(name, columns(results)))
    return found


def _judged(measure: str, columns: tuple[Floats, ...]) -> int:
    """How many questions the figure is made of: refusals for their precision, unanswerable questions for their recall."""
    if measure == "abstention precision":
        return int(columns[0].sum())
    if measure == "abstention recall":
        return int((1 - columns[1]).sum())
    return len(columns[0])


# -- which measures there are, and what they are computed from ---------------------------------------------------------------

Columns = Callable[[Sequence[Result]], tuple[Floats, ...]]

_SETWISE: Mapping[str, Statistic] = {
    "abstention precision": abstention_precision,
    "abstention recall": abstention_recall,
    "abstention F1": abstention_f1,
    "AUROC": auroc,
    "ECE": expected_calibration_error,
    "AURC": aurc,
}


def statistic_of(measure: str) -> Statistic:
    """A mean over questions, or a statistic of all of them."""
    return _SETWISE.get(measure, mean)


def measured(results: Sequence[Result]) -> dict[str, Columns]:
    """Each measure that some question has, in the order to show them, with what it is computed from."""
    names = {name for result in results for name in result.scores}
    found: dict[str, Columns] = {name: _scores(name) for name in sorted(names, key=_place)}
    if any(result.abstained is not None for result in results):
        found |= dict.fromkeys(("abstention precision", "abstention recall", "abstention F1"), _abstentions)
        found["answered"] = _answered
        found |= dict.fromkeys(("AUROC", "ECE"), _confidences)
        quality = quality_of(results)
        if quality is not None:
            found["AURC"] = lambda chosen: risks(chosen, quality)
    return found


def _place(name: str) -> tuple[int, int, str]:
    for number, known in enumerate(_ORDER):
        rest = name.removeprefix(known)
        if name == known or (known.endswith("@") and rest.isdigit()):
            return number, int(rest or 0), name
        if known.endswith(", ") and name.startswith(known):
            return number, 0, name
    return len(_ORDER), 0, name


def _scores(name: str) -> Columns:
    return lambda results: (np.array([result.scores[name] for result in results if name in result.scores]),)


def _abstentions(results: Sequence[Result]) -> tuple[Floats, ...]:
    judged = [result for result in results if result.tests_abstention and result.abstained is not None]
    return _array(result.abstained for result in judged), _array(result.answerable for result in judged)


def _answered(results: Sequence[Result]) -> tuple[Floats, ...]:
    judged = [result for result in results if result.tests_abstention and result.abstained is not None]
    return (_array(not result.abstained and result.error is None for result in judged),)


def _confidences(results: Sequence[Result]) -> tuple[Floats, ...]:
    judged = [result for result in results if result.tests_abstention and result.confidence is not None]
    return _array(result.confidence for result in judged), _array(result.answerable for result in judged)


def risks(results: Sequence[Result], quality: str) -> tuple[Floats, ...]:
    """(confidence, risk) of each question that would be answered if refusing were forbidden."""
    judged = [
        result
        for result in results
        if result.tests_abstention
        and result.confidence is not None
        and result.if_answered is not None
        and (not result.answerable or quality in result.if_answered)
    ]
    return (
        _array(result.confidence for result in judged),
        _array(1 - (result.if_answered or {})[quality] if result.answerable else 1.0 for result in judged),
    )


def quality_of(results: Sequence[Result]) -> str | None:
    """The first of key-fact recall, F1 and citation precision that any answerable question has."""
    for name in _QUALITIES:
        if any(name in (result.if_answered or {}) for result in results if result.answerable):
            return name
    return None


def values_of(results: Sequence[Result]) -> dict[str, float]:
    """The bare values of every measure that applies."""
    values = {name: statistic_of(name)(*columns(results)) for name, columns in measured(results).items()}
    return {name: value for name, value in values.items() if value is not None}


def _array(values: Any) -> Floats:
    return np.array([float(value) for value in values])


def summary_as_json(summary: Summary) -> dict[str, Any]:
    run = summary.record.run
    return {
        "suite": run.suite,
        "part": run.part,
        "mode": run.mode,
        "cases": len(summary.record.results),
        "complete": summary.record.is_complete,
        "errors": summary.errors,
        "seed": run.seed,
        "changed": dict(run.changed),
        "measures": _as_json(summary.measures),
        "by_type": {name: _as_json(measures) for name, measures in by_type(summary.record).items()},
        "seconds": {"median": summary.seconds_median, "p95": summary.seconds_p95},
        "run": str(summary.record.path),
    }


def _as_json(measures: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    return {name: {"mean": told.value, "low": told.low, "high": told.high, "n": told.n} for name, told in measures.items()}
