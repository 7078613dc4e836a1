"""The suite that ships."""

from __future__ import annotations

import json

import pytest

from assistant.assembly import Assistant
from evals.cases import check_gold
from evals.comparison import Gate, fallen_cases, gates
from evals.records import Record, describe
from evals.runner import SEED, run
from evals.suites import load_suite, suite_names
from evals.summaries import summarise, summary_as_json


@pytest.mark.parametrize(("part", "least"), [("dev", 99), ("test", 71)])
def test_the_alliance_suite_has_the_questions_it_promises(part: str, least: int) -> None:
    suite = load_suite("alliance", part=part)
    assert suite_names() == ["alliance"] and suite.part == part and len(suite.cases) >= least
    assert {"background", "follow-up", "false-premise", "unanswerable"} <= {case.type for case in suite.cases}
    for case in suite.cases:
        assert case.answerable == bool(case.evidence), case.id
        assert not case.answerable or case.must_include, case.id
        assert case.type != "follow-up" or case.history, case.id


def test_no_question_stands_in_both_parts() -> None:
    dev, test = ({case.question.lower() for case in load_suite("alliance", part=part).cases} for part in ("dev", "test"))
    assert not dev & test


@pytest.mark.slow
def test_gold_of_both_parts_names_places_that_are_there(debate: Assistant) -> None:
    known = {row.id for row in debate.store.documents()}
    for part in ("dev", "test"):
        check_gold(load_suite("alliance", part=part), known, debate.store.document)


@pytest.mark.slow
def test_the_gates_of_the_suite_hold_and_every_quote_stands_at_its_offsets(debate: Assistant) -> None:
    suite = load_suite("alliance")
    results = tuple(run(suite, debate, suite.cases, mode="answers"))
    described = describe(
        suite,
        mode="answers",
        documents=[(row.id, row.digest) for row in debate.store.documents()],
        model=debate.fingerprint,
        settings={},
        changed={},
        limit=None,
        seed=SEED,
        questions=len(suite.cases),
    )
    record = Record(suite.gold, described, results)
    told = gates(record)
    assert len(told) == len(suite.gates) >= 8
    assert not [gate for gate in told if not gate.holds], "\n".join(_fallen(gate, record) for gate in told if not gate.holds)
    summary = summarise(record)
    assert summary.errors == 0
    assert summary.measures["quotes at their offsets"].value == 1.0
    measures = json.loads(json.dumps(summary_as_json(summary)))["measures"]
    assert {"nDCG@10", "R@5", "RR"} <= set(measures)
    assert measures["evidence R@5"]["n"] == measures["nDCG@10"]["n"] == sum(case.answerable for case in suite.cases)
    assert set(suite.measures) == set(summary.shown) <= set(measures), "suite.toml names a measure that does not exist"


def _fallen(gate: Gate, record: Record) -> str:
    pairs = fallen_cases(gate, record, load_suite("alliance").folder)
    lines = [
        f"  {pair.second.id} {pair.first.scores.get(gate.measure)} -> {pair.second.scores.get(gate.measure)}  {pair.second.question}"
        for pair in pairs
    ]
    return "\n".join([f"{gate.measure}: {gate.reached} must hold {gate.floor}; these fell:", *lines])
