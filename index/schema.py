"""The ledger's tables, and how a ledger of an older format becomes one of this format without embedding anything."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import numpy as np

from index.chunks import DIGEST_BYTES

FORMAT = "2"

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, digest TEXT NOT NULL, size INTEGER NOT NULL,
    modified INTEGER NOT NULL, tokens INTEGER NOT NULL, indexed REAL NOT NULL, kind TEXT NOT NULL, published TEXT,
    record TEXT NOT NULL, locators TEXT NOT NULL, gaps TEXT NOT NULL, checksum INTEGER NOT NULL
);
CREATE TABLE chunks (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL REFERENCES documents(number) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL, start INTEGER NOT NULL, tokens INTEGER NOT NULL, headings TEXT NOT NULL,
    speaker TEXT NOT NULL, reporter TEXT, text TEXT NOT NULL, vector INTEGER NOT NULL,
    checksum INTEGER NOT NULL
);
CREATE INDEX chunks_by_document ON chunks(document, speaker);
CREATE TABLE models (number INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE);
CREATE TABLE vectors (
    number INTEGER PRIMARY KEY, model INTEGER NOT NULL REFERENCES models(number), digest BLOB NOT NULL, vector BLOB NOT NULL,
    checksum INTEGER NOT NULL,    UNIQUE (digest, model)
);
CREATE TABLE removed (key INTEGER PRIMARY KEY, version INTEGER NOT NULL);
"""
# A document's text is not kept twice: `gaps` is a JSON list of what stands before, between and after its chunks.
# SQLite does not see when the disk changes a letter or a number: each row has a checksum, compared whenever it is read.
# `removed` remembers the keys of chunks that are gone, until every derived index has followed.


def checksum(*values: object) -> int:
    """CRC-32 of a row's values: finds what a disk or a copy has changed, and nothing that was changed on purpose."""
    return crc32(b"\x1f".join([value if isinstance(value, bytes) else str(value).encode("utf-8", "replace") for value in values]))


def create(connection: sqlite3.Connection) -> None:
    for statement in TABLES.split(";\n"):
        connection.execute(statement)


def migrate(ledger: Path) -> None:
    """Replaces a ledger of format 1 by one of this format, at once; stopped at any moment, the old one is as it was.

    Raises sqlite3.Error and OSError. Vectors are rounded to half precision.
    """
    made = ledger.with_name(f"{ledger.name}.migrating")
    made.unlink(missing_ok=True)
    old = sqlite3.connect(ledger, isolation_level=None, timeout=30)
    new = sqlite3.connect(made, isolation_level=None)
    try:
        new.execute("PRAGMA journal_mode=OFF")
        new.execute("BEGIN")
        create(new)
        _copy(old, new)
        new.execute("COMMIT")
        # What is still in the log belongs to the old file and must not be played onto the new one.
        old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        old.execute("PRAGMA journal_mode=DELETE")
    except BaseException:
        made.unlink(missing_ok=True)
        raise
    finally:
        old.close()
        new.close()
    with made.open("rb+") as file:
        os.fsync(file.fileno())
    made.replace(ledger)


def _copy(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
    meta = dict(old.execute("SELECT key, value FROM meta"))
    meta |= {"format": FORMAT, "version": str(int(meta.get("version", 0)) + 1)}
    new.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
    fingerprints = old.execute("SELECT DISTINCT fingerprint FROM vectors").fetchall()
    models = {fingerprint: number for number, (fingerprint,) in enumerate(fingerprints)}
    new.executemany("INSERT INTO models VALUES (?, ?)", ((number, fingerprint) for fingerprint, number in models.items()))
    numbers: dict[tuple[str, str], int] = {}
    for number, (fingerprint, digest, vector) in enumerate(old.execute("SELECT fingerprint, digest, vector FROM vectors"), 1):
        numbers[fingerprint, digest] = number
        key, half = bytes.fromhex(digest)[:DIGEST_BYTES], np.frombuffer(vector, dtype=np.float32).astype(np.float16).tobytes()
        new.execute(
            "INSERT INTO vectors VALUES (?, ?, ?, ?, ?)",
            (number, models[fingerprint], key, half, checksum(key, half, models[fingerprint])),
        )
    documents = old.execute("SELECT id, digest, size, modified, tokens, indexed, record, locators, text FROM documents")
    for number, (identifier, digest, size, modified, tokens, indexed, record, locators, text) in enumerate(documents, 1):
        told = json.loads(record)
        chunks = old.execute(
            "SELECT key, headings, start, end, tokens, voice, text, vector FROM chunks WHERE document_id = ? ORDER BY start",
            (identifier,),
        ).fetchall()
        gaps = json.dumps(list(text_between(text, [(start, end) for _, _, start, end, *_ in chunks])), ensure_ascii=False)
        new.execute(
            "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number, identifier, digest, size, modified, tokens, indexed, told["kind"], told["published"], record, locators,
                gaps, checksum(identifier, record, locators, gaps, told["kind"], told["published"]),
            ),
        )  # fmt: skip
        for ordinal, (key, headings, start, _, chunk_tokens, voice, chunk_text, vector) in enumerate(chunks):
            # A document that a cut-off rebuild left as it was has vectors of the model before.
            found = [numbers[each, vector] for each in (meta.get("fingerprint"), *models) if (each, vector) in numbers]
            values = (ordinal, start, chunk_tokens, headings, *json.loads(voice), chunk_text, found[0])
            new.execute(
                "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (key, number, *values, checksum(identifier, *values)),
            )


def text_between(text: str, spans: list[tuple[int, int]]) -> Iterator[str]:
    """What stands before, between and after the spans, which are in order and do not overlap."""
    last = 0
    for start, end in spans:
        yield text[last:start]
        last = end
    yield text[last:]
