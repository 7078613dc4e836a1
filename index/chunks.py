"""Chunks: whole sentences under one heading and in one voice, packed into the embedder's token budget."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from index.documents import Document, Locator, Voice
from index.sentences import Span, sentence_spans
from index.voices import voice_at

TokenCounter = Callable[[Sequence[str]], list[int]]
"""Texts -> the number of the embedder's tokens in each, without special tokens."""

_SPECIAL_TOKENS = 2
_SHORTEST_BUDGET = 32
_LONGEST_HEADING = 200


@dataclass(frozen=True, slots=True)
class Chunk:
    """What is embedded and found. `document.text[start:end] == text`."""

    id: str
    """Document id and ordinal: "debate/reply.md#3"."""
    document_id: str
    headings: tuple[str, ...]
    text: str
    start: int
    end: int
    tokens: int
    """Tokens of `text` by the embedder's tokenizer."""
    voice: Voice


def embedding_text(title: str, chunk: Chunk) -> str:
    """What the embedder reads for a chunk: its place in the document, then its words."""
    return f"{_prefix(title, chunk.headings)}{chunk.text}"


def embedding_key(text: str) -> str:
    """The name under which a vector is kept: a text that was embedded once is never embedded again."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _prefix(title: str, headings: Iterable[str]) -> str:
    return "".join(f"{part[:_LONGEST_HEADING]}\n" for part in (title, *headings) if part)


def chunk_document(document: Document, count_tokens: TokenCounter, *, budget: int, limit: int) -> list[Chunk]:
    """Packs a document's sentences.

    budget: the size to aim at, in tokens of the text. limit: what the embedder reads, place and special tokens
    included; no chunk is longer, so nothing is ever cut off unseen.
    """
    chunks: list[Chunk] = []
    for (headings, voice), group in groupby(document.locators, key=lambda place: (place.headings, voice_at(document, place))):
        locators = list(group)
        room = limit - _SPECIAL_TOKENS - count_tokens([_prefix(document.title, headings)])[0]
        if room < _SHORTEST_BUDGET:
            # A heading longer than a text would crowd the text out.
            headings, room = (), limit - _SPECIAL_TOKENS - count_tokens([_prefix(document.title, ())])[0]
        for start, end, tokens in _pack(document.text, locators, count_tokens, min(budget, room), room):
            chunks.append(
                Chunk(
                    id=f"{document.id}#{len(chunks)}",
                    document_id=document.id,
                    headings=headings,
                    text=document.text[start:end],
                    start=start,
                    end=end,
                    tokens=tokens,
                    voice=voice,
                )
            )
    return chunks


def _pack(
    text: str, locators: Sequence[Locator], count_tokens: TokenCounter, budget: int, room: int
) -> Iterator[tuple[int, int, int]]:
    """(start, end, tokens) of each chunk. A paragraph that does not fit begins a new chunk when the last is half full."""
    start: int | None = None
    end = tokens = 0
    for locator in locators:
        pieces = list(_pieces(text, sentence_spans(text, locator.start, locator.end), count_tokens, room))
        whole = sum(size for _, _, size in pieces)
        if start is not None and tokens + whole > budget and tokens > budget // 2:
            yield start, end, tokens
            start, tokens = None, 0
        for begin, stop, size in pieces:
            if start is not None and tokens + size > budget:
                yield start, end, tokens
                start, tokens = None, 0
            start = begin if start is None else start
            end, tokens = stop, tokens + size
    if start is not None:
        yield start, end, tokens


def _pieces(text: str, spans: Sequence[Span], count_tokens: TokenCounter, room: int) -> Iterator[tuple[int, int, int]]:
    """Sentences with their tokens; one that is longer than the embedder reads is cut, at white space where there is any.

    What stands between two sentences (list markers, rules of dashes) is counted with the sentence after it.
    """
    if not spans:
        return
    between = [text[left[1] : right[0]] for left, right in pairwise(spans)]
    sizes = count_tokens([text[start:end] for start, end in spans])
    gaps = [0, *count_tokens(between)]
    for (start, end), size, gap in zip(spans, sizes, gaps, strict=True):
        if size + gap <= room:
            yield start, end, size + gap
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
