"""Sentence spans with character offsets, by sentencex, the few known wrong splits mended."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sentencex import get_sentence_boundaries

Span = tuple[int, int]

# A line that opens a unit of its own: list item, quotation, table row, or a blank line.
_UNIT_START = re.compile(
    r"^[ \t]*(?:(?P<row>\|)|[-*+][ \t]+|(?P<number>\d{1,9})[.)][ \t]+|>+[ \t]?|(?P<blank>\n(?:[ \t]*\n)*[ \t]*))", re.MULTILINE
)
_ENDS_OPEN = re.compile(r"(?:[^\W\d_]|,)[ \t\n]*\Z")
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


def sentence_goes_on(text: str, gap_start: int, gap_end: int) -> bool:
    """Whether a blank line stands in the middle of a sentence: a page break in a copied text."""
    return text[gap_end : gap_end + 1].islower() and bool(_ENDS_OPEN.search(text, max(0, gap_start - 80), gap_start))


def _units(text: str, start: int, end: int) -> Iterator[Span]:
    begin = start
    in_list = after_blank = False
    for match in _UNIT_START.finditer(text, start, end):
        if match["blank"] is not None:
            after_blank = True
            if sentence_goes_on(text, match.start(), match.end()):
                continue
            in_list = False
        elif match["number"] is not None and not (match["number"] == "1" or in_list or after_blank):
            # "…in⏎1977. It bound…": within a paragraph only a 1 opens a list (CommonMark).
            continue
        else:
            in_list, after_blank = match["number"] is not None, False
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
        words_end = begin + len(unit[begin:stop].rstrip())
        next_words = len(unit) - len(unit[stop:].lstrip())
        broken = "\n" in unit[words_end:next_words] and sentence_goes_on(unit, words_end, next_words)
        goes_on = broken or _GOES_ON.search(unit, begin, stop)
        held = begin if goes_on and stop < len(unit.rstrip()) else None
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
