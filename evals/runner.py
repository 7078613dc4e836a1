"""Runs a suite through the same Conversation that the chat uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from assistant.answering.answers import Answer, Finished
from assistant.answering.contract import answer_as_json
from assistant.assembly import Assistant
from evals.cases import GoldCase, Suite, check_places
from evals.metrics import Estimate, binary_precision, binary_recall, estimate, estimate_statistic, quantile
from evals.scoring import Score, failed, score
from index.errors import AssistantError

SEED = 20210603

MEANS = {
    "recall_1": "evidence R@1",
    "recall_5": "evidence R@5",
    "recall_10": "evidence R@10",
    "rr": "RR",
    "key_facts": "key-fact recall",
    "citation_precision": "citation precision",
    "citation_recall": "citation recall",
    "right_speaker": "right speaker",
    "quotes_hold": "quotes at their offsets",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    case: GoldCase
    score: Score
    answer: Answer | None
    """None when the question raised an error."""
    error: str | None


@dataclass(frozen=True, slots=True)
class Summary:
    suite: str
    cases: int
    errors: int
    seed: int
    measures: dict[str, Estimate | None]
    seconds_median: float | None
    seconds_p95: float | None


def run(suite: Suite, assistant: Assistant, *, limit: int | None = None) -> Iterator[Outcome]:
    """Yields each case as it ends. Raises SuiteError before the first for gold that names what is not in the corpus."""
    documents = {row.id: assistant.store.document(row.id) for row in assistant.store.documents()}
    check_places(
        suite,
        {name: [locator.label for locator in document.locators] for name, document in documents.items()},
        {name: document.text for name, document in documents.items()},
    )
    for case in suite.cases[:limit]:
        try:
            events = assistant.converse(case.history).ask(case.question)
            answer = next(event.answer for event in events if isinstance(event, Finished))
        except Exception as error:  # noqa: BLE001 - whatever a question raises, it counts as wrong and is shown
            yield Outcome(case, failed(case), None, str(error) if isinstance(error, AssistantError) else repr(error))
        else:
            yield Outcome(case, score(case, answer, documents), answer, None)


def summarise(suite: Suite, outcomes: Sequence[Outcome], *, seed: int = SEED) -> Summary:
    measures: dict[str, Estimate | None] = {
        label: estimate([getattr(outcome.score, name) for outcome in outcomes], seed=seed) for name, label in MEANS.items()
    }
    pairs = [(outcome.score.abstained, not outcome.case.answerable) for outcome in outcomes]
    measures["abstention precision"] = estimate_statistic(pairs, binary_precision, seed=seed)
    measures["abstention recall"] = estimate_statistic(pairs, binary_recall, seed=seed)
    seconds = [outcome.score.seconds for outcome in outcomes if outcome.score.seconds is not None]
    return Summary(
        suite=suite.name,
        cases=len(outcomes),
        errors=sum(outcome.error is not None for outcome in outcomes),
        seed=seed,
        measures=measures,
        seconds_median=quantile(seconds, 0.5),
        seconds_p95=quantile(seconds, 0.95),
    )


def outcome_as_json(outcome: Outcome) -> dict[str, Any]:
    """One line of `assistant eval --out`."""
    return {
        "id": outcome.case.id,
        "type": outcome.case.type,
        "question": outcome.case.question,
        "answerable": outcome.case.answerable,
        "error": outcome.error,
        "scores": asdict(outcome.score),
        "answer": answer_as_json(outcome.answer) if outcome.answer else None,
    }


def summary_as_json(summary: Summary) -> dict[str, Any]:
    return {
        "suite": summary.suite,
        "cases": summary.cases,
        "errors": summary.errors,
        "seed": summary.seed,
        "measures": {
            label: measure and {"mean": measure.value, "low": measure.low, "high": measure.high, "n": measure.n}
            for label, measure in summary.measures.items()
        },
        "seconds": {"median": summary.seconds_median, "p95": summary.seconds_p95},
    }
