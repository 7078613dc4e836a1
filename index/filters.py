"""Which passages a search may find."""

from __future__ import annotations

import re
from dataclasses import dataclass

from index.errors import QuestionError
from index.speakers import family_name, folded, plain_name

_DATE = re.compile(r"[0-9]{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?")


def check_date(told: str | None, option: str) -> str | None:
    """The same. Raises QuestionError, naming the option, for what is no ISO date, possibly only a year or a month."""
    if told is not None and not _DATE.fullmatch(told):
        raise QuestionError(f"{option} {told} is no date; write 2021, 2021-06 or 2021-06-30.")
    return told


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
        names = {folded(name) for name in (speaker, plain_name(speaker), family_name(speaker))}
        return any(folded(voice).strip() in names for voice in self.voices)

    @property
    def words(self) -> str:
        """The same, to be read: "voice Khang Vu; from 2021"."""
        many = (("source", self.documents), ("voice", self.voices), ("kind", self.kinds))
        told = [f"{name} {' or '.join(values)}" for name, values in many if values]
        dates = [f"from {self.since}"] if self.since else []
        return "; ".join([*told, *dates, *([f"until {self.until}"] if self.until else [])])

    def __bool__(self) -> bool:
        return bool(self.documents or self.voices or self.kinds or self.since or self.until)
