"""Citations are made by code from the document itself, and checked when made and again when shown."""

from __future__ import annotations

from assistant.answering.answers import Citation
from index.documents import Document, Voice


class CitationMismatch(AssertionError):
    """A quote does not stand at its place: a fault of the program, never of the person."""


def cite(marker: int, document: Document, start: int, end: int, voice: Voice) -> Citation:
    """Raises CitationMismatch when the span is empty or lies outside the text."""
    if not 0 <= start < end <= len(document.text):
        raise CitationMismatch(f"{document.id}: no words at {start}:{end}")
    return Citation(
        marker=marker,
        document=document.id,
        title=document.title,
        authors=document.authors,
        published=document.published,
        cite_as=document.cite_as,
        kind=document.kind,
        locator=document.locator_at(start).label,
        quote=document.text[start:end],
        start=start,
        end=end,
        digest=document.digest,
        voice=voice,
    )


def holds(citation: Citation, document: Document) -> bool:
    """Whether the quote still stands at its place in this state of the document."""
    return document.id == citation.document and document.text[citation.start : citation.end] == citation.quote
