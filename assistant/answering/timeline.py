"""Dated statements: the sentences of the sources that name a date, in the order of what they tell, each cited."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from assistant.answering.answers import Citation
from assistant.answering.citations import cite
from index.documents import Document
from index.voices import sentences_with_voices

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"
)  # fmt: skip
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_YEAR = r"(?P<year>1\d{3}|20\d\d)"
# "17 February to 16 March 1979", "February to April 1965": the beginning counts.
_ON = rf"(?:\s*(?:to|and|until|–|-)\s*(?:\d{{1,2}}\s+)?(?:{'|'.join(_MONTHS)}))?"
_FORMS = (
    re.compile(r"\b(?P<year>1\d{3}|20\d\d)-(?P<number>0[1-9]|1[0-2])(?:-(?P<day>0[1-9]|[12]\d|3[01]))?\b"),
    re.compile(
        rf"\b(?P<day>[12]?\d|3[01])(?:st|nd|rd|th)?(?:\s*(?:to|and|–|-)\s*\d{{1,2}})?\s+{_MONTH}{_ON},?\s+{_YEAR}\b", re.I
    ),
    re.compile(rf"\b{_MONTH}\s+(?P<day>[12]?\d|3[01])(?:st|nd|rd|th)?,\s+{_YEAR}\b", re.I),
    re.compile(rf"\b{_MONTH}{_ON},?\s+(?:of\s+)?{_YEAR}\b", re.I),
    re.compile(r"\b(?:(?P<part>early|mid|late)(?:\s+|-)(?:the\s+)?)?(?P<year>1\d{2}0|20\d0)s\b", re.I),
    # No page, no amount, no end of a range; "(Moreno 1999)" says where something stands, not when it was.
    re.compile(r"(?<![\d.,–-])\b(?P<year>1[5-9]\d\d|20\d\d)\b(?![\d%]|[.,]\d|\s*(?:km|tons|troops|soldiers|men|people|pages)\b)"),
)
_NAMING = re.compile(r"\b(?:the|this|that|a)\s+\Z", re.IGNORECASE)
_BRACKETS = re.compile(r"\([^()]*\)")
_WITHIN_A_DECADE = {"early": 1, "mid": 5, "late": 7}


@dataclass(frozen=True, slots=True)
class Dated:
    """A date as a text names it."""

    year: int
    month: int | None
    day: int | None
    words: str
    """As written: "late 1970s"."""

    @property
    def iso(self) -> str:
        """As exact as it is known: "1977", "1977-07", "1977-07-18"."""
        return "-".join(
            [f"{self.year:04}", *(f"{each:02}" for each in (self.month, self.day if self.month else None) if each)]
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Statement:
    date: Dated
    citation: Citation


def first_date(sentence: str) -> Dated | None:
    """The date that a sentence names first, dates in brackets left aside."""
    told = _BRACKETS.sub(lambda match: " " * len(match[0]), sentence)
    found = [match for form in _FORMS for match in form.finditer(told)]
    if not found:
        return None
    # Of those that begin at one place the longest knows most; "the 1977 treaty" is a name, where there is a better date.
    match = min(found, key=lambda each: (bool(_NAMING.search(told, 0, each.start())), each.start(), -each.end()))
    parts = match.groupdict()
    month = int(parts["number"]) if parts.get("number") else None
    if parts.get("month"):
        month = 1 + _MONTHS.index(parts["month"].lower())
    year = int(parts["year"]) + _WITHIN_A_DECADE.get((parts.get("part") or "").lower(), 0)
    return Dated(year, month, int(parts["day"]) if parts.get("day") else None, " ".join(match[0].split()))


def statements(documents: Iterable[tuple[Document, Iterable[tuple[int, int]]]]) -> list[Statement]:
    """documents: each with the spans of its text that count. In the order of the dates; of one date, as they came."""
    found = [statement for document, spans in documents for statement in _of(document, spans)]
    return sorted(found, key=lambda each: each.date.iso)


def _of(document: Document, spans: Iterable[tuple[int, int]]) -> Iterator[Statement]:
    seen = set()
    for begin, stop in spans:
        for start, end, voice in sentences_with_voices(document, begin, stop):
            locator = document.locator_at(start)
            date = first_date(document.text[start:end])
            if date is None or start in seen or end <= locator.start + locator.heading:
                continue
            seen.add(start)
            yield Statement(date, cite(0, document, start, end, voice))
