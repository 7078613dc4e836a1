"""Answers that any better one must beat, for comparison in evals."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.answering.extractive import DO_NOT_SAY, Composed, compose, quote
from assistant.reader.readings import Reading
from assistant.retrieval.passages import Passage
from index.documents import Document


def first_sentence(reading: Reading, passages: Sequence[Passage], documents: Sequence[Document], *, threshold: float) -> Composed:
    """The first sentence of the first passage, whatever it says; refuses what the extractive answer refuses."""
    extractive = compose(reading, passages, documents, threshold=threshold)
    if extractive.abstained:
        return extractive
    opening = [evidence for evidence in reading.evidence if evidence.passage == 0]
    first = min(opening or reading.evidence, key=lambda evidence: (evidence.passage, evidence.start))
    return quote([first], passages, documents)


def abstain(reading: Reading, passages: Sequence[Passage], documents: Sequence[Document], *, threshold: float) -> Composed:
    """Never answers: what an assistant that refuses everything would score."""
    return Composed((), (), DO_NOT_SAY, True, "This generator refuses every question.")
