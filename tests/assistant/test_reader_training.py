"""Training from question sets to weights, on sets small enough for a test."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from torch import nn
from torch.nn import functional

from assistant.reader.articles import is_kept_out
from assistant.reader.data import ARTICLES, SINGLE_SENTENCES, Context, read_data
from assistant.reader.examples import Data, Example, Paragraph, Posed
from assistant.reader.export import export
from assistant.reader.pairs import PairEncoder
from assistant.reader.processor import PooledDropout, _attend
from assistant.reader.sets import EVALUATION_SETS
from assistant.reader.train import Plan, epoch, train
from assistant.reader.written import paragraph_digits, parsed, posed_on, read_written
from index.embedders import LocalEmbedder
from index.models import find_model, sha256

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
    for name in EVALUATION_SETS:
        put_set(folder / name)
    return read_data(folder, folder, embedder, written_for(folder))


DECKHANDS = "Keller: The ferries are slow. They burn coal.\nMoreno: Coal is cheap."


def put_set(folder: Path) -> None:
    """A page of two sentences, another page that looks like it, and a talk; questions on each as the sets have them."""
    sents = ["Ferries run at night.", "The fare is two coins.", "Dogs sleep on deck."]
    corpus = [
        {"id": "d", "title": "Ferries", "text": " ".join(sents), "sents": sents},
        {
            "id": "near",
            "title": "Barges",
            "text": "Barges run by day. Nobody pays.",
            "sents": ["Barges run by day.", "Nobody pays."],
        },
        {"id": "talk", "title": "Deckhands", "text": DECKHANDS, "speakers": ["Keller", "Moreno"]},
    ]
    put(folder / "corpus.jsonl.gz", "\n".join(map(json.dumps, corpus)))
    known = {"near_miss": None, "history": [], "answerable": True, "relevant": {"d": 1}, "answers": ["two coins"], "evidence": {}}
    asked = {
        "clapnq-dev": [
            {"question": "What is the fare?", "evidence": {"d": [[1]]}},
            {"question": "Who pays?", "answerable": False, "relevant": {}, "near_miss": "near"},
        ],
        "scifact": [
            {"question": "The fare is three coins.", "evidence": {"d": [[1]]}, "label": "CONTRADICT"},
            {"question": "Ferries are cheaper than barges.", "label": "NEI"},
        ],
        "mtrag-govt": [
            {"question": "What is the fare?", "history": [{"role": "user", "text": "When do ferries run?"}]},
            {
                "question": "Who owns them?",
                "history": [{"role": "user", "text": "When do ferries run?"}],
                "answerable": False,
                "relevant": {},
            },
            {"question": "Thank you!", "answerability": "CONVERSATIONAL", "answerable": False, "relevant": {}},
        ],
        "qmsum-committee": [{"question": "Why does Moreno like coal?", "relevant": {"talk": 1}, "answers": ["It is cheap."]}],
    }.get(folder.name, [])
    rows = [{"id": str(number), "group": "Ferries", **known, **row} for number, row in enumerate(asked)]
    put(folder / "questions.dev.jsonl.gz", "\n".join(map(json.dumps, rows)))


def written_for(folder: Path) -> Path:
    """Questions on a paragraph that is not kept out of training."""
    town = next(town for town in TOWNS if not is_kept_out(town))
    context = str(article(town)["paragraphs"][1]["context"])  # type: ignore[index]
    digits = hashlib.sha256(context.encode()).hexdigest()[:10]
    lines = [f"@{digits}", f"+ Which town has old dams? | {town}", "= What state are they in? | old", "- Who built the dams?"]
    lines += ["? How are the dams kept safe? | 2", "T The dams are looked at each spring. | 2", "F The dams are new. | 1"]
    lines += [f"@{paragraph_digits(DECKHANDS)}", "? What does Moreno say of coal? | 3", "- What does Keller say of wages?"]
    path = folder / "written.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def examples_of(data: Data, question: str) -> list[Example]:
    return [example for example in data.examples if example.asked.question == question]


def told(data: Data, example: Example) -> list[str]:
    """The sentences that answer."""
    assert example.asked.right is not None
    return [data.texts[example.asked.right].text[start:end] for start, end in example.asked.evidence]


def test_examples_hold_their_answers_and_wrong_passages_do_not(data: Data) -> None:
    learned, kept_out = data.split()
    assert learned and kept_out
    assert not {example.asked.group for example in learned} & {example.asked.group for example in kept_out}
    assert all(is_kept_out(example.asked.group) for example in kept_out)
    for example in data.examples:
        asked = example.asked
        if asked.right is None:
            continue
        right = data.texts[asked.right].text
        answers = [right[start:end] for start, end in asked.spans]
        assert all(any(answer in right[start:end] for start, end in asked.evidence) for answer in answers)
        assert not {asked.right, *asked.not_wrong} & set(example.wrong)
        assert not any(answer in data.texts[number].text for number in example.wrong for answer in answers)


def test_the_right_passage_without_its_answer_is_wrong(data: Data) -> None:
    fares = [example for example in examples_of(data, "What is the fare?") if example.asked.evidence]
    assert fares
    for example in fares:
        assert example.cut is not None
        assert data.texts[example.cut].text == "Ferries run at night. Dogs sleep on deck."
    # Of two sentences, one alone is left: too little to look right.
    assert all(example.cut is None for example in examples_of(data, f"When was the treaty of {TOWNS[0]} signed?"))


def test_evaluation_sets_lend_their_dev_questions(data: Data) -> None:
    chosen = next(example for example in data.examples if example.asked.origin == "clapnq-dev" and example.asked.evidence)
    assert told(data, chosen) == ["The fare is two coins."]
    (unanswered,) = examples_of(data, "Who pays?")
    assert unanswered.asked.right is None
    assert [data.texts[number].text for number in unanswered.wrong] == ["Barges run by day. Nobody pays."]
    (claim,) = examples_of(data, "The fare is three coins.")
    assert (claim.asked.bears_out, told(data, claim)) == (False, ["The fare is two coins."])
    # What is cited and settles nothing is found first, and not learned to be an answer.
    (unsettled,) = examples_of(data, "Ferries are cheaper than barges.")
    assert unsettled.asked.right is not None and not unsettled.asked.is_judged and unsettled.wrong
    followed = [example.asked for example in data.examples if example.asked.origin == "mtrag-govt"]
    assert all("When do ferries run?" in asked.question for asked in followed if asked.right is None)
    assert not examples_of(data, "Thank you!")
    (meeting,) = examples_of(data, "Why does Moreno like coal?")
    right = data.texts[meeting.asked.right or 0]
    # As when it is indexed: one speaker a passage, whose name stands above it.
    assert (right.title, right.text) == ("Deckhands\nMoreno", "Coal is cheap.")


def test_written_questions_are_asked_of_their_own_paragraph(data: Data, tmp_path: Path) -> None:
    (answered,), (unjudged,), (without,) = (
        examples_of(data, question) for question in ("Which town has old dams?", "What state are they in?", "Who built the dams?")
    )
    for example, answer in ((answered, answered.asked.group), (unjudged, "old")):
        assert example.asked.right is not None
        right = data.texts[example.asked.right].text
        assert {right[start:end] for start, end in example.asked.spans} == {answer}
    # Whether an unjudged question is answered is not learned, nor what is wrong for it.
    assert (answered.asked.is_judged, unjudged.asked.is_judged) == (True, False)
    assert answered.wrong and not unjudged.wrong
    assert without.asked.right is None and ["dams" in data.texts[number].text for number in without.wrong] == [True]

    (how,), (true,), (false,) = (
        examples_of(data, question)
        for question in ("How are the dams kept safe?", "The dams are looked at each spring.", "The dams are new.")
    )
    for example, bears_out in ((how, None), (true, True), (false, False)):
        assert example.asked.bears_out is bears_out and not example.asked.spans and len(told(data, example)) == 1
    assert told(data, how) == ["Engineers inspect them in spring."]
    for example in examples_of(data, "What does Moreno say of coal?"):
        assert told(data, example) == ["Coal is cheap."]
    for example in examples_of(data, "What does Keller say of wages?"):
        # Asked of the part that its twin is answered by.
        assert [data.texts[number].title for number in example.wrong] == ["Deckhands\nMoreno"]


@pytest.mark.parametrize("line", ["Who?", "+ Who?", "- Who? | Engineers", "? Who?", "? Who? | first", "T So. | ", "x Who? | 1"])
def test_a_line_that_is_no_written_question_is_told_with_its_number(line: str, tmp_path: Path) -> None:
    path = tmp_path / "written.txt"
    path.write_text(f"@0123456789\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 2"):
        read_written(path)


@pytest.mark.parametrize(("line", "what"), [("+ Who? | Nobody", "does not stand"), ("? Who? | 3", "no sentences")])
def test_what_does_not_stand_in_its_paragraph_is_refused(line: str, what: str, tmp_path: Path) -> None:
    path = tmp_path / "written.txt"
    text = "Engineers inspect the dams. They do so in spring."
    path.write_text(f"@{paragraph_digits(text)}\n{line}\n", encoding="utf-8")
    (written,) = read_written(path).values()
    with pytest.raises(ValueError, match=what):
        list(posed_on(Paragraph(text, "set", "Dams", ((0, len(text)),), 0), written))


def posed(text: str, *lines: str, parts: tuple[tuple[int, int], ...] = ()) -> list[Posed]:
    paragraph = Paragraph(text, "set", "Dams", parts or ((0, len(text)),), 0)
    return list(posed_on(paragraph, [written for line in lines if (written := parsed(line))]))


def test_an_answer_that_stands_twice_is_the_one_that_the_question_is_about() -> None:
    text = "Not 16 but 2016 was the year of Basel. The dam of Lima cost 16 coins."
    (made,) = posed(text, "+ What did the dam of Lima cost? | 16")
    # Neither a part of another number, nor the sixteen of another sentence.
    assert [text[start:end] for start, end in made.evidence] == ["The dam of Lima cost 16 coins."]
    assert made.spans == ((text.index("16 coins"), text.index("16 coins") + 2),)


def test_in_a_long_text_the_next_line_that_names_sentences_tells_which_part_was_in_view() -> None:
    first, second = "Engineers inspect dams. Engineers are tired.", "Engineers of Lima sleep. They dream."
    text = f"{first} {second}"
    parts = ((0, len(first)), (len(first) + 1, len(text)))
    answered, twin, _ = posed(text, "+ Who sleeps? | Engineers", "- Who swims?", "? What do they do? | 4", parts=parts)
    assert (answered.right, twin.known_wrong) == (1, (1,))
    (alone,) = posed(text, "+ Who sleeps? | Engineers", parts=parts)
    assert alone.right == 0


def test_what_any_passage_answers_is_wrong_for_none_of_its_questions(data: Data) -> None:
    rights: dict[str, set[int]] = {}
    for example in data.examples:
        rights.setdefault(example.asked.question, set()).update(() if example.asked.right is None else (example.asked.right,))
    learned, _ = data.split()
    for example in data.examples:
        if example.asked.right is not None:
            assert not rights[example.asked.question] & set(example.wrong)
    for example in learned:
        numbers = [*example.wrong, *(() if example.asked.right is None else (example.asked.right,))]
        assert not any(is_kept_out(data.texts[number].group) for number in numbers)


def test_every_batch_tells_apart_what_answers(data: Data) -> None:
    learned, _ = data.split()
    encoder = PairEncoder(find_model().folder / "tokenizer.json")
    batches = list(epoch(data, learned, encoder, Plan(tokens=2048, singles=4), 0))
    assert batches == list(epoch(data, learned, encoder, Plan(tokens=2048, singles=4), 0))
    for group in (group for batch in batches for group in batch):
        assert all(not labelled.answers and labelled.starts == [0] for labelled in group[1:])
        assert {labelled.bears_out for labelled in group[1:]} <= {None}


def test_a_run_ends_after_the_steps_of_its_plan_also_when_it_is_asked_again(data: Data, tmp_path: Path) -> None:
    for _ in range(2):
        train(data, tmp_path, Plan(tokens=1024, singles=4, steps=3), minutes=60, device="cpu")
        with safe_open(tmp_path / "state.safetensors", "np") as file:
            assert file.metadata()["step"] == "3"
    assert (tmp_path / "best.safetensors").exists()


def test_attention_pair_by_pair_is_attention() -> None:
    torch.manual_seed(2)
    pairs = [torch.randn(3, 12, 40, 32, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    mask = torch.ones(3, 40, dtype=torch.int64)
    mask[0, 33:], mask[1, 7:] = 0, 0
    ours, _ = _attend(nn.Module(), *pairs, mask, 32**-0.5)
    theirs = functional.scaled_dot_product_attention(*pairs, attn_mask=mask[:, None, None, :].bool()).transpose(1, 2)
    read = mask[:, :, None, None]
    torch.testing.assert_close(ours * read, theirs * read)
    weights = torch.randn_like(ours) * read
    gradients = [torch.autograd.grad((each * weights).sum(), pairs) for each in (ours, theirs)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_dropout_from_the_pool_drops_its_share_and_keeps_the_mean() -> None:
    torch.manual_seed(2)
    dropout, values = PooledDropout(0.25), torch.ones(1000, 1000)
    dropped = dropout(values)
    assert float((dropped == 0).double().mean()) == pytest.approx(0.25, abs=0.005)
    assert float(dropped.double().mean()) == pytest.approx(1, abs=0.01)
    assert not torch.equal(dropped, dropout(values))
    assert torch.equal(dropout.eval()(values), values)


def test_paragraphs_that_were_spaced_for_parsers_are_read_as_people_write_them() -> None:
    told = "In 1997 , the `` River '' treaty ( of Basel ) cost $ 5 ; it did n't last - not a well - known one ."
    answers = [{"text": word, "answer_start": told.index(word)} for word in ("1997", "of Basel", "did n't last", "one .")]
    context = Context(told)
    assert context.text == 'In 1997, the "River" treaty (of Basel) cost $5; it didn\'t last-not a well-known one.'
    assert [context.text[start:end] for start, end in context.places(answers)] == ["1997", "of Basel", "didn't last", "one."]
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
    with pytest.raises(ValueError, match="other data"):
        train(Data(data.texts, data.examples[::-1]), whole, plan, minutes=60, device="cpu")
    export(whole / "best.safetensors", tmp_path / "reader.safetensors", tmp_path / "reader.json")
    told = json.loads((tmp_path / "reader.json").read_text(encoding="utf-8"))
    assert told["plan"]["epochs"] == 2 and len(told["sha256"]) == 64 and told["fit"]

    # The mean with what it started from, which may lack what is new.
    start = {name: np.zeros_like(values) for name, values in one.items() if not name.startswith("bears_out")}
    save_file(start, tmp_path / "start.safetensors")
    mean = (tmp_path / "reader.safetensors", tmp_path / "reader.json")
    export(whole / "best.safetensors", *mean, mean_with=tmp_path / "start.safetensors")
    shipped = load_file(mean[0])
    assert json.loads(mean[1].read_text(encoding="utf-8"))["mean_with"] == sha256(tmp_path / "start.safetensors")
    assert shipped.keys() == one.keys()
    for name, values in one.items():
        half = values if name.startswith("bears_out") else values / 2
        np.testing.assert_allclose(shipped[name].astype(float), half.astype(float), atol=1e-6, rtol=2e-3, err_msg=name)
