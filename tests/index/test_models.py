from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiktoken

from index import tiktoken_plugin
from index.embedders import LocalEmbedder, load_sentence_transformer
from index.errors import ModelError
from index.export import _in_steps, _scaling
from index.exported import _checksum
from index.models import find_model
from index.tokens import ENCODING, count_tokens
from tests.conftest import ROOT

TEXTS = sorted((ROOT / "corpus").rglob("*.md"))


def test_tokens_are_counted_offline_by_a_real_vocabulary() -> None:
    assert 3 <= count_tokens("Alliances are promises.") <= 6
    assert (
        tiktoken.get_encoding(ENCODING).decode(tiktoken.get_encoding(ENCODING).encode("Luông Phạ Bang, 琅勃拉邦"))
        == "Luông Phạ Bang, 琅勃拉邦"
    )


def test_the_vocabulary_is_the_whole_one_of_its_file() -> None:
    import mistral_common

    told = json.loads((Path(mistral_common.__file__).parent / "data" / "tekken_240911.json").read_text(encoding="utf-8"))
    count = told["config"]["default_vocab_size"] - told["config"]["default_num_special_tokens"]
    words = {base64.b64decode(word["token_bytes"]): word["rank"] for word in told["vocab"][:count]}
    assert tiktoken_plugin.ENCODING_CONSTRUCTORS[ENCODING]()["mergeable_ranks"] == words


def test_names_of_special_tokens_in_a_text_are_plain_text() -> None:
    assert count_tokens("<|endoftext|>") > 1


def test_vectors_are_unit_rows_and_near_what_they_mean(embedder: LocalEmbedder) -> None:
    vectors = embedder.embed(["The treaty binds both allies.", "Both allies are bound by the pact.", "Rye bread needs salt."])
    assert vectors.shape == (3, embedder.dimensions) == (3, 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3


def test_the_fingerprint_names_the_weights(embedder: LocalEmbedder) -> None:
    assert embedder.fingerprint == "all-MiniLM-L6-v2:53aa51172d142c89"


def folder_of(model: str = "all-MiniLM-L6-v2") -> Path:
    return find_model(model).folder


def test_damaged_weights_are_refused_with_the_mend(tmp_path: Path) -> None:
    model = find_model()
    copy = Path(shutil.copytree(model.folder, tmp_path / "model"))
    data = bytearray(model.weights.read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "model.safetensors").write_bytes(data)
    damaged = replace(model, folder=copy, weights=copy / "model.safetensors")
    with pytest.raises(ModelError, match="pip install --force-reinstall"):
        damaged.digest()


def test_a_model_folder_that_is_not_there_or_holds_a_pickle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        LocalEmbedder(str(tmp_path / "no"))
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelError, match="pickled weights are refused"):
        LocalEmbedder(str(tmp_path))


@pytest.mark.slow
def test_another_model_folder_works_like_the_bundled_one(tmp_path: Path, embedder: LocalEmbedder) -> None:
    folder = shutil.copytree(folder_of(), tmp_path / "mine")
    other = LocalEmbedder(str(folder), exports=tmp_path / "exports")
    assert (other.dimensions, other.max_tokens) == (384, 256)
    assert other.fingerprint == "mine:53aa51172d142c89"
    assert np.allclose(other.embed(["Same words."]), embedder.embed(["Same words."]), atol=1e-6)
    assert other.notice is None
    # Other weights in the same folder, as a model that was trained on, never pass for the old ones.
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-4000, 2)
        file.write(b"\0" * 4000)
    changed = LocalEmbedder(str(folder), exports=tmp_path / "exports")
    assert changed.fingerprint != other.fingerprint
    assert not changed.is_prepared


# -- the export -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def reference() -> Any:
    """sentence-transformers itself."""
    return load_sentence_transformer(folder_of(), "cpu")


def test_the_export_gives_the_vectors_of_sentence_transformers(embedder: LocalEmbedder, reference: Any) -> None:
    texts = [path.read_text(encoding="utf-8")[at : at + size] for path in TEXTS for at, size in ((0, 60), (300, 400), (0, 3000))]
    wanted = reference.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    cosines = (embedder.embed(texts) * wanted).sum(axis=1)
    assert len(texts) > 60 and cosines.mean() >= 0.9999 and cosines.min() >= 0.9998
    assert embedder.notice is None


@pytest.mark.slow
def test_fast_computing_is_near_and_has_a_fingerprint_of_its_own(embedder: LocalEmbedder, reference: Any) -> None:
    fast = LocalEmbedder(precision="fast")
    texts = [path.read_text(encoding="utf-8")[300:900] for path in TEXTS]
    wanted = reference.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    assert (fast.embed(texts) * wanted).sum(axis=1).mean() >= 0.993
    assert fast.fingerprint == f"{embedder.fingerprint}:int8-smoothed"


def test_columns_that_reach_far_do_not_cost_the_others_their_steps() -> None:
    random = np.random.default_rng(7)
    values = random.normal(size=(200, 64)).astype(np.float32)
    values[:, 5] *= 80
    weights = random.normal(size=(32, 64)).astype(np.float32)
    wanted = values @ weights.T

    def error(scale: Any, low: float, high: float) -> float:
        rows = np.abs(weights * scale).max(axis=1, keepdims=True)
        made = _in_steps(values / scale, low, high, 256) @ _in_steps(weights * scale, -rows, rows, 255).T
        return float(np.square(made - wanted).mean())

    texts = values.reshape(20, 10, 64)
    made = _scaling(np.stack([texts.min(axis=1), texts.max(axis=1)], axis=1), np.concatenate(texts[1::2]), weights)
    assert error(made.scale, made.low, made.high) < error(np.ones(64, dtype=np.float32), values.min(), values.max()) / 4
    assert 0 < made.loss < 0.01


def test_a_column_that_is_silent_on_the_samples_may_speak_later() -> None:
    random = np.random.default_rng(7)
    texts = random.normal(size=(20, 10, 16)).astype(np.float32)
    texts[:, :, 3] = 0
    made = _scaling(
        np.stack([texts.min(axis=1), texts.max(axis=1)], axis=1), np.concatenate(texts[1::2]), np.eye(16, dtype=np.float32)
    )
    spoken = np.zeros((1, 16), dtype=np.float32)
    spoken[0, 3] = 0.2
    assert _in_steps(spoken / made.scale, made.low, made.high, 256)[0, 3] * made.scale[3] == pytest.approx(0.2, rel=0.1)


def test_a_text_has_the_same_vector_whatever_it_is_embedded_with(embedder: LocalEmbedder) -> None:
    texts = [path.read_text(encoding="utf-8")[200 : 200 + 37 * number] for number, path in enumerate(TEXTS, start=1)]
    together = embedder.embed(texts)
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    assert np.abs(together - alone).max() < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("model.bin", "flipped"),
        ("tokenizer.json", "flipped"),
        ("manifest.json", "truncated"),
        ("compiled", "flipped"),
        ("compiled", "truncated"),
        ("compiled", "missing"),
    ],
)
def test_a_damaged_export_is_made_again(name: str, damage: str, tmp_path: Path, embedder: LocalEmbedder) -> None:
    """Only the parts that a start reads count: weights are read when there is no compiled model."""
    wanted = embedder.embed(["A dam."])
    kept = embedder._exported.folder
    copy = Path(shutil.copytree(kept, tmp_path / "exports" / kept.name))
    compiled = next(copy.glob("compiled-*"))
    file = compiled if name == "compiled" else copy / name
    if name in ("model.xml", "model.bin"):
        compiled.unlink()
    data = file.read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage == "truncated":
        file.write_bytes(data[: len(data) // 2])
    else:
        file.write_bytes(data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 0x20]) + data[len(data) // 2 + 1 :])
    mended = LocalEmbedder(exports=tmp_path / "exports")
    assert np.allclose(mended.embed(["A dam."]), wanted, atol=1e-6)
    assert mended.notice is None
    assert np.allclose(LocalEmbedder(exports=tmp_path / "exports").embed(["A dam."]), wanted, atol=1e-6)


@pytest.mark.slow
def test_a_model_that_cannot_be_exported_is_used_as_it_is_and_that_is_told(tmp_path: Path, embedder: LocalEmbedder) -> None:
    locked = tmp_path / "file"
    locked.write_text("no folder can be made below a file")
    other = LocalEmbedder(exports=locked / "exports")
    assert np.allclose(other.embed(["A dam."]), embedder.embed(["A dam."]), atol=0.01)
    assert other.notice is not None and "sentence-transformers instead, which is slower" in other.notice
    with pytest.raises(ModelError, match="Set precision = exact"):
        LocalEmbedder(exports=locked / "exports", precision="fast").embed(["A dam."])


@pytest.mark.slow
def test_a_refused_export_is_told_and_tried_again_by_another_runtime(tmp_path: Path, embedder: LocalEmbedder) -> None:
    """Also: what a killed exporter left long ago is swept away."""
    embedder.embed(["A dam."])
    kept = embedder._exported.folder
    copy = Path(shutil.copytree(kept, tmp_path / "exports" / kept.name))
    told = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    del told["checksum"]

    def note(**values: str) -> None:
        changed = {**told, **values}
        (copy / "manifest.json").write_text(json.dumps({**changed, "checksum": _checksum(changed)}), encoding="utf-8")

    note(refused="a reason")
    other = LocalEmbedder(exports=tmp_path / "exports")
    other.embed(["A dam."])
    assert other.is_refused and "not used through OpenVINO: a reason" in str(other.notice)
    note(refused="a reason", runtime="2020.1")
    old, young = (tmp_path / "exports" / name for name in (".making-old", ".making-young"))
    old.mkdir()
    young.mkdir()
    os.utime(old, (1, 1))
    again = LocalEmbedder(exports=tmp_path / "exports")
    again.embed(["A dam."])
    assert again.notice is None and not again.is_refused
    assert young.exists() and not old.exists()


def test_fast_computing_elsewhere_than_on_the_processor_is_refused() -> None:
    with pytest.raises(ModelError, match="precision = fast computes on the processor"):
        LocalEmbedder(precision="fast", device="cuda")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives a thread a priority of its own")
def test_threads_that_compute_give_way_and_those_of_python_do_not() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, threading; from index.embedders import LocalEmbedder; from index.runtime import give_way\n"
            "LocalEmbedder().embed(['a river']); give_way()\n"
            "own = {each.native_id for each in threading.enumerate()}\n"
            "nice = {tid: os.getpriority(os.PRIO_PROCESS, tid) for tid in map(int, os.listdir('/proc/self/task'))}\n"
            "others = {value for tid, value in nice.items() if tid not in own}\n"
            "print(max(nice[tid] for tid in own) < 10, bool(others), min(others, default=0) >= 10)",
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["True", "True", "True"]
