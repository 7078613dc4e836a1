"""Statistics against values worked out by hand and against scikit-learn and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from evals.statistics import (
    abstention_f1,
    abstention_precision,
    abstention_recall,
    aurc,
    auroc,
    calibration,
    difference,
    estimate,
    expected_calibration_error,
    mean,
    quantile,
    risk_coverage,
)


def array(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


# -- abstention --------------------------------------------------------------------------------------------------------------


def test_abstention_by_hand() -> None:
    abstained, answerable = array(1, 1, 0, 0, 1), array(0, 1, 0, 1, 0)
    assert abstention_precision(abstained, answerable) == pytest.approx(2 / 3)
    assert abstention_recall(abstained, answerable) == pytest.approx(2 / 3)
    assert abstention_f1(abstained, answerable) == pytest.approx(2 / 3)


def test_what_does_not_apply_is_none_never_zero() -> None:
    some, none = array(1, 1), array(0, 0)
    assert abstention_precision(none, some) is None
    assert abstention_recall(some, some) is abstention_f1(some, some) is None
    assert auroc(array(0.2, 0.3), some) is auroc(array(0.2, 0.3), none) is None
    assert (
        aurc(array(), array()) is expected_calibration_error(array(), array()) is mean(array()) is quantile(array(), 0.5) is None
    )
    assert estimate(mean, array(), seed=1) is None and estimate(auroc, array(0.1), array(1), seed=1) is None


JUDGED = st.lists(st.tuples(st.integers(0, 10), st.booleans(), st.booleans()), min_size=2, max_size=40)


@given(JUDGED)
def test_abstention_and_auroc_are_those_of_scikit_learn(judged: list[tuple[int, bool, bool]]) -> None:
    confidence = array(*(each / 10 for each, _, _ in judged))
    answerable = array(*(each for _, each, _ in judged))
    abstained = array(*(each for _, _, each in judged))
    truth = 1 - answerable
    if 0 < answerable.sum() < len(judged):
        assert auroc(confidence, answerable) == pytest.approx(roc_auc_score(answerable, confidence))
    if truth.any():
        assert abstention_recall(abstained, answerable) == pytest.approx(recall_score(truth, abstained))
        assert abstention_f1(abstained, answerable) == pytest.approx(f1_score(truth, abstained, zero_division=0))
    if abstained.any():
        assert abstention_precision(abstained, answerable) == pytest.approx(precision_score(truth, abstained))


# -- risk and calibration ----------------------------------------------------------------------------------------------------


def test_risk_and_coverage_by_hand() -> None:
    coverage, risk = risk_coverage(array(0.2, 0.9, 0.5), array(1, 0, 0.5))
    assert coverage.tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert risk.tolist() == pytest.approx([0, 0.25, 0.5])
    assert aurc(array(0.2, 0.9, 0.5), array(1, 0, 0.5)) == pytest.approx(0.25)


@given(st.permutations(list(zip([0.5, 0.5, 0.5, 0.9, 0.1], [0.0, 1.0, 1.0, 0.0, 0.3], strict=True))))
def test_the_order_of_equally_sure_answers_does_not_matter(cases: list[tuple[float, float]]) -> None:
    confidence, risk = (array(*values) for values in zip(*cases, strict=True))
    shared = 2 / 3
    assert risk_coverage(confidence, risk)[1].tolist() == pytest.approx([0, shared / 2, shared * 2 / 3, 0.5, 0.46])


def test_calibration_by_hand() -> None:
    confidence, answerable = array(0.05, 0.95, 0.91, 1.0), array(0, 1, 0, 1)
    low, high = calibration(confidence, answerable)
    assert (low.n, high.n, low.answerable) == (1, 3, 0)
    assert high.confidence == pytest.approx(2.86 / 3) and high.answerable == pytest.approx(2 / 3)
    assert expected_calibration_error(confidence, answerable) == pytest.approx((0.05 + abs(2.86 - 2)) / 4)


@given(st.lists(st.tuples(st.floats(0.001, 0.999), st.booleans()), min_size=2, max_size=60))
def test_calibration_is_that_of_scikit_learn(cases: list[tuple[float, bool]]) -> None:
    confidence = array(*(each for each, _ in cases))
    answerable = array(*(each for _, each in cases))
    if any(abs(each * 10 - round(each * 10)) < 1e-6 for each in confidence):
        return  # the two put the edge of a bin into different bins
    share, sure = calibration_curve(answerable, confidence, n_bins=10)
    bins = calibration(confidence, answerable)
    assert [each.answerable for each in bins] == pytest.approx(list(share))
    assert [each.confidence for each in bins] == pytest.approx(list(sure))


# -- intervals ---------------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_an_interval_holds_its_mean_and_repeats(values: list[float]) -> None:
    first = estimate(mean, array(*values), seed=7)
    assert first is not None and first == estimate(mean, array(*values), seed=7)
    assert first.low - 1e-9 <= first.value <= first.high + 1e-9
    assert first.n == len(values)


def test_the_interval_is_that_of_a_bootstrap() -> None:
    values = np.random.default_rng(5).random(200)
    told = estimate(mean, values, seed=3)
    other = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=9999, rng=np.random.default_rng(1))
    assert told is not None
    assert told.low == pytest.approx(other.confidence_interval.low, abs=0.006)
    assert told.high == pytest.approx(other.confidence_interval.high, abs=0.006)


def test_a_difference_is_paired_and_its_p_is_that_of_a_randomisation_test() -> None:
    generator = np.random.default_rng(11)
    before = generator.random(60)
    after = before + generator.normal(0.02, 0.06, 60)
    told = difference(mean, (before,), (after,), seed=1)
    assert told is not None and told.n == 60
    assert told.value == pytest.approx(float((after - before).mean()))
    # Pairing takes the spread between questions away: the interval is that of the differences.
    width = 2 * 1.96 * float((after - before).std()) / 60**0.5
    assert told.high - told.low == pytest.approx(width, rel=0.15)
    other = stats.permutation_test((before, after), lambda one, two: two.mean() - one.mean(), permutation_type="samples", n_resamples=9999, vectorized=False, rng=np.random.default_rng(2))  # fmt: skip
    assert told.p == pytest.approx(other.pvalue, abs=0.03)


def test_runs_that_do_not_differ_differ_by_chance() -> None:
    same = array(0, 1, 1, 0)
    told = difference(mean, (same,), (same,), seed=1)
    assert told is not None and (told.value, told.low, told.high, told.p) == (0, 0, 0, 1)


def test_a_measure_of_the_whole_suite_can_be_compared_too() -> None:
    answerable = array(*([1] * 30 + [0] * 30))
    poor, good = array(*([0.5] * 60)), answerable * 0.8 + 0.1
    told = difference(auroc, (poor, answerable), (good, answerable), seed=1)
    assert told is not None and told.value == pytest.approx(0.5) and told.p < 0.01 and told.low > 0.4


def test_quantiles_interpolate() -> None:
    assert quantile(array(0.3, 9.0, 2.5, 2.5, 7.1), 0.5) == 2.5 and quantile(array(0, 1), 0.25) == 0.25
