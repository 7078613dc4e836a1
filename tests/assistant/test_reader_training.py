"""Training from question sets to weights, on sets small enough for a test."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from assistant.reader.articles import is_kept_out
from assistant.reader.data import ARTICLES, CHOSEN_SENTENCES, SINGLE_SENTENCES, Context, Data, read_data, read_written
from assistant.reader.export import export
from assistant.reader.train import Plan, train
from index.embedders import LocalEmbedder

TOWNS = ["Basel", "Lima", "Hanoi", "Oslo", "Quito", "Turin", "Perth", "Izmir", "Gdansk", "Nantes"]


def put(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content.encode()))


def article(town: str) -> dict[str, object]:
    first = f"The treaty of {town} was signed in {1900 + TOWNS.index(town)}. Both banks share the water."
    second = f"The dams near {town} are old. Engineers inspect them in spring."
    when, who = f"{1900 + TOWNS.index(town)}", "Engineers"
    return {
        "title": town,
        "paragraphs": [
            {
                "context": first,
                "qas": [
                    {
                        "id": f"{town}1", "question": f"When was the treaty of {town} signed?", "is_impossible": False,
                        "answers": [{"text": when, "answer_start": first.index(when)}],
                    },
                    {"id": f"{town}2", "question": f"Who broke the treaty of {town}?", "is_impossible": True, "answers": []},
                ],
            },
            {
                "context": second,
                "qas": [
                    {
                        "id": f"{town}3", "question": f"Who inspects the dams near {town}?", "is_impossible": False,
                        "answers": [{"text": who, "answer_start": second.index(who)}],
                    }
                ],
            },
        ],
    }  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, embedder: LocalEmbedder) -> Data:
    folder = tmp_path_factory.mktemp("sets")
    for name in (*ARTICLES, *SINGLE_SENTENCES):
        put(folder / f"{name}.json.gz", json.dumps({"data": [article(town) for town in TOWNS]}))
    for name in ("squad2", "covidqa"):
        put(folder / name / "questions.dev.jsonl.gz", "")
    text = "Ferries run at night. The fare is two coins."
    put(
        folder / CHOSEN_SENTENCES / "corpus.jsonl.gz",
        json.dumps({"id": "d", "title": "Ferries", "text": text, "sents": ["Ferries run at night.", "The fare is two coins."]}),
    )
    asked = {"group": "Ferries", "relevant": {"d": 1}, "evidence": {"d": [[1]]}, "near_miss": None, "answerable": True}
    put(folder / CHOSEN_SENTENCES / "questions.dev.jsonl.gz", json.dumps({"id": "c", "question": "What is the fare?", **asked}))
    return read_data(folder, folder, embedder, written_for(folder))


def written_for(folder: Path) -> Path:
    """Questions on a paragraph that is not kept out of training."""
    town = next(town for town in TOWNS if not is_kept_out(town))
    context = str(article(town)["paragraphs"][1]["context"])  # type: ignore[index]
    digits = hashlib.sha256(context.encode()).hexdigest()[:10]
    lines = [f"@{digits}", f"+ Which town has old dams? | {town}", "= What state are they in? | old", "- Who built the dams?"]
    path = folder / "written.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_examples_hold_their_answers_and_wrong_passages_do_not(data: Data) -> None:
    learned, kept_out = data.split()
    assert learned and kept_out
    assert {example.group for example in kept_out} == {town for town in TOWNS if is_kept_out(town)}
    assert not {example.group for example in learned} & {example.group for example in kept_out}
    for example in data.examples:
        if example.right is None:
            assert all(data.texts[number].group == example.group for number in example.wrong)
            continue
        right = data.texts[example.right].text
        answers = [right[start:end] for start, end in example.spans]
        assert all(any(answer in right[start:end] for start, end in example.evidence) for answer in answers)
        assert example.right not in example.wrong
        assert not any(answer in data.texts[number].text for number in example.wrong for answer in answers)
    chosen = next(example for example in data.examples if example.source == CHOSEN_SENTENCES)
    assert [data.texts[chosen.right or 0].text[start:end] for start, end in chosen.evidence] == ["The fare is two coins."]


def test_written_questions_are_asked_of_their_own_paragraph(data: Data, tmp_path: Path) -> None:
    asked = {example.question: example for example in data.examples}
    answered, unjudged, without = (
        asked[question] for question in ("Which town has old dams?", "What state are they in?", "Who built the dams?")
    )
    for example, answer in ((answered, answered.group), (unjudged, "old")):
        assert example.right is not None
        assert {data.texts[example.right].text[start:end] for start, end in example.spans} == {answer}
    # Whether an unjudged question is answered is not learned, nor what is wrong for it.
    assert (answered.is_judged, unjudged.is_judged) == (True, False)
    assert answered.wrong and not unjudged.wrong
    assert without.right is None and ["dams" in data.texts[number].text for number in without.wrong] == [True]

    path = tmp_path / "written.txt"
    for line in ("? Who?", "+ Who?", "- Who? | Engineers"):
        path.write_text(f"@0123456789\n{line}\n", encoding="utf-8")
        with pytest.raises(ValueError, match="line 2"):
            read_written(path)


def test_paragraphs_that_were_spaced_for_parsers_are_read_as_people_write_them() -> None:
    told = "In 1997 , the `` River '' treaty ( of Basel ) cost $ 5 ; it did n't last - not a well - known one ."
    answers = [{"text": word, "answer_start": told.index(word)} for word in ("1997", "of Basel", "did n't last", "one .")]
    context = Context(told)
    assert context.text == 'In 1997, the "River" treaty (of Basel) cost $5; it didn\'t last-not a well-known one.'
    placed = context.placed({"answers": answers})["answers"]
    assert [each["text"] for each in placed] == ["1997", "of Basel", "didn't last", "one."]
    for each in placed:
        assert context.text[each["answer_start"] :].startswith(each["text"])
    assert Context("Nothing to do: “here”, too.").text == "Nothing to do: “here”, too."


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(data: Data, tmp_path: Path) -> None:
    plan = Plan(epochs=2, tokens=2048, singles=4, rate=1e-3)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    train(data, whole, plan, minutes=60, device="cpu")
    for _ in range(40):
        # No time at all: one step each.
        train(data, parts, plan, minutes=0, device="cpu")
        if (parts / "best.safetensors").exists():
            break
    one, other = load_file(whole / "best.safetensors"), load_file(parts / "best.safetensors")
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)
    with pytest.raises(ValueError, match="another plan"):
        train(data, whole, Plan(epochs=1), minutes=60, device="cpu")
    export(whole / "best.safetensors", tmp_path / "reader.safetensors", tmp_path / "reader.json")
    told = json.loads((tmp_path / "reader.json").read_text(encoding="utf-8"))
    assert told["plan"]["epochs"] == 2 and len(told["sha256"]) == 64 and told["fit"]
