"""Word search: tantivy (BM25), derived from the ledger."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import tantivy
from numpy.typing import NDArray

FOLDER_NAME = "words"
_STATE = "state.json"
_FORMAT = 2
_ANALYSER = "english_folded"
_WRITER_BYTES = 50_000_000
_MOST_QUERY_TERMS = 256
_SPARE = 16
_TRIES = 20
# BM25 as tantivy computes it.
_K1, _B = 1.2, 0.75
_PLACE_BOOST = 0.5
# So few chunks are named in the query; of more the ranking is read until enough of them came.
_FEW = 2_000
# What tantivy names its files: lists that it rewrites, and parts of segments that it never changes.
_LISTS = ("meta.json", ".managed.json")
_SEGMENT_SUFFIXES = frozenset({".fast", ".fieldnorm", ".idx", ".pos", ".store", ".term", ".del"})
# Words that tell nothing of what a question is about.
_STOP_WORDS = (
    "a an and any are as at be been being but by can could did do does doing for from had has have having he her here his "
    "how i if in into is it its itself just me my no nor not of off on once only or our out over own same she should so "
    "some such than that the their them then there these they this those to too under until up very was we were what when "
    "where which while who whom whose why will with would you your s t about according says say said tell"
).split()


def _analyser() -> Any:
    filters = tantivy.Filter
    return (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(filters.remove_long(60))
        .filter(filters.lowercase())
        .filter(filters.ascii_fold())
        .filter(filters.custom_stopword(_STOP_WORDS))
        .filter(filters.stemmer("english"))
        .build()
    )


_ANALYSE = _analyser()


def analyse(text: str) -> list[str]:
    """The words of a text as the index knows them: lower case, without accents and stop words, stemmed."""
    return list(_ANALYSE.analyze(text))


Bags = tuple[Counter[str], Counter[str]]
"""The analysed words of a chunk's place (title and headings), and of its text."""


def bm25(terms: Sequence[str], chunks: Sequence[Bags], weights: Mapping[str, float]) -> list[float]:
    """The score of each chunk, as the index scores it; how long chunks are is told by these.

    weights: each term's inverse document frequency.
    """
    lengths = [fmean(bags[field].total() for bags in chunks) or 1.0 for field in (0, 1)] if chunks else []
    scores = []
    for bags in chunks:
        score = 0.0
        for bag, length, boost in zip(bags, lengths, (_PLACE_BOOST, 1.0), strict=True):
            damping = _K1 * (1 - _B + _B * bag.total() / length)
            score += boost * sum(weights[term] * bag[term] * (_K1 + 1) / (bag[term] + damping) for term in terms if bag[term])
        scores.append(score)
    return scores


@dataclass(frozen=True, slots=True)
class Statistics:
    """What BM25 must know of all chunks to score one of them."""

    chunks: int
    words: tuple[int, int]
    """How many words all places hold, and all texts."""
    holding: Mapping[str, tuple[int, int]]
    """Of each word asked for: how many chunks hold it in their place, and in their text."""

    def weights(self) -> dict[str, float]:
        """The inverse document frequency of each word asked for."""
        return {word: self._weight(max(counts)) for word, counts in self.holding.items()}

    def scores(self, bags: Bags) -> tuple[float, float]:
        """BM25 of a chunk's place and of its text for the words asked for, as tantivy computes it; their sum is its score."""
        scores = [0.0, 0.0]
        for field, (bag, boost) in enumerate(zip(bags, (_PLACE_BOOST, 1.0), strict=True)):
            average = self.words[field] / self.chunks if self.chunks else 0.0
            damping = _K1 * (1 - _B + _B * _kept_length(bag.total()) / (average or 1.0))
            for word, counts in self.holding.items():
                if bag[word]:
                    scores[field] += boost * self._weight(counts[field]) * bag[word] * (_K1 + 1) / (bag[word] + damping)
        return scores[0], scores[1]

    def _weight(self, holding: int) -> float:
        return math.log1p((self.chunks - min(holding, self.chunks) + 0.5) / (holding + 0.5))


def _kept_length(words: int) -> int:
    """The length of a field as tantivy keeps it in one byte: exact up to 40, then in steps that double every eighth time."""
    if words <= 40:
        return words
    step = 1 << ((words - 40) // 16 + 1).bit_length()
    base = 40 + 8 * (step - 2)
    return base + (words - base) // step * step


class WordIndex:
    """BM25 over title, headings and text of each chunk, by chunk key. In memory, or in `folder`/words.

    tantivy counts removed chunks in its statistics until it merges them away: after a removal scores differ a little from
    those of an index built at once.
    """

    def __init__(self, folder: Path | None, *, identity: str) -> None:
        self.version = -1
        """The ledger's version that the index shows; -1 before the first."""
        self._digests: dict[str, str] = {}
        """Segment file -> SHA-256."""
        self.top_key = -1
        """The greatest key that it has ever held: what the ledger gives a greater one is new."""
        self._origin = {"format": _FORMAT, "identity": identity}
        self._folder = folder / FOLDER_NAME if folder else None
        builder = tantivy.SchemaBuilder()
        builder.add_unsigned_field("key", stored=False, indexed=True, fast=True)
        builder.add_text_field("place", tokenizer_name=_ANALYSER, index_option="freq")
        builder.add_text_field("text", tokenizer_name=_ANALYSER, index_option="freq")
        self._schema = builder.build()
        self._late: dict[int, tuple[Counter[str], Counter[str]]] = {}
        """Chunks that are not in the saved index yet: key -> words of place and of text."""
        self._gone: set[int] = set()
        """Keys that are in the saved index still, and not in the store any more."""
        self._index = self._ready(tantivy.Index(self._schema))

    @property
    def is_saved(self) -> bool:
        """Whether it lives in the folder, and not in memory only."""
        return self._folder is not None

    def __len__(self) -> int:
        return int(self._index.searcher().num_docs)

    def _ready(self, index: Any) -> Any:
        index.register_tokenizer(_ANALYSER, _ANALYSE)
        # What a search sees changes when this class says so, not when a builder elsewhere commits.
        index.config_reader("manual")
        index.reload()
        return index

    def _told(self) -> dict[str, Any] | None:
        """What the folder's state says, if it says it about this ledger, whole, and names nothing outside the folder."""
        assert self._folder is not None
        digest, _, text = (self._folder / _STATE).read_text(encoding="utf-8").partition("\n")
        if digest != hashlib.sha256(text.encode()).hexdigest():
            return None
        told: dict[str, Any] = json.loads(text)
        if any(told.get(name) != value for name, value in self._origin.items()) or set(told["lists"]) != set(_LISTS):
            return None
        return told if all(Path(name).name == name for name in told["segments"]) else None

    def saved_version(self) -> int:
        """The version that the saved index says it shows; -1 where it says none."""
        try:
            told = self._told()
            return int(told["version"]) if told else -1
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return -1

    def load(self, tokens: Collection[str], *, mend: bool = False) -> bool:
        """Opens the saved index, unless it is missing, damaged or not of this ledger; says whether it did.

        tokens: what the ledger says that the saved state may be called.

        mend: goes back to the last noted state when a builder was stopped between committing and noting it.
        """
        if self._folder is None:
            return False
        try:
            told = self._told()
            if told is None or told["token"] not in tokens:
                return False
            # tantivy opens a folder without its list of segments as an empty index, and panics on a torn segment.
            known = self._digests
            if any((known.get(name) or _digest(self._folder / name)) != digest for name, digest in told["segments"].items()):
                return False
            if mend:
                # What a builder committed and did not note: kept, its names would stand in the way of the next commit.
                for path in self._folder.iterdir():
                    if path.suffix in _SEGMENT_SUFFIXES and path.name not in told["segments"]:
                        path.unlink()
            for name, text in told["lists"].items():
                if (self._folder / name).read_text(encoding="utf-8") != text:
                    if not mend:
                        return False
                    _replace(self._folder / name, text)
            index = self._ready(tantivy.Index(self._schema, path=str(self._folder)))
            if self._told() != told or any(
                (self._folder / name).read_text(encoding="utf-8") != text for name, text in told["lists"].items()
            ):
                # A builder committed in between: what was opened is not what was verified.
                return False
            version, top_key = int(told["version"]), int(told["top_key"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False
        self._index, self.version, self.top_key = index, version, top_key
        self._digests = dict(told["segments"])
        return True

    def create(self) -> None:
        """Begins an empty index, in the folder where it has one."""
        self.version = self.top_key = -1
        self._digests = {}
        if self._folder is None:
            self._index = self._ready(tantivy.Index(self._schema))
            return
        for _ in range(_TRIES):
            # A thread of the index before may put a last file there meanwhile.
            shutil.rmtree(self._folder, ignore_errors=True)
            if not self._folder.exists():
                break
            time.sleep(0.05)
        self._folder.mkdir(parents=True)
        self._index = self._ready(tantivy.Index(self._schema, path=str(self._folder)))

    def change(
        self, remove: Iterable[int], add: Iterable[tuple[int, str, str]], version: int, *, token: str = "", threads: int = 1
    ) -> None:
        """Removes chunks by key, adds (key, place, text), and notes the version that this gives, and what it is called.

        threads: more than one makes as many segments, which only pays where many chunks are added.
        """
        top_key = self.top_key
        writer = self._index.writer(heap_size=_WRITER_BYTES, num_threads=threads)
        for key in remove:
            # By query: deletion by term takes a Python number for a signed one and finds nothing.
            writer.delete_documents_by_query(tantivy.Query.term_query(self._schema, "key", int(key)))
        for key, place, text in add:
            document = tantivy.Document()
            document.add_unsigned("key", int(key))
            document.add_text("place", place)
            document.add_text("text", text)
            writer.add_document(document)
            top_key = max(top_key, int(key))
        writer.commit()
        writer.wait_merging_threads()
        self._index.reload()
        self.version, self.top_key = version, top_key
        if self._folder is not None:
            self._note(token)

    def follow(self, removed: Iterable[int], added: Iterable[tuple[int, str, str]], version: int) -> None:
        """As `change`, beside a saved index that belongs to a builder: what is new is kept here, and scored by hand."""
        for key in removed:
            if self._late.pop(key, None) is None:
                self._gone.add(key)
        for key, place, text in added:
            self._late[key] = (Counter(analyse(place)), Counter(analyse(text)))
            self.top_key = max(self.top_key, key)
        self.version = version

    def _late_hits(self, terms: list[str], among: NDArray[np.int64] | None) -> list[tuple[int, float]]:
        """BM25 of the chunks that are kept beside the index, with the index's statistics."""
        if not self._late:
            return []
        keys = np.array(list(self._late), dtype=np.int64)
        allowed = set((keys if among is None else keys[np.isin(keys, among)]).tolist())
        scores = bm25(terms, list(self._late.values()), self._weights(terms))
        found = [(key, score) for key, score in zip(self._late, scores, strict=True) if score and key in allowed]
        return sorted(found, key=lambda hit: -hit[1])

    def _note(self, token: str) -> None:
        """Writes down which files make up the index. Segments never change: each is read once only."""
        assert self._folder is not None
        names = [path.name for path in self._folder.iterdir() if path.suffix in _SEGMENT_SUFFIXES]
        self._digests = {name: self._digests.get(name) or _digest(self._folder / name) for name in sorted(names)}
        told = {
            **self._origin,
            "token": token,
            "version": self.version,
            "top_key": self.top_key,
            "segments": self._digests,
            "lists": {name: (self._folder / name).read_text(encoding="utf-8") for name in _LISTS},
        }
        text = json.dumps(told)
        _replace(self._folder / _STATE, f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")

    def search(self, text: str, count: int, *, among: NDArray[np.int64] | None = None) -> list[tuple[int, float]]:
        """(key, BM25) of the best chunks, best first, and all that tie with the last. Punctuation has no meaning.

        among: ascending keys of the only chunks that count.
        """
        terms = list(dict.fromkeys(analyse(text)))[:_MOST_QUERY_TERMS]
        if not terms or count < 1:
            return []
        query = tantivy.Query.boolean_query(
            [(tantivy.Occur.Should, self._term(field, term)) for term in terms for field in ("text", "place")]
        )
        if among is not None and len(among) <= _FEW:
            named = tantivy.Query.term_set_query(self._schema, "key", among.tolist())
            query = tantivy.Query.boolean_query(
                [(tantivy.Occur.Must, query), (tantivy.Occur.Must, tantivy.Query.const_score_query(named, 0.0))]
            )
        searcher = self._index.searcher()
        late = self._late_hits(terms, among)
        wanted = count + _SPARE + len(self._gone)
        while True:
            hits = searcher.search(query, wanted, count=False).hits
            keys = searcher.fast_field_values("key", [address for _, address in hits]) if hits else []
            found = [(int(key), float(score)) for (score, _), key in zip(hits, keys, strict=True)]
            if among is not None:
                allowed = np.isin(np.array(keys, dtype=np.int64), among)
                found = [hit for hit, allow in zip(found, allowed, strict=True) if allow]
            found = [hit for hit in found if hit[0] not in self._gone] if self._gone else found
            if len(hits) < wanted or (len(found) > count and found[-1][1] < found[count - 1][1] * (1 - 1e-5)):
                return sorted((*found, *late), key=lambda hit: -hit[1]) if late else found
            wanted *= 4

    def _term(self, field: str, term: str) -> Any:
        query = tantivy.Query.term_query(self._schema, field, term, index_option="freq")
        return tantivy.Query.boost_query(query, _PLACE_BOOST) if field == "place" else query

    def weights(self, text: str) -> dict[str, float]:
        """Inverse document frequency (BM25's) of each word of `text`."""
        return self._weights(list(dict.fromkeys(analyse(text)[:_MOST_QUERY_TERMS])))

    def _weights(self, terms: list[str]) -> dict[str, float]:
        searcher = self._index.searcher()
        total = searcher.num_docs
        weights = {}
        for term in terms:
            frequency = max(searcher.doc_freq("text", term), searcher.doc_freq("place", term))
            weights[term] = math.log1p((total - min(frequency, total) + 0.5) / (frequency + 0.5))
        return weights


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
