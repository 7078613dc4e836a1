"""Several stores as one, for reading: the first and others beside it, whose documents are named "papers:article.pdf"."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from index.chunks import Chunk
from index.documents import Document
from index.filters import Filter
from index.ledger import DocumentRow
from index.lexical import Bags, analyse, bm25
from index.speakers import Speakers
from index.store import Hit, Store

_BETWEEN = ":"


class JoinedStore:
    """A ChunkStore. Scores are those of one store that held all chunks; those of word search nearly."""

    def __init__(self, first: Store, beside: Mapping[str, Store]) -> None:
        """beside: name -> store, built with the same model as the first."""
        self._names: tuple[str, ...] = ("", *beside)
        self._stores: tuple[Store, ...] = (first, *beside.values())

    @property
    def version(self) -> int:
        return sum(store.version for store in self._stores)

    @property
    def is_being_built(self) -> bool:
        return any(store.is_being_built for store in self._stores)

    def warm(self) -> None:
        for store in self._stores:
            store.warm()

    def close(self) -> None:
        for store in self._stores:
            store.close()

    def dense(self, vector: NDArray[np.float32], count: int, *, only: Filter | None = None) -> list[Hit]:
        hits = [
            Hit(self._key(hit.key, number), hit.score)
            for number, store, allowed in self._asked(only)
            for hit in store.dense(vector, count, only=allowed)
        ]
        # The sort keeps the order of equal ones: of the first store first.
        return sorted(hits, key=lambda hit: -hit.score)[:count]

    def lexical(self, text: str, count: int, *, only: Filter | None = None) -> list[Hit]:
        """What each store finds, scored as in one of all: in a small one every word is frequent, and would count for little."""
        keys: list[int] = []
        bags: list[Bags] = []
        for number, store, allowed in self._asked(only):
            chunks = store.get(hit.key for hit in store.lexical(text, count, only=allowed))
            titles = store.titles(chunk.document_id for chunk in chunks.values())
            for key, chunk in chunks.items():
                place = " ".join((titles.get(chunk.document_id, ""), *chunk.headings))
                keys.append(self._key(key, number))
                bags.append((Counter(analyse(place)), Counter(analyse(chunk.text))))
        weights = self.term_weights(text)
        scores = bm25(list(weights), bags, weights)
        hits = [Hit(key, score) for key, score in zip(keys, scores, strict=True) if score]
        return sorted(hits, key=lambda hit: -hit.score)[:count]

    def term_weights(self, text: str) -> dict[str, float]:
        """As of one store that held all chunks: BM25's weight tells how many chunks hold a word."""
        sizes = [store.counts()["chunks"] for store in self._stores]
        holding: dict[str, float] = {}
        for store, size in zip(self._stores, sizes, strict=True):
            for word, weight in store.term_weights(text).items():
                holding[word] = holding.get(word, 0.0) + max(0.0, (size + 1) / math.exp(weight) - 0.5)
        total = sum(sizes)
        return {word: math.log1p((total - min(count, total) + 0.5) / (count + 0.5)) for word, count in holding.items()}

    def get(self, keys: Iterable[int]) -> dict[int, Chunk]:
        by_store: dict[int, list[int]] = {}
        for key in keys:
            by_store.setdefault(int(key) % len(self._stores), []).append(int(key) // len(self._stores))
        return {
            self._key(own, number): replace(
                chunk, id=self._named(chunk.id, number), document_id=self._named(chunk.document_id, number)
            )
            for number, wanted in by_store.items()
            for own, chunk in self._stores[number].get(wanted).items()
        }

    def document(self, document_id: str) -> Document:
        number, own = self._place(document_id)
        return replace(self._stores[number].document(own), id=document_id)

    def documents(self) -> list[DocumentRow]:
        return [
            replace(row, id=self._named(row.id, number)) for number, store in enumerate(self._stores) for row in store.documents()
        ]

    def speakers(self) -> Speakers:
        return Speakers(self.speaker_names())

    def speaker_names(self) -> list[str]:
        return list(dict.fromkeys(name for store in self._stores for name in store.speaker_names()))

    def keys_of(self, only: Filter | None) -> NDArray[np.int64]:
        found = [store.keys_of(allowed) * len(self._stores) + number for number, store, allowed in self._asked(only)]
        return np.sort(np.concatenate(found)) if found else np.array([], dtype=np.int64)

    def holds(self, only: Filter) -> bool:
        return any(store.holds(allowed or Filter()) for _, store, allowed in self._asked(only))

    def counts(self) -> dict[str, int]:
        counted = [store.counts() for store in self._stores]
        return {name: sum(each[name] for each in counted) for name in counted[0]}

    def _asked(self, only: Filter | None) -> Iterator[tuple[int, Store, Filter | None]]:
        """Which stores a filter allows, and what of each."""
        if not only or not only.documents:
            yield from ((number, store, only) for number, store in enumerate(self._stores))
            return
        named: dict[int, list[str]] = {}
        for name in only.documents:
            number, own = self._place(name)
            named.setdefault(number, []).append(own)
        for number, own_names in sorted(named.items()):
            # A name alone ("papers:") is the whole of its store.
            yield number, self._stores[number], replace(only, documents=() if "" in own_names else tuple(own_names))

    def _key(self, own: int, number: int) -> int:
        """A key that names a chunk of that store among those of all."""
        return own * len(self._stores) + number

    def _named(self, own: str, number: int) -> str:
        return f"{self._names[number]}{_BETWEEN}{own}" if number else own

    def _place(self, document_id: str) -> tuple[int, str]:
        """(number of the store, the document's id there)."""
        name, between, own = document_id.partition(_BETWEEN)
        number = self._names.index(name) if between and name in self._names[1:] else 0
        if number and own and self._stores[0].titles([document_id]):
            # A document of the first may be called so itself.
            return 0, document_id
        return number, own if number else document_id
