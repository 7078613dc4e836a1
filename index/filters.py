"""Which passages a search may find."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BRACKETS = re.compile(r"\s*\([^()]*\)\s*$")


@dataclass(frozen=True, slots=True)
class Filter:
    """Each field that is not empty must allow a passage."""

    documents: tuple[str, ...] = ()
    """Ids of documents, or folders of the corpus ("debate")."""
    voices: tuple[str, ...] = ()
    """Who speaks: a name or its last word, in any case ("Khang Vu", "vu")."""
    kinds: tuple[str, ...] = ()
    """Kinds of documents: "digest", "note", …"""
    since: str | None = None
    """ISO date, possibly only a year or a month. A document of which only the year is known counts for the whole year."""
    until: str | None = None
    """ISO date, included."""

    def allows_voice(self, speaker: str) -> bool:
        told = _BRACKETS.sub("", speaker).casefold()
        return any(voice.casefold().strip() in (speaker.casefold(), told, told.rpartition(" ")[2]) for voice in self.voices)

    def __bool__(self) -> bool:
        return bool(self.documents or self.voices or self.kinds or self.since or self.until)
