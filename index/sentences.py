"""Sentence spans with character offsets, by sentencex, the few known wrong splits mended."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sentencex import get_sentence_boundaries

Span = tuple[int, int]

# A line that opens a unit of its own: list item, quotation, table row, a blank line; a heading is no sentence at all.
_UNIT_START = re.compile(r"^[ \t]*(?:(?P<row>\|)|(?:[-*+]|\d{1,9}[.)])[ \t]+|>+[ \t]?|#{1,6}[ \t][^\n]*|$)", re.MULTILINE)
_RULE = re.compile(r"^[\s|:=_*`~-]*$")
# sentencex splits after these although a sentence goes on.
_GOES_ON = re.compile(r"(?:\b(?:[A-Z]|No|no|vol|Vol|pp?|doc|ed|eds|Art|Sept?|Stat|cf|e\.g|i\.e|al)\.)\s*$")
# Longest stretch handed to the splitter at once; a line without any break is cut at white space near here.
_LONGEST_UNIT = 20_000


def sentence_spans(text: str, start: int, end: int) -> list[Span]:
    """Sentences of `text[start:end]`, as (start, end) in `text`, without surrounding white space, in order."""
    spans: list[Span] = []
    for unit_start, unit_end in _units(text, start, end):
        spans.extend(_split(text, unit_start, unit_end))
    return spans


def _units(text: str, start: int, end: int) -> Iterator[Span]:
    begin = start
    for match in _UNIT_START.finditer(text, start, end):
        yield from _bounded(text, begin, match.start())
        begin = match.start() if match["row"] else match.end()
    yield from _bounded(text, begin, end)


def _bounded(text: str, start: int, end: int) -> Iterator[Span]:
    while end - start > _LONGEST_UNIT:
        cut = text.rfind(" ", start + _LONGEST_UNIT // 2, start + _LONGEST_UNIT)
        cut = cut if cut > 0 else start + _LONGEST_UNIT
        yield start, cut
        start = cut
    if start < end:
        yield start, end


def _split(text: str, start: int, end: int) -> Iterator[Span]:
    unit = text[start:end]
    if _RULE.match(unit):
        return
    held: int | None = None
    for boundary in get_sentence_boundaries("en", unit):
        begin = boundary["start_index"] if held is None else held
        stop = boundary["end_index"]
        held = begin if _GOES_ON.search(unit[begin:stop]) and stop < len(unit.rstrip()) else None
        if held is None:
            yield from _trimmed(text, start + begin, start + stop)
    if held is not None:
        yield from _trimmed(text, start + held, end)


def _trimmed(text: str, start: int, end: int) -> Iterator[Span]:
    piece = text[start:end]
    stripped = piece.strip()
    if any(character.isalnum() for character in stripped):
        begin = start + len(piece) - len(piece.lstrip())
        yield begin, begin + len(stripped)
