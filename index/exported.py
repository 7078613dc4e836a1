"""Embeds with OpenVINO from a model that was exported once; neither torch nor transformers is loaded.

The export lies in a folder of its own with a manifest that says which weights it was made from, how well it agrees with
sentence-transformers, and the digest of each file: a damaged or foreign export is made again, never used.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from index.errors import ModelError
from index.models import Model, sha256

Precision = Literal["exact", "fast"]

FILES = ("model.xml", "model.bin", "tokenizer.json")
MANIFEST = "manifest.json"
_FORMAT = 1
# Texts are padded to a multiple of this, so that few shapes are compiled; a text is always padded to the same length,
# so that its vector does not depend on what it is embedded with.
_LENGTH_STEP = 8
_TOKENS_AT_ONCE = 1536
_MOST_STREAMS = 16


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is known of an export."""

    weights: str
    """SHA-256 of the weights that it was made from."""
    stamp: tuple[int, int]
    """(size, time of change) of those weights."""
    files: dict[str, str]
    """File name -> SHA-256."""
    dimensions: int
    max_tokens: int
    """What the model reads of a text, special tokens included."""
    prompt: str
    """What the model wants before each text; mostly nothing."""
    agreement: tuple[float, float]
    """Mean and least cosine with sentence-transformers over the sample texts."""
    refused: str | None
    """Why the export is not used; None when it is sound."""


def runtime() -> Any:
    """The openvino package without its conversion tools, which report to their maker when they are imported."""
    sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]
    import openvino

    return openvino


class Exported:
    """The export of one model at one precision in the folder of exports. Made at first need, by a process of its own."""

    def __init__(self, model: Model, precision: Precision, exports: Path) -> None:
        self._model = model
        self._precision = precision
        key = hashlib.sha256(f"{model.folder.resolve()}|{precision}|{_FORMAT}".encode()).hexdigest()[:12]
        self.folder = exports / f"{model.name}-{precision}-{key}".replace(" ", "-")
        self._manifest: Manifest | None = None

    def known(self) -> Manifest | None:
        """What is known without making the export: None when there is none of these weights."""
        if self._manifest is None:
            try:
                told = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
                manifest = Manifest(
                    **{**told, "stamp": tuple(told["stamp"]), "agreement": tuple(told["agreement"]), "files": dict(told["files"])}
                )
            except (OSError, ValueError, KeyError, TypeError):
                return None
            if manifest.stamp != self._model.stamp():
                if manifest.weights != self._model.digest():
                    return None
            self._manifest = manifest
        return self._manifest

    def manifest(self) -> Manifest:
        """Makes the export where there is none. Raises ModelError when it cannot be made."""
        known = self.known()
        if known is None:
            self._make()
            known = self.known()
        if known is None:
            raise ModelError(f"the export of {self._model.name} in {self.folder} cannot be read; delete that folder.")
        return known

    def verified(self) -> Path:
        """The folder, its files as the manifest names them; made again where they are not. Raises ModelError."""
        for attempt in (1, 2):
            files = self.manifest().files
            try:
                if all(sha256(self.folder / name) == files[name] for name in FILES):
                    return self.folder
            except (ModelError, KeyError):
                pass
            if attempt == 1:
                shutil.rmtree(self.folder, ignore_errors=True)
                self._manifest = None
        raise ModelError(f"the export of {self._model.name} in {self.folder} is damaged again and again; check the disk.")

    def _make(self) -> None:
        self._model.digest()  # raises for damaged weights
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            made = Path(tempfile.mkdtemp(prefix=".making-", dir=self.folder.parent))
        except OSError as error:
            raise ModelError(f"the folder of exported models {self.folder.parent} cannot be written ({error.strerror}).") from error
        try:
            done = subprocess.run(
                [sys.executable, "-m", "index.export", str(self._model.folder), str(made), self._precision],
                cwd=Path(__file__).resolve().parent.parent,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
            if done.returncode:
                said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise ModelError(f"{self._model.name} cannot be exported to OpenVINO ({said[:300]}).")
            self._note(made)
            try:
                made.replace(self.folder)
            except OSError:
                # Another process was faster, or an unusable export lies there.
                if self.known() is None:
                    shutil.rmtree(self.folder, ignore_errors=True)
                    made.replace(self.folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def _note(self, made: Path) -> None:
        """Completes the exporter's manifest by what identifies weights and files."""
        told = json.loads((made / MANIFEST).read_text(encoding="utf-8"))
        told |= {
            "weights": self._model.digest(),
            "stamp": self._model.stamp(),
            "files": {name: sha256(made / name) for name in FILES if (made / name).exists()},
        }
        (made / MANIFEST).write_text(json.dumps(told, indent=1), encoding="utf-8")


class CompiledModel:
    """An exported model, compiled for this processor. Safe to share between threads."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        from tokenizers import Tokenizer

        openvino = runtime()
        core = openvino.Core()
        cores = os.cpu_count() or 1
        # One stream a core keeps every core busy; many small streams would cost memory on large machines.
        self._streams = min(cores, _MOST_STREAMS)
        try:
            network = core.read_model(folder / FILES[0])
            self._compiled = core.compile_model(
                network, "CPU", {"INFERENCE_PRECISION_HINT": native_precision(core), "NUM_STREAMS": self._streams}
            )
            self._tokenizer = Tokenizer.from_file(str(folder / FILES[2]))
        except Exception as error:
            raise ModelError(f"the exported model in {folder} cannot be loaded ({str(error).strip().splitlines()[0]}).") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(manifest.max_tokens)
        self._prompt = manifest.prompt
        self._dimensions = manifest.dimensions
        self._queue: Any = openvino.AsyncInferQueue(self._compiled, self._streams)
        self._lock = Lock()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Shape (texts, dimensions), rows of length 1."""
        ids = [encoded.ids for encoded in self._tokenizer.encode_batch([self._prompt + text for text in texts])]
        vectors = np.zeros((len(texts), self._dimensions), dtype=np.float32)

        def keep(request: Any, rows: list[int]) -> None:
            vectors[rows] = request.get_output_tensor(0).data

        with self._lock:
            self._queue.set_callback(keep)
            for length, rows in _batches([len(each) for each in ids]):
                words = np.zeros((len(rows), length), dtype=np.int64)
                mask = np.zeros((len(rows), length), dtype=np.int64)
                for line, row in enumerate(rows):
                    words[line, : len(ids[row])] = ids[row]
                    mask[line, : len(ids[row])] = 1
                self._queue.start_async({0: words, 1: mask}, userdata=rows)
            self._queue.wait_all()
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)


def _batches(lengths: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """(padded length, rows) of each batch, the longest first."""
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for row, length in enumerate(lengths):
        groups[max(1, -(-length // _LENGTH_STEP)) * _LENGTH_STEP].append(row)
    for length, rows in sorted(groups.items(), reverse=True):
        size = max(1, _TOKENS_AT_ONCE // length)
        for begin in range(0, len(rows), size):
            yield length, rows[begin : begin + size]


def native_precision(core: Any) -> str:
    """bfloat16 where the processor computes in it, else single precision."""
    return "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
