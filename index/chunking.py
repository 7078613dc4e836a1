"""Packs whole sentences under one heading and in one voice into the embedder's token budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from index.chunks import Chunk
from index.documents import Document, Locator
from index.sentences import Span, sentence_spans
from index.voices import voice_at

TokenCounter = Callable[[Sequence[str]], list[int]]
"""Texts -> the number of the embedder's tokens in each, without special tokens."""

_SPECIAL_TOKENS = 2


def chunk_document(document: Document, count_tokens: TokenCounter, *, budget: int, limit: int) -> list[Chunk]:
    """Packs a document's sentences.

    budget: the size to aim at, in tokens. limit: what the embedder reads, special tokens included; no chunk is longer,
    so nothing is ever cut off unseen.
    """
    room = limit - _SPECIAL_TOKENS
    chunks: list[Chunk] = []
    for section in _sections(document.locators):
        for voice, group in groupby(section, key=lambda place: voice_at(document, place)):
            for start, end, tokens in _pack(document.text, list(group), count_tokens, min(budget, room), room):
                chunks.append(
                    Chunk(
                        id=f"{document.id}#{len(chunks)}",
                        document_id=document.id,
                        headings=section[0].headings,
                        text=document.text[start:end],
                        start=start,
                        end=end,
                        tokens=tokens,
                        voice=voice,
                    )
                )
    return chunks


def _sections(locators: Iterable[Locator]) -> Iterator[list[Locator]]:
    """Runs of locators without a heading in between."""
    section: list[Locator] = []
    for locator in locators:
        if section and locator.heading:
            yield section
            section = []
        section.append(locator)
    if section:
        yield section


def _pack(
    text: str, locators: Sequence[Locator], count_tokens: TokenCounter, budget: int, room: int
) -> Iterator[tuple[int, int, int]]:
    """(start, end, tokens) of each chunk. A paragraph that does not fit begins a new chunk when the last is half full."""
    start: int | None = None
    end = tokens = 0
    for locator in locators:
        spans = sentence_spans(text, locator.start + locator.heading, locator.end)
        pieces = list(_pieces(text, spans, count_tokens, room))
        whole = sum(size for _, _, size in pieces)
        if start is not None and tokens + whole > budget and tokens > budget // 2:
            yield start, end, tokens
            start = None
        # What stands between two pieces (list markers, rules of dashes) is in the chunk, and counts.
        before = [end, *(stop for _, stop, _ in pieces[:-1])]
        gaps = count_tokens([text[last:begin] for last, (begin, _, _) in zip(before, pieces, strict=True)]) if pieces else []
        for (begin, stop, size), gap in zip(pieces, gaps, strict=True):
            if start is not None and tokens + gap + size > budget:
                yield start, end, tokens
                start = None
            tokens = size if start is None else tokens + gap + size
            start = begin if start is None else start
            end = stop
    if start is not None:
        yield start, end, tokens


def _pieces(text: str, spans: Sequence[Span], count_tokens: TokenCounter, room: int) -> Iterator[tuple[int, int, int]]:
    """Sentences with their tokens; one that is longer than the embedder reads is cut, at white space where there is any."""
    if not spans:
        return
    for (start, end), size in zip(spans, count_tokens([text[start:end] for start, end in spans]), strict=True):
        if size <= room:
            yield start, end, size
            continue
        while start < end:
            stop = _fitting(text, start, end, count_tokens, room)
            yield start, stop, count_tokens([text[start:stop]])[0]
            start = stop
            while start < end and text[start].isspace():
                start += 1


def _fitting(text: str, start: int, end: int, count_tokens: TokenCounter, room: int) -> int:
    """The furthest end so that text[start:end] has at most `room` tokens."""
    if count_tokens([text[start:end]])[0] <= room:
        return end
    low, high = start + 1, min(end, start + room * 64)
    while low < high:
        middle = (low + high + 1) // 2
        if count_tokens([text[start:middle]])[0] <= room:
            low = middle
        else:
            high = middle - 1
    space = text.rfind(" ", start + 1, low)
    return space if space > start + (low - start) // 2 else low
