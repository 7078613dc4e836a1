"""The map of a debate: issues by voices, each cell the position in one cited sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from assistant.answering.answers import Answer, Citation
from assistant.answering.citations import cite
from index.documents import Document, Locator
from index.sentences import sentence_spans
from index.voices import voice_at

MAP = "map"
"""Kind of a document that states positions: a section for each issue and voice ("Issue · Voice", "Issue: state of play")."""
_STATE = re.compile(r":\s*state of play$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Issue:
    name: str
    positions: tuple[Citation, ...]
    """One for each voice that takes one; `voice` says whose it is."""
    state: Citation | None = None
    """What the map says of where the issue stands."""


@dataclass(frozen=True, slots=True)
class DebateMap:
    issues: tuple[Issue, ...]

    @property
    def speakers(self) -> tuple[str, ...]:
        """Who takes a position, the most often first."""
        spoken = [position.voice.speaker for issue in self.issues for position in issue.positions]
        return tuple(sorted(dict.fromkeys(spoken), key=lambda speaker: -spoken.count(speaker)))


def map_of(documents: Iterable[Document]) -> DebateMap:
    """What the documents of kind "map" among them say, in their order."""
    issues: dict[str, Issue] = {}
    for document in documents:
        if document.kind != MAP:
            continue
        for locator in document.locators:
            citation = _first_sentence(document, locator)
            if citation is None or not locator.headings:
                continue
            heading = locator.headings[-1]
            name = _STATE.sub("", heading) if locator.voice is None else heading.rpartition(" · ")[0] or heading
            issue = issues.get(name, Issue(name, ()))
            issues[name] = (
                Issue(name, issue.positions, issue.state or citation)
                if locator.voice is None
                else Issue(name, (*issue.positions, citation), issue.state)
            )
    return DebateMap(tuple(issues.values()))


def _first_sentence(document: Document, locator: Locator) -> Citation | None:
    for start, end in sentence_spans(document.text, locator.start + locator.heading, locator.end):
        return cite(0, document, start, end, voice_at(document, locator))
    return None


def map_by_asking(issues: Sequence[str], speakers: Sequence[str], ask: Callable[[str, str], Answer]) -> Iterator[Issue]:
    """An issue at a time. ask: (question, speaker) -> the answer from that speaker's passages alone."""
    for issue in issues:
        positions = []
        for speaker in speakers:
            answer = ask(f"What does {speaker} say about {issue}?", speaker)
            if not answer.abstained:
                best = max(answer.sentences, key=lambda sentence: sentence.score or 0.0)
                positions.append(answer.citation(best.citations[0]))
        yield Issue(issue, tuple(positions))
