"""How a store writes a document down as JSON, and reads it again. The text is not kept twice: it is the chunks' and the gaps'."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from index.chunks import Chunk
from index.documents import Document, Locator, Voice
from index.schema import text_between


class Record(NamedTuple):
    meta: str
    """JSON object: title, authors and all else that is told of the document."""
    places: str
    """JSON list of its locators."""
    gaps: str
    """JSON list of what stands before, between and after its chunks."""


def written(document: Document, chunks: Sequence[Chunk]) -> Record:
    meta = {key: value for key, value in asdict(document).items() if key not in ("id", "text", "digest", "locators")}
    places = [
        [place.start, place.end, place.label, place.headings, _voice(place.voice), place.heading] for place in document.locators
    ]
    gaps = list(text_between(document.text, [(chunk.start, chunk.end) for chunk in chunks]))
    return Record(*(json.dumps(each, ensure_ascii=False, separators=(",", ":")) for each in (meta, places, gaps)))


def document_of(document_id: str, digest: str, record: Record, chunks: Sequence[str]) -> Document:
    """chunks: the texts of its chunks, in their order. Raises ValueError where some of its text is missing."""
    before, *after = json.loads(record.gaps)
    if len(chunks) != len(after):
        raise ValueError("lacks some of its text")
    meta: dict[str, Any] = json.loads(record.meta)
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in meta.items()}
    return Document(
        id=document_id,
        text=before + "".join(f"{chunk}{gap}" for chunk, gap in zip(chunks, after, strict=True)),
        digest=digest,
        locators=tuple(
            Locator(start, end, label, tuple(headings), Voice(*voice) if voice else None, heading)
            for start, end, label, headings, voice, heading in json.loads(record.places)
        ),
        **values,
    )


def folders_of(document_id: str) -> list[str]:
    """The document's id, and the folders of the corpus that it lies in."""
    parts = document_id.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _voice(voice: Voice | None) -> list[str | None] | None:
    return [voice.speaker, voice.reported_by] if voice else None
