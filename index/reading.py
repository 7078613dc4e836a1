"""What reading and chunking one source gives, wherever it is done: in the process that builds, or on a node of a cluster."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.chunking import chunk_document
from index.chunks import Chunk, embedding_key
from index.documents import Voice
from index.errors import CorpusError
from index.ledger import Entry
from index.loaders.jsonl import load_line
from index.loaders.registry import Loaded, load
from index.records import Record, document_of, written


@dataclass(frozen=True, slots=True)
class Source:
    """A document as it lies in the corpus, not yet read."""

    id: str
    stamp: tuple[int, int]
    """(size, time of change) of a file, (size, part of its digest) of a line: another stamp, maybe other words."""
    path: Path
    """The file, or the file that holds the line."""
    max_bytes: int
    line: tuple[int, bytes] | None = None
    """Number and bytes of a line of JSON Lines."""

    def load(self) -> Loaded:
        """Raises CorpusError with the reason when it cannot be read."""
        if self.line is None:
            return load(self.path, self.id, max_bytes=self.max_bytes)
        return Loaded(load_line(self.path, *self.line), None)


@dataclass(frozen=True, slots=True)
class Read:
    """What reading and chunking a document gave."""

    id: str
    stamp: tuple[int, int]
    entry: Entry | None
    """What is to be stored; None when it could not be read, or its words are those in the store."""
    failed: str | None = None
    warnings: tuple[str, ...] = ()
    vectors: Mapping[bytes, NDArray[np.float32]] | None = None
    """Of its chunks, by name, where they were made already."""


def read(
    source: Source, known_digest: str | None, count: Callable[[Sequence[str]], list[int]], *, chunk_tokens: int, limit: int
) -> Read:
    """known_digest: of the document in the store; the same file is not chunked again. count: tokens of texts by the embedder.

    limit: tokens that the embedder reads.
    """
    try:
        loaded = source.load()
    except CorpusError as error:
        return Read(source.id, source.stamp, None, failed=str(error))
    document = loaded.document
    warnings: tuple[str, ...] = (loaded.warning,) if loaded.warning else ()
    if document.digest == known_digest:
        return Read(source.id, source.stamp, None, warnings=warnings)
    chunks = chunk_document(document, count, budget=chunk_tokens, limit=limit)
    tokens = _count_tokens(document.text)
    if not chunks:
        warnings += (f"{source.id}: holds no sentences; nothing in it can be found.",)
    keys = [embedding_key(chunk.text) for chunk in chunks]
    return Read(source.id, source.stamp, Entry(document, chunks, keys, *source.stamp, tokens=tokens), warnings=warnings)


def _count_tokens(text: str) -> int:
    # Loaded here, not with this module: asking needs no token counter.
    from index.tokens import count_tokens

    return count_tokens(text)


# -- between processes: JSON, which is data and no code -------------------------------------------------------------------


def source_as_json(source: Source, known_digest: str | None) -> str:
    line = [source.line[0], source.line[1].decode("latin-1")] if source.line else None
    return json.dumps([source.id, source.stamp, str(source.path), source.max_bytes, line, known_digest])


def source_from_json(told: str) -> tuple[Source, str | None]:
    name, stamp, path, max_bytes, line, known_digest = json.loads(told)
    numbered = (int(line[0]), line[1].encode("latin-1")) if line else None
    return Source(name, (stamp[0], stamp[1]), Path(path), max_bytes, numbered), known_digest


def read_as_json(each: Read) -> str:
    """Without its vectors."""
    told: dict[str, Any] = {"id": each.id, "stamp": each.stamp, "failed": each.failed, "warnings": each.warnings}
    if each.entry is not None:
        entry = each.entry
        told |= {
            "digest": entry.document.digest,
            "record": written(entry.document, entry.chunks),
            "tokens": entry.tokens,
            "chunks": [
                [chunk.headings, chunk.text, chunk.start, chunk.end, chunk.tokens, chunk.voice.speaker, chunk.voice.reported_by]
                for chunk in entry.chunks
            ],
        }
    return json.dumps(told)


def read_from_json(text: str, vectors: Mapping[bytes, NDArray[np.float32]] | None = None) -> Read:
    told = json.loads(text)
    stamp = (told["stamp"][0], told["stamp"][1])
    entry = None
    if "record" in told:
        chunks = [
            Chunk(f"{told['id']}#{ordinal}", told["id"], tuple(headings), words, start, end, tokens, Voice(speaker, reporter))
            for ordinal, (headings, words, start, end, tokens, speaker, reporter) in enumerate(told["chunks"])
        ]
        document = document_of(told["id"], told["digest"], Record(*told["record"]), [chunk.text for chunk in chunks])
        entry = Entry(document, chunks, [embedding_key(chunk.text) for chunk in chunks], *stamp, tokens=told["tokens"])
    return Read(told["id"], stamp, entry, told["failed"], tuple(told["warnings"]), vectors)
