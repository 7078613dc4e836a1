"""What the trained reader promises, on weights of its own: untrained ones, so that nothing hangs on what they learned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from assistant.reader.model import ReaderModel
from assistant.reader.network import ReaderNetwork
from assistant.reader.pairs import MOST_TOKENS, PairEncoder
from assistant.reader.train import tensors
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
        relevance, tokens = network(*tensors(pairs, "cpu"))
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
