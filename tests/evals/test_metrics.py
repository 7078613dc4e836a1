"""Measures against values worked out by hand and, where there is one, against a second implementation."""

from __future__ import annotations

import math
import re
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.metrics import (
    argument_recall,
    exact_match,
    key_fact_recall,
    need_measures,
    precision,
    ranking_measures,
    rouge_l,
    sides_found,
    squad_normalised,
    token_f1,
)

# -- rankings ----------------------------------------------------------------------------------------------------------------


def test_ranking_measures_by_hand() -> None:
    found = ranking_measures({"q": ["x", "a", "y", "b"]}, {"q": {"a": 1, "b": 2, "c": 1}}, (1, 3, 5))["q"]
    assert found["RR"] == 0.5
    assert (found["R@1"], found["R@3"], found["R@5"]) == (0, pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert (found["Success@1"], found["Success@3"]) == (0, 1)
    gained = 1 / math.log2(3) + 2 / math.log2(5)
    assert found["nDCG@10"] == pytest.approx(gained / (2 + 1 / math.log2(3) + 1 / math.log2(4)))


def test_a_question_whose_ranking_is_empty_or_missing_counts_zero_and_one_without_gold_is_left_out() -> None:
    found = ranking_measures({"empty": [], "found": ["a"], "no gold": ["a"]}, {"empty": {"a": 1}, "missing": {"a": 1}, "found": {"a": 1}, "no gold": {}}, (1,))  # fmt: skip
    assert set(found) == {"empty", "missing", "found"}
    assert set(found["empty"].values()) == set(found["missing"].values()) == {0.0}
    assert found["found"] == {"nDCG@10": 1, "RR": 1, "R@1": 1, "Success@1": 1}
    assert ranking_measures({"q": []}, {"q": {"a": 1}}, (1,))["q"]["RR"] == 0


def test_ids_may_hold_whatever_a_text_may() -> None:
    odd = ["\ud800", "a\0b", "a\0c", "a b", ""]
    found = ranking_measures({"\ud800": odd}, {"\ud800": {"a\0c": 1}}, (2, 3))["\ud800"]
    assert (found["RR"], found["R@2"], found["R@3"]) == (pytest.approx(1 / 3), 0, 1)


def oracle(ranking: list[str], graded: dict[str, int], depth: int) -> dict[str, float]:
    """The same measures, written again from their definitions."""
    gains = [graded.get(name, 0) for name in ranking]
    discounts = [1 / math.log2(place + 2) for place in range(max(10, len(gains)))]
    ideal = sum(gain * discount for gain, discount in zip(sorted(graded.values(), reverse=True)[:10], discounts, strict=False))
    return {
        "nDCG@10": sum(gain * discount for gain, discount in zip(gains[:10], discounts, strict=False)) / ideal,
        "RR": next((1 / place for place, gain in enumerate(gains, start=1) if gain), 0.0),
        f"R@{depth}": sum(gain > 0 for gain in gains[:depth]) / len(graded),
        f"Success@{depth}": float(any(gains[:depth])),
    }


NAMES = [f"d{number}" for number in range(30)]


@given(
    st.permutations(NAMES).flatmap(lambda names: st.integers(1, 30).map(lambda count: list(names[:count]))),
    st.dictionaries(st.sampled_from(NAMES), st.integers(1, 3), min_size=1, max_size=12),
    st.integers(1, 20),
)
def test_rankings_are_measured_as_a_second_implementation_does(ranking: list[str], graded: dict[str, int], depth: int) -> None:
    assert ranking_measures({"q": ranking}, {"q": graded}, (depth,))["q"] == pytest.approx(oracle(ranking, graded, depth))


# Three needs; passages at ranks 0 to 3. The passage at rank 1 meets two of them, rank 3 meets one again.
MET = [[False, True, False, True], [False, True, False, False], [False, False, False, False]]


def test_needs_count_once_each_whichever_passages_meet_them() -> None:
    found = need_measures(MET, (1, 2, 5))
    assert (found["R@1"], found["R@2"], found["R@5"]) == (0, pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert (found["RR"], found["Success@1"], found["Success@2"]) == (0.5, 0, 1)
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert found["nDCG@10"] == pytest.approx((2 / math.log2(3)) / ideal)


def test_meeting_a_need_later_never_raises_a_measure() -> None:
    together = need_measures([[False, False, True, False], [False, False, True, False]], (3, 4))
    apart = need_measures([[False, False, True, False], [False, False, False, True]], (3, 4))
    assert all(apart[name] <= value for name, value in together.items()) and apart["nDCG@10"] < together["nDCG@10"]
    assert need_measures([[True], [True]], (1,)) == {"nDCG@10": 1, "RR": 1, "R@1": 1, "Success@1": 1}


@given(st.lists(st.lists(st.booleans(), min_size=12, max_size=12), min_size=1, max_size=4))
def test_needs_met_by_one_passage_each_are_measured_as_documents_are(needs: list[list[bool]]) -> None:
    alone = [[met and not any(other[rank] for other in needs[:number]) and not any(row[:rank]) for rank, met in enumerate(row)] for number, row in enumerate(needs)]  # fmt: skip
    ranking = [next((f"need {number}" for number, row in enumerate(alone) if row[rank]), f"other {rank}") for rank in range(12)]
    graded = {f"need {number}": 1 for number in range(len(needs))}
    assert need_measures(alone, (3,)) == pytest.approx(oracle(ranking, graded, 3))


def test_needs_that_nothing_meets_count_zero_and_no_needs_count_nothing() -> None:
    assert need_measures([], (1,)) == {}
    assert set(need_measures([[False, False]], (1,)).values()) == {0.0}
    assert set(need_measures([[]], (1,)).values()) == {0.0}


SIDES = {"support": [["a", "b"], ["c"]], "undermine": [["x"]]}


def test_a_debate_is_balanced_when_both_sides_are_among_the_first() -> None:
    assert sides_found(["q", "b", "x"], SIDES, 3) == 1
    assert sides_found(["q", "b", "x"], SIDES, 2) == 0
    assert sides_found(["a"], {"support": [["a"]]}, 3) is None
    assert argument_recall(["a", "b"], SIDES, 2) == pytest.approx((1 / 2 + 0) / 2)
    assert argument_recall([], {}, 2) is None


# -- answers against the official SQuAD v2 logic, written again from its definition --------------------------------------------


def squad_words(text: str) -> list[str]:
    text = "".join(letter for letter in text.lower() if letter not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def squad_golds(golds: list[str]) -> list[str]:
    # Golds of which normalisation leaves nothing are dropped; a question without an answer has one gold: the empty string.
    return [gold for gold in golds if squad_words(gold)] or [""]


def squad_f1(prediction: str, golds: list[str]) -> float:
    best = 0.0
    for gold in squad_golds(golds):
        one, other = squad_words(prediction), squad_words(gold)
        if not one or not other:
            best = max(best, float(one == other))
            continue
        same = sum((Counter(one) & Counter(other)).values())
        if same:
            best = max(best, 2 * (same / len(one)) * (same / len(other)) / (same / len(one) + same / len(other)))
    return best


TEXT = st.text(alphabet="aAn thE,.-'é 12", max_size=30)


@given(TEXT, st.lists(TEXT, max_size=3))
def test_em_and_f1_are_those_of_squad(prediction: str, golds: list[str]) -> None:
    assert token_f1(prediction, golds) == pytest.approx(squad_f1(prediction, golds))
    assert exact_match(prediction, golds) == float(
        any(squad_words(prediction) == squad_words(gold) for gold in squad_golds(golds))
    )


def test_em_and_f1_by_hand() -> None:
    assert squad_normalised("The  Treaty of Basel, (1961)!") == "treaty of basel 1961"
    assert exact_match("the Treaty", ["a treaty", "pact"]) == 1 and exact_match("treaties", ["treaty"]) == 0
    assert token_f1("signed in Basel in 1961", ["Basel", "in 1961"]) == pytest.approx(2 * 2 / (5 + 2))
    assert token_f1("", []) == exact_match("", []) == 1
    assert token_f1("anything", []) == exact_match("anything", []) == 0
    assert token_f1("", ["Basel"]) == 0


def test_rouge_l_by_hand() -> None:
    # Lin 2004: "police killed the gunman" and "police kill the gunman" share "police the gunman".
    assert rouge_l("Police kill the gunman.", ["police killed the gunman"]) == pytest.approx(2 * 3 / 8)
    assert rouge_l("the gunman kill police", ["police killed the gunman"]) == pytest.approx(2 * 2 / 8)
    assert rouge_l("one", ["two", "one"]) == 1 and rouge_l("", ["one"]) == 0 and rouge_l("one", []) is None


def longest_by_trying(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    if not one or not other:
        return 0
    if one[0] == other[0]:
        return 1 + longest_by_trying(one[1:], other[1:])
    return max(longest_by_trying(one[1:], other), longest_by_trying(one, other[1:]))


@given(st.lists(st.sampled_from("abc"), max_size=7), st.lists(st.sampled_from("abc"), max_size=7))
def test_rouge_l_finds_the_longest_common_subsequence(one: list[str], other: list[str]) -> None:
    common = longest_by_trying(tuple(one), tuple(other))
    expected = 2 * common / (len(one) + len(other)) if one and other else 0.0
    assert rouge_l(" ".join(one), [" ".join(other)]) == pytest.approx(expected)


def test_key_facts_are_counted_once_each_whatever_their_wording() -> None:
    assert key_fact_recall("Signed  on\n22 September 1977.", [["22 september 1977", "sept. 22"], ["1978"]]) == 0.5


def test_a_wording_counts_at_the_beginning_of_a_word_only() -> None:
    assert key_fact_recall("The balance of the ideological task.", [["lan"], ["ask"], ["ideolog"], [" the "]]) == 0.5


def test_a_wording_with_a_space_behind_it_is_a_whole_word() -> None:
    assert key_fact_recall("Land disputes.", [["lan "]]) == 0 and key_fact_recall("So says Lan.", [["lan "]]) == 1
    assert key_fact_recall("two words", [["two  words"]]) == 1


def test_the_digits_of_a_larger_number_are_no_fact() -> None:
    assert key_fact_recall("3.5 million of 40,000", [["5 million"], ["000"]]) == 0


def test_what_does_not_apply_is_none_never_zero() -> None:
    assert key_fact_recall("words", []) is precision([]) is None
