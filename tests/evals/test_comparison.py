from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.comparison import REACHED, Gate, accept, compare, fallen_cases, gates
from evals.pictures import calibration_curve, risk_coverage_curve
from evals.records import Record, Result, Run, describe, read_record
from evals.report import highlighted, worst_cases, write_report
from evals.suites import load_suite
from evals.summaries import summarise
from index.errors import SuiteError
from tests.evals.suites import CASE, gold_folder

GATES = 'title = "T"\n[gates]\n"F1" = 0.5\n"ECE" = 0.3\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return gold_folder(tmp_path, *({**CASE, "id": str(number), "answers": ["x"]} for number in range(8)), toml=GATES)


def described(folder: Path, **told: Any) -> Run:
    suite = load_suite(str(folder))
    run = describe(suite, mode="answers", documents=[("d", "x")], model="m", settings={"passages": 10, "store": "/secret/place"}, changed={}, limit=None, seed=1, questions=len(suite.cases))  # fmt: skip
    return replace(run, **told)


def answer(*words: str) -> dict[str, Any]:
    return {"short": words[0], "sentences": [{"text": each} for each in words], "citations": [], "passages": []}


def results(*values: float) -> tuple[Result, ...]:
    return tuple(
        Result(
            str(number), "fact", f"Question {number}?", True, {"F1": value}, abstained=False, confidence=0.8,
            if_answered={"F1": value}, answer=answer(f"said {value}"), answers=("x",)
        )
        for number, value in enumerate(values)
    )  # fmt: skip


def record(folder: Path, *values: float, **told: Any) -> Record:
    return Record(folder / "run.jsonl", described(folder, **told), results(*values))


def test_cases_won_and_lost_are_told_with_the_most_first(folder: Path) -> None:
    one = record(folder, 0, 0, 1, 1, 0.5, 0.5, 0.5, 0.5)
    two = record(folder, 1, 0.5, 0, 1, 0.5, 0.5, 0.5, 0.5)
    told = compare(one, two)
    assert told.by == "F1"
    assert [(pair.second.id, pair.change) for pair in told.won] == [("0", 1), ("1", 0.5)]
    assert [(pair.second.id, pair.change) for pair in told.lost] == [("2", -1)]
    assert told.differences["F1"].value == pytest.approx(0.5 / 8) and told.differences["F1"].n == 8


def test_only_questions_of_both_runs_are_compared(folder: Path) -> None:
    one, two = record(folder, 0, 0, 1), record(folder, 1, 0, 1, 1, 1)
    told = compare(one, two)
    assert (told.only_first, told.only_second, told.differences["F1"].n) == (0, 2, 3)


def test_runs_that_cannot_be_compared_are_told(folder: Path) -> None:
    one = record(folder, 1)
    with pytest.raises(SuiteError, match="different gold questions"):
        compare(one, Record(one.path, replace(one.run, gold="other"), one.results))
    with pytest.raises(SuiteError, match="no question in common"):
        compare(one, Record(one.path, one.run, (replace(one.results[0], id="z"),)))
    with pytest.raises(SuiteError, match="measure beauty in both runs; there are: F1"):
        compare(one, one, by="beauty")


def test_gates_are_judged_on_whole_runs_of_the_dev_part_only(folder: Path) -> None:
    held = record(folder, *[0.6] * 8)
    assert [(gate.measure, gate.holds) for gate in gates(held)] == [("F1", True), ("ECE", True)]
    fallen = record(folder, *[0.4] * 8)
    assert [(gate.measure, gate.holds) for gate in gates(fallen)] == [("F1", False), ("ECE", True)]
    for told in ({"limit": 3}, {"changed": {"passages": "5"}}, {"part": "test"}, {"mode": "retrieval"}, {"questions": 9}):
        assert gates(record(folder, *[0.4] * 8, **told)) == []


def test_a_gate_of_a_measure_of_which_less_is_better_is_a_ceiling() -> None:
    assert Gate("ECE", 0.3, 0.2).holds and not Gate("ECE", 0.3, 0.4).holds and not Gate("F1", 0.3, None).holds


def test_a_fallen_gate_names_the_cases_that_fell_since_the_accepted_run(folder: Path) -> None:
    floors = accept(summarise(record(folder, *[1.0, 0.8] * 4)), load_suite(str(folder)))
    assert floors["F1"] < 0.9 and set(floors) == {"F1", "ECE"}
    after = record(folder, 1.0, 0.1, *[1.0, 0.8] * 3)
    gate = gates(after)[0]
    assert [(pair.first.scores["F1"], pair.second.scores["F1"]) for pair in fallen_cases(gate, after, folder)] == [(0.8, 0.1)]
    kept = (folder / REACHED).read_text()
    assert "said" not in kept and "/secret/place" not in kept
    assert read_record(folder / REACHED).results[1].scores == {"F1": 0.8}


def test_a_run_that_is_not_whole_or_of_other_gold_is_not_accepted(folder: Path) -> None:
    suite = load_suite(str(folder))
    for told, complaint in (({"limit": 8}, "not a whole run"), ({"gold": "other"}, "other questions")):
        with pytest.raises(SuiteError, match=complaint):
            accept(summarise(record(folder, *[1.0] * 8, **told)), suite)
    assert not (folder / REACHED).exists()


# -- the page ----------------------------------------------------------------------------------------------------------------


def test_the_page_stands_alone_and_shows_text_as_text(folder: Path) -> None:
    one, two = record(folder, *[0.2] * 8), record(folder, *[0.4] * 8)
    evil = "<script>alert(1)</script>\x1b[31m"
    nasty = replace(two.results[0], question=evil, answer=answer(evil))
    write_report([one, Record(two.path, two.run, (nasty, *two.results[1:]))], folder / "out" / "page.html")
    page = (folder / "out" / "page.html").read_text(encoding="utf-8")
    assert "<script" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;␛[31m" in page
    for outside in ("http://", "https://", "src=", "@import", "url(http"):
        assert outside not in page.replace("http://www.w3.org", "").replace("https://matplotlib.org", "").replace("http://purl.org", "").replace("http://creativecommons.org", ""), outside  # fmt: skip
    assert page.count("<svg") >= 2 and "+0.200" in page and "8 won by F1" in page
    assert "/secret/place" not in page


def test_runs_of_different_questions_are_not_put_on_one_page(folder: Path) -> None:
    one = record(folder, 1)
    with pytest.raises(SuiteError, match="different questions"):
        write_report([one, Record(one.path, replace(one.run, gold="other"), one.results)], folder / "page.html")
    with pytest.raises(SuiteError, match="holds no question yet"):
        write_report([Record(one.path, one.run, ())], folder / "page.html")


def test_the_worst_come_first_sure_mistakes_before_poor_answers(folder: Path) -> None:
    poor, right = results(0.3, 1.0)
    unasked = replace(poor, id="u", answerable=False, confidence=0.9)
    refused = replace(poor, id="r", abstained=True, confidence=0.1)
    failed = replace(poor, id="f", error="broken")
    found = worst_cases(Record(folder, described(folder), (poor, right, refused, unasked, failed)))
    assert [case.result.id for case in found] == ["f", "u", "r", "0"]
    assert [case.why for case in found][1:3] == ["answered, though the sources do not say", "refused, though the sources say"]


def test_cited_words_are_marked_in_their_passage() -> None:
    passage = {"document": "d", "start": 100, "end": 111, "text": "one two six"}
    cites = [
        {"document": "d", "start": 104, "end": 107},
        {"document": "e", "start": 100, "end": 103},
        {"document": "d", "start": 109, "end": 200},
    ]
    assert list(highlighted(passage, cites)) == [("one ", False), ("two", True), (" s", False), ("ix", True)]
    assert list(highlighted(passage, [])) == [("one two six", False)]


def test_runs_that_share_no_measure_of_questions_are_compared_all_the_same(folder: Path) -> None:
    bare = Record(folder, described(folder), tuple(replace(each, scores={}, if_answered=None) for each in results(0.1, 0.2)))
    told = compare(bare, bare)
    assert told.by is None and (told.won, told.lost) == ((), ()) and "answered" in told.differences
    write_report([bare, bare], folder / "page.html")


def test_questions_that_were_only_retrieved_for_are_shown_with_what_was_found(folder: Path) -> None:
    missed = Result(
        "m", "odd $5 \\frac{ $6", "Where?", True, {"nDCG@10": 0.2}, passages=({"document": "d.md", "start": 0, "end": 5},)
    )
    run = described(folder, mode="retrieval")
    write_report([Record(folder / "a", run, (missed, replace(missed, id="n")))], folder / "page.html")
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert "d.md" in page and "nDCG@10 0.20" in page and "odd $5" in page


def test_each_curve_keeps_the_letter_of_its_run(folder: Path) -> None:
    retrieved = Record(
        folder / "r", described(folder), (replace(results(0.5)[0], confidence=None, if_answered=None, abstained=None),)
    )
    both = (*results(0.1, 0.9), replace(results(0.5)[0], id="u", answerable=False, confidence=0.2))
    answered = Record(folder / "b", described(folder), both)
    for draw in (risk_coverage_curve, calibration_curve):
        picture = draw([summarise(retrieved), summarise(answered)])
        assert ">B</text>" in picture and ">A</text>" not in picture
    assert risk_coverage_curve([summarise(retrieved)]) == calibration_curve([summarise(retrieved)]) == ""


def test_a_question_that_failed_is_wrong_in_risk_and_not_counted_as_answered(folder: Path) -> None:
    right = results(1.0, 1.0)
    failed = replace(
        right[0], id="f", scores={"F1": 0.0}, abstained=True, confidence=0.0, if_answered={"F1": 0.0}, error="broken"
    )
    unasked = replace(failed, id="g", answerable=False, abstained=False, confidence=1.0)
    measures = summarise(Record(folder, described(folder), (*right, failed, unasked))).measures
    assert measures["answered"].value == 0.5 and measures["AURC"].value > 0.3


def test_the_page_never_takes_the_place_of_a_run(folder: Path) -> None:
    path = folder / "run.jsonl"
    path.write_text("x")
    with pytest.raises(SuiteError, match="is the run itself"):
        write_report([record(folder, 0.1)], path)


def test_floors_are_held_by_the_run_they_were_taken_from(folder: Path) -> None:
    even = record(folder, *[2 / 3] * 8)
    floors = accept(summarise(even), load_suite(str(folder)))
    assert floors["F1"] == 0.666
