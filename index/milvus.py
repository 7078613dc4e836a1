"""MilvusStore: the same store on a Milvus server, which several people's assistants read and one builder at a time writes."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import RLock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from index.chunks import Chunk
from index.documents import Document
from index.errors import StoreBusy, StoreDamaged, StoreError, StoreMismatch, StoreMissing
from index.filters import Filter
from index.ledger import DocumentRow
from index.lexical import Statistics, analyse
from index.milvus_collections import (
    CHUNKS_OF_A_DOCUMENT,
    FIELDS,
    FORMAT,
    WORDS,
    Counts,
    Generation,
    Head,
    State,
    days,
    halves_of,
    plain,
)
from index.milvus_server import MOST_ROWS, CollectionGone, MilvusServer, Unreachable, lease_collection, number_of
from index.settings import MilvusAddress
from index.speakers import Speakers
from index.store import Hit

_BUILT_WITH = ("fingerprint", "dimensions", "chunk_tokens")
_MOST_QUERY_TERMS = 256
_LOOKS = 5
"""How often a reader looks again where a builder changes what it reads."""
_BUILDER_SECONDS = 0.1
"""A builder needs no longer to tell what it has written."""
# Scores that differ by less are the same.
_TIE = 1e-6
_SPARE = 16
# Candidates of HNSW looked at for a search, at least and for each hit.
_LOOKED_AT, _EACH = 128, 2
# An engine's own BM25 only finds candidates: how many for each hit, and beside them.
_CANDIDATES, _MORE = 4, 100
_DOCUMENTS_KEPT = 64
# Of a row of which only the text is asked for.
_EMPTY = {"start": 0, "stop": 0, "tokens": 0}

Given = TypeVar("Given")
_Candidates = tuple[list[tuple[dict[str, Any], float]], float | None]
"""Rows with their scores, and the most that any other row may score; None where there is no other."""


class MilvusStore:
    """A Store for reading. It follows the builder with each search, and goes over to a rebuilt index when it is done.

    Raises StoreMissing, StoreMismatch, StoreDamaged or StoreError.
    """

    def __init__(self, address: MilvusAddress) -> None:
        self.address = address
        self._lock = RLock()
        self._server = MilvusServer(address)
        self._seen: State | None = None
        self._heads: dict[int, Head | None] = {}
        self._listed: list[Head] | None = None
        self._terms: dict[str, tuple[int, int]] = {}
        self._told: tuple[int, tuple[int, int], list[str]] | None = None
        self._documents: dict[str, Document] = {}
        self._takes_all = False
        """Whether what no state tells of yet counts as well."""
        self._change = Counts()
        """By how much a builder has changed what word search must know since that was saved."""
        try:
            self._generation = self._opened()
            self._built = built_with(self._generation)
        except BaseException:
            self._server.close()
            raise

    # -- opening -----------------------------------------------------------------------------------------------------

    def _opened(self) -> Generation | None:
        """The generation that readers see."""
        published = self._published()
        if published is None:
            raise self._missing()
        return self._readable(published)

    def _readable(self, number: int) -> Generation:
        found = Generation(self._server, number)
        if (told := found.format()) != FORMAT:
            raise StoreDamaged(
                f"the index in {self.address} has format {told or 'unknown'}, this program reads {FORMAT}; "
                "rebuild it with: assistant index --rebuild"
            )
        return found

    def _missing(self) -> StoreMissing:
        return StoreMissing(f"there is no finished index in {self.address} yet; build it with: assistant index")

    def _published(self) -> int | None:
        """The generation that readers see."""
        described = self._server.described(self.address.name)
        return self._number(described[0]) if described else None

    def _number(self, collection: str) -> int:
        """Of the generation whose chunks it holds."""
        name, _, rest = collection.partition("__")
        number, _, what = rest.partition("__")
        if name != self.address.name or what != "chunks" or not number.isdecimal():
            raise self._foreign()
        return int(number)

    def _foreign(self) -> StoreError:
        return StoreError(f"{self.address} is something else than an index of this program; choose another name.")

    @property
    def _here(self) -> Generation:
        if self._generation is None:
            raise self._missing()
        return self._generation

    def _steady(self, work: Callable[[State], Given]) -> Given:
        """What is found in one state of the index: where a builder changes it meanwhile, it is looked for again.

        The state last seen is looked in first: that it was still the same afterwards is enough. Never one within another.
        """
        with self._lock:
            state, looked_twice = self._seen or self._follow(), False
            self._takes_all = False
            for attempt in range(_LOOKS):
                failure = None
                try:
                    told = work(state)
                except (Unreachable, StoreBusy):
                    raise
                except StoreError as error:
                    failure = error
                now = state if attempt + 1 == _LOOKS else self._follow()
                if now == state:
                    if failure is None:
                        return told
                    if looked_twice or attempt + 1 == _LOOKS:
                        raise failure
                    # A builder may be about to tell what it has written, or was killed just then: all that is there counts.
                    time.sleep(_BUILDER_SECONDS)
                    looked_twice, now = True, self._follow()
                    self._server.as_of, self._takes_all = None, True
                    self._forget()
                state = now
            raise AssertionError

    def _follow(self) -> State:
        """What the index is now; forgets what was read of an earlier state."""
        with self._lock:
            described = self._server.described(self.address.name)
            if described is None:
                raise CollectionGone(f"the index in {self.address} is not there any more; build it with: assistant index")
            if (number := self._number(described[0])) != self._here.number:
                found = self._readable(number)
                if built_with(found) != self._built:
                    raise StoreMismatch(
                        f"the index in {self.address} was meanwhile rebuilt in another way; start again to use it."
                    )
                self._generation = found
            state = self._seen_now(self._here.state_of(described[1]))
            self._server.as_of = state.as_of
            return state

    def _seen_now(self, state: State | None) -> State:
        if state is None:
            raise StoreDamaged(f"the index in {self.address} is damaged; rebuild it with: assistant index --rebuild")
        if state != self._seen:
            self._forget()
            self._seen = state
        return state

    def _forget(self) -> None:
        self._heads, self._listed, self._terms, self._told = {}, None, {}, None
        self._documents.clear()

    @property
    def place(self) -> str:
        return str(self.address)

    @property
    def version(self) -> int:
        return self._follow().version

    @property
    def is_being_built(self) -> bool:
        now = int(time.time() * 1_000)
        try:
            return bool(self._server.some(lease_collection(self.address), f"number > {now}", ["id"], most=1, strong=True))
        except CollectionGone:
            return False

    @property
    def dimensions(self) -> int:
        return int(self._built[1] or 0)

    def meta(self, name: str) -> str | None:
        return self._generation.meta(name).get(name) if self._generation else None

    def check(self, *, fingerprint: str, chunk_tokens: int | None = None) -> None:
        built, _, tokens = self._built
        if built is not None and (built != fingerprint or chunk_tokens not in (None, int(tokens or 0))):
            raise StoreMismatch(
                f"the index in {self.address} was built with {built} and chunks of {tokens} tokens, the settings ask for "
                f"{fingerprint} and {chunk_tokens or tokens}; rebuild it with: assistant index --rebuild"
            )

    def warm(self) -> None:
        self._follow()

    def close(self) -> None:
        with self._lock:
            self._server.close()

    # -- searching ---------------------------------------------------------------------------------------------------

    def dense(self, vector: NDArray[np.float32], count: int, *, only: Filter | None = None) -> list[Hit]:
        def ask(limit: int, where: str) -> _Candidates:
            params = {"metric_type": "IP", "params": {"ef": min(max(_LOOKED_AT, _EACH * limit), 32_768)}}
            data = [np.asarray(vector, dtype=np.float32)]
            found = self._search(data, "vector", limit, where, ["document", "name", "ordinal"], params)
            return found, found[-1][1] if len(found) == limit else None

        return self._steady(lambda state: self._found(state, ask, count, only, first=count + _SPARE))

    def lexical(self, text: str, count: int, *, only: Filter | None = None) -> list[Hit]:
        """The engine finds candidates; they are scored here, as a local store scores them: engines differ in sign and scale."""
        words = list(dict.fromkeys(analyse(text)))[:_MOST_QUERY_TERMS]

        def find(state: State) -> list[Hit]:
            if not self._here.has_words:
                raise StoreError(
                    f"the Milvus server of {self.address} cannot search for words, which Milvus 2.5 or newer does; use that, "
                    "or set retrieval = dense."
                )
            if not words or count < 1:
                return []
            statistics = self._statistics(words, state)
            asked = " ".join(plain(word) for word in words)

            def ask(limit: int, where: str) -> _Candidates:
                rows: dict[int, dict[str, Any]] = {}
                scored: dict[int, tuple[float, float]] = {}
                # What neither search gave scores no more than the last of each together.
                least, is_all = 0.0, True
                for number, name in enumerate(WORDS):
                    fields = ["document", "name", "ordinal", "place", "text", "pieces"]
                    params = {"metric_type": "BM25", "params": {}}
                    hits = self._search([asked], f"{name}_sparse", limit, where, fields, params)
                    for row, _ in hits:
                        if row["key"] not in scored:
                            told = self._here.chunk({**_EMPTY, **row}).text if row["pieces"] else row["text"]
                            rows[row["key"]] = row
                            scored[row["key"]] = statistics.scores((Counter(analyse(row["place"])), Counter(analyse(told))))
                    if len(hits) == limit:
                        is_all = False
                        least += min(scored[row["key"]][1 - number] for row, _ in hits)
                found = [(rows[key], sum(scores)) for key, scores in scored.items() if sum(scores) > 0]
                return found, None if is_all else least

            return self._found(state, ask, count, only, first=_CANDIDATES * count + _MORE)

        return self._steady(find)

    def _search(
        self, data: list[Any], column: str, limit: int, where: str, fields: list[str], params: dict[str, Any]
    ) -> list[tuple[dict[str, Any], float]]:
        hits = self._server.search(
            self._here.chunks, data, anns_field=column, limit=limit, filter=where, output_fields=fields, search_params=params
        )
        # Older servers do not tell what the primary key is called.
        return [
            ({"key": int(hit["key"] if "key" in hit else hit["id"]), **hit["entity"]}, float(hit["distance"])) for hit in hits
        ]

    def _found(
        self, state: State, ask: Callable[[int, str], _Candidates], count: int, only: Filter | None, *, first: int
    ) -> list[Hit]:
        """The best `count` of what is asked for that counts, ties by place."""
        where = self._where(only) if state.chunks else None
        if count < 1 or where is None:
            return []
        limit = min(first, MOST_ROWS)
        while True:
            hits, least = ask(limit, where)
            live = self._live([row for row, _ in hits])
            kept = sorted(((row, score) for row, score in hits if row["key"] in live), key=lambda hit: -hit[1])
            enough = least is None or (len(kept) >= count and kept[count - 1][1] > least + _TIE)
            if enough or limit == MOST_ROWS:
                break
            limit = min(4 * limit, MOST_ROWS)
        kept.sort(key=lambda hit: (-round(hit[1] / _TIE), hit[0]["name"], hit[0]["ordinal"]))
        return [Hit(row["key"], score) for row, score in kept[:count]]

    def _live(self, rows: Sequence[Mapping[str, Any]]) -> set[int]:
        """The keys of those rows that belong to a document as it is."""
        heads = self._heads_of({int(row["document"]) for row in rows})
        return {
            int(row["key"])
            for row in rows
            if (head := heads.get(int(row["document"]))) and head.revision == int(row["key"]) // CHUNKS_OF_A_DOCUMENT
        }

    def _where(self, only: Filter | None) -> str | None:
        """What a filter asks for, in numbers only: no name of a person or file becomes part of an expression. None: nothing."""
        if not only:
            return ""
        told = []
        if only.documents:
            told.append(f"ARRAY_CONTAINS_ANY(folders, {[number_of(name.rstrip('/') or name) for name in only.documents]})")
        if only.voices:
            allowed = [number_of(name) for name in self._totals()[2] if only.allows_voice(name)]
            if not allowed:
                return None
            told.append(f"speaker in {allowed}")
        if only.kinds:
            told.append(f"kind in {[number_of(kind) for kind in only.kinds]}")
        if only.since:
            told.append(f"latest >= {days(only.since)[0]}")
        if only.until:
            told.append(f"(earliest > 0 and earliest <= {days(only.until)[1]})")
        return " and ".join(told)

    def _statistics(self, words: Sequence[str], state: State) -> Statistics:
        chunks, totals, _ = self._totals()
        missing = [word for word in words if word not in self._terms]
        if missing:
            self._terms |= self._here.terms(missing)
        none = (0, 0)
        change = self._change.holding
        holding = {
            word: (
                max(0, self._terms.get(word, none)[0] + change.get(word, none)[0]),
                max(0, self._terms.get(word, none)[1] + change.get(word, none)[1]),
            )
            for word in words
        }
        # Before the first count is saved every word weighs the same.
        return Statistics(chunks or state.chunks, totals, holding)

    def _totals(self) -> tuple[int, tuple[int, int], list[str]]:
        """(chunks, words of places and of texts, speakers), as last saved and changed since by this builder."""
        if self._told is None:
            saved = json.loads(self._here.meta("stats", strong=False).get("stats") or "null")
            if saved is None:
                self._told = 0, (0, 0), []
            else:
                people = json.loads(self._here.text(f"s.{saved['stamp']}", saved["parts"]) or "{}")
                names = sorted(people, key=lambda name: (-people[name], name))
                self._told = saved["chunks"], (saved["words"][0], saved["words"][1]), names
        chunks, (place, text), names = self._told
        if not self._change.chunks and not self._change.holding:
            return self._told
        late = [name for name, more in self._change.speakers.most_common() if more > 0 and name not in names]
        return chunks + self._change.chunks, (place + self._change.words[0], text + self._change.words[1]), [*names, *late]

    def term_weights(self, text: str) -> dict[str, float]:
        words = list(dict.fromkeys(analyse(text)[:_MOST_QUERY_TERMS]))
        return self._steady(lambda state: self._statistics(words, state).weights())

    # -- reading -----------------------------------------------------------------------------------------------------

    def _heads_of(self, documents: Iterable[int]) -> dict[int, Head | None]:
        wanted = set(documents)
        missing = wanted - self._heads.keys()
        if missing:
            found = self._here.heads(missing)
            self._check(found.values())
            self._heads |= dict.fromkeys(missing) | found
        return {number: self._heads[number] for number in wanted}

    def _check(self, heads: Iterable[Head]) -> None:
        """Raises StoreError for one that was written after what was searched: its chunks may not be among what was found."""
        if self._seen is not None and not self._takes_all and any(head.revision >= self._seen.revisions for head in heads):
            raise StoreError(f"{self.address} is being built; do the same again in a moment.")

    def _head(self, document_id: str) -> Head | None:
        head = self._heads_of([number := number_of(document_id)])[number]
        return head if head and head.row.id == document_id else None

    def get(self, keys: Iterable[int]) -> dict[int, Chunk]:
        asked = [int(key) for key in keys]

        def find(state: State) -> dict[int, Chunk]:
            rows = self._server.rows(self._here.chunks, asked, FIELDS) if state.chunks else []
            live = self._live(rows)
            rows = sorted((row for row in rows if row["key"] in live), key=lambda row: (row["name"], row["ordinal"]))
            return {int(row["key"]): self._here.chunk(row) for row in rows}

        return self._steady(find)

    def vectors(self, keys: Iterable[int]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        asked = [int(key) for key in keys]

        def find(_: State) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
            rows = self._server.rows(self._here.chunks, asked, ["key", "document", "vector"])
            live = self._live(rows)
            rows = sorted((row for row in rows if row["key"] in live), key=lambda row: int(row["key"]))
            found = np.array([row["key"] for row in rows], dtype=np.int64)
            return found, np.array([row["vector"] for row in rows], dtype=np.float32).reshape(len(rows), self.dimensions)

        return self._steady(find)

    def vector_keys(self, keys: Iterable[int]) -> dict[int, bytes]:
        asked, fields = [int(key) for key in keys], ["key", "embedding", "embedding_rest"]
        rows = self._steady(lambda _: self._server.rows(self._here.chunks, asked, fields))
        return {int(row["key"]): halves_of(row) for row in rows}

    def document(self, document_id: str) -> Document:
        def find(_: State) -> Document:
            if document_id not in self._documents:
                head = self._head(document_id)
                if head is None:
                    raise StoreError(f"{document_id} is not in the index any more; ask again, or see: assistant sources")
                try:
                    self._documents[document_id] = self._here.document(head)
                except (CollectionGone, Unreachable):
                    raise
                except StoreError as error:
                    raise self.damaged(str(error)) from error
                while len(self._documents) > _DOCUMENTS_KEPT:
                    self._documents.pop(next(iter(self._documents)))
            return self._documents[document_id]

        return self._steady(find)

    def _all_heads(self) -> list[Head]:
        def find(state: State) -> list[Head]:
            if self._listed is None:
                listed = self._here.all_heads() if state.version else []
                self._check(listed)
                self._listed = listed
                self._heads |= {number_of(head.row.id): head for head in self._listed}
            return self._listed

        return self._steady(find)

    def documents(self) -> list[DocumentRow]:
        return [head.row for head in self._all_heads()]

    def titles(self, document_ids: Iterable[str]) -> dict[str, str]:
        wanted = {number_of(name): name for name in document_ids}

        def find(_: State) -> dict[str, str]:
            found = self._heads_of(wanted)
            return {name: head.row.title for number, name in wanted.items() if (head := found[number])}

        return self._steady(find)

    def speakers(self) -> Speakers:
        return Speakers(self.speaker_names())

    def speaker_names(self) -> list[str]:
        return self._steady(lambda state: list(self._totals()[2]) if state.version else [])

    def keys_of(self, only: Filter | None) -> NDArray[np.int64]:
        def find(state: State) -> NDArray[np.int64]:
            where = self._where(only) if state.chunks else None
            if where is None:
                return np.array([], dtype=np.int64)
            rows = list(self._server.each(self._here.chunks, where or "key >= 0", ["document"], key="key", at_once=10_000))
            return np.array(sorted(self._live(rows)), dtype=np.int64)

        return self._steady(find)

    def holds(self, only: Filter) -> bool:
        def find(state: State) -> bool:
            where = self._where(only) if state.chunks else None
            if where is None:
                return False
            rows = self._server.some(self._here.chunks, where or "key >= 0", ["key", "document"], most=_SPARE)
            return bool(self._live(rows))

        # Where those few do not count any more, all are looked at.
        return self._steady(find) or bool(len(self.keys_of(only)))

    def counts(self) -> dict[str, int]:
        state = self._follow()
        return {"documents": state.documents, "chunks": state.chunks, "vectors": state.chunks}

    def damaged(self, reason: str) -> StoreError:
        return StoreDamaged(f"the index in {self.address} is damaged ({reason}); rebuild it with: assistant index --rebuild")

    def embedded(self) -> int:
        return self.counts()["chunks"]

    def damage(self) -> str | None:
        try:
            self._steady(self._read_all)
        except (StoreError, ValueError, KeyError, TypeError) as error:
            return str(error)
        return None

    def _read_all(self, state: State) -> None:
        total = 0
        for head in self._here.all_heads():
            self._here.document(head)
            rows = self._here.rows_of(head, ["vector"])
            lengths = np.linalg.norm(np.array([row["vector"] for row in rows], dtype=np.float32), axis=1) if rows else []
            if len(rows) != head.row.chunks or not np.allclose(lengths, 1.0, atol=0.01):
                raise StoreError(f"{head.row.id} lacks chunks or their vectors")
            total += len(rows)
        if total != state.chunks:
            raise StoreError(f"it holds {total} chunks and should hold {state.chunks}")

    def derived_state(self) -> dict[str, str]:
        counted = self.meta("counted") == "yes"
        words = "current" if counted else "a build was cut short; until the next one, words weigh as they did before it"
        if not self._here.has_words:
            words = "current, but this server cannot search for words (Milvus 2.5 or newer does)"
        told = self._server.call("describe_index", self._here.chunks, "vector")
        return {"words": words, "vectors": f"current, {told.get('index_type', 'indexed')} on Milvus {self._server.version}"}


def built_with(generation: Generation | None) -> tuple[str | None, ...]:
    told = generation.meta(*_BUILT_WITH) if generation else {}
    return tuple(told.get(name) for name in _BUILT_WITH)
