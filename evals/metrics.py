"""Measures: pure functions. "Not applicable" is None, never 0."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple, TypeVar

_RESAMPLES = 1000


class Estimate(NamedTuple):
    """A mean with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int
    """Cases to which the measure applies."""


def recall_at(needs_met_by_rank: Sequence[Sequence[bool]], depth: int) -> float | None:
    """Share of the needs for which one of the first `depth` results suffices (recall@k, by need).

    needs_met_by_rank[need][rank]: whether the result at that rank (from 0) meets the need.
    """
    if not needs_met_by_rank:
        return None
    return fmean(any(ranks[:depth]) for ranks in needs_met_by_rank)


def reciprocal_rank(needs_met_by_rank: Sequence[Sequence[bool]]) -> float | None:
    """1 / rank of the first result that meets any need; 0 where none does (Voorhees, TREC-8)."""
    if not needs_met_by_rank:
        return None
    ranks = [rank for met in needs_met_by_rank for rank, hit in enumerate(met, start=1) if hit]
    return 1 / min(ranks) if ranks else 0.0


def key_fact_recall(answer: str, facts: Sequence[Sequence[str]]) -> float | None:
    """Share of the facts of which one wording stands in the answer (strict nugget recall, as in TREC RAG).

    A wording may be the beginning of a word ("ideolog"), never its middle or end.
    """
    if not facts:
        return None
    said = f" {' '.join(answer.lower().split())} "
    return fmean(any(re.search(rf"(?<!\w){re.escape(wording.strip())}", said) for wording in fact) for fact in facts)


def precision(relevant: Sequence[bool]) -> float | None:
    """Share of what was given that is right."""
    return fmean(relevant) if relevant else None


def binary_precision(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    """pairs: (predicted, true). Share of the predicted that are true."""
    return precision([truth for predicted, truth in pairs if predicted])


def binary_recall(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    """pairs: (predicted, true). Share of the true that are predicted."""
    return precision([predicted for predicted, truth in pairs if truth])


def quantile(values: Sequence[float], share: float) -> float | None:
    """Linear interpolation between order statistics (type 7 of Hyndman and Fan)."""
    if not values:
        return None
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def estimate(values: Sequence[float | None], *, seed: int) -> Estimate | None:
    """Mean over the cases to which a measure applies, with a percentile bootstrap interval (Efron)."""
    known = [value for value in values if value is not None]
    return estimate_statistic(known, lambda sample: fmean(sample), seed=seed)


T = TypeVar("T")


def estimate_statistic(cases: Sequence[T], statistic: Callable[[Sequence[T]], float | None], *, seed: int) -> Estimate | None:
    """Any statistic of whole cases with its bootstrap interval; resamples to which it does not apply are left out."""
    value = statistic(cases) if cases else None
    if value is None:
        return None
    generator = random.Random(seed)
    drawn = [statistic(generator.choices(cases, k=len(cases))) for _ in range(_RESAMPLES)]
    known = sorted(each for each in drawn if each is not None)
    low, high = quantile(known, 0.025), quantile(known, 0.975)
    return Estimate(value, value if low is None else low, value if high is None else high, len(cases))
