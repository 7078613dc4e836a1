"""Copies an index from one store to another, of whatever kinds. Nothing is read or embedded again; all of it is compared."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from index.build import Progress
from index.chunks import Chunk
from index.errors import StoreError, StoreMismatch
from index.ledger import DocumentRow, Entry
from index.records import written
from index.store import Store, WritableStore

_KEYS_AT_ONCE = 4_096
_CHUNKS_AT_ONCE = 2_000
_BUILT_WITH = ("fingerprint", "dimensions", "chunk_tokens")


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy has done, when it has been compared."""

    documents: int
    """In the store now."""
    chunks: int
    written: int
    """Documents that were not there, or not the same."""
    removed: int
    seconds: float


def copy(source: Store, target: WritableStore, *, anew: bool = False) -> Iterator[Progress | Copied]:
    """Makes the target hold what the source holds. Stopped, the same copy goes on: what is there already is not written again.

    target: opened for building. anew: whatever the target holds is replaced, as a rebuild does.

    Raises StoreMismatch where the target was built in another way, and StoreError where it does not hold the same in the end.
    """
    started = time.monotonic()
    built = {name: source.meta(name) for name in _BUILT_WITH}
    values = {name: value for name, value in built.items() if value is not None}
    if len(values) != len(built):
        raise StoreError(f"the index in {source.place} was never finished; build it with: assistant index")
    if anew or target.meta("fingerprint") is None:
        target.begin_anew(values)
    elif any(target.meta(name) != value for name, value in values.items()):
        raise StoreMismatch(
            f"the index in {target.place} was built with another model or other chunks than the one in {source.place}; copy to "
            "an empty place, or replace it with --replace."
        )
    version = source.version
    rows = {row.id: row for row in source.documents()}
    there = {row.id: _state(row) for row in target.documents()}
    wanted = {name for name, row in rows.items() if there.get(name) != _state(row)}
    gone = sorted(there.keys() - rows.keys())
    if there and not there.keys() & rows.keys() and not anew:
        raise StoreMismatch(
            f"the index in {source.place} holds none of the {len(there):,} documents of {target.place}, and copying would "
            "remove them all; name another place, or replace it with --replace."
        )
    done = 0
    yield Progress("copying", 0, len(wanted))
    for batch in _batches(_entries(source, rows, wanted)):
        _put(source, target, values["fingerprint"], batch)
        done += len(batch)
        yield Progress("copying", done, len(wanted))
    target.apply(remove=gone)
    target.derive()
    if source.version != version:
        raise StoreError(f"the index in {source.place} was built meanwhile; run the same command again to copy what has changed.")
    # Before readers go over to it.
    yield from _compare(source, target, rows)
    target.finish(source.meta("failed") or "{}")
    counts = target.counts()
    yield Copied(counts["documents"], counts["chunks"], len(wanted), len(gone), time.monotonic() - started)


def _state(row: DocumentRow) -> tuple[object, ...]:
    return row.digest, row.size, row.modified, row.tokens, row.chunks


def _entries(store: Store, rows: dict[str, DocumentRow], wanted: set[str]) -> Iterator[tuple[Entry, list[int]]]:
    """Those of the wanted documents with their chunks' keys, in the order in which they came to the store."""
    seen = set()
    for name, keyed in _by_document(store):
        if name in wanted:
            seen.add(name)
            yield _entry(store, rows[name], keyed), [key for key, _ in keyed]
    for name in sorted(wanted - seen):
        yield _entry(store, rows[name], []), []


def _by_document(store: Store) -> Iterator[tuple[str, list[tuple[int, Chunk]]]]:
    """The chunks of each document that has some, with their keys: those of one document follow one another."""

    def chunks() -> Iterator[tuple[int, Chunk]]:
        keys = store.keys_of(None)
        for begin in range(0, len(keys), _KEYS_AT_ONCE):
            yield from sorted(store.get(keys[begin : begin + _KEYS_AT_ONCE].tolist()).items())

    for name, keyed in groupby(chunks(), key=lambda each: each[1].document_id):
        yield name, list(keyed)


def _entry(store: Store, row: DocumentRow, keyed: Sequence[tuple[int, Chunk]]) -> Entry:
    digests = store.vector_keys(key for key, _ in keyed)
    if len(keyed) != row.chunks or len(digests) != len(keyed):
        raise StoreError(f"{store.place} does not hold {row.id} whole; examine it with: assistant doctor")
    chunks = [chunk for _, chunk in keyed]
    return Entry(store.document(row.id), chunks, [digests[key] for key, _ in keyed], row.size, row.modified, row.tokens)


def _batches(entries: Iterable[tuple[Entry, list[int]]]) -> Iterator[list[tuple[Entry, list[int]]]]:
    batch: list[tuple[Entry, list[int]]] = []
    size = 0
    for entry, keys in entries:
        batch.append((entry, keys))
        size += 1 + len(keys)
        if size >= _CHUNKS_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _put(source: Store, target: WritableStore, fingerprint: str, batch: Sequence[tuple[Entry, list[int]]]) -> None:
    named = {key: digest for entry, keys in batch for key, digest in zip(keys, entry.vector_keys, strict=True)}
    missing = target.missing_vectors(fingerprint, named.values())
    if asked := [key for key, digest in named.items() if digest in missing]:
        found, vectors = source.vectors(asked)
        target.put_vectors(fingerprint, {named[key]: vector for key, vector in zip(found.tolist(), vectors, strict=True)})
    target.apply(put=[entry for entry, _ in batch])


def _compare(source: Store, target: Store, rows: dict[str, DocumentRow]) -> Iterator[Progress]:
    """Reads all of both. Raises StoreError where they differ."""
    if {row.id for row in target.documents()} != rows.keys() or target.counts()["chunks"] != source.counts()["chunks"]:
        raise StoreError(f"{target.place} does not hold as much as {source.place} after the copy; run the same command again.")
    total = 2 * len(rows)
    yield Progress("comparing", 0, total)
    told: dict[str, str] = {}
    for name, digest in _digests(source):
        told[name] = digest
        yield Progress("comparing", len(told), total)
    for number, (name, digest) in enumerate(_digests(target), start=len(rows) + 1):
        if told.get(name) != digest:
            raise StoreError(f"{name} is not the same in {target.place} after the copy; run the same command again.")
        yield Progress("comparing", number, total)


def _digests(store: Store) -> Iterator[tuple[str, str]]:
    """(document, digest of all that the store holds of it) of each."""
    rows = {row.id: row for row in store.documents()}
    for name, keyed in _by_document(store):
        if (row := rows.pop(name, None)) is None:
            raise StoreError(f"the index in {store.place} was built meanwhile; run the same command again.")
        yield name, _digest(store, row, keyed)
    for name, row in rows.items():
        yield name, _digest(store, row, [])


def _digest(store: Store, row: DocumentRow, keyed: Sequence[tuple[int, Chunk]]) -> str:
    document = store.document(row.id)
    told = hashlib.sha256()
    for each in (row.id, *_state(row), document.digest, *written(document, [chunk for _, chunk in keyed])):
        told.update(f"{each}\x1f".encode("utf-8", "surrogatepass"))
    for _, chunk in keyed:
        told.update(f"{chunk}\x1f".encode("utf-8", "surrogatepass"))
    found, vectors = store.vectors(key for key, _ in keyed)
    names = store.vector_keys(found.tolist())
    told.update(b"".join(names[key] for key in found.tolist()))
    told.update(np.ascontiguousarray(vectors, dtype=np.float16).tobytes())
    return told.hexdigest()
