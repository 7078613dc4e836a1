from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.assembly import Assistant
from evals.cases import GoldCase, Place, check_places, load_suite, names, suite_names
from evals.metrics import (
    binary_precision,
    binary_recall,
    estimate,
    key_fact_recall,
    precision,
    quantile,
    recall_at,
    reciprocal_rank,
)
from evals.runner import outcome_as_json, run, summarise, summary_as_json
from evals.scoring import failed
from index.documents import Voice
from index.errors import SuiteError

# -- measures, against values worked out by hand ---------------------------------------------------------------------------

MET = [[False, True, False], [False, False, False], [True, False, False]]


@pytest.mark.parametrize(("depth", "expected"), [(1, 1 / 3), (2, 2 / 3), (3, 2 / 3)])
def test_recall_counts_needs(depth: int, expected: float) -> None:
    assert recall_at(MET, depth) == pytest.approx(expected)


def test_reciprocal_rank_is_of_the_first_result_that_meets_any_need() -> None:
    assert reciprocal_rank(MET) == 1.0
    assert reciprocal_rank(MET[:1]) == 0.5
    assert reciprocal_rank(MET[1:2]) == 0.0


def test_what_does_not_apply_is_none_never_zero() -> None:
    assert recall_at([], 5) is reciprocal_rank([]) is key_fact_recall("words", []) is precision([]) is None
    assert binary_precision([(False, True)]) is None and binary_recall([(True, False)]) is None
    assert estimate([None, None], seed=1) is None and quantile([], 0.5) is None


def test_key_facts_are_counted_once_each_whatever_their_wording() -> None:
    assert key_fact_recall("Signed  on\n22 September 1977.", [["22 september 1977", "sept. 22"], ["1978"]]) == 0.5


def test_a_wording_counts_at_the_beginning_of_a_word_only() -> None:
    assert key_fact_recall("The balance of the ideological task.", [["lan"], ["ask"], ["ideolog"], [" the "]]) == 0.5


def test_precision_and_recall_of_abstention() -> None:
    pairs = [(True, True), (True, False), (False, True), (False, False), (True, True)]
    assert binary_precision(pairs) == pytest.approx(2 / 3)
    assert binary_recall(pairs) == pytest.approx(2 / 3)


def test_quantiles_are_those_of_numpy() -> None:
    import numpy as np

    values = [0.3, 9.0, 2.5, 2.5, 7.1]
    for share in (0.0, 0.025, 0.5, 0.95, 1.0):
        assert quantile(values, share) == pytest.approx(float(np.quantile(values, share)))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_an_interval_holds_its_mean_and_repeats(values: list[float]) -> None:
    first = estimate(list(values), seed=7)
    assert first is not None and first == estimate(list(values), seed=7)
    assert first.low - 1e-9 <= first.value <= first.high + 1e-9
    assert first.n == len(values)


def test_the_interval_is_about_two_standard_errors_wide() -> None:
    values = [0.0, 1.0] * 200
    told = estimate(list(values), seed=3)
    assert told is not None
    assert told.high - told.low == pytest.approx(4 * 0.5 / 400**0.5, rel=0.15)


# -- suites ----------------------------------------------------------------------------------------------------------------


def suite_folder(tmp_path: Path, *lines: object, toml: str = 'title = "T"') -> str:
    (tmp_path / "suite.toml").write_text(toml)
    (tmp_path / "gold.jsonl").write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return str(tmp_path)


CASE = {"id": "a", "question": "Who?", "answerable": True}


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([CASE, "{not json"], r"gold.jsonl, line 2: not JSON"),
        ([CASE, CASE], r"line 2: the id a stands twice"),
        ([{"id": "a", "question": "Who?"}], r"line 1: not a gold case \('answerable'\)"),
        ([{**CASE, "answerable": "yes"}], r"line 1: .*answerable must be true or false"),
        ([{**CASE, "evidnce": []}], r"line 1: .*unknown key evidnce"),
        ([{**CASE, "evidence": [[{"document": "d"}]]}], r"line 1: .*either a locator or a quote"),
        ([{**CASE, "history": [{"role": "system", "content": "x"}]}], r"line 1: .*user or assistant"),
        ([], r"holds no questions"),
    ],
)
def test_bad_gold_is_told_with_file_and_line(tmp_path: Path, lines: list[object], complaint: str) -> None:
    with pytest.raises(SuiteError, match=complaint):
        load_suite(suite_folder(tmp_path, *lines))


def test_gold_that_names_what_is_not_there_is_told(tmp_path: Path) -> None:
    for place, complaint in [
        ({"document": "no.md", "locator": "¶1"}, "no document no.md"),
        ({"document": "d.md", "locator": "¶9"}, "no place ¶9"),
        ({"document": "d.md", "quote": "absent"}, "does not hold the words"),
    ]:
        suite = load_suite(suite_folder(tmp_path, {**CASE, "evidence": [[place]]}))
        with pytest.raises(SuiteError, match=complaint):
            check_places(suite, {"d.md": ["¶1"]}, {"d.md": "words"})


def test_an_unknown_key_of_a_suite_is_told(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="there is no key corpuss"):
        load_suite(suite_folder(tmp_path, CASE, toml='corpuss = "x"'))


def test_a_gold_heading_names_its_blocks() -> None:
    assert names("§ Troops", "§ Troops") and names("§ Troops", "§ Troops, ¶2")
    assert not names("§ Troops", "§ Troops in Laos") and not names("¶1", "¶10")


# -- the suite that ships ----------------------------------------------------------------------------------------------------


def test_the_alliance_suite_has_the_questions_it_promises() -> None:
    suite = load_suite("alliance")
    assert suite_names() == ["alliance"]
    own = [case for case in suite.cases if not case.id.startswith("q")]
    assert len(suite.cases) - len(own) == 38 and len(own) >= 40
    types = {case.type for case in own}
    assert {"background", "follow-up", "false-premise", "unanswerable"} <= types
    for case in suite.cases:
        assert case.answerable == bool(case.evidence), case.id
        assert not case.answerable or case.must_include, case.id
        assert case.type != "follow-up" or case.history, case.id


@pytest.mark.slow
def test_the_suite_reaches_its_aims_and_every_quote_stands_at_its_offsets(debate: Assistant) -> None:
    suite = load_suite("alliance")
    outcomes = list(run(suite, debate))
    summary = summarise(suite, outcomes)
    assert (summary.cases, summary.errors) == (len(suite.cases), 0)
    reached = {label: measure.value for label, measure in summary.measures.items() if measure is not None}
    assert reached["quotes at their offsets"] == 1.0
    for label, aim in (("evidence R@5", 0.90), ("key-fact recall", 0.70), ("citation precision", 0.80)):
        assert reached[label] >= aim, (label, reached[label])
    told = json.loads(json.dumps(summary_as_json(summary)))
    assert told["measures"]["evidence R@5"]["n"] == sum(case.answerable for case in suite.cases)
    lines = [json.loads(json.dumps(outcome_as_json(outcome))) for outcome in outcomes]
    assert all(line["answer"]["question"] == line["question"] for line in lines)


def test_a_question_that_errors_counts_as_wrong() -> None:
    case = GoldCase("x", "fact", "?", (), (), (("a",),), ((Place("d", "¶1"),),), (Voice("A"),), True, 1)
    bad = failed(case)
    assert (bad.recall_5, bad.key_facts, bad.citation_precision, bad.right_speaker, bad.abstained) == (0, 0, 0, 0, True)


@pytest.mark.slow
def test_a_long_question_in_gold_is_shown_as_an_error_not_a_crash(debate: Assistant, tmp_path: Path) -> None:
    suite = load_suite(suite_folder(tmp_path, {**CASE, "question": "x" * 5000, "must_include": [["y"]]}))
    (outcome,) = run(suite, debate)
    assert outcome.error is not None and "limit" in outcome.error
    assert outcome.score.key_facts == 0
