"""The searchable store: the ledger and the two indexes derived from it."""

from __future__ import annotations

import json
import os
import platform
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from index.chunks import DIGEST_BYTES, Chunk
from index.documents import Document
from index.errors import StoreError, StoreMismatch, StoreMissing
from index.filters import Filter
from index.ledger import DocumentRow, Entry, Ledger
from index.speakers import Speakers

if TYPE_CHECKING:
    from index.lexical import WordIndex
    from index.vectors import DenseIndex


BUILDER = "builder"
"""File that says who is building, while somebody is."""
_BUILDER_SAID = re.compile(r"process (?P<process>\d+) on (?P<host>\S+) since ")
_DOCUMENTS_KEPT = 64
_ROWS_AT_ONCE = 4_096
# So many chunks' words are indexed by two threads.
_MANY_WORDS = 4_096
# Scores that differ by less are the same: sums of the same numbers in another order.
_TIE = 1e-6
ANEW_UP_TO = 10_000
"""Chunks up to which a change that removes some makes the word index anew, so that its scores are those of a fresh one."""


class Hit(NamedTuple):
    key: int
    """Names a chunk within one store."""
    score: float
    """Higher is better; comparable within one list only."""


class ChunkStore(Protocol):
    """What retrieval needs of a store. Each contract test holds for every implementation."""

    @property
    def version(self) -> int: ...

    def dense(self, vector: NDArray[np.float32], count: int, *, only: Filter | None = None) -> list[Hit]: ...

    def lexical(self, text: str, count: int, *, only: Filter | None = None) -> list[Hit]: ...

    def term_weights(self, text: str) -> dict[str, float]:
        """Each analysed word of the text with its inverse document frequency."""

    def get(self, keys: Iterable[int]) -> dict[int, Chunk]: ...

    def document(self, document_id: str) -> Document: ...

    def documents(self) -> list[DocumentRow]: ...

    def speakers(self) -> Speakers:
        """Everyone who speaks in the chunks."""

    def speaker_names(self) -> list[str]:
        """The same, the most often first."""

    def keys_of(self, only: Filter | None) -> NDArray[np.int64]:
        """The keys of the chunks that a filter allows, ascending; of all without one."""

    def holds(self, only: Filter) -> bool:
        """Whether a filter allows any chunk."""

    def counts(self) -> dict[str, int]:
        """How many documents, chunks and vectors there are."""


class VectorLookup(Protocol):
    """Tells on any machine which texts a store has vectors of; it can be sent there."""

    def among(self, digests: Iterable[bytes]) -> set[bytes]:
        """Those of these names that it has."""


@dataclass(slots=True)
class NamedVectors:
    """A VectorLookup that brings all names with it."""

    names: bytes
    """One after the other."""
    _known: set[bytes] | None = None

    def among(self, digests: Iterable[bytes]) -> set[bytes]:
        if self._known is None:
            self._known = {self.names[at : at + DIGEST_BYTES] for at in range(0, len(self.names), DIGEST_BYTES)}
        return self._known.intersection(digests)


class Store(ChunkStore, Protocol):
    """A ChunkStore of one corpus, with what copies and doctors need beside searching.

    Everything raises StoreError where the store cannot be read or written.
    """

    @property
    def place(self) -> str:
        """Where it is, to be read by a person."""

    @property
    def is_being_built(self) -> bool: ...

    @property
    def dimensions(self) -> int:
        """Of its vectors."""

    def warm(self) -> None:
        """Loads ahead of the first search what searching needs."""

    def close(self) -> None: ...

    def check(self, *, fingerprint: str, chunk_tokens: int | None = None) -> None:
        """chunk_tokens: None for any. Raises StoreMismatch when it was built otherwise: vectors of two models never mix."""

    def meta(self, name: str) -> str | None:
        """What a build noted: "fingerprint", "dimensions", "chunk_tokens", "failed", "finished"."""

    def titles(self, document_ids: Iterable[str]) -> dict[str, str]: ...

    def vectors(self, keys: Iterable[int]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(keys, vectors of shape (keys, dimensions)) for the chunks of those keys that exist, ascending."""

    def vector_keys(self, keys: Iterable[int]) -> dict[int, bytes]:
        """The name under which the vector of each chunk is kept."""

    def embedded(self) -> int:
        """How many chunks have a vector of the model in use."""

    def damage(self) -> str | None:
        """Reads everything; says what is wrong with it, None when nothing is."""

    def damaged(self, reason: str) -> StoreError: ...

    def derived_state(self) -> dict[str, str]:
        """For each derived part how it fits the documents: "current…", or what is wrong."""


class WritableStore(Store, Protocol):
    """A Store that its one builder has opened."""

    def shown(self) -> Set[str]:
        """The documents that readers find, whatever is being built for them."""

    def begin_anew(self, values: Mapping[str, str]) -> None:
        """Notes another way of building and, with it, that every document is yet to be built that way."""

    def missing_vectors(self, fingerprint: str, digests: Iterable[bytes]) -> set[bytes]:
        """Which of these texts have never been embedded by this model."""

    def lookup(self, fingerprint: str) -> VectorLookup:
        """Of the vectors of this model."""

    def put_vectors(self, fingerprint: str, vectors: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Kept in half precision, which changes a cosine by less than 0.0005."""

    def apply(self, *, put: Sequence[Entry] = (), remove: Sequence[str] = ()) -> None:
        """Each document at once: a reader finds it as it was or as it is, never in between."""

    def touch(self, document_id: str, *, size: int, modified: int) -> None:
        """The file changed, its words did not."""

    def derive(self) -> None:
        """Brings what is derived from the documents up to them, and saves it."""

    def finish(self, failed: str, *, keeps: Callable[[str], bool] = lambda _: False) -> None:
        """The build is done. failed: JSON of the files that could not be read; keeps: whether a document's former state stays."""

    def collect_garbage(self, *, spare: int) -> int:
        """Drops vectors that no chunk has, but for the youngest. Gives how many."""


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
        self._allowed: tuple[tuple[int, Filter], NDArray[np.int64]] | None = None
        self._speakers: tuple[int, Speakers] | None = None
        self._built = self._built_with()
        if not writable and self._built[0] is None:
            self.ledger.close()
            raise StoreMissing(f"the index in {folder} was never finished; build it with: assistant index")

    # -- what it was built with --------------------------------------------------------------------------------------

    @property
    def place(self) -> str:
        return str(self.folder)

    def meta(self, name: str) -> str | None:
        return self.ledger.meta(name)

    @property
    def version(self) -> int:
        """Raises StoreMismatch when the store was meanwhile rebuilt in another way."""
        return self._version_now()

    @property
    def is_being_built(self) -> bool:
        """Whether a builder is at work: one that was killed, on this machine, does not count."""
        try:
            told = _BUILDER_SAID.match((self.folder / BUILDER).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        if told is None or told["host"] != platform.node():
            return True
        try:
            os.kill(int(told["process"]), 0)
        except ProcessLookupError:
            return False
        except OSError:
            return True
        return True

    def _built_with(self) -> tuple[str | None, str | None, str | None]:
        return self.ledger.meta("fingerprint"), self.ledger.meta("dimensions"), self.ledger.meta("chunk_tokens")

    def _version_now(self) -> int:
        """Raises StoreMismatch when the store was meanwhile rebuilt with another model, or set aside."""
        if not self._writable and (self.ledger.is_replaced() or self._built_with() != self._built):
            raise StoreMismatch(f"the index in {self.folder} was meanwhile rebuilt in another way; start again to use it.")
        return self.ledger.version

    @property
    def dimensions(self) -> int:
        return int(self.ledger.meta("dimensions") or 0)

    def check(self, *, fingerprint: str, chunk_tokens: int | None = None) -> None:
        """chunk_tokens: None for any. Raises StoreMismatch when it was built otherwise: vectors of two models never mix."""
        built, _, tokens = self._built
        if built is not None and (built != fingerprint or chunk_tokens not in (None, int(tokens or 0))):
            raise StoreMismatch(
                f"the index in {self.folder} was built with {built} and chunks of {tokens} tokens, the settings ask for "
                f"{fingerprint} and {chunk_tokens or tokens}; rebuild it with: assistant index --rebuild"
            )

    def warm(self) -> None:
        """Loads both search indexes ahead of the first search."""
        with self._lock:
            self._fresh_vectors()
            self._fresh_words()

    # -- searching ---------------------------------------------------------------------------------------------------

    def dense(self, vector: NDArray[np.float32], count: int, *, only: Filter | None = None) -> list[Hit]:
        """The chunks nearest to a unit vector, by cosine."""
        with self._lock:
            if count < 1:
                return []
            candidates = self._fresh_vectors().candidates(vector, count, among=self._among(only))
            keys, vectors = self.ledger.vectors(candidates, self.dimensions)
            # Summed row by row: a score does not depend on which rows are scored with it.
            scores = (vectors * vector.astype(np.float32)).sum(axis=1)
            return self._ranked([(int(key), float(score)) for key, score in zip(keys, scores, strict=True)], count)

    def lexical(self, text: str, count: int, *, only: Filter | None = None) -> list[Hit]:
        """The chunks that hold the text's words, by BM25."""
        with self._lock:
            return self._ranked(self._fresh_words().search(text, count, among=self._among(only)), count)

    def _among(self, only: Filter | None) -> NDArray[np.int64] | None:
        """The keys that a filter allows; the last filter's are kept, for both searches ask for the same."""
        if not only:
            return None
        asked = (self.ledger.version, only)
        if self._allowed is None or self._allowed[0] != asked:
            self._allowed = (asked, self.ledger.keys_of(only))
        return self._allowed[1]

    def _ranked(self, scored: list[tuple[int, float]], count: int) -> list[Hit]:
        """The best `count`, ties by place: which key a chunk has depends on how the store grew."""
        scored.sort(key=lambda hit: -hit[1])
        if len(scored) > count:
            scored = [hit for hit in scored if hit[1] >= scored[count - 1][1] - _TIE]
        places = self.ledger.places(key for key, _ in scored)
        present = [hit for hit in scored if hit[0] in places]
        present.sort(key=lambda hit: (-round(hit[1] / _TIE), places[hit[0]]))
        return [Hit(*hit) for hit in present[:count]]

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

    def speakers(self) -> Speakers:
        version = self.ledger.version
        with self._lock:
            if self._speakers is None or self._speakers[0] != version:
                self._speakers = (version, Speakers(self.ledger.speakers()))
            return self._speakers[1]

    def speaker_names(self) -> list[str]:
        return self.ledger.speakers()

    def keys_of(self, only: Filter | None) -> NDArray[np.int64]:
        return self.ledger.keys_of(only) if only else self.ledger.chunk_keys()

    def holds(self, only: Filter) -> bool:
        return bool(len(self.keys_of(only)))

    def counts(self) -> dict[str, int]:
        return self.ledger.counts()

    def titles(self, document_ids: Iterable[str]) -> dict[str, str]:
        return self.ledger.titles(document_ids)

    def vectors(self, keys: Iterable[int]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        return self.ledger.vectors(keys, self.dimensions)

    def vector_keys(self, keys: Iterable[int]) -> dict[int, bytes]:
        return self.ledger.vector_keys(keys)

    def embedded(self) -> int:
        return len(self.ledger.embedded_keys())

    def damage(self) -> str | None:
        return self.ledger.damage()

    def damaged(self, reason: str) -> StoreError:
        return self.ledger.damaged(reason)

    def close(self) -> None:
        with self._lock:
            self.ledger.close()

    # -- writing -----------------------------------------------------------------------------------------------------

    def shown(self) -> Set[str]:
        return {row.id for row in self.ledger.documents()}

    def begin_anew(self, values: Mapping[str, str]) -> None:
        self.ledger.begin_anew(values)

    def missing_vectors(self, fingerprint: str, digests: Iterable[bytes]) -> set[bytes]:
        return self.ledger.missing_vectors(fingerprint, digests)

    def lookup(self, fingerprint: str) -> VectorLookup:
        return NamedVectors(b"".join(self.ledger.vector_names(fingerprint)))

    def put_vectors(self, fingerprint: str, vectors: Mapping[bytes, NDArray[np.float32]]) -> None:
        self.ledger.put_vectors(fingerprint, vectors)

    def touch(self, document_id: str, *, size: int, modified: int) -> None:
        self.ledger.touch(document_id, size=size, modified=modified)

    def finish(self, failed: str, *, keeps: Callable[[str], bool] = lambda _: False) -> None:
        self.ledger.set_meta({"failed": failed, "finished": "yes"})

    def collect_garbage(self, *, spare: int) -> int:
        return self.ledger.collect_garbage(spare=spare)

    def apply(self, *, put: Sequence[Entry] = (), remove: Sequence[str] = ()) -> None:
        """Each document in a transaction of its own."""
        for document_id in remove:
            self.ledger.remove(document_id)
        for entry in put:
            self.ledger.put(entry)

    def derive(self) -> None:
        """Brings both search indexes to the ledger's version and saves what is worth saving.

        A few changes of a large dense index are left to be followed when it is opened: writing it anew takes longer.
        Raises StoreError when they cannot be written; the ledger is whole, and the next start derives them again.
        """
        with self._lock:
            try:
                vectors, words = self._fresh_vectors(), self._fresh_words()
                if vectors.wants_folding:
                    self._fold(vectors)
                if vectors.is_worth_saving:
                    vectors.save(self.folder, token=self._new_token("vectors"))
                elif not vectors.is_large:
                    vectors.drop(self.folder)
            except (OSError, ValueError, RuntimeError) as error:
                # tantivy tells failures of the disk as ValueError, FAISS as RuntimeError.
                self._vectors = self._words = None
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise StoreError(
                    f"the search indexes in {self.folder} cannot be written ({reason}); check free space and "
                    "permissions, then run the same command again. Documents and vectors are safe."
                ) from error
            self.ledger.forget(min(vectors.saved_version, words.version) if vectors.is_large else words.version)

    def derived_state(self) -> dict[str, str]:
        """For each derived index how the saved one fits the ledger: "current…", "n changes behind", "missing or damaged"."""
        states = {}
        vectors, words = self._new_vectors(), self._new_words(self.folder)
        saved: list[tuple[str, bool, DenseIndex | WordIndex]] = [("words", words.load(self._tokens("words")), words)]
        if vectors.suits_quantizer(len(self.ledger.embedded_keys())):
            saved.append(("vectors", vectors.load(self.folder, self._tokens("vectors")), vectors))
        else:
            states["vectors"] = "current, read from the ledger at each start"
        for name, loaded, index in saved:
            removed = self.ledger.removed_keys(after_version=index.version) if loaded else None
            if removed is None:
                states[name] = "missing or damaged"
            else:
                changes = len(removed) + len(self.ledger.chunk_keys(above=index.top_key))
                followed = index is vectors and changes <= vectors.changes_left_unsaved
                states[name] = (
                    "current" if not changes
                    else f"current, {changes} changes followed at each start" if followed
                    else f"{changes} changes behind"
                )  # fmt: skip
        return states

    # -- deriving ----------------------------------------------------------------------------------------------------

    def _new_vectors(self) -> DenseIndex:
        from index.vectors import DenseIndex

        return DenseIndex(self.dimensions, identity=self.ledger.identity, fingerprint=self.ledger.meta("fingerprint") or "")

    def _new_words(self, folder: Path | None) -> WordIndex:
        from index.lexical import WordIndex

        return WordIndex(folder, identity=self.ledger.identity)

    def _tokens(self, name: str) -> list[str]:
        """What the saved state of a derived index may be called: the last, or the one before where a save was cut off.

        A ledger that was put back to an earlier state thus never meets an index of a later one.
        """
        told: list[str] = json.loads(self.ledger.meta(f"saved {name}") or "[]")
        return told

    def _new_token(self, name: str) -> str:
        token = uuid.uuid4().hex
        self.ledger.set_meta({f"saved {name}": json.dumps([*self._tokens(name)[-1:], token])})
        return token

    def _rows(self, keys: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        for begin in range(0, len(keys), _ROWS_AT_ONCE):
            yield self.ledger.vectors(keys[begin : begin + _ROWS_AT_ONCE], self.dimensions)

    def _fold(self, vectors: DenseIndex) -> None:
        version = self._version_now()
        # In a rebuild that was cut off, some chunks have vectors of another model only.
        keys = self.ledger.embedded_keys()
        vectors.fold(self._rows(keys), count=len(keys), version=version)

    def _fresh_vectors(self) -> DenseIndex:
        version = self._version_now()
        if self._vectors is None:
            self._vectors = self._new_vectors()
            self._vectors.load(self.folder, self._tokens("vectors"))
        if self._vectors.version != version:
            # The version is read before the keys: if the ledger moves on in between, the next search follows again.
            removed = self._removed_since(self._vectors)
            if removed is None:
                self._vectors = self._new_vectors()
                if self._vectors.load(self.folder, self._tokens("vectors")):
                    removed = self._removed_since(self._vectors)
            if removed is None:
                self._vectors = self._new_vectors()
                self._fold(self._vectors)
                return self._vectors
            self._vectors.follow(removed, self._rows(self.ledger.chunk_keys(above=self._vectors.top_key)), version)
        return self._vectors

    def _removed_since(self, index: DenseIndex | WordIndex) -> NDArray[np.int64] | None:
        """None when the index is empty or so old that the ledger does not remember what has changed since."""
        return None if index.version < 0 else self.ledger.removed_keys(after_version=index.version)

    def _fresh_words(self) -> WordIndex:
        version = self._version_now()
        words = self._words
        if words is None:
            words = self._saved_words() or self._anew_words()
        elif words.version != version and not self._writable:
            # The builder, to whom the saved index belongs, may have followed by now.
            saved = self._new_words(self.folder).saved_version()
            if saved > words.version and (again := self._saved_words()) is not None:
                words = again
        self._words = words if words.version == version else self._followed(words, version)
        return self._words

    def _saved_words(self) -> WordIndex | None:
        words = self._new_words(self.folder)
        # Between a builder's commit and its note nothing fits together, for a moment.
        for _ in range(1 if self._writable else 5):
            if words.load(self._tokens("words"), mend=self._writable):
                return words
            if not self.is_being_built:
                return None
            time.sleep(0.1)
        return None

    def _followed(self, words: WordIndex, version: int) -> WordIndex:
        removed = self._removed_since(words)
        beside = words.is_saved and not self._writable
        if removed is None or (len(words) - len(removed) <= ANEW_UP_TO and (beside or len(removed))):
            words, beside, removed = self._anew_words(), False, np.array([], dtype=np.int64)
        keys = self.ledger.chunk_keys(above=words.top_key)
        if beside:
            words.follow(removed.tolist(), self._words_of(keys), version)
        else:
            token = self._new_token("words") if self._writable else ""
            words.change(removed.tolist(), self._words_of(keys), version, token=token, threads=1 + (len(keys) > _MANY_WORDS))
        return words

    def _anew_words(self) -> WordIndex:
        words = self._new_words(self.folder if self._writable else None)
        words.create()
        return words

    def _words_of(self, keys: NDArray[np.int64]) -> Iterator[tuple[int, str, str]]:
        """(key, title and headings, text) of each chunk."""
        for begin in range(0, len(keys), _ROWS_AT_ONCE):
            chunks = self.ledger.chunks(keys[begin : begin + _ROWS_AT_ONCE])
            titles = self.ledger.titles(chunk.document_id for chunk in chunks.values())
            for key, chunk in sorted(chunks.items()):
                yield key, " ".join((titles.get(chunk.document_id, ""), *chunk.headings)), chunk.text


def built_with(fingerprint: str, dimensions: int, chunk_tokens: int) -> dict[str, str]:
    """What the ledger keeps of how it was built."""
    return {"fingerprint": fingerprint, "dimensions": json.dumps(dimensions), "chunk_tokens": json.dumps(chunk_tokens)}
