"""The ledger: documents, chunks and vectors in SQLite. The truth from which the search indexes are derived."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.chunks import Chunk
from index.database import Database
from index.documents import Document, Voice
from index.errors import StoreError
from index.filters import Filter
from index.records import Record, document_of, folders_of, written
from index.schema import checksum

STALE = "stale"
"""Stands for the digest of a document that was built in another way than the ledger now says."""
# Placeholders in one statement; SQLite allows many more.
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A document as the ledger lists it, without its text."""

    id: str
    title: str
    authors: tuple[str, ...]
    published: str | None
    kind: str
    cite_as: str
    digest: str
    size: int
    """Bytes of the file when it was indexed."""
    modified: int
    """The file's time of change when it was indexed, in nanoseconds."""
    tokens: int
    """Tokens of the text, counted by tiktoken."""
    chunks: int
    indexed: float
    """When it was indexed, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A document as it enters the ledger: whole or not at all."""

    document: Document
    chunks: Sequence[Chunk]
    vector_keys: Sequence[bytes]
    """For each chunk the key of its vector, which is in the ledger already."""
    size: int
    modified: int
    tokens: int


class Ledger(Database):
    """The database as documents, chunks and vectors. Safe to share between threads."""

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """Raised by every change of documents."""
        told = self.meta("version") or "0"
        if not told.isdecimal():
            raise self.damaged("its version is no number")
        return int(told)

    @property
    def identity(self) -> str:
        """Tells this ledger from any other, so that a derived file of another one is never used."""
        return self.meta("identity") or ""

    def documents(self) -> list[DocumentRow]:
        rows = self._rows(
            "SELECT id, record, digest, size, modified, tokens, indexed, "
            "(SELECT count(*) FROM chunks WHERE document = documents.number) FROM documents ORDER BY id"
        )
        try:
            return [self._listed(*row) for row in rows]
        except (ValueError, KeyError, TypeError) as error:
            raise self.damaged(f"a document's row cannot be read ({error})") from error

    @staticmethod
    def _listed(*row: object) -> DocumentRow:
        identifier, record, digest, size, modified, tokens, indexed, chunks = row
        meta = json.loads(str(record))
        return DocumentRow(
            id=str(identifier),
            title=meta["title"],
            authors=tuple(meta["authors"]),
            published=meta["published"],
            kind=meta["kind"],
            cite_as=meta["cite_as"],
            digest=str(digest),
            size=int(str(size)),
            modified=int(str(modified)),
            tokens=int(str(tokens)),
            chunks=int(str(chunks)),
            indexed=float(str(indexed)),
        )

    def document(self, document_id: str) -> Document:
        """Raises StoreError when the ledger does not hold it."""
        with self._reading():
            rows = self._rows(
                "SELECT number, record, digest, locators, gaps, kind, published, checksum FROM documents WHERE id = ?",
                (document_id,),
            )
            if not rows:
                raise StoreError(f"{document_id} is not in the index any more; ask again, or see: assistant sources")
            number, record, digest, places, told, kind, published, check = rows[0]
            keys = self._rows("SELECT key FROM chunks WHERE document = ? ORDER BY ordinal", (number,))
            chunks = list(self.chunks(int(str(key)) for (key,) in keys).values())
        if check != checksum(document_id, record, places, told, kind, published):
            raise self.damaged(f"the row of {document_id} does not have its checksum")
        try:
            record_of = Record(str(record), str(places), str(told))
            return document_of(document_id, str(digest), record_of, [chunk.text for chunk in chunks])
        except ValueError as error:
            raise self.damaged(f"{document_id} {error}") from error

    def chunk_keys(self, *, above: int = -1) -> NDArray[np.int64]:
        """The keys of all chunks, ascending. A key is never given twice, and a newer chunk has a greater one."""
        return np.array(
            [row[0] for row in self._rows("SELECT key FROM chunks WHERE key > ? ORDER BY key", (above,))], dtype=np.int64
        )

    def embedded_keys(self) -> NDArray[np.int64]:
        """The keys of the chunks that have a vector of the model in use, ascending."""
        rows = self._rows(
            "SELECT c.key FROM chunks c JOIN vectors v ON v.number = c.vector "
            "WHERE v.model = (SELECT number FROM models WHERE fingerprint = ?) ORDER BY c.key",
            (self.meta("fingerprint"),),
        )
        return np.array([row[0] for row in rows], dtype=np.int64)

    def speakers(self) -> list[str]:
        """Who speaks in the chunks, the most often first."""
        return [str(row[0]) for row in self._rows("SELECT speaker FROM chunks GROUP BY speaker ORDER BY count(*) DESC, speaker")]

    def keys_of(self, only: Filter) -> NDArray[np.int64]:
        """The keys of the chunks that a filter allows, ascending."""
        with self._reading():
            conditions: list[str] = []
            values: list[object] = []
            if only.documents:
                # Each document is looked for with the folders it lies in: however many are named, that takes no longer.
                named = {name.rstrip("/") or name for name in only.documents}
                ids = [(number, str(name)) for number, name in self._rows("SELECT number, id FROM documents", ())]
                conditions.append("d.number IN (SELECT value FROM json_each(?))")
                values.append(json.dumps([number for number, name in ids if not named.isdisjoint(folders_of(name))]))
            if only.voices:
                allowed = [speaker for speaker in self.speakers() if only.allows_voice(speaker)]
                conditions.append("c.speaker IN (SELECT value FROM json_each(?))")
                values.append(json.dumps(allowed))
            if only.kinds:
                conditions.append("d.kind IN (SELECT value FROM json_each(?))")
                values.append(json.dumps(only.kinds))
            if only.since:
                conditions.append("d.published >= substr(?, 1, length(d.published))")
                values.append(only.since)
            if only.until:
                conditions.append("substr(d.published, 1, length(?)) <= ?")
                values += [only.until, only.until]
            rows = self._rows(
                "SELECT c.key FROM documents d JOIN chunks c ON c.document = d.number WHERE " + (" AND ".join(conditions) or "1"),
                values,
            )
        return np.sort(np.array([row[0] for row in rows], dtype=np.int64))

    def removed_keys(self, *, after_version: int) -> NDArray[np.int64] | None:
        """The keys of chunks that were removed after that version; None when that is not remembered any more."""
        with self._reading():
            if after_version < int(self.meta("forgotten") or -1):
                return None
            rows = self._rows("SELECT key FROM removed WHERE version > ?", (after_version,))
        return np.array([row[0] for row in rows], dtype=np.int64)

    def chunks(self, keys: Iterable[int]) -> dict[int, Chunk]:
        """The chunks of those keys that (still) exist."""
        rows = self._rows(
            "SELECT c.key, d.id, c.ordinal, c.start, c.tokens, c.headings, c.speaker, c.reporter, c.text, c.vector, c.checksum "
            "FROM chunks c JOIN documents d ON d.number = c.document WHERE c.key IN (SELECT value FROM json_each(?)) "
            "ORDER BY d.id, c.ordinal",
            (json.dumps([int(key) for key in keys]),),
        )
        found = {}
        for key, *values, check in rows:
            document_id, ordinal, start, tokens, headings, speaker, reporter, text, _ = values
            if check != checksum(*values):
                raise self.damaged(f"chunk {ordinal} of {document_id} does not have its checksum")
            found[int(str(key))] = Chunk(
                id=f"{document_id}#{ordinal}",
                document_id=str(document_id),
                headings=tuple(json.loads(str(headings))),
                text=str(text),
                start=int(str(start)),
                end=int(str(start)) + len(str(text)),
                tokens=int(str(tokens)),
                voice=Voice(str(speaker), str(reporter) if reporter is not None else None),
            )
        return found

    def places(self, keys: Iterable[int]) -> dict[int, tuple[str, int]]:
        """(document id, ordinal) of the chunks of those keys that exist: an order that does not depend on how a store grew."""
        rows = self._rows(
            "SELECT c.key, d.id, c.ordinal FROM chunks c JOIN documents d ON d.number = c.document "
            "WHERE c.key IN (SELECT value FROM json_each(?))",
            (json.dumps([int(key) for key in keys]),),
        )
        return {int(str(key)): (str(document_id), int(str(ordinal))) for key, document_id, ordinal in rows}

    def titles(self, document_ids: Iterable[str]) -> dict[str, str]:
        wanted = json.dumps(sorted(set(document_ids)))
        rows = self._rows(
            "SELECT id, json_extract(record, '$.title') FROM documents WHERE id IN (SELECT value FROM json_each(?))", (wanted,)
        )
        return {str(identifier): str(title) for identifier, title in rows}

    def vectors(self, keys: Iterable[int], dimensions: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(keys, vectors of shape (keys, dimensions)) for the chunks of those keys that exist."""
        rows = self._rows(
            "SELECT c.key, v.digest, v.vector, v.model, v.checksum FROM chunks c JOIN vectors v ON v.number = c.vector "
            "WHERE v.model = (SELECT number FROM models WHERE fingerprint = ?) "
            "AND c.key IN (SELECT value FROM json_each(?)) ORDER BY c.key",
            (self.meta("fingerprint"), json.dumps([int(key) for key in keys])),
        )
        found = np.array([row[0] for row in rows], dtype=np.int64)
        if any(check != checksum(*values) for _, *values, check in rows):
            raise self.damaged("a vector does not have its checksum")
        joined = b"".join(bytes(row[2]) for row in rows)  # type: ignore[call-overload]
        return found, np.frombuffer(joined, dtype=np.float16).reshape(len(rows), dimensions).astype(np.float32)

    def vector_keys(self, keys: Iterable[int]) -> dict[int, bytes]:
        """The name under which the vector of each chunk is kept."""
        rows = self._rows(
            "SELECT c.key, v.digest FROM chunks c JOIN vectors v ON v.number = c.vector "
            "WHERE c.key IN (SELECT value FROM json_each(?))",
            (json.dumps([int(key) for key in keys]),),
        )
        return {int(str(key)): bytes(digest) for key, digest in rows}  # type: ignore[call-overload]

    def missing_vectors(self, fingerprint: str, digests: Iterable[bytes]) -> set[bytes]:
        """Which of these texts have never been embedded by this model."""
        wanted = set(digests)
        return wanted - set(self._vector_numbers(fingerprint, wanted))

    def vector_names(self, fingerprint: str) -> list[bytes]:
        """The names of all vectors of this model."""
        rows = self._rows(
            "SELECT digest FROM vectors WHERE model = (SELECT number FROM models WHERE fingerprint = ?)", (fingerprint,)
        )
        return [bytes(digest) for (digest,) in rows]  # type: ignore[call-overload]

    def _vector_numbers(self, fingerprint: str, digests: Iterable[bytes]) -> dict[bytes, int]:
        asked = list(dict.fromkeys(digests))
        found: dict[bytes, int] = {}
        for begin in range(0, len(asked), _AT_ONCE):
            part = asked[begin : begin + _AT_ONCE]
            rows = self._rows(
                "SELECT digest, number FROM vectors WHERE model = (SELECT number FROM models WHERE fingerprint = ?) "
                f"AND digest IN ({', '.join('?' * len(part))})",
                (fingerprint, *part),
            )
            found |= {bytes(digest): int(str(number)) for digest, number in rows}  # type: ignore[call-overload]
        return found

    def counts(self) -> dict[str, int]:
        return {
            table: int(str(self._rows(f"SELECT count(*) FROM {table}")[0][0])) for table in ("documents", "chunks", "vectors")
        }

    def damage(self) -> str | None:
        """Reads everything; says what is wrong with it, None when nothing is."""
        try:
            told = self.integrity()
            if told != "ok":
                return told
            keys = self.chunk_keys()
            for begin in range(0, len(keys), _AT_ONCE):
                self.chunks(keys[begin : begin + _AT_ONCE])
            rows = self._each("SELECT digest, vector, model, checksum FROM vectors")
            if any(check != checksum(*values) for *values, check in rows):
                return "a vector does not have its checksum"
            for row in self.documents():
                self.document(row.id)
        except StoreError as error:
            return str(error)
        except (ValueError, TypeError, KeyError) as error:
            return f"a row cannot be read ({error})"
        return None

    # -- writing ---------------------------------------------------------------------------------------------------

    def _raise_version(self) -> None:
        self._connection.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'version'")

    def begin_anew(self, values: Mapping[str, str]) -> None:
        """Notes another way of building and, with it, that every document is yet to be built that way."""
        with self._transaction():
            if any(self.meta(key) not in (None, value) for key, value in values.items()):
                # Until it is finished, the store is none: half of it could not be found.
                self._connection.execute("DELETE FROM meta WHERE key = 'finished'")
            self._set(values)
            self._connection.execute("UPDATE documents SET digest = ?, size = -1", (STALE,))
            self._raise_version()

    def put_vectors(self, fingerprint: str, vectors: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Kept in half precision, which changes a cosine by less than 0.0005."""
        halves = {digest: vector.astype(np.float16).tobytes() for digest, vector in vectors.items()}
        with self._transaction():
            self._connection.execute("INSERT OR IGNORE INTO models (fingerprint) VALUES (?)", (fingerprint,))
            model = self._rows("SELECT number FROM models WHERE fingerprint = ?", (fingerprint,))[0][0]
            self._connection.executemany(
                "INSERT OR IGNORE INTO vectors (model, digest, vector, checksum) VALUES (?, ?, ?, ?)",
                [(model, digest, half, checksum(digest, half, model)) for digest, half in halves.items()],
            )

    def put(self, entry: Entry) -> None:
        """Adds a document or replaces its former state, in one transaction."""
        document = entry.document
        told = written(document, entry.chunks)
        with self._transaction():
            numbers = self._vector_numbers(self.meta("fingerprint") or "", entry.vector_keys)
            self._remove(document.id)
            added = self._connection.execute(
                "INSERT INTO documents (id, digest, size, modified, tokens, indexed, kind, published, record, locators, gaps, "
                "checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    document.id,
                    document.digest,
                    entry.size,
                    entry.modified,
                    entry.tokens,
                    time.time(),
                    document.kind,
                    document.published,
                    *told,
                    checksum(document.id, *told, document.kind, document.published),
                ),
            )
            for ordinal, (chunk, vector_key) in enumerate(zip(entry.chunks, entry.vector_keys, strict=True)):
                headings, voice = json.dumps(chunk.headings, ensure_ascii=False), chunk.voice
                values = (
                    ordinal, chunk.start, chunk.tokens, headings, voice.speaker, voice.reported_by, chunk.text,
                    numbers.get(vector_key),
                )  # fmt: skip
                self._connection.execute(
                    "INSERT INTO chunks (document, ordinal, start, tokens, headings, speaker, reporter, text, vector, checksum) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (added.lastrowid, *values, checksum(document.id, *values)),
                )
            self._raise_version()

    def touch(self, document_id: str, *, size: int, modified: int) -> None:
        """Notes a new time of change of a file whose words are the same."""
        with self._transaction():
            self._connection.execute("UPDATE documents SET size = ?, modified = ? WHERE id = ?", (size, modified, document_id))

    def remove(self, document_id: str) -> None:
        with self._transaction():
            self._remove(document_id)
            self._raise_version()

    def _remove(self, document_id: str) -> None:
        self._connection.execute(
            "INSERT INTO removed SELECT key, (SELECT CAST(value AS INTEGER) + 1 FROM meta WHERE key = 'version') FROM chunks "
            "WHERE document = (SELECT number FROM documents WHERE id = ?)",
            (document_id,),
        )
        self._connection.execute("DELETE FROM documents WHERE id = ?", (document_id,))

    def forget(self, version: int) -> None:
        """Forgets which chunks were removed up to that version: every derived index has followed so far."""
        with self._transaction():
            if self._connection.execute("DELETE FROM removed WHERE version <= ?", (version,)).rowcount:
                self._set({"forgotten": str(version)})

    def collect_garbage(self, *, spare: int) -> int:
        """Drops the vectors that no chunk has, but for the `spare` youngest, which make a revert cheap. Says how many."""
        unused = "number NOT IN (SELECT vector FROM chunks)"
        with self._transaction():
            dropped = self._connection.execute(
                f"DELETE FROM vectors WHERE {unused} AND number NOT IN "
                f"(SELECT number FROM vectors WHERE {unused} ORDER BY number DESC LIMIT ?)",
                (spare,),
            )
            return dropped.rowcount
