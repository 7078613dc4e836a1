"""Who speaks in a place of a document."""

from __future__ import annotations

import re

from index.documents import TRANSCRIPT, Document, Locator, Voice

_REPORTED = re.compile(r"^(?P<speaker>.+?),\s+(?:as\s+)?(?:reported|quoted)\s+by\s+(?P<reporter>.+)$")


def parse_voice(words: str) -> Voice:
    """Reads "Ngo Di Lan, as reported by Khang Vu" or "Khang Vu"."""
    words = words.strip()
    match = _REPORTED.match(words)
    return Voice(match["speaker"].strip(), match["reporter"].strip()) if match else Voice(words)


def voice_at(document: Document, locator: Locator) -> Voice:
    """The voice that the locator names, else the document's authors, else its publisher, else its title.

    A document without authors (a note, a map) only passes on what others say: its publisher is then the reporter. A
    transcript holds the speakers' own words.
    """
    house = ", ".join(document.authors) or document.publisher or document.title
    if locator.voice is None:
        return Voice(house)
    if document.kind == TRANSCRIPT or document.authors or locator.voice.reported_by or locator.voice.speaker == house:
        return locator.voice
    return Voice(locator.voice.speaker, house)
