from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from evals.cases import Place, check_gold, names
from evals.suites import load_suite
from index.documents import Document, Locator, Voice
from index.errors import SuiteError
from tests.evals.suites import CASE, QUESTIONS, RIVERS, gold_folder, json_lines, plain_folder


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([CASE, "{not json"], r"gold.jsonl, line 2: not JSON"),
        ([CASE, CASE], r"line 2: the id a stands already in line 1"),
        ([{"id": "a", "question": "Who?"}], r"line 1: not a gold case \(answerable: field required\)"),
        ([{**CASE, "answerable": "yes"}], r"line 1: .*answerable: input should be a valid boolean"),
        ([{**CASE, "evidnce": []}], r"line 1: .*evidnce: is not a key that is known"),
        ([{**CASE, "evidence": [[{"document": "d"}]]}], r"line 1: .*either a locator or a quote"),
        (
            [{**CASE, "history": [{"role": "system", "content": "x"}]}],
            r"line 1: .*history.0.role: input should be 'user' or 'assistant'",
        ),
        (["[1, 2]"], r"line 1: not a gold case"),
        ([{**CASE, "must_include": ["Oslo"]}], r"line 1: .*must_include.0: input should be a valid list"),
        ([{**CASE, "must_include": [[""]]}], r"line 1: .*a fact or a wording is empty"),
        ([{**CASE, "evidence": [[]]}], r"line 1: .*a need names no place"),
        ([{**CASE, "evidence": [[{"document": "d", "quote": ""}]]}], r"line 1: .*quote: string should have at least 1"),
        ([{**CASE, "question": None}], r"line 1: .*question: input should be a valid string"),
        ([], r"holds no questions"),
        ([{**CASE, "answerable": False}], r"holds no question that can be answered"),
    ],
)
def test_bad_gold_is_told_with_file_and_line(tmp_path: Path, lines: list[object], complaint: str) -> None:
    with pytest.raises(SuiteError, match=complaint):
        load_suite(str(gold_folder(tmp_path, *lines)))


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ('corpuss = "x"', "corpuss: is not a key that is known; the keys are title, corpus"),
        ("title = 3", "title: input should be a valid string"),
        ("depths = [0]", "depths must be whole numbers from 1"),
        ("measures = [1]", r"measures.0: input should be a valid string"),
        ('[gates]\n"R@5" = 7', "gate R@5 must be a number from 0 to 1"),
        ("title =", "suite.toml cannot be read"),
        ('corpus = "nowhere"', "the corpus .*nowhere of the suite .* does not exist"),
        ('[settings]\nstore = "x"', "store is no setting of a suite"),
    ],
)
def test_a_bad_suite_file_is_told(tmp_path: Path, toml: str, complaint: str) -> None:
    with pytest.raises(SuiteError, match=complaint):
        load_suite(str(gold_folder(tmp_path, CASE, toml=toml)))


@pytest.mark.parametrize(
    ("question", "complaint"),
    [
        ({**QUESTIONS[0], "evidence": {"r1": [[7]]}}, "line 1: not a gold case"),
        ({**QUESTIONS[0], "evidence": {"r3": [[0]]}}, "line 1: .*r3, of which the corpus tells no sentences"),
        ({**QUESTIONS[0], "relevant": {"r1": "much"}}, "line 1: not a gold case"),
        ({**QUESTIONS[0], "history": [{"role": "system", "text": "x"}]}, r"line 1: .*history.0.role: input should be"),
        ({**QUESTIONS[0], "evidence": {"r1": [[-1]]}}, "line 1: not a gold case .*greater than or equal to 0"),
        ({**QUESTIONS[0], "answers": "Basel"}, "line 1: not a gold case .*answers: input should be a valid list"),
        ({**QUESTIONS[0], "relevant": {"r1": 10**12}}, "line 1: not a gold case .*less than or equal to 1000"),
        ({**QUESTIONS[0], "rewrite": ["x"]}, "line 1: not a gold case .*rewrite"),
    ],
)
def test_bad_plain_questions_are_told_with_file_and_line(tmp_path: Path, question: object, complaint: str) -> None:
    with pytest.raises(SuiteError, match=complaint):
        load_suite(str(plain_folder(tmp_path, [question])))


@pytest.mark.parametrize(
    ("corpus", "complaint"),
    [
        (["{"], "corpus.jsonl.gz, line 1: not JSON"),
        ([{"id": "a"}], "corpus.jsonl.gz, line 1: text is missing"),
        ([{**RIVERS[0], "sents": ["Not there."]}], "line 1: the text does not hold its sentence 0"),
    ],
)
def test_a_bad_plain_corpus_is_told_with_file_and_line(tmp_path: Path, corpus: list[object], complaint: str) -> None:
    with pytest.raises(SuiteError, match=complaint):
        load_suite(str(plain_folder(tmp_path, QUESTIONS, corpus)))


def test_a_torn_archive_is_told(tmp_path: Path) -> None:
    whole = gzip.compress(json_lines(QUESTIONS).encode())
    (plain_folder(tmp_path) / "questions.dev.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SuiteError, match=r"questions.dev.jsonl.gz cannot be read"):
        load_suite(str(tmp_path))


def test_line_ends_within_a_question_do_not_cut_it_and_a_mark_of_byte_order_is_passed_over(tmp_path: Path) -> None:
    gold_folder(tmp_path, json.dumps({**CASE, "question": "Who\u2028is it?"}, ensure_ascii=False))
    gold = tmp_path / "gold.jsonl"
    gold.write_bytes(b"\xef\xbb\xbf" + gold.read_bytes())
    assert load_suite(str(tmp_path)).cases[0].question == "Who\u2028is it?"


@pytest.mark.parametrize("name", ["~nosuchuser/x", "x" * 300, "a\0b", ""])
def test_a_name_that_can_be_no_folder_is_told(name: str) -> None:
    with pytest.raises(SuiteError, match="there is no suite"):
        load_suite(name)


def test_a_folder_that_is_no_suite_is_told(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"there is no suite .*alliance"):
        load_suite(str(tmp_path))
    (tmp_path / "questions.jsonl").write_text(json_lines(QUESTIONS))
    with pytest.raises(SuiteError, match=r"questions but no corpus\.jsonl"):
        load_suite(str(tmp_path))


def document(name: str, text: str) -> Document:
    return Document(id=name, title=name, text=text, digest="", locators=(Locator(0, len(text), "¶1"),))


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ({"document": "no.md", "locator": "¶1"}, "line 1: the corpus has no document no.md"),
        ({"document": "d.md", "locator": "¶9"}, "line 1: d.md has no place ¶9"),
        ({"document": "d.md", "quote": "absent"}, "line 1: d.md does not hold the words 'absent'"),
    ],
)
def test_gold_that_names_what_is_not_there_is_told_with_file_and_line(tmp_path: Path, place: object, complaint: str) -> None:
    suite = load_suite(str(gold_folder(tmp_path, {**CASE, "evidence": [[place]]})))
    with pytest.raises(SuiteError, match=complaint):
        check_gold(suite, {"d.md"}, lambda name: document(name, "words"))


def test_parts_are_chosen_by_name_and_dev_is_the_first_choice(tmp_path: Path) -> None:
    gold_folder(tmp_path, CASE, name="gold.test.jsonl")
    assert load_suite(str(tmp_path)).part == "test"
    gold_folder(tmp_path, CASE, {**CASE, "id": "b"}, name="gold.dev.jsonl")
    assert load_suite(str(tmp_path)).part == "dev"
    assert len(load_suite(str(tmp_path), part="test").cases) == 1
    with pytest.raises(SuiteError, match="has no part final; it has: dev, test"):
        load_suite(str(tmp_path), part="final")


def test_a_plain_folder_is_a_suite_without_conversion(tmp_path: Path) -> None:
    suite = load_suite(str(plain_folder(tmp_path / "rivers")))
    assert (suite.name, suite.part, suite.corpus) == ("rivers", "dev", tmp_path / "rivers" / "corpus.jsonl.gz")
    basel, inspect, keller, peru, thanks, trusted = suite.cases
    first, second = (0, 37), (38, 77)
    assert basel.evidence == (
        ((Place("r1", span=first),),),
        ((Place("r1", span=first),), (Place("r1", span=second),)),
    )
    assert basel.relevant == {"r1": 2} and basel.answers == ("Basel",)
    assert inspect.rewrite == "How often do engineers inspect the dams?"
    assert [turn.role for turn in inspect.history] == ["user", "assistant"] and inspect.history[1].content == "Engineers do."
    assert keller.attributed_to == (Voice("Jonas Keller"), Voice("Jonas Keller (North)"))
    assert not peru.answerable and peru.tests_abstention and not thanks.tests_abstention
    assert trusted.sides == {"support": (("r4",),), "undermine": (("r2",),)}
    for sentence, span in zip(RIVERS[0]["sents"], (first, second), strict=True):
        assert str(RIVERS[0]["text"])[slice(*span)] == sentence


def test_spans_of_whole_documents_are_evidence_where_the_corpus_holds_them(tmp_path: Path) -> None:
    question = {"id": "a", "question": "?", "answerable": True, "doc": "r3", "spans": [[4, 9]], "relevant": {"r3#0": 1}}
    (case,) = load_suite(str(plain_folder(tmp_path, [question]))).cases
    assert case.evidence == (((Place("r3", span=(4, 9)),),),) and case.relevant == {"r3": 1}
    other = tmp_path / "chunks.jsonl"
    other.write_text(json.dumps({"id": "r3#0", "text": "Rye bread"}))
    (case,) = load_suite(str(tmp_path), corpus=other).cases
    assert case.evidence == () and case.relevant == {"r3#0": 1}


def test_a_gold_heading_names_its_blocks() -> None:
    assert names("§ Troops", "§ Troops") and names("§ Troops", "§ Troops, ¶2")
    assert not names("§ Troops", "§ Troops in Laos") and not names("¶1", "¶10")
