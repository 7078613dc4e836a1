"""Re-ranking: the best of what was found, looked at more closely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from assistant.retrieval.fusion import reciprocal_rank_fusion
from assistant.retrieval.passages import Passage
from index.cross_encoders import CrossEncoder
from index.embedders import Embedder
from index.sentences import sentence_spans


class Reranker(Protocol):
    @property
    def depth(self) -> int:
        """How many passages it looks at; those below keep their order."""

    def rerank(self, question: str, passages: Sequence[Passage]) -> list[Passage]:
        """The same passages, best first."""


class SentenceReranker:
    """Ranks passages by their sentence nearest to the question, and fuses that with the order they came in.

    A passage of many sentences has a vector that resembles none of them: the one that answers counts here. (MaxP over
    sentences, Dai and Callan, SIGIR 2019, with the untrained embedder.)
    """

    depth = 20

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def rerank(self, question: str, passages: Sequence[Passage]) -> list[Passage]:
        looked_at = passages[: self.depth]
        sentences = [
            [text[start:end] for start, end in sentence_spans(text, 0, len(text))]
            for text in (passage.chunk.text for passage in looked_at)
        ]
        vectors = self._embedder.embed([question, *(sentence for each in sentences for sentence in each)])
        cosines = iter(vectors[1:] @ vectors[0])
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
