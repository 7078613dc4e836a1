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
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from index.errors import ModelError
from index.models import Model, sha256
from index.runtime import runtime

Precision = Literal["exact", "fast"]

NETWORK, WEIGHTS, TOKENIZER = "model.xml", "model.bin", "tokenizer.json"
MANIFEST = "manifest.json"
_MAKING, _ABANDONED_AFTER = ".making-", 86_400
_FORMAT = 4
# Texts are padded to a multiple of a step, so that few shapes are compiled; a text is always padded to the same length,
# so that its vector does not depend on what it is embedded with. Sentences are short and waited for: fewer shapes still.
_STEP, _SHORT_STEP, _SHORT = 8, 16, 64
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
    """Mean and least cosine with sentence-transformers over the sample paragraphs."""
    refused: str | None
    """Why the export is not used; None when it is sound."""
    runtime: str
    """The version of OpenVINO that made it: another one may succeed where this one was refused."""


class Exported:
    """The export of one model at one precision in the folder of exports. Made at first need, by a process of its own."""

    def __init__(self, model: Model, precision: Precision, exports: Path) -> None:
        self._model = model
        self.precision: Precision = precision
        key = hashlib.sha256(f"{model.folder.resolve()}|{precision}|{_FORMAT}".encode()).hexdigest()[:12]
        self.folder = exports / f"{model.name}-{precision}-{key}".replace(" ", "-")
        self._manifest: Manifest | None = None

    def known(self) -> Manifest | None:
        """What is known without making the export: None when there is none of these weights."""
        if self._manifest is None:
            try:
                told = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
                if told.pop("checksum") != _checksum(told):
                    return None
                manifest = Manifest(
                    **{**told, "stamp": tuple(told["stamp"]), "agreement": tuple(told["agreement"]), "files": dict(told["files"])}
                )
            except (OSError, ValueError, KeyError, TypeError):
                return None
            if manifest.stamp != self._model.stamp() and manifest.weights != self._model.digest():
                return None
            if manifest.refused and manifest.runtime != _runtime_version():
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
            self.manifest()
            if all(self.holds(name) for name in (NETWORK, WEIGHTS, TOKENIZER)):
                return self.folder
            if attempt == 1:
                shutil.rmtree(self.folder, ignore_errors=True)
                self._manifest = None
        raise ModelError(f"the export of {self._model.name} in {self.folder} is damaged again and again; check the disk.")

    def holds(self, name: str) -> bool:
        """Whether a file is as the manifest says."""
        with suppress(ModelError):
            return sha256(self.folder / name) == self.manifest().files.get(name)
        return False

    def _make(self) -> None:
        self._model.digest()  # raises for damaged weights
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self._sweep()
            made = Path(tempfile.mkdtemp(prefix=_MAKING, dir=self.folder.parent))
        except OSError as error:
            raise ModelError(
                f"the folder of exported models {self.folder.parent} cannot be written ({error.strerror})."
            ) from error
        try:
            done = subprocess.run(
                [sys.executable, "-m", "index.export", str(self._model.folder), str(made), self.precision],
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

    def _sweep(self) -> None:
        """Drops what exporters that were killed long ago have left."""
        for path in self.folder.parent.glob(f"{_MAKING}*"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED_AFTER:
                    shutil.rmtree(path, ignore_errors=True)

    def _note(self, made: Path) -> None:
        """Completes the exporter's manifest by what identifies weights and files."""
        told = json.loads((made / MANIFEST).read_text(encoding="utf-8"))
        told |= {
            "weights": self._model.digest(),
            "stamp": self._model.stamp(),
            "runtime": _runtime_version(),
            "files": {name: sha256(made / name) for name in (NETWORK, WEIGHTS, TOKENIZER) if (made / name).exists()},
        }
        (made / MANIFEST).write_text(json.dumps({**told, "checksum": _checksum(told)}, indent=1), encoding="utf-8")


def _runtime_version() -> str:
    # Imported here: most starts do not need it, and it takes a while.
    from importlib.metadata import version

    return version("openvino")


def _checksum(told: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


class Requests:
    """Runs a compiled model on many inputs, all its streams busy. Safe to share between threads.

    Without OpenVINO's own queue: its callbacks want Python's lock while they end, and a model that is dropped in that moment
    by whom holds the lock waits for them for ever.
    """

    def __init__(self, compiled: Any) -> None:
        # Twice as many as streams: the next one waits while another's result is taken.
        count = 2 * compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._requests = [compiled.create_infer_request() for _ in range(count)]
        self._outputs = range(len(compiled.outputs))
        self._lock = Lock()

    def run(self, inputs: Iterable[Sequence[NDArray[Any]]]) -> list[list[NDArray[np.float32]]]:
        """The outputs for each, in the order of the inputs."""
        found = []
        with self._lock:
            free, started = deque(self._requests), deque[Any]()
            try:
                for each in inputs:
                    if not free:
                        free.append(started.popleft())
                        found.append(self._taken(free[0]))
                    started.append(free.popleft())
                    started[-1].start_async(dict(enumerate(each)))
                while started:
                    found.append(self._taken(started.popleft()))
            finally:
                for request in started:
                    request.wait()
        return found

    def _taken(self, request: Any) -> list[NDArray[np.float32]]:
        request.wait()
        # Copied: the request's next run writes over it.
        return [np.array(request.get_output_tensor(number).data, dtype=np.float32) for number in self._outputs]


class CompiledModel:
    """An exported model, compiled for this processor. Safe to share between threads."""

    def __init__(self, compiled: Any, tokenizer: Path, manifest: Manifest) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(manifest.max_tokens)
        self._prompt = manifest.prompt
        self._dimensions = manifest.dimensions
        self._requests = Requests(compiled)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Shape (texts, dimensions), rows of length 1."""
        # The "fast" one does without the places of tokens in the text.
        ids = [encoded.ids for encoded in self._tokenizer.encode_batch_fast([self._prompt + text for text in texts])]
        vectors = np.zeros((len(texts), self._dimensions), dtype=np.float32)
        batches = list(_batches([len(each) for each in ids]))

        def inputs(length: int, rows: Sequence[int]) -> list[NDArray[np.int64]]:
            words, mask = np.zeros((2, len(rows), length), dtype=np.int64)
            for line, row in enumerate(rows):
                words[line, : len(ids[row])] = ids[row]
                mask[line, : len(ids[row])] = 1
            return [words, mask]

        found = self._requests.run(inputs(*batch) for batch in batches)
        for (_, rows), (output,) in zip(batches, found, strict=True):
            vectors[rows] = output
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)


def load_exported(exported: Exported) -> CompiledModel:
    """Raises ModelError."""
    try:
        openvino = runtime()
        return CompiledModel(_compiled(openvino, exported), exported.folder / TOKENIZER, exported.manifest())
    except ModelError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"the exported model in {exported.folder} cannot be loaded ({reason}); delete that folder.") from error


def compile_options(core: Any, precision: Precision) -> dict[str, Any]:
    """bfloat16 where the processor computes in it, else single precision; one stream a core keeps every core busy."""
    return {
        # Attention as separate products: a twentieth faster in "fast", where it is a larger part of the whole.
        **({"SNIPPETS_MODE": "DISABLE"} if precision == "fast" else {}),
        "INFERENCE_PRECISION_HINT": "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32",
        # Each stream has memory of its own.
        "NUM_STREAMS": min(os.cpu_count() or 1, _MOST_STREAMS),
    }


def _compiled(openvino: Any, exported: Exported) -> Any:
    core = openvino.Core()
    if not exported.holds(TOKENIZER):
        exported.verified()
    return compile_kept(
        core,
        exported.folder,
        exported.manifest().files,
        exported.precision,
        lambda: core.read_model(exported.verified() / NETWORK),
    )


def compile_kept(core: Any, folder: Path, made_from: object, precision: Precision, network: Callable[[], Any]) -> Any:
    """A model as compiled for this processor before, which starts in half the time; else compiled now, and kept in `folder`.

    made_from: what tells one model from another, as JSON can write it. network: reads or builds the model.
    """
    openvino = runtime()
    wanted = compile_options(core, precision)
    origin = json.dumps([made_from, openvino.get_version(), core.get_property("CPU", "FULL_DEVICE_NAME"), wanted], sort_keys=True)
    kept = folder / f"compiled-{hashlib.sha256(origin.encode()).hexdigest()[:12]}.blob"
    try:
        with kept.open("rb") as file:
            digest = file.readline(100).strip().decode("ascii", "replace")
            begin = file.tell()
            if hashlib.file_digest(file, "sha256").hexdigest() == digest:
                return core.import_model(openvino.Tensor(np.memmap(kept, np.uint8, "r", offset=begin)), "CPU", wanted)
    except (OSError, ValueError, RuntimeError):
        pass
    compiled = core.compile_model(network(), "CPU", wanted)
    payload = compiled.export_model().getvalue()
    # Where it cannot be kept, the next start compiles again.
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("compiled-*"):
            old.unlink(missing_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix="compiled-", delete=False) as file:
            try:
                file.write(hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)
                file.close()
                Path(file.name).replace(kept)
            except OSError:
                Path(file.name).unlink(missing_ok=True)
                raise
    return compiled


def _batches(lengths: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """(padded length, rows) of each batch, the longest first."""
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for row, length in enumerate(lengths):
        step = _SHORT_STEP if length <= _SHORT else _STEP
        groups[max(1, -(-length // step)) * step].append(row)
    for length, rows in sorted(groups.items(), reverse=True):
        size = max(1, _TOKENS_AT_ONCE // length)
        for begin in range(0, len(rows), size):
            yield length, rows[begin : begin + size]
