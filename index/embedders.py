"""Texts become unit vectors. The bundled model is all-MiniLM-L6-v2, verified before it is loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Protocol

import numpy as np
import platformdirs
from numpy.typing import NDArray

from index.errors import ModelError
from index.exported import Exported, Precision, load_exported
from index.models import BUNDLED, find_model
from index.settings import IndexSettings

Vectors = NDArray[np.float32]
"""Shape (texts, dimensions), each row of length 1."""


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

    @property
    def is_prepared(self) -> bool:
        """False when the next embedding must first make the model ready for this machine, which takes some seconds."""

    @property
    def notice(self) -> str | None:
        """What a person should know of how it embeds; None when all is as it should be."""

    def preload(self) -> None:
        """Begins to load what embedding needs in the background: the first embedding then waits for the rest only."""


class LocalEmbedder:
    """A sentence-transformers model from a folder. Loads nothing heavy until it first embeds.

    It embeds with OpenVINO from an export of the model, which is made once and kept in `exports`. A model that cannot be
    exported, and a device other than the processor, use sentence-transformers itself; `notice` then says so.

    model: "all-MiniLM-L6-v2" for the bundled one, else the path of a model folder. precision: "exact", or "fast" for
    8-bit computing, whose vectors have a fingerprint of their own. Raises ModelError when the folder or its weights are
    not what they should be, or when "fast" is not to be had.
    """

    def __init__(
        self, model: str = BUNDLED, *, precision: Precision = "exact", device: str = "cpu", exports: Path | None = None
    ) -> None:
        self._model = find_model(model)
        self._device = device
        self._precision: Precision = precision
        self._exported = Exported(self._model, precision, exports or default_exports()) if device == "cpu" else None
        if self._exported is None and precision == "fast":
            raise ModelError(f"precision = fast computes on the processor; use device = cpu or precision = exact (not {device}).")
        known = self._exported.known() if self._exported else None
        digest = known.weights if known else self._model.digest()
        self._fingerprint = f"{self._model.name}:{digest[:16]}" + (":int8-smoothed" if precision == "fast" else "")
        # Apart, so that counting tokens does not wait for a model that loads in the background.
        self._loading, self._tokenizing = Lock(), Lock()
        self._tokenizer: Any = None
        self._compiled: Any = None
        self._reference: Any = None
        self._notice: str | None = None
        self._preloading = False

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def notice(self) -> str | None:
        """What a person should know of how this embeds: that it is slower than it could be. Known once it has embedded."""
        return self._notice

    @property
    def is_prepared(self) -> bool:
        """False when the next embedding must first export the model, which takes some seconds."""
        return self._exported is None or self._exported.known() is not None

    @property
    def max_tokens(self) -> int:
        # Known for the bundled model, so that chunking needs no export.
        return 256 if self._model.is_bundled else self._shape()[1]

    @property
    def dimensions(self) -> int:
        return 384 if self._model.is_bundled else self._shape()[0]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(encoded.ids) for encoded in self._words().encode_batch(list(texts), add_special_tokens=False)]

    def embed(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        self._loaded()
        if self._compiled is not None:
            return np.asarray(self._compiled.embed(texts), dtype=np.float32)
        vectors = self._reference.encode(
            list(texts), batch_size=16, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
        )
        return np.ascontiguousarray(vectors, dtype=np.float32)

    @property
    def is_refused(self) -> bool:
        """Whether sentence-transformers is used because the export was not good enough."""
        known = self._exported.known() if self._exported else None
        return known is not None and known.refused is not None

    def described(self) -> str:
        """How it embeds, for a person."""
        if self._exported is None:
            return f"with sentence-transformers on {self._device}"
        known = self._exported.known()
        if known is None:
            return f"with OpenVINO, {self._precision}; the model is made ready at first use"
        if known.refused:
            return f"with sentence-transformers: {known.refused}"
        return (
            f"with OpenVINO, {self._precision}, mean cosine {known.agreement[0]:.5f} with sentence-transformers, "
            f"in {self._exported.folder}"
        )

    def preload(self) -> None:
        """Does nothing where the model must first be exported."""

        def load() -> None:
            # What fails here fails again, and is told, when it is needed.
            with suppress(Exception):
                self._loaded()

        if self._exported is not None and self.is_prepared and not self._preloading:
            self._preloading = True
            Thread(target=load, name="loading the model", daemon=True).start()

    def _shape(self) -> tuple[int, int]:
        """(dimensions, tokens it reads)."""
        if self._exported is None or self._exported.known() is None:
            self._loaded()
        if self._exported is not None and (manifest := self._exported.known()) is not None:
            return manifest.dimensions, manifest.max_tokens
        return int(self._reference.get_embedding_dimension()), int(self._reference.max_seq_length or 512)

    def _loaded(self) -> None:
        with self._loading:
            if self._compiled is None and self._reference is None:
                self._load()

    def _load(self) -> None:
        if self._exported is not None:
            try:
                manifest = self._exported.manifest()
                if manifest.refused:
                    raise ModelError(f"{self._model.name} is not used through OpenVINO: {manifest.refused}.")
                self._compiled = load_exported(self._exported)
                return
            except ModelError as error:
                if self._precision == "fast":
                    raise ModelError(f"{error} Set precision = exact.") from error
                self._notice = f"{error} Embedding uses sentence-transformers instead, which is slower."
        self._model.digest()
        self._reference = load_sentence_transformer(self._model.folder, self._device)

    def _words(self) -> Any:
        with self._tokenizing:
            if self._tokenizer is None:
                from tokenizers import Tokenizer

                folder = self._model.folder
                try:
                    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
                except Exception as error:
                    raise ModelError(f"the model folder {folder} has no readable tokenizer.json.") from error
                tokenizer.no_truncation()
                tokenizer.no_padding()
                self._tokenizer = tokenizer
        return self._tokenizer


def embedder_for(settings: IndexSettings) -> LocalEmbedder:
    """Raises ModelError."""
    return LocalEmbedder(settings.model, precision=settings.precision, device=settings.device, exports=settings.exports)


def default_exports() -> Path:
    """Where exported models are kept unless told otherwise: they can be made again at any time."""
    return platformdirs.user_cache_path("alliance-assistant", appauthor=False) / "models"


def load_sentence_transformer(folder: Path, device: str) -> Any:
    """A sentence_transformers.SentenceTransformer. Raises ModelError."""
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
        return SentenceTransformer(str(folder), device=device, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, AssertionError) as error:
        raise ModelError(f"the model in {folder} cannot be loaded on {device}: {error}") from error


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

    @property
    def is_prepared(self) -> bool:
        return self._embedder.is_prepared

    @property
    def notice(self) -> str | None:
        return self._embedder.notice

    def preload(self) -> None:
        self._embedder.preload()

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
