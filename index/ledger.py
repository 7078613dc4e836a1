"""The ledger: documents, chunks and vectors in SQLite. The truth from which the search indexes are derived."""

from __future__ import annotations

import json
import os
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.chunks import Chunk
from index.documents import Document, Locator, Voice
from index.errors import StoreDamaged, StoreError, StoreMissing

FORMAT = "1"
FILE_NAME = "ledger.db"
STALE = "stale"
"""Stands for the digest of a document that was built in another way than the ledger now says."""

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    id TEXT PRIMARY KEY, digest TEXT NOT NULL, size INTEGER NOT NULL, modified INTEGER NOT NULL,
    tokens INTEGER NOT NULL, indexed REAL NOT NULL, record TEXT NOT NULL,
    locators TEXT NOT NULL, text TEXT NOT NULL
);
CREATE TABLE chunks (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    document_id TEXT NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
    id TEXT NOT NULL UNIQUE, headings TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
    tokens INTEGER NOT NULL, voice TEXT NOT NULL, text TEXT NOT NULL, vector TEXT NOT NULL
);
CREATE INDEX chunks_by_document ON chunks(document_id);
CREATE TABLE vectors (fingerprint TEXT, digest TEXT, vector BLOB NOT NULL, PRIMARY KEY (fingerprint, digest)) WITHOUT ROWID;
"""


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
    vector_keys: Sequence[str]
    """For each chunk the key of its vector, which is in the ledger already."""
    size: int
    modified: int
    tokens: int


class Ledger:
    """One SQLite connection, safe to share between threads.

    Raises StoreMissing where there is none, StoreError where it cannot be opened or is damaged.
    """

    def __init__(self, folder: Path, *, writable: bool) -> None:
        self._path = folder / FILE_NAME
        self._lock = RLock()
        if not writable and not self._path.is_file():
            raise StoreMissing(f"there is no index in {folder} yet; build it with: assistant index")
        try:
            if writable:
                folder.mkdir(parents=True, exist_ok=True)
            self._connection = self._connect(writable)
            self._check(writable)
        except (sqlite3.OperationalError, OSError) as error:
            raise StoreError(
                f"the index in {folder} cannot be {'written' if writable else 'opened'} ({error}); check the folder's "
                "permissions and space, or choose another with --store."
            ) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def _damaged(self, error: sqlite3.Error) -> StoreDamaged:
        return StoreDamaged(f"the index in {self._path.parent} is damaged ({error}); rebuild it with: assistant index --rebuild")

    def _connect(self, writable: bool) -> sqlite3.Connection:
        location = self._path.resolve().as_uri()
        if writable:
            connection = sqlite3.connect(location, uri=True, check_same_thread=False, isolation_level=None, timeout=30)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            return connection
        try:
            connection = sqlite3.connect(
                f"{location}?mode=ro", uri=True, check_same_thread=False, isolation_level=None, timeout=30
            )
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            log = Path(f"{self._path}-wal")
            if os.access(self._path.parent, os.W_OK) or (log.exists() and log.stat().st_size):
                raise
            # A read-only folder, where SQLite can make no shared memory; the log is empty, so nothing is overlooked.
            connection = sqlite3.connect(
                f"{location}?mode=ro&immutable=1", uri=True, check_same_thread=False, isolation_level=None
            )
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return connection

    def _check(self, writable: bool) -> None:
        tables = {row[0] for row in self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "meta" not in tables:
            if tables:
                raise StoreError(f"{self._path} is not an index of this program; choose another folder with --store.")
            if not writable:
                raise StoreMissing(f"there is no index in {self._path.parent} yet; build it with: assistant index")
            with self._transaction():
                for statement in _SCHEMA.split(";\n"):
                    self._connection.execute(statement)
                self._set({"format": FORMAT, "version": "0", "identity": uuid.uuid4().hex})
        elif self.meta("format") != FORMAT:
            raise StoreDamaged(
                f"the index in {self._path.parent} has format {self.meta('format')}, this program reads {FORMAT}; "
                "rebuild it with: assistant index --rebuild"
            )

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    self._connection.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):
                        self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.OperationalError as error:
                raise StoreError(
                    f"the index in {self._path.parent} cannot be written ({error}); check free space and permissions. "
                    "What was written before is whole."
                ) from error
            except sqlite3.DatabaseError as error:
                raise self._damaged(error) from error

    def _rows(self, statement: str, arguments: Sequence[object] = ()) -> list[tuple[object, ...]]:
        with self._lock:
            try:
                return self._connection.execute(statement, arguments).fetchall()
            except sqlite3.OperationalError as error:
                raise StoreError(f"the index in {self._path.parent} cannot be read now ({error}); try again.") from error
            except sqlite3.DatabaseError as error:
                raise self._damaged(error) from error

    # -- reading ---------------------------------------------------------------------------------------------------

    def meta(self, key: str) -> str | None:
        rows = self._rows("SELECT value FROM meta WHERE key = ?", (key,))
        return str(rows[0][0]) if rows else None

    @property
    def version(self) -> int:
        """Raised by every change of documents."""
        return int(self.meta("version") or 0)

    @property
    def identity(self) -> str:
        """Tells this ledger from any other, so that a derived file of another one is never used."""
        return self.meta("identity") or ""

    def documents(self) -> list[DocumentRow]:
        rows = self._rows(
            "SELECT id, record, digest, size, modified, tokens, indexed, "
            "(SELECT count(*) FROM chunks WHERE document_id = documents.id) FROM documents ORDER BY id"
        )
        listed = []
        for identifier, record, digest, size, modified, tokens, indexed, chunks in rows:
            meta = json.loads(str(record))
            listed.append(
                DocumentRow(
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
            )
        return listed

    def document(self, document_id: str) -> Document:
        """Raises StoreError when the ledger does not hold it."""
        rows = self._rows("SELECT record, text, digest, locators FROM documents WHERE id = ?", (document_id,))
        if not rows:
            raise StoreError(f"{document_id} is not in the index any more; ask again, or see: assistant sources")
        meta: dict[str, Any] = json.loads(str(rows[0][0]))
        locators = json.loads(str(rows[0][3]))
        values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in meta.items()}
        return Document(
            id=document_id,
            text=str(rows[0][1]),
            digest=str(rows[0][2]),
            locators=tuple(
                Locator(start, end, label, tuple(headings), Voice(*voice) if voice else None, heading)
                for start, end, label, headings, voice, heading in locators
            ),
            **values,
        )

    def chunk_keys(self) -> NDArray[np.int64]:
        """The keys of all chunks, ascending."""
        return np.array([row[0] for row in self._rows("SELECT key FROM chunks ORDER BY key")], dtype=np.int64)

    def chunks(self, keys: Iterable[int]) -> dict[int, Chunk]:
        """The chunks of those keys that (still) exist."""
        wanted = json.dumps([int(key) for key in keys])
        rows = self._rows(
            "SELECT key, id, document_id, headings, text, start, end, tokens, voice FROM chunks "
            "WHERE key IN (SELECT value FROM json_each(?))",
            (wanted,),
        )
        found = {}
        for key, identifier, document_id, headings, text, start, end, tokens, voice in rows:
            found[int(str(key))] = Chunk(
                id=str(identifier),
                document_id=str(document_id),
                headings=tuple(json.loads(str(headings))),
                text=str(text),
                start=int(str(start)),
                end=int(str(end)),
                tokens=int(str(tokens)),
                voice=Voice(*json.loads(str(voice))),
            )
        return found

    def titles(self, document_ids: Iterable[str]) -> dict[str, str]:
        wanted = json.dumps(sorted(set(document_ids)))
        rows = self._rows(
            "SELECT id, json_extract(record, '$.title') FROM documents WHERE id IN (SELECT value FROM json_each(?))", (wanted,)
        )
        return {str(identifier): str(title) for identifier, title in rows}

    def vectors(self, keys: Iterable[int], dimensions: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(keys, vectors of shape (keys, dimensions)) for the chunks of those keys."""
        rows = self._rows(
            "SELECT c.key, v.vector FROM chunks c JOIN vectors v ON v.fingerprint = ? AND v.digest = c.vector "
            "WHERE c.key IN (SELECT value FROM json_each(?)) ORDER BY c.key",
            (self.meta("fingerprint"), json.dumps([int(key) for key in keys])),
        )
        found = np.array([row[0] for row in rows], dtype=np.int64)
        joined = b"".join(bytes(row[1]) for row in rows)  # type: ignore[call-overload]
        return found, np.frombuffer(joined, dtype=np.float32).reshape(len(rows), dimensions)

    def missing_vectors(self, fingerprint: str, digests: Iterable[str]) -> set[str]:
        """Which of these texts have never been embedded by this model."""
        wanted = set(digests)
        rows = self._rows(
            "SELECT digest FROM vectors WHERE fingerprint = ? AND digest IN (SELECT value FROM json_each(?))",
            (fingerprint, json.dumps(sorted(wanted))),
        )
        return wanted - {str(row[0]) for row in rows}

    def counts(self) -> dict[str, int]:
        return {
            table: int(str(self._rows(f"SELECT count(*) FROM {table}")[0][0])) for table in ("documents", "chunks", "vectors")
        }

    def integrity(self) -> str:
        """ "ok", or what SQLite found wrong."""
        return str(self._rows("PRAGMA quick_check")[0][0])

    # -- writing ---------------------------------------------------------------------------------------------------

    def _set(self, values: Mapping[str, str]) -> None:
        self._connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(values.items()))

    def _raise_version(self) -> None:
        self._connection.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'version'")

    def set_meta(self, values: Mapping[str, str]) -> None:
        with self._transaction():
            self._set(values)

    def begin_anew(self, values: Mapping[str, str]) -> None:
        """Notes another way of building and, with it, that every document is yet to be built that way."""
        with self._transaction():
            self._set(values)
            self._connection.execute("UPDATE documents SET digest = ?, size = -1", (STALE,))
            self._raise_version()

    def put_vectors(self, fingerprint: str, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        with self._transaction():
            self._connection.executemany(
                "INSERT OR IGNORE INTO vectors VALUES (?, ?, ?)",
                [(fingerprint, digest, vector.astype(np.float32).tobytes()) for digest, vector in vectors.items()],
            )

    def put(self, entry: Entry) -> None:
        """Adds a document or replaces its former state, in one transaction."""
        document = entry.document
        record = {key: value for key, value in asdict(document).items() if key not in ("id", "text", "digest", "locators")}
        locators = [
            [place.start, place.end, place.label, place.headings, _voice(place.voice), place.heading]
            for place in document.locators
        ]
        with self._transaction():
            self._connection.execute("DELETE FROM documents WHERE id = ?", (document.id,))
            self._connection.execute(
                "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    document.id,
                    document.digest,
                    entry.size,
                    entry.modified,
                    entry.tokens,
                    time.time(),
                    json.dumps(record),
                    json.dumps(locators),
                    document.text,
                ),
            )
            self._connection.executemany(
                "INSERT INTO chunks (document_id, id, headings, start, end, tokens, voice, text, vector) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        document.id,
                        chunk.id,
                        json.dumps(chunk.headings),
                        chunk.start,
                        chunk.end,
                        chunk.tokens,
                        json.dumps(_voice(chunk.voice)),
                        chunk.text,
                        vector_key,
                    )
                    for chunk, vector_key in zip(entry.chunks, entry.vector_keys, strict=True)
                ],
            )
            self._raise_version()

    def touch(self, document_id: str, *, size: int, modified: int) -> None:
        """Notes a new time of change of a file whose words are the same."""
        with self._transaction():
            self._connection.execute("UPDATE documents SET size = ?, modified = ? WHERE id = ?", (size, modified, document_id))

    def remove(self, document_id: str) -> None:
        with self._transaction():
            self._connection.execute("DELETE FROM documents WHERE id = ?", (document_id,))
            self._raise_version()


def _voice(voice: Voice | None) -> list[str | None] | None:
    return [voice.speaker, voice.reported_by] if voice else None
