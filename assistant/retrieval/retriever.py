"""A question becomes passages: dense and word search, fused by rank."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.retrieval.fusion import reciprocal_rank_fusion
from assistant.retrieval.passages import Passage
from index.embedders import Embedder
from index.store import ChunkStore

# How deep each stage looks before fusion.
_DEPTH = 50


class Retriever:
    def __init__(self, store: ChunkStore, embedder: Embedder) -> None:
        self._store = store
        self._embedder = embedder

    def search(self, queries: Sequence[str], count: int) -> list[Passage]:
        """The `count` best passages for a question in one or more wordings; the first wording weighs most."""
        rankings: dict[str, list[int]] = {}
        weights: dict[str, float] = {}
        cosines: dict[int, float] = {}
        wordings = list(dict.fromkeys(queries))
        for number, (query, vector) in enumerate(zip(wordings, self._embedder.embed(wordings), strict=True), start=1):
            suffix = "" if number == 1 else f", wording {number}"
            nearest = self._store.dense(vector, _DEPTH)
            cosines |= {hit.key: max(hit.score, cosines.get(hit.key, -1.0)) for hit in nearest}
            rankings[f"dense{suffix}"] = [hit.key for hit in nearest]
            rankings[f"words{suffix}"] = [hit.key for hit in self._store.lexical(query, _DEPTH)]
            weights |= {f"dense{suffix}": 1 / number, f"words{suffix}": 1 / number}
        fused = reciprocal_rank_fusion(rankings, weights)[:count]
        # A chunk that a builder has just replaced is gone from the ledger; the next question finds its successor.
        chunks = self._store.get(each.key for each in fused)
        return [Passage(chunks[each.key], each.score, each.ranks, cosines.get(each.key)) for each in fused if each.key in chunks]
