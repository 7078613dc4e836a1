"""Who writes the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Event as Flag
from typing import NamedTuple, Protocol

from assistant.answering.answers import Delta, Draft, Waiting, Withdrawn
from assistant.answering.baselines import abstain, first_sentence
from assistant.answering.extractive import Composed, compose
from assistant.reader.readings import Reading
from assistant.retrieval.followups import Turn
from assistant.retrieval.passages import Passage
from index.documents import Document


@dataclass(frozen=True, slots=True)
class Task:
    question: str
    """As it stands alone."""
    history: Sequence[Turn]
    reading: Reading
    passages: Sequence[Passage]
    documents: Sequence[Document]
    """The document of each passage."""
    threshold: float
    """Below this confidence the sources do not say."""
    stopped: Flag
    """Set when the person wants no more words."""


class Generator(Protocol):
    @property
    def name(self) -> str: ...

    def write(self, task: Task) -> Iterator[Draft | Waiting | Withdrawn | Delta | Composed]:
        """Yields the whole answer last, and before it what a person may see of it already."""


class Composer(Protocol):
    def __call__(
        self, reading: Reading, passages: Sequence[Passage], documents: Sequence[Document], *, threshold: float
    ) -> Composed: ...


class Composing(NamedTuple):
    """A generator that has its whole answer at once."""

    name: str
    compose: Composer

    def write(self, task: Task) -> Iterator[Draft | Waiting | Withdrawn | Delta | Composed]:
        composed = self.compose(task.reading, task.passages, task.documents, threshold=task.threshold)
        yield from composed.deltas()
        yield composed


EXTRACTIVE = Composing("extractive", compose)
FIRST_SENTENCE = Composing("first-sentence", first_sentence)
ABSTAIN = Composing("abstain", abstain)
GENERATORS = {each.name: each for each in (EXTRACTIVE, FIRST_SENTENCE, ABSTAIN)}
"""Those that need no language model."""
