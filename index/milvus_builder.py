"""MilvusBuilder: writes the index on a Milvus server that MilvusStores read, one builder at a time."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.errors import StoreBusy, StoreError
from index.ledger import Entry
from index.milvus import Given, MilvusStore, built_with
from index.milvus_collections import (
    CHUNKS_OF_A_DOCUMENT,
    FIELDS,
    FORMAT,
    META,
    NO_WORDS,
    PART,
    PIECE,
    Counts,
    Generation,
    Head,
    State,
    halves_of,
)
from index.milvus_server import Lease, MilvusServer, Unreachable, number_of
from index.settings import MilvusAddress

_REVISIONS_AT_ONCE = 1_024
_WAITING = 20_000
"""Vectors that wait for their documents."""


@dataclass(slots=True)
class MilvusVectors:
    """A VectorLookup that asks the server, from wherever it was sent."""

    address: MilvusAddress
    generations: tuple[int, ...]
    _opened: list[Generation] | None = None

    def among(self, digests: Iterable[bytes]) -> set[bytes]:
        if self._opened is None:
            server = MilvusServer(self.address)
            # Any state will do: what it does not find is made once more.
            server.as_of = 1
            self._opened = [Generation(server, number) for number in self.generations]
        wanted, found = set(digests), set[bytes]()
        for generation in self._opened:
            found |= generation.vectors_among(wanted - found)
        return found


class MilvusBuilder(MilvusStore):
    """A WritableStore. What it writes is a whole document at a time; a rebuild is seen at its end.

    Raises StoreMismatch, StoreDamaged, StoreBusy or StoreError.
    """

    def __init__(self, address: MilvusAddress, lease: Lease, *, rebuild: bool = False) -> None:
        """rebuild: what is there may be of another format, or damaged."""
        self._lease, self._rebuild = lease, rebuild
        self._waiting: dict[bytes, NDArray[np.float32]] = {}
        self._dead: list[int] = []
        """Revisions whose chunks are dropped when the words are counted."""
        self._revisions = 0, 0
        self._touched = False
        super().__init__(address)
        self._server.guard, self._takes_all = lease.left, True
        if self._generation and not rebuild:
            noted = self._generation.meta("counted", "touched")
            self._touched = noted.get("touched") == "yes"
            if noted.get("counted") == "no":
                self._count_anew()

    def _opened(self) -> Generation | None:
        """The youngest generation, which may not be finished; None where nothing is built yet."""
        published = self._published()
        for number in reversed(Generation.numbers(self._server)):
            if published is not None and number < published:
                break
            found = Generation(self._server, number)
            with _half_made_or_dropped() if number != published else nullcontext():
                if found.format() == FORMAT and found.state() is not None:
                    return found
            # Half made or half dropped when a builder was killed, unless readers see it.
            if number == published and not self._rebuild:
                return self._readable(number)
        return None

    def _steady(self, work: Callable[[State], Given]) -> Given:
        """Nobody else writes."""
        with self._lock:
            return work(self._follow())

    def _follow(self) -> State:
        with self._lock:
            if self._generation is None:
                return State(0, 0, 0, 0, 0, None)
            if self._seen is None or self._seen.generation != self._generation.number:
                return self._seen_now(self._generation.state())
            return self._seen

    def _tell(self, *, version: int, documents: int, chunks: int) -> None:
        """Readers see what was written before from now on."""
        revisions = max(self._revisions[0], self._follow().revisions)
        self._seen_now(self._here.set_state(version=version, documents=documents, chunks=chunks, revisions=revisions))

    @property
    def _is_counted(self) -> bool:
        """Whether all that word search must know is saved."""
        return not (self._change.chunks or self._change.holding or self._dead)

    def close(self) -> None:
        with self._lock:
            if self._generation and (self._touched or not self._is_counted):
                # Stopped in the middle: else the next build would have to count every word again.
                with suppress(StoreError):
                    self.derive()
            super().close()

    def _write(self) -> Generation:
        """Before each change. Raises StoreBusy when another may build by now."""
        self._lease.left()
        return self._here

    def shown(self) -> Set[str]:
        published = self._published()
        if published is None or (self._generation and published == self._generation.number):
            return {row.id for row in self.documents()}
        former = Generation(self._server, published)
        return {head.row.id for head in former.all_heads()} if former.format() == FORMAT else set()

    def begin_anew(self, values: Mapping[str, str]) -> None:
        """A new generation; readers see the former one until this one is finished."""
        with self._lock:
            self._lease.left()
            published, numbers = self._published(), Generation.numbers(self._server)
            revision = version = 0
            for number in numbers:
                former = Generation(self._server, number)
                with _half_made_or_dropped():
                    revision = max(revision, int(former.meta("revision").get("revision", 0)))
                if state := former.state():
                    version = max(version, state.version)
            for each in numbers:
                if published is None or each > published:
                    Generation(self._server, each).drop()
            made = Generation(self._server, max(numbers, default=0) + 1)
            has_words = _at_least(self._server.version, (2, 5))
            made.create(int(json.loads(values["dimensions"])), has_words=has_words)
            made.set_meta({**values, "revision": str(revision), "words": "bm25" if has_words else NO_WORDS, "counted": "yes"})
            made.set_state(version=version + 1, documents=0, chunks=0, revisions=revision)
            made.set_meta({"format": FORMAT})
            self._generation, self._change, self._dead, self._revisions = made, Counts(), [], (0, 0)
            self._forget()
            self._built = built_with(self._generation)

    def missing_vectors(self, fingerprint: str, digests: Iterable[bytes]) -> set[bytes]:
        wanted = set(digests) - self._waiting.keys()
        if not wanted:
            return set()
        self._waiting |= self._here.vectors(wanted)
        wanted -= self._waiting.keys()
        if wanted and (former := self._former(fingerprint)):
            self._waiting |= former.vectors(wanted)
        return wanted - self._waiting.keys()

    def lookup(self, fingerprint: str) -> MilvusVectors:
        former = self._former(fingerprint)
        return MilvusVectors(self.address, (self._here.number, *([former.number] if former else [])))

    def _former(self, fingerprint: str) -> Generation | None:
        """The generation that readers see, where a new one is built with the same model."""
        published = self._published()
        if published in (None, self._here.number):
            return None
        former = Generation(self._server, published or 0)
        return former if former.meta("fingerprint").get("fingerprint") == fingerprint else None

    def put_vectors(self, fingerprint: str, vectors: Mapping[bytes, NDArray[np.float32]]) -> None:
        """They wait for the documents whose they are, rounded as a local store keeps them: both find the same."""
        self._waiting |= {digest: vector.astype(np.float16).astype(np.float32) for digest, vector in vectors.items()}

    def _next_revision(self) -> int:
        """Never given twice, whatever is killed when."""
        here, (following, end) = self._here, self._revisions
        if following == end:
            following = int(here.meta("revision").get("revision", 0))
            end = following + _REVISIONS_AT_ONCE
            here.set_meta({"revision": str(end)})
        self._revisions = following + 1, end
        return following

    def apply(self, *, put: Sequence[Entry] = (), remove: Sequence[str] = ()) -> None:
        if not put and not remove:
            return
        with self._lock:
            here, state = self._write(), self._follow()
            if self._is_counted:
                here.set_meta({"counted": "no"})
            digests = {digest for entry in put for digest in entry.vector_keys}
            self._waiting |= here.vectors(digests - self._waiting.keys())
            names = [*(entry.document.id for entry in put), *remove]
            self._heads_of(map(number_of, names))
            former = {name: head for name in names if (head := self._head(name))}
            added: list[Head] = []
            try:
                putting = [
                    (entry, self._next_revision(), [self._waiting[digest] for digest in entry.vector_keys]) for entry in put
                ]
                added = here.put(putting, self._change, here.has_words)
                for head in former.values():
                    for row in here.rows_of(head, ["place", *FIELDS]):
                        chunk = here.chunk(row)
                        self._change.add(str(row["place"]), chunk.text, chunk.voice.speaker, sign=-1)
                here.put_heads(added)
                here.remove_heads([name for name in remove if name in former])
                documents = state.documents + len(added) - len(former)
                chunks = state.chunks + sum(head.row.chunks for head in added)
                chunks -= sum(head.row.chunks for head in former.values())
                self._tell(version=state.version + 1, documents=documents, chunks=chunks)
                # Chunks of removed documents stay until the words are counted: a renamed file finds its vectors again.
                self._dead += [former[name].revision for name in remove if name in former]
                here.delete([former[entry.document.id].revision for entry in put if entry.document.id in former])
            except BaseException:
                # What was counted may not be what was written: the next builder counts anew.
                self._change, self._dead, self._touched, self._seen = Counts(), [], False, None
                raise
            if len(self._waiting) > _WAITING:
                self._waiting.clear()

    def touch(self, document_id: str, *, size: int, modified: int) -> None:
        with self._lock:
            self._follow()
            if head := self._head(document_id):
                told = replace(head, row=replace(head.row, size=size, modified=modified))
                if not self._touched:
                    # Told to readers once, by `derive`: a checkout may touch every file.
                    self._write().set_meta({"touched": "yes"})
                    self._touched = True
                self._write().put_heads([told])
                self._heads[number_of(document_id)], self._listed = told, None

    def derive(self) -> None:
        """Saves what word search must know of all chunks, and drops those of removed documents."""
        with self._lock:
            here, change, dead = self._write(), self._change, self._dead
            saved = json.loads(here.meta("stats").get("stats") or "null")
            if self._is_counted and saved is not None:
                if here.meta("counted").get("counted") != "yes":
                    here.set_meta({"counted": "yes"})
                if self._touched:
                    state = self._follow()
                    self._tell(version=state.version + 1, documents=state.documents, chunks=state.chunks)
                    here.set_meta({"touched": "no"})
                    self._touched = False
                return
            # Done or not, it is not done twice: where it is cut short, the next builder counts anew.
            self._change, self._dead, self._touched = Counts(), [], False
            people = Counter(json.loads(here.text(f"s.{saved['stamp']}", saved["parts"]) or "{}") if saved else {})
            people.update(change.speakers)
            words = list(change.holding)
            for begin in range(0, len(words), 10_000):
                part = words[begin : begin + 10_000]
                known = here.terms(part)
                here.put_terms({word: [known[word][at] + change.holding[word][at] for at in (0, 1)] for word in part})
            here.delete(dead)
            totals = [(saved["words"][at] if saved else 0) + change.words[at] for at in (0, 1)]
            self._save(people, (saved["chunks"] if saved else 0) + change.chunks, totals, before=saved)

    def _save(self, people: Mapping[str, int], chunks: int, words: Sequence[int], *, before: dict[str, Any] | None) -> None:
        """What word search must know of all chunks, but for the words themselves. before: what was saved last."""
        here, state = self._here, self._follow()
        stamp = state.version + 1
        parts = here.put_text(f"s.{stamp}", json.dumps({name: count for name, count in people.items() if count > 0}), kind=META)
        stats = {"chunks": chunks, "words": list(words), "stamp": stamp, "parts": parts}
        here.set_meta({"stats": json.dumps(stats)})
        self._tell(version=stamp, documents=state.documents, chunks=state.chunks)
        if before and before["stamp"] != stamp:
            old = [f"s.{before['stamp']}.{at}" for at in range(before["parts"])]
            self._server.call("delete", here.records, ids=old, writes=True)
        here.set_meta({"counted": "yes", "touched": "no"})

    def _count_anew(self) -> None:
        """After a builder was killed: drops what it left half written, and counts every word again."""
        with self._lock:
            here = self._write()
            self._forget()
            heads = here.all_heads()
            live = {head.revision for head in heads}
            counts, dead, chunks = Counts(), set(), 0
            for row in self._server.each(here.chunks, "key >= 0", ["place", *FIELDS], key="key"):
                revision = int(row["key"]) // CHUNKS_OF_A_DOCUMENT
                if revision not in live:
                    dead.add(revision)
                    continue
                chunks += 1
                chunk = here.chunk(row)
                counts.add(str(row["place"]), chunk.text, chunk.voice.speaker)
            left = self._server.each(here.records, f"kind == {PART} or kind == {PIECE}", ["id", "number"])
            dead |= {int(row["number"]) for row in left} - live
            state, saved = self._follow(), json.loads(here.meta("stats").get("stats") or "null")
            self._tell(version=state.version + 1, documents=len(heads), chunks=chunks)
            here.delete(sorted(dead))
            # Readers have the former counts meanwhile, each word until its own is written.
            here.put_terms(counts.holding)
            here.keep_terms(counts.holding)
            self._forget()
            self._save(counts.speakers, counts.chunks, counts.words, before=saved)

    def finish(self, failed: str, *, keeps: Callable[[str], bool] = lambda _: False) -> None:
        """Readers go over to a new generation now; the one before stays until the next build is done."""
        with self._lock:
            here, published = self._write(), self._published()
            if published not in (None, here.number):
                self._carry_over(Generation(self._server, published or 0), keeps)
            here.set_meta({"failed": failed, "finished": "yes"})
            if published != here.number:
                try:
                    how = "create_alias" if published is None else "alter_alias"
                    self._server.call(how, here.chunks, self.address.name, writes=True)
                except StoreError:
                    # Sent again after a lost reply it is refused, for it is done.
                    if self._published() != here.number:
                        raise
            for number in Generation.numbers(self._server):
                if number not in (published, here.number):
                    Generation(self._server, number).drop()

    def _carry_over(self, former: Generation, keeps: Callable[[str], bool]) -> None:
        """What could not be read this time keeps its former state, where that was built in the same way."""
        if former.format() != FORMAT or built_with(former) != self._built:
            return
        for head in former.all_heads():
            if keeps(head.row.id) and self._head(head.row.id) is None:
                self.apply(put=[self._entry(former, head)])
        self.derive()

    def _entry(self, former: Generation, head: Head) -> Entry:
        rows = former.rows_of(head, [*FIELDS, "embedding", "embedding_rest", "vector"])
        digests = [halves_of(row) for row in rows]
        self._waiting |= {digest: np.asarray(row["vector"], np.float32) for digest, row in zip(digests, rows, strict=True)}
        row = head.row
        return Entry(
            former.document(head), [former.chunk(each) for each in rows], digests, row.size, row.modified, row.tokens
        )  # fmt: skip

    def collect_garbage(self, *, spare: int) -> int:
        """Vectors are the chunks' own here: none is left over."""
        return 0


@contextmanager
def _half_made_or_dropped() -> Iterator[None]:
    """What a builder left that was killed while it made or dropped a generation cannot be read."""
    try:
        yield
    except (Unreachable, StoreBusy):
        raise
    except StoreError:
        pass


def _at_least(version: str, wanted: tuple[int, int]) -> bool:
    """milvus-lite names itself "milvus_lite-3.2.2"; it searches for words since its third version."""
    found = re.search(r"(\d+)\.(\d+)", version)
    if found is None:
        return True
    return (int(found[1]), int(found[2])) >= wanted
