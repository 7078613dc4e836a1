from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from assistant.assembly import Assistant
from assistant.retrieval.passages import Passage
from assistant.retrieval.rerankers import CrossEncoderReranker
from assistant.settings import Settings
from index.chunks import Chunk
from index.cross_encoders import CrossEncoder
from index.documents import Voice
from index.embedders import LocalEmbedder, RememberingEmbedder, Vectors
from index.errors import ModelError, SettingsError
from index.models import find_model


def passage(number: int, text: str) -> Passage:
    chunk = Chunk(f"d#{number}", "d", (), text, number * 1000, number * 1000 + len(text), 5, Voice("A"))
    return Passage(chunk, 1 / (60 + number), {"dense": number})


def test_remembered_vectors_are_those_of_the_model_and_the_oldest_go_first(embedder: LocalEmbedder) -> None:
    asked: list[str] = []

    class Counting(LocalEmbedder):
        def embed(self, texts: Sequence[str]) -> Vectors:
            asked.extend(texts)
            return embedder.embed(texts)

    remembering = RememberingEmbedder(Counting(), kept=2)
    texts = ["one", "two", "one", "three"]
    assert np.allclose(remembering.embed(texts), embedder.embed(texts), atol=1e-6)
    assert asked == ["one", "two", "three"]
    remembering.embed(["three", "two"])
    assert asked == ["one", "two", "three"]
    remembering.embed(["one"])
    assert asked[3:] == ["one"] and remembering.embed([]).shape == (0, 384)


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an untrained one on the bundled model."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    source, folder = find_model().folder, tmp_path_factory.mktemp("cross-encoder")
    AutoModelForSequenceClassification.from_pretrained(source, num_labels=1, local_files_only=True).save_pretrained(folder)
    AutoTokenizer.from_pretrained(source, local_files_only=True).save_pretrained(folder)
    return folder


def test_a_cross_encoder_of_ones_own_ranks_by_its_scores(cross_encoder: Path) -> None:
    passages = [passage(number, text) for number, text in enumerate(["Bread needs salt.", "A river treaty.", "Mills grind."], 1)]
    encoder = CrossEncoder(cross_encoder)
    scores = encoder.score("Where is the treaty?", [each.chunk.text for each in passages])
    assert len(set(scores)) == 3
    ranked = CrossEncoderReranker(encoder).rerank("Where is the treaty?", passages)
    assert [each.score for each in ranked] == pytest.approx(sorted(scores, reverse=True), abs=1e-5)
    assert [each.ranks["cross-encoder"] for each in ranked] == [1, 2, 3]
    assert CrossEncoderReranker(encoder).rerank("Where?", []) == []
    many = [passage(number, f"Sentence number {number}.") for number in range(1, 26)]
    below = CrossEncoderReranker(encoder).rerank("Which number?", many)
    assert below[20:] == many[20:] and {each.chunk.id for each in below} == {each.chunk.id for each in many}


def test_what_would_rank_nothing_is_refused(debate_store: Path, cross_encoder: Path) -> None:
    for reader in (str(cross_encoder), "ranker"):
        with pytest.raises(SettingsError, match="set retrieval = reranked"):
            Assistant(Settings(store=debate_store, reader=reader, retrieval="fused"))


def test_what_is_no_cross_encoder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no cross-encoder"):
        CrossEncoder(tmp_path)
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelError, match="pickled weights are refused"):
        CrossEncoder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ModelError, match="cannot be loaded"):
        CrossEncoder(tmp_path).score("Where?", ["there"])
