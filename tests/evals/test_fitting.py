"""Confidence is fitted to what runs saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evals.fitting import fit, signals_of
from evals.records import Result, recording
from evals.suites import load_suite
from index.errors import SuiteError
from tests.evals.suites import plain_folder
from tests.evals.test_runs import described


def test_weights_are_found_again_and_runs_weigh_alike() -> None:
    chance = np.random.default_rng(1)
    true = np.array([-0.5, 2.0, -1.0])

    def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
        signals = np.column_stack([np.ones(count), chance.normal(size=(count, 2))])
        return signals, (chance.random(count) < 1 / (1 + np.exp(-signals @ true))).astype(float)

    large, small = drawn(20_000), drawn(20_000)
    weights = fit([large])
    assert weights[1:] == pytest.approx(true[1:], abs=0.1)
    # Questions with an answer weigh as much as those without: the constant then leans neither way.
    alone, copied = fit([small]), fit([(np.tile(small[0], (3, 1)), np.tile(small[1], 3))])
    assert alone == pytest.approx(copied)
    assert fit([large, small]) == pytest.approx(fit([small, large]))


def test_runs_that_cannot_be_fitted_to_are_told(tmp_path: Path) -> None:
    suite = load_suite(str(plain_folder(tmp_path / "rivers")))

    def written(name: str, **told: object) -> Path:
        results = [
            Result(case.id, case.type, case.question, number % 2 == 0, {}, answer={"signals": [0.1, float(number)]})
            for number, case in enumerate(suite.cases)
        ]
        changed = [Result(**{**{key: getattr(each, key) for key in each.__slots__}, **told}) for each in results]
        path = tmp_path / f"{name}.jsonl"
        with recording(path, described(suite), done=changed):
            return path

    signals, labels = signals_of(written("whole"))
    assert signals.shape == (len(suite.cases), 3) and set(labels) == {0.0, 1.0}
    with pytest.raises(SuiteError, match="not made with the trained reader"):
        signals_of(written("unread", answer={"signals": []}))
    with pytest.raises(SuiteError, match="only questions with an answer"):
        signals_of(written("one-sided", answerable=True))
