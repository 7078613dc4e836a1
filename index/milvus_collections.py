"""The two collections in which a Milvus server keeps one generation of an index: its chunks, and records of all else.

A document is whole at once: its chunks are written first, under a revision that nobody knows yet; then its head, one row, which
names the revision. Chunks of any other revision do not count, wherever a search finds them. A rebuild is a new generation.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.chunks import Chunk
from index.documents import Document, Voice
from index.errors import StoreError
from index.ledger import DocumentRow, Entry
from index.lexical import analyse
from index.milvus_server import LONGEST_TEXT, RECORD_INDEXES, MilvusServer, number_of, record, record_fields
from index.records import Record, document_of, folders_of, written

FORMAT = "2"
CHUNKS_OF_A_DOCUMENT = 1 << 20
META, HEAD, PART, TERM, PIECE = range(5)
"""Kinds of records."""
WORDS = ("text_words", "place_words")
"""Fields whose words are searched."""
NO_WORDS = "none"
"""Noted where the server searches vectors only."""
_STATE = "assistant.state"
"""Property of the collection of chunks. A server tells properties at once; rows it tells after it has waited for all writes."""
_PART = 60_000
_REVISIONS_AT_ONCE = 100
_SAME = 1_000
"""Rows asked for at once of those that may have a vector."""
_MOST_FOLDERS = 64
# Characters of a title in a list of documents.
_LISTED = 2_000
# Of HNSW: links of each vector, and candidates looked at when one is put in.
_LINKS, _LOOKED_AT = 16, 200
FIELDS = ("key", "document", "name", "ordinal", "start", "stop", "tokens", "headings", "voice", "text", "pieces")


class State(NamedTuple):
    """What a reader must know before it reads."""

    generation: int
    version: int
    documents: int
    chunks: int
    revisions: int
    """No document of it has a revision as great as this."""
    as_of: int | None
    """What was written until then by the server's clock belongs to it; None where the server does not tell."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a document's row says of it."""

    row: DocumentRow
    """Its title and authors may be cut; they are whole in the document."""
    revision: int
    parts: int
    digest_of_text: str


@dataclass(slots=True)
class Counts:
    """What word search must know of all chunks, or by how much it has changed."""

    chunks: int = 0
    words: list[int] = field(default_factory=lambda: [0, 0])
    """Of all places, and of all texts."""
    holding: dict[str, list[int]] = field(default_factory=dict)
    """Word -> how many chunks hold it in their place, and in their text."""
    speakers: Counter[str] = field(default_factory=Counter)

    def add(self, place: str, text: str, speaker: str, sign: int = 1) -> None:
        self.chunks += sign
        self.speakers[speaker] += sign
        for number, told in enumerate((place, text)):
            words = analyse(told)
            self.words[number] += sign * len(words)
            for word in set(words):
                self.holding.setdefault(word, [0, 0])[number] += sign


# What follows, such as a time of day, tells no more of a day.
_DATE = re.compile(r"([0-9]{4})(?:[-/]?([0-9]{2})(?![0-9])(?:[-/]?([0-9]{2})(?![0-9]))?|[-/]?([0-9]{2})([0-9]{2})(?![0-9]))?")

Putting = tuple[Entry, int, Sequence[NDArray[np.float32]]]
"""A document to be written, its revision, and the vectors of its chunks."""


class Generation:
    """Reads and writes its rows and its state."""

    def __init__(self, server: MilvusServer, number: int) -> None:
        self.server, self.number = server, number
        self.chunks, self.records = (f"{server.address.name}__{number}__{what}" for what in ("chunks", "records"))

    @staticmethod
    def numbers(server: MilvusServer) -> list[int]:
        """Of the generations that there are, ascending."""
        name = server.address.name
        parts = [each.split("__") for each in server.names(f"{name}__")]
        return sorted({int(each[1]) for each in parts if len(each) == 3 and each[1].isdecimal()})

    def create(self, dimensions: int, *, has_words: bool) -> None:
        from pymilvus import DataType

        text = {"datatype": DataType.VARCHAR, "max_length": LONGEST_TEXT}
        numbers = ("document", "speaker", "kind", "earliest", "latest", "embedding", "embedding_rest", "ordinal", "start", "stop")
        fields: list[dict[str, Any]] = [
            {"field_name": "key", "datatype": DataType.INT64, "is_primary": True},
            *({"field_name": name, "datatype": DataType.INT64} for name in (*numbers, "tokens", "pieces")),
            {"field_name": "folders", "datatype": DataType.ARRAY, "element_type": DataType.INT64, "max_capacity": _MOST_FOLDERS},
            *({"field_name": name, **text} for name in ("name", "headings", "voice", "text", "place")),
            {"field_name": "vector", "datatype": DataType.FLOAT_VECTOR, "dim": dimensions},
        ]
        indexes: list[dict[str, Any]] = [
            {
                "field_name": "vector", "index_type": "HNSW", "metric_type": "IP",
                "params": {"M": _LINKS, "efConstruction": _LOOKED_AT},
            }
        ]  # fmt: skip
        if has_words:
            # What is searched are words as `analyse` gives them: a server's own analysers differ, and some pass stemming over.
            for name in WORDS:
                fields += [
                    {"field_name": name, **text, "enable_analyzer": True, "analyzer_params": {"tokenizer": "standard"}},
                    {"field_name": f"{name}_sparse", "datatype": DataType.SPARSE_FLOAT_VECTOR},
                ]
                sparse = {"index_type": "SPARSE_INVERTED_INDEX", "metric_type": "BM25", "params": {}}
                indexes.append({"field_name": f"{name}_sparse", **sparse})
        # What is looked up by number, and not by key; engines before those with words know another name for such an index.
        ordered = "INVERTED" if has_words else "STL_SORT"
        indexes += [{"field_name": name, "index_type": ordered} for name in ("embedding", "document", "speaker", "kind")]
        by_number = [{"field_name": name, "index_type": ordered} for name in ("kind", "number")]
        self.server.create(self.records, record_fields(), [*RECORD_INDEXES, *by_number])
        self.server.create(self.chunks, fields, indexes, words=WORDS if has_words else ())

    def drop(self) -> None:
        # Without its records it is no generation any more.
        for name in (self.records, self.chunks):
            self.server.drop(name)

    # -- records -----------------------------------------------------------------------------------------------------

    def format(self) -> str | None:
        """None where it is half made, or half dropped."""
        return self.meta("format").get("format") if self.server.names(self.records) else None

    @cached_property
    def has_words(self) -> bool:
        return self.meta("words").get("words") != NO_WORDS

    def state(self) -> State | None:
        described = self.server.described(self.chunks)
        return self.state_of(described[1]) if described else None

    def state_of(self, properties: Mapping[str, str]) -> State | None:
        """Out of what is noted of its chunks."""
        try:
            told = json.loads(properties[_STATE])
            return State(self.number, *(told[name] for name in State._fields[1:]))
        except (ValueError, KeyError, TypeError):
            return None

    def set_state(self, *, version: int, documents: int, chunks: int, revisions: int) -> State:
        """Readers see what was written before from now on."""
        # A last write, whose time is known: what was deleted before is gone by then.
        self.set_meta({"told": str(version)})
        state = State(self.number, version, documents, chunks, revisions, self.server.written)
        told = {name: value for name, value in state._asdict().items() if name != "generation"}
        self.server.note(self.chunks, {_STATE: json.dumps(told)})
        return state

    def meta(self, *names: str, strong: bool = True) -> dict[str, str]:
        rows = self.server.rows(self.records, [f"m.{name}" for name in names], ["id", "body"], strong=strong)
        return {str(row["id"]).removeprefix("m."): str(row["body"]) for row in rows}

    def set_meta(self, values: Mapping[str, str]) -> None:
        self.server.upsert(self.records, [record(f"m.{name}", value) for name, value in values.items()])

    def put_text(self, prefix: str, text: str, *, kind: int) -> int:
        """Writes a text of any length as records; says how many. Read again by `text`."""
        rows = _texts(prefix, text, kind=kind)
        self.server.upsert(self.records, rows)
        return len(rows)

    def text(self, prefix: str, parts: int) -> str:
        rows = self.server.rows(self.records, [f"{prefix}.{at}" for at in range(parts)], ["id", "body"])
        told = {int(str(row["id"]).rpartition(".")[2]): str(row["body"]) for row in rows}
        if len(told) != parts:
            raise StoreError(f"{self.server.address} lacks some of its records; rebuild it with: assistant index --rebuild")
        return "".join(told[at] for at in range(parts))

    def heads(self, documents: Iterable[int]) -> dict[int, Head]:
        """Of the documents with these numbers, those that there are."""
        rows = self.server.rows(self.records, [_head_id(number) for number in documents], ["body"])
        found = [_head(str(row["body"])) for row in rows]
        return {number_of(head.row.id): head for head in found}

    def all_heads(self) -> list[Head]:
        """By their documents' ids."""
        rows = self.server.each(self.records, f"kind == {HEAD}", ["body"])
        return sorted((_head(str(row["body"])) for row in rows), key=lambda head: head.row.id)

    def put_heads(self, heads: Iterable[Head]) -> None:
        rows = (record(_head_id(number_of(head.row.id)), _body(head), kind=HEAD, number=head.revision) for head in heads)
        self.server.upsert(self.records, rows)

    def remove_heads(self, documents: Sequence[str]) -> None:
        for begin in range(0, len(documents), _REVISIONS_AT_ONCE):
            ids = [_head_id(number_of(name)) for name in documents[begin : begin + _REVISIONS_AT_ONCE]]
            self.server.call("delete", self.records, ids=ids, writes=True)

    def terms(self, words: Sequence[str]) -> dict[str, tuple[int, int]]:
        """How many chunks hold each word in their place, and in their text."""
        rows = self.server.rows(self.records, [_term_id(word) for word in words], ["id", "body"])
        counts = {str(row["id"]): str(row["body"]).split() for row in rows}
        return {word: (int(told[0]), int(told[1])) for word in words if (told := counts.get(_term_id(word), ["0", "0"]))}

    def put_terms(self, counts: Mapping[str, Sequence[int]]) -> None:
        rows = [record(_term_id(word), f"{told[0]} {told[1]}", kind=TERM) for word, told in counts.items()]
        self.server.upsert(self.records, rows, most=2_000)

    def keep_terms(self, words: Iterable[str]) -> None:
        """Drops all others."""
        kept = {_term_id(word) for word in words}
        gone = [str(row["id"]) for row in self.server.each(self.records, f"kind == {TERM}", ["id"]) if row["id"] not in kept]
        for begin in range(0, len(gone), 500):
            self.server.call("delete", self.records, ids=gone[begin : begin + 500], writes=True)

    # -- documents and chunks ----------------------------------------------------------------------------------------

    def put(self, entries: Sequence[Putting], counts: Counts, has_words: bool) -> list[Head]:
        """Writes all of documents but their heads, which make them count."""
        chunks: list[dict[str, Any]] = []
        texts: list[dict[str, Any]] = []
        heads = []
        for entry, revision, vectors in entries:
            document, told = entry.document, written(entry.document, entry.chunks)
            if len(entry.chunks) > CHUNKS_OF_A_DOCUMENT:
                raise StoreError(f"{document.id} has more than {CHUNKS_OF_A_DOCUMENT:,} chunks; split it into several files.")
            for chunk_row, pieces in self._chunk_rows(entry, revision, vectors, counts, has_words):
                chunks.append(chunk_row)
                texts += pieces
            parts = _texts(f"p.{revision}", json.dumps(told), kind=PART, number=revision)
            texts += parts
            row = DocumentRow(
                id=document.id, title=document.title, authors=document.authors, published=document.published,
                kind=document.kind, cite_as=document.cite_as, digest=document.digest, size=entry.size, modified=entry.modified,
                tokens=entry.tokens, chunks=len(entry.chunks), indexed=time.time(),
            )  # fmt: skip
            heads.append(Head(row, revision, len(parts), digest_of(document)))
        self.server.upsert(self.chunks, chunks)
        self.server.upsert(self.records, texts)
        return heads

    def _chunk_rows(
        self, entry: Entry, revision: int, vectors: Sequence[NDArray[np.float32]], counts: Counts, has_words: bool
    ) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        """Each chunk's row, and the records of its text and headings where they are too long for one."""
        document = entry.document
        earliest, latest = days(document.published)
        folders = [number_of(each) for each in folders_of(document.id)][-_MOST_FOLDERS:]
        for ordinal, (chunk, digest, vector) in enumerate(zip(entry.chunks, entry.vector_keys, vectors, strict=True)):
            key = revision * CHUNKS_OF_A_DOCUMENT + ordinal
            # As long as is kept: what is counted now is what will be taken off again.
            place = cut(place_of(document.title, chunk.headings))
            voice = [chunk.voice.speaker, chunk.voice.reported_by]
            counts.add(place, chunk.text, chunk.voice.speaker)
            embedding, rest = _halves(digest)
            row = {
                "key": key, "document": number_of(document.id), "speaker": number_of(chunk.voice.speaker),
                "kind": number_of(document.kind), "earliest": earliest, "latest": latest, "embedding": embedding,
                "embedding_rest": rest, "ordinal": ordinal, "start": chunk.start, "stop": chunk.end, "tokens": chunk.tokens,
                "pieces": 0, "folders": folders, "name": document.id, "headings": json.dumps(chunk.headings),
                "voice": json.dumps(voice), "text": chunk.text, "place": place, "vector": vector,
            }  # fmt: skip
            pieces: list[dict[str, Any]] = []
            if any(len(str(row[name]).encode("utf-8", "surrogatepass")) > LONGEST_TEXT for name in ("headings", "voice", "text")):
                told = json.dumps([chunk.text, chunk.headings, voice])
                pieces = _texts(f"c.{key}", told, kind=PIECE, number=revision)
                row |= {"headings": "", "voice": "", "text": "", "pieces": len(pieces)}
            if has_words:
                for name, words in zip(WORDS, (chunk.text, place), strict=True):
                    row[name] = cut(" ".join(plain(word) for word in analyse(words)))
            yield row, pieces

    def chunk(self, row: Mapping[str, Any]) -> Chunk:
        if row["pieces"]:
            text, headings, voice = json.loads(self.text(f"c.{row['key']}", int(row["pieces"])))
        else:
            text, headings, voice = str(row["text"]), json.loads(row["headings"]), json.loads(row["voice"])
        return Chunk(
            id=f"{row['name']}#{row['ordinal']}",
            document_id=str(row["name"]),
            headings=tuple(headings),
            text=text,
            start=int(row["start"]),
            end=int(row["stop"]),
            tokens=int(row["tokens"]),
            voice=Voice(*voice),
        )

    def rows_of(self, head: Head, fields: Sequence[str] = FIELDS) -> list[dict[str, Any]]:
        """The rows of a document's chunks, in their order."""
        begin = head.revision * CHUNKS_OF_A_DOCUMENT
        rows = self.server.rows(self.chunks, range(begin, begin + head.row.chunks), list(dict.fromkeys(["key", *fields])))
        return sorted(rows, key=lambda row: int(row["key"]))

    def document(self, head: Head) -> Document:
        """Raises StoreError where it is not what was written."""
        told = json.loads(self.text(f"p.{head.revision}", head.parts))
        texts = [self.chunk(row).text for row in self.rows_of(head)]
        try:
            document = document_of(head.row.id, head.row.digest, Record(*told), texts)
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError(f"{head.row.id}: {error}") from error
        if digest_of(document) != head.digest_of_text:
            raise StoreError(f"{head.row.id}: its text is not what was written")
        return document

    def vectors(self, digests: Iterable[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """Those of these texts that some chunk has."""
        rows = self._with_vectors(digests, ["vector"])
        return {name: np.asarray(row["vector"], dtype=np.float32) for name, row in rows.items()}

    def vectors_among(self, digests: Iterable[bytes]) -> set[bytes]:
        """Those of these texts of which some chunk has the vector."""
        return set(self._with_vectors(digests, []))

    def _with_vectors(self, digests: Iterable[bytes], fields: Sequence[str]) -> dict[bytes, dict[str, Any]]:
        """For each of these texts that some chunk has, the row of one."""
        asked = sorted({_halves(digest): digest for digest in digests}.items())
        found: dict[bytes, dict[str, Any]] = {}
        batches = [asked[begin : begin + _REVISIONS_AT_ONCE] for begin in range(0, len(asked), _REVISIONS_AT_ONCE)]
        while batches:
            batch = batches.pop()
            wanted = dict(batch)
            numbers = [first for first, _ in wanted]
            rows = self.server.some(self.chunks, f"embedding in {numbers}", ["embedding", "embedding_rest", *fields], most=_SAME)
            for row in rows:
                if digest := wanted.get((int(row["embedding"]), int(row["embedding_rest"]))):
                    found[digest] = row
            if len(rows) == _SAME and len(batch) > 1:
                # Texts that many chunks share crowd out others.
                left = [each for each in batch if each[1] not in found]
                batches += [half for half in (left[: len(left) // 2], left[len(left) // 2 :]) if half]
        return found

    def delete(self, revisions: Sequence[int]) -> None:
        """The chunks and parts of documents as they were."""
        for begin in range(0, len(revisions), _REVISIONS_AT_ONCE):
            some = list(revisions[begin : begin + _REVISIONS_AT_ONCE])
            ranges = [(each * CHUNKS_OF_A_DOCUMENT, (each + 1) * CHUNKS_OF_A_DOCUMENT) for each in some]
            where = " or ".join(f"(key >= {first} and key < {last})" for first, last in ranges)
            self.server.call("delete", self.chunks, filter=where, writes=True)
            where = f"(kind == {PART} or kind == {PIECE}) and number in {some}"
            self.server.call("delete", self.records, filter=where, writes=True)


def _texts(prefix: str, text: str, *, kind: int, number: int = 0) -> list[dict[str, Any]]:
    """The records of a text of any length."""
    parts = [text[begin : begin + _PART] for begin in range(0, len(text), _PART)]
    return [record(f"{prefix}.{at}", part, kind=kind, number=number) for at, part in enumerate(parts)]


def digest_of(document: Document) -> str:
    """Of a document's words and of all that is told of it and its places."""
    import hashlib

    told = written(document, ())
    return hashlib.sha256("\x1f".join((document.id, document.digest, *told)).encode("utf-8", "surrogatepass")).hexdigest()


def place_of(title: str, headings: Sequence[str]) -> str:
    return " ".join((title, *headings))


def plain(word: str) -> str:
    """A word that every server's analyser leaves as it is."""
    return word if word.isascii() and word.isalnum() else "u" + word.encode("utf-8", "surrogatepass").hex()


def cut(text: str) -> str:
    return text.encode("utf-8", "replace")[:LONGEST_TEXT].decode("utf-8", "ignore")


def halves_of(row: Mapping[str, Any]) -> bytes:
    """The name of a chunk's vector."""
    return b"".join(int(row[name]).to_bytes(8, "big", signed=True) for name in ("embedding", "embedding_rest"))


def _halves(digest: bytes) -> tuple[int, int]:
    return int.from_bytes(digest[:8], "big", signed=True), int.from_bytes(digest[8:16], "big", signed=True)


def days(published: str | None) -> tuple[int, int]:
    """The first and the last day that a date may mean, as numbers: "2021-06" -> (20210600, 20210699). (0, 0) for none."""
    found = _DATE.match(published or "")
    if found is None:
        return 0, 0
    parts = [part for part in found.groups() if part is not None]
    unknown = 3 - len(parts)
    first, last = (int("".join((*parts, *[filler] * unknown))) for filler in ("00", "99"))
    return first, last


def _head_id(number: int) -> str:
    return f"d.{_hex(number)}"


def _term_id(word: str) -> str:
    return f"t.{_hex(number_of(word))}"


def _hex(number: int) -> str:
    return f"{number & 0xFFFFFFFFFFFFFFFF:016x}"


def _body(head: Head) -> str:
    row = head.row
    listed = {
        "title": row.title[:_LISTED], "authors": [name[:100] for name in row.authors[:50]], "kind": row.kind[:200],
        "published": row.published and row.published[:100], "cite_as": row.cite_as[:_LISTED],
    }  # fmt: skip
    told = {
        "id": row.id, "digest": row.digest, "size": row.size, "modified": row.modified, "tokens": row.tokens,
        "chunks": row.chunks, "indexed": row.indexed, **listed, "revision": head.revision, "parts": head.parts,
        "digest_of_text": head.digest_of_text,
    }  # fmt: skip
    return json.dumps(told, ensure_ascii=False)


def _head(body: str) -> Head:
    told = json.loads(body)
    told["authors"] = tuple(told["authors"])
    revision, parts, digest = (told.pop(name) for name in ("revision", "parts", "digest_of_text"))
    return Head(DocumentRow(**told), revision, parts, digest)
