"""Subtitles (.srt, .vtt): the time at which a sentence begins is its locator; named speakers are voices."""

from __future__ import annotations

import html
import re
from typing import NamedTuple

from index.documents import TRANSCRIPT, Document, Locator, Voice, citation_name
from index.errors import CorpusError
from index.loaders.text import title_from_path

_TIME = re.compile(r"(?:(\d{1,3}):)?(\d{1,2}):(\d{2})[.,](\d{1,3})\s*-->\s*(?:(?:\d{1,3}:)?\d{1,2}:\d{2}[.,]\d{1,3})")
_SPEAKER = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]+)>")
_NAMED = re.compile(r"^(?:>>\s*)?([A-ZÀ-Þ][\w.'’ -]{1,40}):\s+(?=\S)")
_TAG = re.compile(r"</?[a-zA-Z][^>]*>|\{\\[^}]*\}|<\d[\d:.]*>")
_ENDS = re.compile(r"[.?!…][\"'”’)]*$")
# A stretch without an end of a sentence is cut after so many characters.
_LONGEST = 400


class _Cue(NamedTuple):
    seconds: int
    words: str
    speaker: str


def load_subtitles(document_id: str, text: str, digest: str) -> Document:
    """Raises CorpusError where no times stand."""
    cues = _cues(text)
    if not cues:
        raise CorpusError(f"{document_id}: holds no times; rename it to .txt if it is no file of subtitles.")
    title = title_from_path(document_id)
    words: list[str] = []
    places: list[Locator] = []
    voice: Voice | None = None
    start = at = since = 0
    for number, cue in enumerate(cues):
        if cue.speaker:
            voice = Voice(cue.speaker)
        if at == start:
            since = cue.seconds
        following = cues[number + 1] if number + 1 < len(cues) else None
        ends = following is None or bool(following.speaker) or bool(_ENDS.search(cue.words)) or at - start > _LONGEST
        told = cue.words + ("" if following is None else "\n\n" if following.speaker else "\n" if ends else " ")
        words.append(told)
        at += len(told)
        if ends:
            places.append(Locator(start, at, _clock(since), (), voice))
            start = at
    speakers = any(cue.speaker for cue in cues)
    return Document(
        id=document_id,
        title=title,
        text="".join(words),
        digest=digest,
        locators=tuple(places),
        kind=TRANSCRIPT if speakers else "subtitles",
        cite_as=citation_name((), None, title),
    )


def _cues(text: str) -> list[_Cue]:
    cues: list[_Cue] = []
    for block in re.split(r"\n[ \t]*\n", text):
        lines = block.strip().split("\n")
        at = next((number for number, line in enumerate(lines[:3]) if _TIME.search(line)), None)
        if at is None:
            continue
        time = _TIME.search(lines[at])
        assert time is not None
        said = lines[at + 1 :]
        speaker = next((match[1].strip() for match in map(_SPEAKER.search, said) if match), "")
        words = " ".join(" ".join(html.unescape(_TAG.sub("", line)).split()) for line in said).strip()
        named = _NAMED.match(words)
        if not speaker and named:
            speaker, words = named[1].strip(), words[named.end() :]
        # Captions that run on repeat the line before.
        if words and not (cues and cues[-1].words == words):
            cues.append(_Cue(int(time[1] or 0) * 3600 + int(time[2]) * 60 + int(time[3]), words, speaker))
    said_by = ""
    told = []
    for cue in cues:
        # Told where the speaker changes.
        told.append(cue._replace(speaker=cue.speaker if cue.speaker != said_by else ""))
        said_by = cue.speaker or said_by
    return told


def _clock(seconds: int) -> str:
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
