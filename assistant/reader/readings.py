"""What a reader tells of passages. The seam between retrieval and answering."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from assistant.retrieval.passages import Passage
from index.documents import Document, Voice
from index.filters import Filter

GAPS = "gaps"
"""Kind of a document that lists what the sources do not say."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A sentence that may answer: `document.text[start:end] == text`."""

    passage: int
    """Position of its passage in what was read, from 0."""
    start: int
    end: int
    text: str
    voice: Voice
    """Who says it."""
    score: float
    """How well it answers; higher is better, comparable within one question only."""
    carries: bool = False
    """Whether a trained reader takes it for one of the sentences that carry its passage's answer."""


@dataclass(frozen=True, slots=True)
class ShortAnswer:
    """The few words that answer: characters `start` to `end` of the document."""

    passage: int
    """Position of its passage in what was read, from 0."""
    start: int
    end: int
    score: float
    """How sure the reader is of it, as log-odds."""


@dataclass(frozen=True, slots=True)
class Reading:
    evidence: tuple[Evidence, ...]
    """Every sentence of the passages, best first."""
    confidence: float
    """How likely it is that the passages answer the question at all, 0 to 1."""
    overlaps: tuple[tuple[float, ...], ...]
    """overlaps[i][j]: how much evidence i and j say the same, -1 to 1."""
    asked_speakers: tuple[frozenset[str], ...] = ()
    """The people among the passages' speakers whom the question names, each by all names they speak under."""
    called: frozenset[str] = frozenset()
    """The names of those who are asked to speak: "What does Lan say …"."""
    missing: tuple[str, ...] = ()
    """Words of the question that stand in no passage and are no speaker's name, as the person wrote them, the rarest first."""
    held: float = 1.0
    """How much of the question stands in the passages, 0 to 1, its words weighed by how rare they are; lists of what the sources
    do not say are left aside."""
    asks_who_says: bool = False
    """Whether the answer is a speaker."""
    few_words: re.Pattern[str] | None = None
    """What few words hold that answer: a date, a number, a name; None where whole sentences are asked for."""
    answers: tuple[ShortAnswer, ...] = ()
    """The likeliest few words of each passage, best first; empty where no reader is trained to find them."""
    signals: tuple[float, ...] = ()
    """What confidence is made of, each the higher the surer."""


@dataclass(frozen=True, slots=True)
class Asked:
    question: str
    """As the person put it."""
    standalone: str
    """As completed from the conversation; the same for a question that stands alone."""
    names: tuple[str, ...]
    """Where to look for the speakers who are asked, as in Wordings."""
    last_answer: str = ""
    """What a follow-up has just been told, so that it is not told again; empty for a question that stands alone."""
    only: Filter | None = None
    """Whose sentences may answer: in what one person writes others are reported."""

    def allows(self, voice: Voice) -> bool:
        return self.only is None or not self.only.voices or self.only.allows_voice(voice.speaker)


class Reader(Protocol):
    def read(self, asked: Asked, passages: Sequence[Passage], documents: Sequence[Document]) -> Reading:
        """documents: the document of each passage."""
