"""The types that travel through the whole house: Document, Locator, Voice."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field

TRANSCRIPT = "transcript"
"""Kind of a document that holds what its speakers said, word for word."""


@dataclass(frozen=True, slots=True)
class Voice:
    """Who says something, and who says that they say it."""

    speaker: str
    """The person or body that makes the claim."""
    reported_by: str | None = None
    """Who reports the speaker's words, where the speaker does not speak directly."""

    def __str__(self) -> str:
        return f"{self.speaker}, as reported by {self.reported_by}" if self.reported_by else self.speaker


@dataclass(frozen=True, slots=True)
class Locator:
    """A place that can be cited: `document.text[start:end]`."""

    start: int
    """First character, counted in Document.text."""
    end: int
    """One past the last character."""
    label: str
    """How a reader names the place: "¶7", "§ Article II"."""
    headings: tuple[str, ...] = ()
    """The headings above the place, outermost first."""
    voice: Voice | None = None
    """Who speaks here, where the document itself says so."""
    heading: int = 0
    """How many characters at the start are the heading itself, which is no sentence of the document."""


@dataclass(frozen=True, slots=True)
class Document:
    """One source. `text` is what every offset in the house counts in."""

    id: str
    """Path within the corpus, with forward slashes."""
    title: str
    text: str
    digest: str
    """SHA-256 of the file's bytes, in hexadecimal."""
    locators: tuple[Locator, ...]
    """Cover the text without gaps, in order; empty for an empty text."""
    authors: tuple[str, ...] = ()
    published: str | None = None
    """ISO 8601 date, possibly only a year or a month."""
    publisher: str | None = None
    url: str | None = None
    kind: str = "document"
    """What sort of source: digest, note, map, timeline, gaps, transcript, document."""
    digest_of: str | None = None
    """What the document is a digest of, where it is one."""
    cite_as: str = ""
    """Short form in citations: "Vu 2021"."""
    sources: tuple[str, ...] = field(default=())
    """The sources that the document itself names, one line each."""

    def locator_at(self, offset: int) -> Locator:
        """The locator that holds the character at `offset`. Raises IndexError outside the text."""
        if not 0 <= offset < len(self.text):
            raise IndexError(f"offset {offset} is outside {self.id} ({len(self.text)} characters)")
        return self.locators[bisect_right(self.locators, offset, key=lambda locator: locator.start) - 1]


def names_in(told: str) -> tuple[str, ...]:
    """The names that stand in one line of a file's properties, semicolons between them."""
    return tuple(name for each in told.split(";") if (name := " ".join(each.split())))


def citation_name(authors: tuple[str, ...], published: str | None, title: str) -> str:
    """The usual author-year form ("Vu 2021", "Ku and Mirasola 2017"), or the title where no author is known."""
    families = [author.split()[-1] for author in authors if author.strip()]
    if not families:
        return title
    names = families[0] if len(families) == 1 else " and ".join(families) if len(families) == 2 else f"{families[0]} et al."
    year = re.search(r"\b\d{4}\b", published or "")
    return f"{names} {year[0]}" if year else names
