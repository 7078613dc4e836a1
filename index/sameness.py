"""Documents that say the same, or nearly: told, and never dropped."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from index.filters import Filter
from index.store import Store

MOST_COMPARED = 500
"""Documents that are compared with the others at once; each costs some hundredths of a second."""
# A document with passages so near is looked at; whether it is a copy its words tell.
_NEAR = 0.7
_LOOKED_AT = 3
# Passages of a document that are looked for, and how many of the nearest count.
_LOOKED_FOR = 40
_NEAREST = 6
# Words in a row (shingles; Broder, 1997), and how many of them a copy shares.
_IN_A_ROW = 5
_MOST_OF_IT = 0.6


class Same(NamedTuple):
    document: str
    other: str
    share: float
    """How much of the shorter one stands in the other, in runs of five words; 1 only where all words are the same."""

    @property
    def words(self) -> str:
        how = "says word for word the same as" if self.share == 1 else f"shares {self.share:.0%} of its passages with"
        return f"{self.document} {how} {self.other}"


def same_documents(store: Store, documents: Iterable[str]) -> Iterator[Same]:
    """For each of the documents the one that is most like it, where that is much; of two of them once."""
    told: set[frozenset[str]] = set()
    for document in documents:
        words = _words(store, document)
        best: Same | None = None
        for other in _candidates(store, document):
            others = _words(store, other)
            share = 1.0 if words == others else min(0.99, _shared(words, others))
            if share >= _MOST_OF_IT and (best is None or share > best.share):
                best = Same(document, other, share)
        if best is not None and frozenset(best[:2]) not in told:
            told.add(frozenset(best[:2]))
            yield best


def _candidates(store: Store, document: str) -> list[str]:
    keys = store.keys_of(Filter(documents=(document,)))
    step = max(1, len(keys) // _LOOKED_FOR)
    _, vectors = store.vectors(keys[::step].tolist())
    hits: Counter[str] = Counter()
    for vector in vectors:
        near = store.get(hit.key for hit in store.dense(vector, _NEAREST) if hit.score >= _NEAR)
        hits.update({chunk.document_id for chunk in near.values()} - {document})
    return [other for other, _ in sorted(hits.items(), key=lambda each: (-each[1], each[0]))[:_LOOKED_AT]]


def _words(store: Store, document: str) -> list[str]:
    return re.findall(r"\w+", store.document(document).text.casefold())


def _shared(one: list[str], other: list[str]) -> float:
    runs, others = ({tuple(words[at : at + _IN_A_ROW]) for at in range(len(words) - _IN_A_ROW + 1)} for words in (one, other))
    smaller = min(len(runs), len(others))
    return len(runs & others) / smaller if smaller else 0.0
