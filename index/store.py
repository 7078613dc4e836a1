"""The searchable store: the ledger and the two indexes derived from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from index.chunks import Chunk
from index.documents import Document
from index.errors import StoreMismatch, StoreMissing
from index.ledger import DocumentRow, Entry, Ledger

if TYPE_CHECKING:
    from index.lexical import WordIndex
    from index.vectors import DenseIndex


_DOCUMENTS_KEPT = 64


class Hit(NamedTuple):
    key: int
    """Names a chunk within one store."""
    score: float
    """Higher is better; comparable within one list only."""


class ChunkStore(Protocol):
    """What retrieval needs of a store. Each contract test holds for every implementation."""

    @property
    def version(self) -> int: ...

    def dense(self, vector: NDArray[np.float32], count: int) -> list[Hit]: ...

    def lexical(self, text: str, count: int) -> list[Hit]: ...

    def term_weights(self, text: str) -> dict[str, float]:
        """Each analysed word of the text with its inverse document frequency."""

    def get(self, keys: Iterable[int]) -> dict[int, Chunk]: ...

    def document(self, document_id: str) -> Document: ...

    def documents(self) -> list[DocumentRow]: ...


class LocalStore:
    """SQLite ledger + FAISS + tantivy in one folder.

    A reader compares versions before each search and follows the ledger; what it derives anew it keeps in memory.
    Only a writer (`writable=True`, one at a time, under the build lock) saves the derived indexes.
    Raises StoreMissing, StoreMismatch or StoreError.
    """

    def __init__(self, folder: Path, *, writable: bool = False) -> None:
        self.folder = folder
        self.ledger = Ledger(folder, writable=writable)
        self._writable = writable
        self._lock = RLock()
        self._vectors: DenseIndex | None = None
        self._words: WordIndex | None = None
        self._documents: dict[str, tuple[int, Document]] = {}
        self._built = self._built_with()
        if not writable and self._built[0] is None:
            raise StoreMissing(f"the index in {folder} was never finished; build it with: assistant index")

    # -- what it was built with --------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        return self.ledger.version

    def _built_with(self) -> tuple[str | None, str | None, str | None]:
        return self.ledger.meta("fingerprint"), self.ledger.meta("dimensions"), self.ledger.meta("chunk_tokens")

    def _version_now(self) -> int:
        """Raises StoreMismatch when the store was meanwhile rebuilt with another model."""
        if not self._writable and self._built_with() != self._built:
            raise StoreMismatch(f"the index in {self.folder} was meanwhile rebuilt in another way; start again to use it.")
        return self.ledger.version

    @property
    def dimensions(self) -> int:
        return int(self.ledger.meta("dimensions") or 0)

    def check(self, *, fingerprint: str, chunk_tokens: int) -> None:
        """Raises StoreMismatch when the store was built otherwise: vectors of two models never mix."""
        built, _, tokens = self._built
        if built is not None and (built, tokens) != (fingerprint, str(chunk_tokens)):
            raise StoreMismatch(
                f"the index in {self.folder} was built with {built} and chunks of {tokens} tokens, the settings ask for "
                f"{fingerprint} and {chunk_tokens}; rebuild it with: assistant index --rebuild"
            )

    def warm(self) -> None:
        """Loads both search indexes ahead of the first search."""
        with self._lock:
            self._fresh_vectors()
            self._fresh_words()

    # -- searching ---------------------------------------------------------------------------------------------------

    def dense(self, vector: NDArray[np.float32], count: int) -> list[Hit]:
        with self._lock:
            return [Hit(*hit) for hit in self._fresh_vectors().search(vector, count)]

    def lexical(self, text: str, count: int) -> list[Hit]:
        with self._lock:
            return [Hit(*hit) for hit in self._fresh_words().search(text, count)]

    def term_weights(self, text: str) -> dict[str, float]:
        with self._lock:
            return self._fresh_words().weights(text)

    def get(self, keys: Iterable[int]) -> dict[int, Chunk]:
        return self.ledger.chunks(keys)

    def document(self, document_id: str) -> Document:
        """The few documents read last are kept: an answer and its source view read the same ones again and again."""
        version = self.ledger.version
        with self._lock:
            kept = self._documents.pop(document_id, None)
            if kept is None or kept[0] != version:
                kept = (version, self.ledger.document(document_id))
            self._documents[document_id] = kept
            while len(self._documents) > _DOCUMENTS_KEPT:
                self._documents.pop(next(iter(self._documents)))
            return kept[1]

    def documents(self) -> list[DocumentRow]:
        return self.ledger.documents()

    def close(self) -> None:
        with self._lock:
            self.ledger.close()

    # -- writing -----------------------------------------------------------------------------------------------------

    def apply(self, *, put: Sequence[Entry] = (), remove: Sequence[str] = ()) -> None:
        """Each document in a transaction of its own."""
        for document_id in remove:
            self.ledger.remove(document_id)
        for entry in put:
            self.ledger.put(entry)

    def derive(self) -> None:
        """Brings both search indexes to the ledger's version and saves them."""
        with self._lock:
            self._fresh_vectors().save(self.folder)
            self._fresh_words()

    def derived_state(self) -> dict[str, str]:
        """For each derived index whether the saved one fits the ledger: "current", "behind" or "missing or damaged"."""
        from index.lexical import WordIndex
        from index.vectors import DenseIndex

        vectors = DenseIndex(self.dimensions, identity=self.ledger.identity, fingerprint=self.ledger.meta("fingerprint") or "")
        words = WordIndex(self.folder, identity=self.ledger.identity)
        return {
            name: "missing or damaged" if not loaded else "current" if version == self.version else "behind"
            for name, loaded, version in (
                ("vectors", vectors.load(self.folder), vectors.version),
                ("words", words.load(), words.version),
            )
        }

    # -- deriving ----------------------------------------------------------------------------------------------------

    def _fresh_vectors(self) -> DenseIndex:
        from index.vectors import DenseIndex

        if self._vectors is None:
            self._vectors = DenseIndex(
                self.dimensions, identity=self.ledger.identity, fingerprint=self.ledger.meta("fingerprint") or ""
            )
            self._vectors.load(self.folder)
        # The version is read before the keys: if the ledger moves on in between, the next search follows again.
        version = self._version_now()
        if self._vectors.version != version:
            wanted, have = self.ledger.chunk_keys(), self._vectors.keys()
            keys, vectors = self.ledger.vectors(np.setdiff1d(wanted, have), self.dimensions)
            self._vectors.change(np.setdiff1d(have, wanted), keys, vectors, version)
        return self._vectors

    def _fresh_words(self) -> WordIndex:
        from index.lexical import WordIndex

        version = self._version_now()
        if self._words is None:
            words = WordIndex(self.folder, identity=self.ledger.identity)
            if not words.load():
                if self._writable:
                    words.create()
                else:
                    words = WordIndex(None, identity=self.ledger.identity)
            self._words = words
        if self._words.version != version:
            if not self._writable and self._words.is_saved:
                # The saved index belongs to the builder: a reader that must go on without it does so in memory.
                self._words = WordIndex(None, identity=self.ledger.identity)
            wanted, have = self.ledger.chunk_keys(), self._words.keys()
            chunks = self.ledger.chunks(np.setdiff1d(wanted, have))
            titles = self.ledger.titles(chunk.document_id for chunk in chunks.values())
            self._words.change(
                np.setdiff1d(have, wanted).tolist(),
                (
                    (key, " ".join((titles.get(chunk.document_id, ""), *chunk.headings)), chunk.text)
                    for key, chunk in sorted(chunks.items())
                ),
                version,
            )
        return self._words


def built_with(fingerprint: str, dimensions: int, chunk_tokens: int) -> dict[str, str]:
    """What the ledger keeps of how it was built."""
    return {"fingerprint": fingerprint, "dimensions": json.dumps(dimensions), "chunk_tokens": json.dumps(chunk_tokens)}
