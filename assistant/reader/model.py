"""The trained reader: a small cross-encoder that reads question and passage together, through OpenVINO, without torch.

Its weights (reader.safetensors, by assistant/reader/train.py) come without word vectors: these are the bundled embedding
model's own and are taken from its package. Weights are verified by their SHA-256 before they are used.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.reader.pairs import Pair, PairEncoder
from index.embedders import default_exports
from index.errors import ModelError
from index.exported import Requests, compile_kept
from index.models import find_model, sha256
from index.runtime import runtime

Weights = Mapping[str, NDArray[Any]]

BUNDLED_WEIGHTS = Path(__file__).with_name("reader.safetensors")
BUNDLED_RECORD = Path(__file__).with_name("reader.json")
"""SHA-256 of the weights, how they were trained, and what was fitted on them."""
_WORD_VECTORS = "embeddings.word_embeddings.weight"
_FORM = 2
"""Changes when the same weights are compiled otherwise."""
_HEADS = 12
_LAYER_NORM = 1e-12
_HIDDEN = -1e4
# A pair is padded to a multiple of this, so that few shapes are compiled. It is read alone: what else is read with it
# changes nothing.
_STEP = 16
_LONGEST_ANSWER = 30
_FORBIDDEN = -1e9


@dataclass(frozen=True, slots=True)
class PassageReading:
    """What the network says of one passage. Logits: higher is likelier."""

    relevance: float
    """Whether the passage answers the question."""
    answer: tuple[int, int]
    """The likeliest answer: text[start:end]; (0, 0) for a passage without words."""
    answer_logit: float
    """Of that answer, against there being none."""
    pair: Pair
    evidence: NDArray[np.float32]
    """Of each token, whether its sentence carries the answer; shape (tokens,)."""

    def evidence_of(self, start: int, end: int) -> float | None:
        """Of the sentence text[start:end]; None for one beyond what was read."""
        place = self.pair.tokens(start, end)
        return float(self.evidence[place[0] : place[1] + 1].mean()) if place else None


class ReaderModel:
    """Safe to share between threads."""

    def __init__(self, exports: Path, weights: Path = BUNDLED_WEIGHTS, record: Path = BUNDLED_RECORD) -> None:
        """exports: folder of what is compiled for this machine. Raises ModelError."""
        openvino = runtime()
        digest = _told_digest(record)
        core = openvino.Core()
        compiled = compile_kept(
            core, exports / "reader", [digest, _FORM], "exact", lambda: _halved(core, network(_verified(weights, digest)))
        )
        self._requests = Requests(compiled)
        self._encoder = PairEncoder(find_model().folder / "tokenizer.json")

    def read(self, question: str, passages: Sequence[tuple[str, str]]) -> list[PassageReading]:
        """passages: (place, text) of each; see PairEncoder."""
        pairs = self._encoder.encode(question, passages)
        found = self._requests.run(map(_row, pairs))
        return [_reading(pair, float(relevance[0, 0]), tokens[0]) for pair, (relevance, tokens) in zip(pairs, found, strict=True)]


class LazyReaderModel:
    """Loads the model that ships once, at the first need or ahead of it. Safe to share between threads."""

    def __init__(self, exports: Path | None = None) -> None:
        """exports: as for ReaderModel; the user's cache folder for None."""
        self._exports = exports
        self._lock = Lock()
        self._model: ReaderModel | None = None

    def preload(self) -> None:
        """Begins to load it, without waiting for it."""

        def load() -> None:
            # What fails here fails again, and is told, when it is needed.
            with suppress(Exception):
                self()

        if self._model is None and not self._lock.locked():
            Thread(target=load, name="loading the reader", daemon=True).start()

    def __call__(self) -> ReaderModel:
        """Raises ModelError."""
        with self._lock:
            if self._model is None:
                self._model = ReaderModel(self._exports.expanduser() if self._exports else default_exports())
            return self._model


def _row(pair: Pair) -> list[NDArray[np.int64]]:
    """ids, types, mask: each of shape (1, tokens)."""
    length = -(-len(pair.ids) // _STEP) * _STEP
    rows = [np.zeros((1, length), dtype=np.int64) for _ in range(3)]
    for row, values in zip(rows, (pair.ids, pair.types, [1] * len(pair.ids)), strict=True):
        row[0, : len(values)] = values
    return rows


def _reading(pair: Pair, relevance: float, tokens: NDArray[np.float32]) -> PassageReading:
    inside = [number for number, span in enumerate(pair.spans) if span]
    if not inside:
        return PassageReading(relevance, (0, 0), _FORBIDDEN, pair, tokens[:, 2])
    start, end = tokens[inside, 0], tokens[inside, 1]
    sums = start[:, None] + end[None, :]
    allowed = np.triu(np.ones_like(sums, dtype=bool)) & ~np.triu(np.ones_like(sums, dtype=bool), _LONGEST_ANSWER)
    best = int(np.where(allowed, sums, _FORBIDDEN).argmax())
    first, last = (pair.spans[inside[number]] for number in divmod(best, len(inside)))
    assert first and last
    return PassageReading(relevance, (first[0], last[1]), float(sums.flat[best] - tokens[0, :2].sum()), pair, tokens[:, 2])


def _told_digest(record: Path) -> str:
    try:
        return str(json.loads(record.read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"the reader's record {record} cannot be read; reinstall the program, or set reader = none.") from error


def _verified(weights: Path, digest: str) -> Weights:
    """Raises ModelError unless both files are what they should be."""
    from safetensors.numpy import load_file

    found = sha256(weights)
    if found != digest:
        raise ModelError(
            f"the reader's weights {weights} are damaged or replaced (SHA-256 {found[:12]}… instead of {digest[:12]}…); "
            "reinstall the program, or set reader = none."
        )
    bundled = find_model()
    bundled.digest()
    words = load_file(bundled.weights)[_WORD_VECTORS]
    return {**load_file(weights), f"body.{_WORD_VECTORS}": words}


def _halved(core: Any, model: Any) -> Any:
    """The same with its constants kept in half precision, as the weights are: half as much to read at each start."""
    openvino = runtime()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reader.xml"
        openvino.save_model(model, path, compress_to_fp16=True)
        made = core.read_model(path.read_bytes(), openvino.Tensor(np.fromfile(path.with_suffix(".bin"), np.uint8)))
    return made


def network(weights: Weights) -> Any:
    """An OpenVINO model of (ids, types, mask), each of shape (pairs, tokens), that gives relevance, shape (pairs, 1), and
    start, end and evidence of each token, shape (pairs, tokens, 3).

    weights: by the names of ReaderNetwork's parameters. Raises KeyError where one is missing.
    """
    openvino = runtime()
    from openvino import opset13 as op

    def constant(name: str) -> Any:
        return op.constant(np.asarray(weights[name], dtype=np.float32))

    def linear(values: Any, name: str) -> Any:
        product = op.matmul(values, constant(f"{name}.weight"), False, True)
        return op.add(product, constant(f"{name}.bias"))

    def normalized(values: Any, name: str) -> Any:
        even = op.mvn(values, op.constant(np.array([-1])), True, _LAYER_NORM, "inside_sqrt")
        return op.add(op.multiply(even, constant(f"{name}.weight")), constant(f"{name}.bias"))

    def looked_up(name: str, ids: Any) -> Any:
        return op.gather(constant(f"body.embeddings.{name}.weight"), ids, op.constant(0))

    def heads(values: Any) -> Any:
        apart = op.reshape(values, op.constant(np.array([0, 0, _HEADS, -1])), True)
        return op.transpose(apart, op.constant(np.array([0, 2, 1, 3])))

    ids, types, mask = (op.parameter([-1, -1], np.int64, name) for name in ("ids", "types", "mask"))
    length = op.gather(op.shape_of(ids), op.constant(1), op.constant(0))
    places = op.range(op.constant(np.int64(0)), length, op.constant(np.int64(1)), "i64")
    words = op.add(looked_up("word_embeddings", ids), looked_up("token_type_embeddings", types))
    hidden = normalized(op.add(words, looked_up("position_embeddings", places)), "body.embeddings.LayerNorm")
    hides = op.multiply(op.subtract(op.constant(np.float32(1)), op.convert(mask, "f32")), op.constant(np.float32(_HIDDEN)))
    hides = op.unsqueeze(hides, op.constant(np.array([1, 2])))
    count = 1 + max(int(name.split(".")[3]) for name in weights if name.startswith("body.encoder.layer."))
    for number in range(count):
        layer = f"body.encoder.layer.{number}"
        query, key, value = (heads(linear(hidden, f"{layer}.attention.self.{name}")) for name in ("query", "key", "value"))
        seen = op.scaled_dot_product_attention(query, key, value, hides)
        joined = op.reshape(op.transpose(seen, op.constant(np.array([0, 2, 1, 3]))), op.constant(np.array([0, 0, -1])), True)
        joined = linear(joined, f"{layer}.attention.output.dense")
        hidden = normalized(op.add(joined, hidden), f"{layer}.attention.output.LayerNorm")
        wide = op.gelu(linear(hidden, f"{layer}.intermediate.dense"), "erf")
        hidden = normalized(op.add(linear(wide, f"{layer}.output.dense"), hidden), f"{layer}.output.LayerNorm")
    first = op.gather(hidden, op.constant(0), op.constant(1))
    relevance = linear(op.tanh(linear(first, "pooled")), "relevance")
    return openvino.Model([relevance, linear(hidden, "tokens")], [ids, types, mask], "reader")
