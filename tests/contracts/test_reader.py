"""What the trained reader promises, on weights of its own: untrained ones, so that nothing hangs on what they learned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from assistant.assembly import Assistant
from assistant.reader.export import MOST_BYTES
from assistant.reader.model import BUNDLED_RECORD, BUNDLED_WEIGHTS, ReaderModel
from assistant.reader.network import ReaderNetwork
from assistant.reader.pairs import MOST_TOKENS, PairEncoder
from assistant.reader.train import tensors
from assistant.reader.trained import RelevanceReranker, RememberedReadings, bundled_fit
from assistant.retrieval.retriever import Retriever, plain
from index.embedders import LocalEmbedder
from index.errors import ModelError
from index.models import find_model, sha256

QUESTION = "Who inspects the dams?"
PASSAGES = [
    ("The River Treaty", "Moreno answers that 250 engineers inspect the dams every spring. Keller doubts it."),
    ("", "Ümläute, “quotes” — and 越南: the river treaty\nwas signed in Basel on 4 March 1961."),
    ("Bread", "word " * 700),
    ("A title and no text", ""),
    ("", "Yes."),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReaderNetwork, Path, Path]:
    """(network, its weights, its record)."""
    torch.manual_seed(3)
    network = ReaderNetwork(find_model().folder).eval()
    folder = tmp_path_factory.mktemp("reader")
    network.save(folder / "reader.safetensors", {})
    (folder / "reader.json").write_text(json.dumps({"sha256": sha256(folder / "reader.safetensors")}), encoding="utf-8")
    return network, folder / "reader.safetensors", folder / "reader.json"


@pytest.fixture(scope="module")
def reader(made: tuple[ReaderNetwork, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> ReaderModel:
    return ReaderModel(tmp_path_factory.mktemp("exports"), *made[1:])


def test_answers_lie_within_their_passage_at_their_offsets(reader: ReaderModel) -> None:
    for (_, text), read in zip(PASSAGES, reader.read(QUESTION, PASSAGES), strict=True):
        start, end = read.answer
        assert (0 <= start < end <= len(text)) if text else (start, end) == (0, 0)
        assert text[start:end] == text[start:end].strip()
        assert len(read.pair.ids) <= MOST_TOKENS
        for span in read.pair.spans:
            assert span is None or 0 <= span[0] < span[1] <= len(text)


def test_what_is_read_with_a_passage_never_changes_its_scores(reader: ReaderModel) -> None:
    together = reader.read(QUESTION, PASSAGES)
    backwards = reader.read(QUESTION, PASSAGES[::-1])[::-1]
    alone = [reader.read(QUESTION, [passage])[0] for passage in PASSAGES]
    for one, other, third in zip(together, backwards, alone, strict=True):
        assert one.relevance == other.relevance == third.relevance
        assert (one.answer, one.answer_logit) == (other.answer, other.answer_logit) == (third.answer, third.answer_logit)
        np.testing.assert_array_equal(one.evidence, third.evidence)


def test_openvino_says_what_torch_says(made: tuple[ReaderNetwork, Path, Path], reader: ReaderModel) -> None:
    network = made[0].float()
    pairs = PairEncoder(find_model().folder / "tokenizer.json").encode(QUESTION, PASSAGES)
    with torch.no_grad():
        relevance, tokens, _ = network(*tensors(pairs, "cpu"))
    for row, read in enumerate(reader.read(QUESTION, PASSAGES)):
        assert read.relevance == pytest.approx(float(relevance[row]), abs=0.03)
        count = len(pairs[row].ids)
        np.testing.assert_allclose(read.evidence[:count], tokens[row, :count, 2].numpy(), atol=0.06)


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing"])
def test_damaged_weights_are_refused_and_the_remedy_is_named(
    made: tuple[ReaderNetwork, Path, Path], tmp_path: Path, damage: str
) -> None:
    weights = tmp_path / "reader.safetensors"
    shutil.copy(made[1], weights)
    data = bytearray(weights.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 1
        weights.write_bytes(data)
    elif damage == "cut":
        weights.write_bytes(data[: len(data) // 2])
    else:
        weights.unlink()
    with pytest.raises(ModelError, match=r"damaged or replaced .* reinstall the program|cannot be read"):
        ReaderModel(tmp_path / "exports", weights, made[2])


# -- the weights that ship -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> ReaderModel:
    return ReaderModel(tmp_path_factory.mktemp("shipped"))


def test_weights_and_record_that_ship_belong_together() -> None:
    told = json.loads(BUNDLED_RECORD.read_text(encoding="utf-8"))
    assert told["sha256"] == sha256(BUNDLED_WEIGHTS)
    assert BUNDLED_WEIGHTS.stat().st_size <= MOST_BYTES
    assert {"plan", "step", "scores", "fit", "fitted_on"} <= told.keys()
    assert len(bundled_fit().confidence) == 5


def test_the_shipped_reader_finds_the_passage_and_the_words_that_answer(shipped: ReaderModel) -> None:
    passages = [
        ("The River Treaty", "The treaty binds both banks to share the water. Nobody says for how long."),
        ("The River Treaty", "Moreno answers that 250 engineers inspect the dams every spring. Keller doubts it."),
        ("Bread", "Rye bread needs a sour starter. The oven must reach 250 degrees before the loaf goes in."),
    ]
    read = shipped.read("How many engineers inspect the dams?", passages)
    assert max(range(3), key=lambda number: read[number].relevance) == 1
    start, end = read[1].answer
    assert passages[1][1][start:end] == "250"
    unanswered = shipped.read("Who baked the bread of the king?", passages)
    assert max(each.relevance for each in unanswered) < read[1].relevance


def test_ranking_by_relevance_keeps_what_it_did_not_look_at(
    shipped: ReaderModel, debate: Assistant, embedder: LocalEmbedder
) -> None:
    readings = RememberedReadings(lambda: shipped, debate.store)
    reranker = RelevanceReranker(readings, bundled_fit())
    question = "How many Vietnamese troops were stationed in Laos in the late 1970s, according to Vu?"
    found = Retriever(debate.store, embedder).search(plain(question), 30)
    ranked = reranker.rerank(question, found)
    assert ranked[20:] == found[20:]
    assert {each.chunk.id for each in ranked} == {each.chunk.id for each in found}
    assert [each.ranks["reader"] for each in ranked[:20]] == list(range(1, 21))
    assert "40,000" in ranked[0].chunk.text
    assert reranker.rerank(question, []) == []
