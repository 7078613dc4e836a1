"""Statistics over questions: abstention, calibration, intervals, tests. Seeded, so that they repeat."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
"""Shape (questions,)."""
Statistic = Callable[..., float | None]
"""Arrays of equal length, one entry a question -> a number; None where it does not apply."""

RESAMPLES = 1000
_AT_ONCE = 2_000_000
_BINS = 10


class Estimate(NamedTuple):
    """A statistic with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int
    """Questions to which it applies."""


class Difference(NamedTuple):
    """How much a second run differs from a first on the same questions."""

    value: float
    """Second minus first."""
    low: float
    high: float
    """Of the paired 95 % interval."""
    p: float
    """Two-sided, of a randomisation test: how often chance alone differs as much."""
    n: int


# -- of one run --------------------------------------------------------------------------------------------------------------


def abstention_precision(abstained: Floats, answerable: Floats) -> float | None:
    """Share of the refusals that are right. Both arrays hold 0 and 1."""
    refused = abstained > 0
    return float(1 - answerable[refused].mean()) if refused.any() else None


def abstention_recall(abstained: Floats, answerable: Floats) -> float | None:
    """Share of the questions without an answer that are refused."""
    without = answerable == 0
    return float(abstained[without].mean()) if without.any() else None


def abstention_f1(abstained: Floats, answerable: Floats) -> float | None:
    """Harmonic mean of the two; None where no question lacks an answer."""
    right = float((abstained * (1 - answerable)).sum())
    without = float((1 - answerable).sum())
    return 2 * right / (float(abstained.sum()) + without) if without else None


def auroc(confidence: Floats, answerable: Floats) -> float | None:
    """How likely an answerable question gets a higher confidence than another; ties count half (Hanley and McNeil 1982)."""
    positive, negative = confidence[answerable > 0], np.sort(confidence[answerable == 0])
    if not len(positive) or not len(negative):
        return None
    below = np.searchsorted(negative, positive, side="left")
    not_above = np.searchsorted(negative, positive, side="right")
    return float((below + not_above).mean() / 2 / len(negative))


def risk_coverage(confidence: Floats, risk: Floats) -> tuple[Floats, Floats]:
    """(coverage, risk): mean risk of the questions answered when only the most confident share is (El-Yaniv and Wiener
    2010). risk: 0 for a perfect answer to 1. Questions of equal confidence share their mean, whatever their order.
    """
    order = np.argsort(-confidence, kind="stable")
    _, group, size = np.unique(-confidence[order], return_inverse=True, return_counts=True)
    shared = (np.bincount(group, weights=risk[order]) / size)[group]
    answered = np.arange(1, len(order) + 1)
    return answered / len(order), np.cumsum(shared) / answered


def aurc(confidence: Floats, risk: Floats) -> float | None:
    """Area under the risk-coverage curve (Geifman and El-Yaniv 2017): lower is better."""
    return float(risk_coverage(confidence, risk)[1].mean()) if len(risk) else None


class Bin(NamedTuple):
    confidence: float
    """Mean of the bin."""
    answerable: float
    """Share of its questions that can be answered."""
    n: int


def calibration(confidence: Floats, answerable: Floats) -> list[Bin]:
    """Ten bins of equal width, the empty ones left out (Guo et al., ICML 2017)."""
    number = _bin(confidence)
    return [
        Bin(float(confidence[number == each].mean()), float(answerable[number == each].mean()), int((number == each).sum()))
        for each in range(_BINS)
        if (number == each).any()
    ]


def _bin(confidence: Floats) -> NDArray[np.int64]:
    return np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)


def expected_calibration_error(confidence: Floats, answerable: Floats) -> float | None:
    """Mean distance of confidence from the share answerable, over the bins of `calibration`: lower is better."""
    if not len(confidence):
        return None
    off = np.bincount(_bin(confidence), weights=confidence - answerable, minlength=_BINS)
    return float(np.abs(off).sum() / len(confidence))


def mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


# -- intervals and tests -----------------------------------------------------------------------------------------------------


def estimate(statistic: Statistic, *columns: Floats, seed: int) -> Estimate | None:
    """Value and percentile bootstrap interval over questions (Efron 1979), 1,000 resamples; resamples to which the
    statistic does not apply are left out. None when it does not apply at all.
    """
    value = statistic(*columns) if len(columns[0]) else None
    if value is None:
        return None
    rows = _resamples(len(columns[0]), seed)
    if statistic is mean:
        drawn = [float(each) for block in rows for each in columns[0][block].mean(axis=1)]
    else:
        drawn = [each for block in rows for row in block if (each := statistic(*(column[row] for column in columns))) is not None]
    low, high = np.quantile(drawn, (0.025, 0.975)) if drawn else (value, value)
    return Estimate(value, float(low), float(high), len(columns[0]))


def _resamples(count: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Drawn questions, of shape (resamples, count), in blocks that memory bears."""
    generator = np.random.default_rng(seed)
    block = max(1, _AT_ONCE // count)
    for done in range(0, RESAMPLES, block):
        yield generator.integers(count, size=(min(block, RESAMPLES - done), count))


def difference(statistic: Statistic, first: tuple[Floats, ...], second: tuple[Floats, ...], *, seed: int) -> Difference | None:
    """How two runs over the same questions differ.

    first, second: the statistic's columns, question by question. The interval is a paired bootstrap; p comes from a paired
    randomisation test (Smucker, Allan and Carterette, CIKM 2007): each question's two results change places at random,
    1,000 times.
    """
    one, two = statistic(*first), statistic(*second)
    if one is None or two is None:
        return None
    observed = two - one
    count = len(first[0])
    drawn = [
        later - earlier
        for block in _resamples(count, seed)
        for row in block
        for earlier, later in [(statistic(*(each[row] for each in first)), statistic(*(each[row] for each in second)))]
        if earlier is not None and later is not None
    ]
    generator = np.random.default_rng(seed)
    as_far = trials = 0
    for _ in range(RESAMPLES):
        swapped = generator.random(count) < 0.5
        mixed_one = statistic(*(np.where(swapped, b, a) for a, b in zip(first, second, strict=True)))
        mixed_two = statistic(*(np.where(swapped, a, b) for a, b in zip(first, second, strict=True)))
        if mixed_one is not None and mixed_two is not None:
            trials += 1
            as_far += abs(mixed_two - mixed_one) >= abs(observed) - 1e-12
    low, high = np.quantile(drawn, (0.025, 0.975)) if drawn else (observed, observed)
    return Difference(observed, float(low), float(high), (as_far + 1) / (trials + 1), count)


def quantile(values: Floats, share: float) -> float | None:
    """Linear interpolation between order statistics (type 7 of Hyndman and Fan)."""
    return float(np.quantile(values, share)) if len(values) else None
