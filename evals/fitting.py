"""Fits how sure the trained reader may be: the probability that the sources answer, from what it saw on dev questions.

    python -m evals.fitting RUN…

RUN…: records of runs with the bundled reader (`assistant eval SUITE --kept-out --out RUN`). Runs weigh alike, and within a run
questions with an answer and questions without one. The weights go into the reader's record, which ships; a run's own
confidence is of the weights that it was made with.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assistant.reader.model import BUNDLED_RECORD
from evals.records import read_record
from index.errors import AssistantError, SuiteError

Matrix = NDArray[np.float64]

# Keeps a weight small that the questions say nothing of.
_RIDGE = 1e-3
_STEPS = 100


def signals_of(path: Path) -> tuple[Matrix, Matrix]:
    """(signals, shape (questions, 1 + signals), the first 1; whether each question has an answer). Raises SuiteError."""
    results = [each for each in read_record(path).results if each.tests_abstention and each.answer]
    rows = [each.answer["signals"] for each in results if each.answer]
    if not rows or not all(rows):
        raise SuiteError(f"{path} was not made with the trained reader (--set reader=bundled).")
    labels = np.array([each.answerable for each in results], dtype=np.float64)
    if labels.min() == labels.max():
        raise SuiteError(f"{path} holds only questions with an answer, or only such without one.")
    return np.column_stack([np.ones(len(rows)), np.array(rows, dtype=np.float64)]), labels


def fit(runs: Sequence[tuple[Matrix, Matrix]]) -> Matrix:
    """Weights of a logistic function, by Newton's method (iteratively reweighted least squares)."""
    signals, labels = np.concatenate([each for each, _ in runs]), np.concatenate([each for _, each in runs])
    share = np.concatenate([np.where(each == 1, 0.5 / each.sum(), 0.5 / (1 - each).sum()) for _, each in runs]) / len(runs)
    weights = np.zeros(signals.shape[1])
    for _ in range(_STEPS):
        chances = 1 / (1 + np.exp(-signals @ weights))
        slope = signals.T @ (share * (labels - chances)) - _RIDGE * weights
        bend = (signals * (share * chances * (1 - chances))[:, None]).T @ signals + _RIDGE * np.eye(len(weights))
        step = np.linalg.solve(bend, slope)
        weights += step
        if np.abs(step).max() < 1e-9:
            break
    return weights


def main() -> None:
    parser = argparse.ArgumentParser(description="Fits the trained reader's confidence to runs on dev questions.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    given = parser.parse_args()
    try:
        runs = [signals_of(path) for path in given.runs]
        weights = [round(float(weight), 4) for weight in fit(runs)]
        record = json.loads(BUNDLED_RECORD.read_text(encoding="utf-8"))
        record["fit"]["confidence"] = weights
        record["fitted_on"] = {
            f"{run.suite}, {run.part}": {"questions": len(labels), "answerable": int(labels.sum())}
            for run, (_, labels) in zip((read_record(path).run for path in given.runs), runs, strict=True)
        }
        BUNDLED_RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    except (AssistantError, OSError) as error:
        sys.exit(f"fitting: {error}")
    sys.stdout.write(f"{weights}\n")


if __name__ == "__main__":
    main()
