"""Answers that any better one must beat, for comparison in evals."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.answering.extractive import DO_NOT_SAY, Composed, compose
from assistant.reader.readings import Reading
from assistant.retrieval.passages import Passage
from index.documents import Document


def first_sentence(reading: Reading, passages: Sequence[Passage], documents: Sequence[Document], *, threshold: float) -> Composed:
    """The first sentence of the first passage, whatever it says; refuses where the extractive answer refuses."""
    opening = [evidence for evidence in reading.evidence if evidence.passage == 0]
    first = min(opening, key=lambda evidence: evidence.start, default=None)
    alone = Reading((first,) if first else (), reading.confidence, ((1.0,),) if first else ())
    return compose(alone, passages, documents, threshold=threshold)


def abstain(reading: Reading, passages: Sequence[Passage], documents: Sequence[Document], *, threshold: float) -> Composed:
    """Never answers: what an assistant that refuses everything would score."""
    return Composed((), (), DO_NOT_SAY, True, "This generator refuses every question.")
