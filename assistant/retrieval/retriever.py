"""A question becomes passages: dense and word search, fused by rank, re-ranked where asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assistant.retrieval.fusion import reciprocal_rank_fusion
from assistant.retrieval.passages import Passage
from assistant.retrieval.rerankers import Reranker
from index.embedders import Embedder
from index.filters import Filter
from index.store import ChunkStore

Stages = Literal["words", "dense", "fused", "reranked"]

# How deep each stage looks before fusion.
_DEPTH = 50


class Wordings(NamedTuple):
    """A question, and what is searched for it."""

    standalone: str
    """As it stands alone: what passages are read for."""
    searched: tuple[str, ...]
    """What is searched for and fused; the first weighs most. Nothing is found for none."""


def plain(question: str) -> Wordings:
    """A question that is searched for as it is."""
    return Wordings(question, (question,))


class Retriever:
    """stages: word search alone, dense search alone, both fused, or both fused and re-ranked."""

    def __init__(self, store: ChunkStore, embedder: Embedder, reranker: Reranker, *, stages: Stages = "fused") -> None:
        self._store = store
        self._embedder = embedder
        self._reranker = reranker
        self._stages = stages

    def search(self, question: Wordings, count: int, *, only: Filter | None = None) -> list[Passage]:
        """The `count` best passages."""
        return self.search_many([question], count, only=only)[0]

    def search_many(self, questions: Sequence[Wordings], count: int, *, only: Filter | None = None) -> list[list[Passage]]:
        """For each question what `search` gives. All wordings are embedded at once, which is faster."""
        wordings = list(dict.fromkeys(query for question in questions for query in question.searched))
        embedded = self._embedder.embed(wordings) if self._stages != "words" else ()
        vectors = dict(zip(wordings, embedded, strict=True)) if len(embedded) else {}
        found: list[list[Passage]] = []
        for standalone, searched in questions:
            queries = list(dict.fromkeys(searched))
            if not queries:
                found.append([])
            elif self._stages == "reranked":
                passages = self._search(queries, vectors, max(count, self._reranker.depth), only)
                found.append(self._reranker.rerank(standalone, passages)[:count])
            else:
                found.append(self._search(queries, vectors, count, only))
        return found

    def _search(
        self, wordings: Sequence[str], vectors: Mapping[str, NDArray[np.float32]], count: int, only: Filter | None
    ) -> list[Passage]:
        depth = max(_DEPTH, count)
        rankings: dict[str, list[int]] = {}
        weights: dict[str, float] = {}
        cosines: dict[int, float] = {}
        for number, query in enumerate(wordings, start=1):
            suffix = "" if number == 1 else f", wording {number}"
            if self._stages != "words":
                nearest = self._store.dense(vectors[query], depth, only=only)
                if number == 1:
                    # Of the question itself: what stands beside it would lend it the nearness of what came before.
                    cosines = {hit.key: hit.score for hit in nearest}
                rankings[f"dense{suffix}"] = [hit.key for hit in nearest]
            if self._stages != "dense":
                rankings[f"words{suffix}"] = [hit.key for hit in self._store.lexical(query, depth, only=only)]
            weights |= {f"dense{suffix}": 1 / number, f"words{suffix}": 1 / number}
        fused = reciprocal_rank_fusion(rankings, weights)
        # A chunk that a builder has just replaced is gone from the ledger; the next question finds its successor.
        chunks = self._store.get(each.key for each in fused)
        found = [Passage(chunks[each.key], each.score, each.ranks, cosines.get(each.key)) for each in fused if each.key in chunks]
        # Ties are frequent in fusion. Keys depend on the order of building, places in documents do not.
        return sorted(found, key=lambda passage: (-passage.score, passage.chunk.document_id, passage.chunk.start))[:count]
