"""Re-ranking: the best of what was found, looked at more closely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from assistant.retrieval.passages import Passage
from index.cross_encoders import CrossEncoder


class Reranker(Protocol):
    @property
    def depth(self) -> int:
        """How many passages it looks at; those below keep their order."""

    def rerank(self, question: str, passages: Sequence[Passage]) -> list[Passage]:
        """The same passages, best first."""


class CrossEncoderReranker:
    """Ranks passages by a cross-encoder of the user's choice (Nogueira and Cho, 2019)."""

    depth = 20

    def __init__(self, encoder: CrossEncoder) -> None:
        self._encoder = encoder

    def rerank(self, question: str, passages: Sequence[Passage]) -> list[Passage]:
        looked_at = passages[: self.depth]
        texts = ["\n".join((*passage.chunk.headings, passage.chunk.text)) for passage in looked_at]
        scores = self._encoder.score(question, texts) if texts else []
        order = sorted(range(len(looked_at)), key=lambda number: (-scores[number], number))
        best = [
            replace(looked_at[number], score=scores[number], ranks={**looked_at[number].ranks, "cross-encoder": rank})
            for rank, number in enumerate(order, start=1)
        ]
        return [*best, *passages[self.depth :]]
