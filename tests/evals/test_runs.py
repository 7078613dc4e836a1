"""Runs on real parts: the bundled model, a store built from a small corpus."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assistant.assembly import Assistant
from assistant.settings import Settings
from evals.cases import GoldCase, Place, Suite
from evals.planning import settings_for, unusual
from evals.printed import run_with_progress
from evals.records import Record, Result, Run, describe, differences, read_record, recording, write
from evals.runner import chosen_cases, run
from evals.scoring import score_failure
from evals.suites import load_suite
from evals.summaries import summarise
from index.embedders import LocalEmbedder
from index.errors import SuiteError
from index.settings import IndexSettings
from tests.conftest import run_build
from tests.evals.suites import plain_folder


@pytest.fixture(scope="module")
def rivers(tmp_path_factory: pytest.TempPathFactory, embedder: LocalEmbedder) -> Path:
    folder = plain_folder(tmp_path_factory.mktemp("suites") / "rivers")
    corpus = folder / "corpus.jsonl.gz"
    run_build(IndexSettings(corpus=corpus, added=folder / "added", store=folder / "store"), embedder)
    return folder


@pytest.fixture(scope="module")
def ask(rivers: Path) -> Callable[..., dict[str, Result]]:
    """Runs the suite with other settings; the results by id."""

    def asked(mode: Any = "answers", **settings: Any) -> dict[str, Result]:
        suite = load_suite(str(rivers))
        assistant = Assistant(Settings(corpus=rivers / "corpus.jsonl.gz", store=rivers / "store", **settings))
        try:
            return {result.id: result for result in run(suite, assistant, suite.cases, mode=mode)}
        finally:
            assistant.close()

    return asked


def described(suite: Suite, **told: Any) -> Run:
    given: dict[str, Any] = {"mode": "answers", "documents": [("d", "x")], "model": "m", "settings": {"passages": 10}, "changed": {}, "limit": None, "seed": 1, "questions": len(suite.cases)}  # fmt: skip
    return describe(suite, **(given | told))


# -- what a run measures -----------------------------------------------------------------------------------------------------


def test_a_plain_suite_is_measured_in_documents_and_in_sentences(ask: Callable[..., dict[str, Result]]) -> None:
    found = ask()
    basel = found["p1"]
    assert basel.scores["nDCG@10"] == basel.scores["R@1"] == basel.scores["evidence R@1"] == 1
    assert basel.scores["citation precision"] == basel.scores["citation recall"] == basel.scores["quotes at their offsets"] == 1
    assert basel.scores["F1"] == basel.scores["EM"] == 1
    unread = ask(reader="none")["p1"]
    assert unread.scores["F1"] == pytest.approx(2 * 1 / (6 + 1)) and unread.scores["EM"] == 0
    assert basel.scores["ROUGE-L"] > 0.2 and basel.confidence is not None and basel.answer is not None
    assert "key-fact recall" not in basel.scores and "both sides@10" not in basel.scores
    peru = found["p4"]
    assert peru.abstained and peru.scores["F1"] == peru.scores["EM"] == 1 and "nDCG@10" not in peru.scores
    assert found["p6"].scores["both sides@10"] == found["p6"].scores["argument R@10"] == 1


def test_a_transcript_credits_its_speaker(ask: Callable[..., dict[str, Result]]) -> None:
    keller = ask(abstain_below=0.0)["p3"]
    assert keller.answer is not None
    assert keller.answer["citations"][0]["voice"] == {"speaker": "Jonas Keller (North)", "reported_by": None}
    assert keller.scores["right speaker"] == 1


def test_a_follow_up_is_searched_for_in_three_wordings_side_by_side(ask: Callable[..., dict[str, Result]]) -> None:
    for settings in ({}, {"followups": "none"}):
        scores = ask("retrieval", **settings)["p2"].scores
        assert {name for name in scores if name.startswith("nDCG@10, ")} == {
            "nDCG@10, last turn", "nDCG@10, our rewrite", "nDCG@10, human rewrite"
        }  # fmt: skip
        assert scores["nDCG@10, human rewrite"] == scores["nDCG@10, our rewrite"] == 1


def test_retrieval_alone_gives_the_same_figures_as_with_answers(ask: Callable[..., dict[str, Result]]) -> None:
    answered, retrieved = ask(), ask("retrieval")
    for name, result in retrieved.items():
        assert result.abstained is None and result.answer is None
        assert result.scores == {key: value for key, value in answered[name].scores.items() if key in result.scores}
    assert retrieved["p1"].passages[0]["document"] == "r1"


def test_stages_of_retrieval_are_settings(ask: Callable[..., dict[str, Result]]) -> None:
    for stages, expected in (("words", {"words"}), ("dense", {"dense"}), ("fused", {"words", "dense"}), ("reranked", {"words", "dense", "reader"})):  # fmt: skip
        answer = ask(retrieval=stages)["p1"].answer
        assert answer is not None and set(answer["passages"][0]["ranks"]) == expected


def test_baselines_answer_as_they_say(ask: Callable[..., dict[str, Result]]) -> None:
    silent = ask(generator="abstain")
    assert all(result.abstained and result.if_answered is None for result in silent.values())
    assert silent["p1"].scores["F1"] == silent["p1"].scores["citation recall"] == 0 and silent["p4"].scores["F1"] == 1
    first = ask(generator="first-sentence")["p1"].answer
    assert first is not None and first["generator"] == "first-sentence"
    passage = first["passages"][0]
    assert [each["start"] for each in first["citations"]] == [passage["start"]]


def test_a_refused_question_tells_what_the_answer_would_have_been(ask: Callable[..., dict[str, Result]]) -> None:
    strict, usual = ask(abstain_below=1.0)["p1"], ask()["p1"]
    assert strict.abstained and strict.scores["F1"] == 0
    assert strict.if_answered is not None and usual.if_answered is not None
    assert strict.if_answered["F1"] == usual.if_answered["F1"] == usual.scores["F1"] > 0


def test_a_question_that_errors_counts_as_wrong_and_is_shown(rivers: Path) -> None:
    suite = load_suite(str(rivers))
    long = replace(suite.cases[0], question="x" * 5000)
    assistant = Assistant(Settings(corpus=rivers / "corpus.jsonl.gz", store=rivers / "store"))
    (result,) = run(suite, assistant, [long], mode="answers")
    assistant.close()
    assert result.error is not None and "limit" in result.error
    assert result.scores["F1"] == result.scores["citation recall"] == result.scores["nDCG@10"] == 0
    summary = summarise(Record(Path("x"), described(suite), (result,)))
    assert summary.errors == 1 and summary.measures["F1"].value == 0


def test_failure_is_zero_only_where_a_measure_applies() -> None:
    case = GoldCase("x", "?", True, "here", must_include=(("a",),), evidence=((((Place("d", "¶1")),),),))
    assert score_failure(case, worded=False) == {"key-fact recall": 0, "citation precision": 0, "citation recall": 0}


def test_talk_that_needs_no_answer_is_not_counted_as_a_wrong_refusal(ask: Callable[..., dict[str, Result]], rivers: Path) -> None:
    results = tuple(ask().values())
    suite = load_suite(str(rivers))
    summary = summarise(Record(Path("x"), described(suite), results))
    assert summary.measures["answered"].n == summary.measures["AUROC"].n == len(results) - 1


def test_a_limit_draws_questions_with_the_seed(rivers: Path) -> None:
    suite = load_suite(str(rivers))
    drawn = chosen_cases(suite, limit=3, seed=4)
    assert drawn == chosen_cases(suite, limit=3, seed=4) and len(drawn) == 3
    assert [suite.cases.index(case) for case in drawn] == sorted(suite.cases.index(case) for case in drawn)
    assert any(chosen_cases(suite, limit=3, seed=seed) != drawn for seed in range(20))
    assert chosen_cases(suite, limit=99, seed=4) == suite.cases


# -- records -----------------------------------------------------------------------------------------------------------------

RESULT = Result("a", "fact", "Who?", True, {"F1": 0.5})


def test_a_record_comes_back_as_it_was_written(rivers: Path, tmp_path: Path) -> None:
    told = described(load_suite(str(rivers)), questions=2)
    with recording(tmp_path / "run.jsonl", told, done=[RESULT]) as file:
        write(file, replace(RESULT, id="b", scores={}))
    record = read_record(tmp_path / "run.jsonl")
    assert differences(record.run, told) == []
    assert [result.id for result in record.results] == ["a", "b"] and record.results[0].scores == {"F1": 0.5}
    assert record.is_complete


def test_a_line_that_was_cut_off_is_left_out_and_any_other_damage_is_told(rivers: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with recording(path, described(load_suite(str(rivers))), done=[RESULT, replace(RESULT, id="b")]):
        pass
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    assert [result.id for result in read_record(path).results] == ["a"]
    lines = whole.splitlines(keepends=True)
    path.write_bytes(lines[0] + b"{torn\n" + lines[2])
    with pytest.raises(SuiteError, match=r"run.jsonl, line 2: not a line of a run"):
        read_record(path)
    path.write_bytes(lines[1])
    with pytest.raises(SuiteError, match="is not the record of a run"):
        read_record(path)


def test_figures_that_are_no_numbers_are_refused_when_written_and_when_read(rivers: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with (
        pytest.raises(SuiteError, match=r"run.jsonl: a figure of the question a is not a number"),
        recording(path, described(load_suite(str(rivers))), done=()) as file,
    ):
        write(file, replace(RESULT, scores={"F1": float("nan")}))
    with path.open("a") as file:
        file.write(json.dumps({"id": "a", "scores": {"F1": float("nan")}}) + "\n")
    with pytest.raises(SuiteError, match=r"line 2: .*NaN is not a number"):
        read_record(path)


def test_a_record_tells_what_was_run_and_where(rivers: Path) -> None:
    told = described(load_suite(str(rivers)))
    assert len(told.code["digest"]) == 64 and told.versions["faiss-cpu"] != "not installed"
    assert told.machine["cores"] >= 1 and told.corpus["documents"] == 1 and told.started.endswith("+00:00")


def test_runs_with_other_settings_differ_and_where_files_lie_does_not_matter(rivers: Path) -> None:
    suite = load_suite(str(rivers))
    one = described(suite, settings={"passages": 10, "store": "here"})
    other = described(suite, settings={"passages": 5, "store": "there"}, seed=2)
    assert differences(one, other) == ["seed: 1 in the file, 2 now", "settings.passages: 10 in the file, 5 now"]


def test_other_depths_are_another_run(rivers: Path) -> None:
    suite = load_suite(str(rivers))
    (told,) = differences(described(suite), described(replace(suite, depths=(2, 7))))
    assert told == "depths: [1, 5, 10] in the file, [2, 7] now"


def test_two_runs_never_write_one_file_and_only_files_are_written(rivers: Path, tmp_path: Path) -> None:
    told = described(load_suite(str(rivers)))
    path = tmp_path / "run.jsonl"
    with (
        recording(path, told, done=()),
        pytest.raises(SuiteError, match="another run is writing"),
        recording(path, told, done=()),
    ):
        pass
    assert [each.name for each in tmp_path.iterdir()] == ["run.jsonl"]
    os.mkfifo(tmp_path / "pipe")
    for odd in (tmp_path / "pipe", tmp_path):
        with pytest.raises(SuiteError, match="is no regular file"), recording(odd, told, done=()):
            pass
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "target.jsonl")
    with recording(tmp_path / "link.jsonl", told, done=[RESULT]):
        pass
    assert (tmp_path / "link.jsonl").is_symlink() and len(read_record(tmp_path / "target.jsonl").results) == 1


@pytest.mark.parametrize("key, value", [("scores", "none"), ("scores", None), ("answerable", [])])
def test_a_record_of_other_types_is_told(rivers: Path, tmp_path: Path, key: str, value: object) -> None:
    path = tmp_path / "run.jsonl"
    with recording(path, described(load_suite(str(rivers))), done=[RESULT]):
        pass
    head, line = path.read_text().splitlines()
    path.write_text(f"{head}\n{json.dumps({**json.loads(line), key: value})}\n")
    with pytest.raises(SuiteError, match=rf"run.jsonl is damaged, .*{key}"):
        read_record(path)


def test_a_question_that_failed_is_asked_again(rivers: Path, tmp_path: Path) -> None:
    suite = load_suite(str(rivers))
    assistant = Assistant(Settings(corpus=rivers / "corpus.jsonl.gz", store=rivers / "store", retrieval="words"))
    told, path = described(suite, mode="retrieval"), tmp_path / "run.jsonl"
    with recording(
        path, told, done=[replace(RESULT, id=case.id, error="no room" if case.id == "p3" else None) for case in suite.cases]
    ):
        pass
    record = run_with_progress(suite, assistant, suite.cases, told, path, fresh=False, command="")
    assistant.close()
    assert [result.id for result in record.results] == [case.id for case in suite.cases]
    assert [result.id for result in record.results if "nDCG@10" in result.scores] == ["p3"]
    assert all(result.error is None for result in read_record(path).results)


def test_a_question_that_cannot_be_asked_is_shown_when_passages_are_retrieved_only(rivers: Path) -> None:
    suite = load_suite(str(rivers))
    assistant = Assistant(Settings(corpus=rivers / "corpus.jsonl.gz", store=rivers / "store", retrieval="words"))
    (result,) = run(suite, assistant, [replace(suite.cases[0], question="?" * 9)], mode="retrieval")
    assistant.close()
    assert result.error is not None and "empty" in result.error and result.scores["nDCG@10"] == 0


def test_colours_are_no_part_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSISTANT_THEME", "nord")
    monkeypatch.setenv("ASSISTANT_MOTION", "none")
    suite = load_suite("alliance")
    settings, _ = settings_for(suite, {}, None)
    assert settings.theme == "nord" and unusual(settings, suite) == {}
