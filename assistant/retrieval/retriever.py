"""A question becomes passages: dense and word search, fused by rank, re-ranked where asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assistant.retrieval.aliases import Aliases
from assistant.retrieval.fusion import reciprocal_rank_fusion
from assistant.retrieval.passages import Passage
from assistant.retrieval.rerankers import Reranker
from index.embedders import Embedder
from index.filters import Filter
from index.speakers import asks_who_says, folded, matter
from index.store import ChunkStore

Stages = Literal["words", "dense", "fused", "reranked"]

# How deep each stage looks before fusion.
_DEPTH = 50
_MOST_SPEAKERS = 4
# Weight of what is found in the voices that are asked for, beside what is found in all.
_ASKED_VOICE = 0.5
# And of what is found with a name spelt otherwise.
_OTHER_SPELLING = 0.5


class Wordings(NamedTuple):
    """A question, and what is searched for it."""

    standalone: str
    """As it stands alone: what the answer is read for."""
    searched: tuple[str, ...]
    """What is searched for and fused; the first weighs most. Nothing is found for none."""
    names: tuple[str, ...]
    """Where to look for the speakers who are asked: the question as it was put, then what "he" or "she" in it may point to."""
    ranked: str
    """What passages are ranked for: the question beside the one before it."""


def plain(question: str) -> Wordings:
    """A question that is searched for as it is."""
    return Wordings(question, (question,), (question,), question)


class _Search(NamedTuple):
    query: str
    only: Filter | None
    weight: float
    suffix: str
    """Of its rankings' names."""
    is_near: bool
    """Whether what it finds is near to the question itself."""


class Retriever:
    """stages: word search alone, dense search alone, both fused, or both fused and re-ranked."""

    def __init__(
        self,
        store: ChunkStore,
        embedder: Embedder,
        reranker: Reranker | None = None,
        *,
        stages: Stages = "reranked",
        aliases: Aliases | None = None,
    ) -> None:
        """reranker: None leaves the order of fusion. aliases: names that the corpus spells in several ways."""
        self._store = store
        self._embedder = embedder
        self._reranker = reranker
        self._stages = stages
        self._aliases = aliases or Aliases()
        self._written: tuple[int, dict[str, bool]] = (-1, {})

    def as_written(self, question: str) -> str:
        """The question, with names spelt as the corpus does where it spells none as the question does."""
        return self._aliases.as_written(question, self._is_written)

    def search(self, question: Wordings, count: int, *, only: Filter | None = None) -> list[Passage]:
        """The `count` best passages."""
        return self.search_many([question], count, only=only)[0]

    def search_many(self, questions: Sequence[Wordings], count: int, *, only: Filter | None = None) -> list[list[Passage]]:
        """For each question what `search` gives. All wordings are embedded at once, which is faster."""
        planned = [self._planned(question, only) for question in questions]
        queries = list(dict.fromkeys(search.query for searches in planned for search in searches))
        embedded = self._embedder.embed(queries) if self._stages != "words" else ()
        vectors = dict(zip(queries, embedded, strict=True)) if len(embedded) else {}
        found: list[list[Passage]] = []
        for question, searches in zip(questions, planned, strict=True):
            if self._stages == "reranked" and self._reranker is not None:
                passages = self._search(searches, vectors, max(count, self._reranker.depth))
                found.append(self._reranker.rerank(question.ranked, passages)[:count])
            else:
                found.append(self._search(searches, vectors, count))
        return found

    def _planned(self, question: Wordings, only: Filter | None) -> list[_Search]:
        # What stands beside the question would lend it the nearness of what came before: it counts for the first wording alone.
        searches = [
            _Search(query, only, 1 / number, "" if number == 1 else f", wording {number}", is_near=number == 1)
            for number, query in enumerate(dict.fromkeys(question.searched), start=1)
        ]
        spelt = self._aliases.variants(question.searched[0], self._is_written) if searches else []
        searches += [
            _Search(query, only, _OTHER_SPELLING, f", spelling {number}", is_near=True)
            for number, query in enumerate(spelt, start=2)
        ]
        if searches and not (only and only.voices):
            # Those who are asked to speak are heard, each by what they say on it.
            speakers = self._store.speakers()
            people = dict(list(next(filter(None, map(speakers.asked_in, question.names)), {}).items())[:_MOST_SPEAKERS])
            about = matter(question.standalone, people)
            if asks_who_says(question.standalone):
                searches.append(_Search(about, only, _ASKED_VOICE, ", matter", is_near=True))
            searches += [
                _Search(about, replace(only or Filter(), voices=names), _ASKED_VOICE / len(people), f", voice {number}", True)
                for number, names in enumerate(people.values(), start=1)
            ]
        return searches

    def _is_written(self, spelling: str, pattern: re.Pattern[str]) -> bool:
        version = self._store.version
        if self._written[0] != version:
            self._written = (version, {})
        known = self._written[1]
        if spelling not in known:
            known[spelling] = self._stands_somewhere(spelling, pattern)
        return known[spelling]

    def _stands_somewhere(self, spelling: str, pattern: re.Pattern[str]) -> bool:
        if any(pattern.search(folded(name)) for name in self._store.speaker_names()):
            return True
        # Passages that hold its words apart from each other may rank before the one that holds the name.
        for depth in (_DEPTH, 20 * _DEPTH):
            hits = self._store.lexical(spelling, depth)
            if any(pattern.search(folded(chunk.text)) for chunk in self._store.get(hit.key for hit in hits).values()):
                return True
            if len(hits) < depth:
                return False
        # So frequent are its words that it cannot be ruled out: the question stays as it is.
        return True

    def _search(self, searches: Sequence[_Search], vectors: Mapping[str, NDArray[np.float32]], count: int) -> list[Passage]:
        depth = max(_DEPTH, count)
        rankings: dict[str, list[int]] = {}
        weights: dict[str, float] = {}
        cosines: dict[int, float] = {}
        for query, allowed, weight, suffix, is_near in searches:
            if self._stages != "words":
                nearest = self._store.dense(vectors[query], depth, only=allowed)
                if is_near:
                    cosines |= {hit.key: max(hit.score, cosines.get(hit.key, -1.0)) for hit in nearest}
                rankings[f"dense{suffix}"] = [hit.key for hit in nearest]
            if self._stages != "dense":
                rankings[f"words{suffix}"] = [hit.key for hit in self._store.lexical(query, depth, only=allowed)]
            weights |= {f"dense{suffix}": weight, f"words{suffix}": weight}
        fused = reciprocal_rank_fusion(rankings, weights)
        # A chunk that a builder has just replaced is gone from the ledger; the next question finds its successor.
        chunks = self._store.get(each.key for each in fused)
        found = [Passage(chunks[each.key], each.score, each.ranks, cosines.get(each.key)) for each in fused if each.key in chunks]
        # Ties are frequent in fusion. Keys depend on the order of building, places in documents do not.
        return sorted(found, key=lambda passage: (-passage.score, passage.chunk.document_id, passage.chunk.start))[:count]
