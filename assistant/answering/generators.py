"""Who writes the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from assistant.answering.baselines import abstain, first_sentence
from assistant.answering.extractive import Composed, compose
from assistant.reader.readings import Reading
from assistant.retrieval.passages import Passage
from index.documents import Document


class Composer(Protocol):
    def __call__(
        self, reading: Reading, passages: Sequence[Passage], documents: Sequence[Document], *, threshold: float
    ) -> Composed:
        """documents: the document of each passage. threshold: below this confidence the sources do not say."""


class Generator(NamedTuple):
    name: str
    compose: Composer


EXTRACTIVE = Generator("extractive", compose)
FIRST_SENTENCE = Generator("first-sentence", first_sentence)
ABSTAIN = Generator("abstain", abstain)
GENERATORS = {each.name: each for each in (EXTRACTIVE, FIRST_SENTENCE, ABSTAIN)}
