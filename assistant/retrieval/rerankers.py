"""Re-ranking: the best of what was found, looked at more closely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from assistant.retrieval.fusion import reciprocal_rank_fusion
from assistant.retrieval.passages import Passage
from index.embedders import Embedder
from index.sentences import sentence_spans


class Reranker(Protocol):
    @property
    def depth(self) -> int:
        """How many passages it looks at; those below keep their order."""

    def rerank(self, question: NDArray[np.float32], passages: Sequence[Passage]) -> list[Passage]:
        """question: its vector. The same passages, best first."""


class SentenceReranker:
    """Ranks passages by their sentence nearest to the question, and fuses that with the order they came in.

    A passage of many sentences has a vector that resembles none of them: the one that answers counts here. (MaxP over
    sentences, Dai and Callan, SIGIR 2019, with the untrained embedder.)
    """

    depth = 20

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def rerank(self, question: NDArray[np.float32], passages: Sequence[Passage]) -> list[Passage]:
        looked_at = passages[: self.depth]
        sentences = [
            [text[start:end] for start, end in sentence_spans(text, 0, len(text))]
            for text in (passage.chunk.text for passage in looked_at)
        ]
        cosines = iter(self._embedder.embed([sentence for each in sentences for sentence in each]) @ question)
        nearest = [max((float(next(cosines)) for _ in each), default=-1.0) for each in sentences]
        by_sentence = sorted(range(len(looked_at)), key=lambda number: (-nearest[number], number))
        fused = reciprocal_rank_fusion({"first": range(len(looked_at)), "sentences": by_sentence})
        best = [
            replace(
                looked_at[each.key],
                score=each.score,
                ranks={**looked_at[each.key].ranks, "sentences": each.ranks["sentences"]},
            )
            for each in fused
        ]
        return [*best, *passages[self.depth :]]
