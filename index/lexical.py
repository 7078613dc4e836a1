"""Word search: tantivy (BM25), derived from the ledger."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tantivy
from numpy.typing import NDArray

FOLDER_NAME = "words"
_STATE = "state.json"
_FORMAT = 1
_ANALYSER = "english_folded"
_WRITER_BYTES = 50_000_000
_MOST_QUERY_TERMS = 256
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


class WordIndex:
    """BM25 over title, headings and text of each chunk, by chunk key. In memory, or in `folder`/words."""

    def __init__(self, folder: Path | None, *, identity: str) -> None:
        self.version = -1
        """The ledger's version that the index shows; -1 before the first sync."""
        self._origin = {"format": _FORMAT, "identity": identity}
        self._folder = folder / FOLDER_NAME if folder else None
        builder = tantivy.SchemaBuilder()
        builder.add_unsigned_field("key", stored=True, indexed=True, fast=True)
        builder.add_text_field("place", tokenizer_name=_ANALYSER, index_option="freq")
        builder.add_text_field("text", tokenizer_name=_ANALYSER, index_option="freq")
        self._schema = builder.build()
        self._index: Any = tantivy.Index(self._schema)
        self._index.register_tokenizer(_ANALYSER, _ANALYSE)

    @property
    def is_saved(self) -> bool:
        """Whether it lives in the folder, and not in memory only."""
        return self._folder is not None

    def load(self) -> bool:
        """Opens the saved index, unless it is missing, damaged or another ledger's; says whether it did."""
        if self._folder is None:
            return False
        try:
            told = json.loads((self._folder / _STATE).read_text(encoding="utf-8"))
            if any(told.get(name) != value for name, value in self._origin.items()):
                return False
            # tantivy opens a folder without its list of segments as an empty index, and panics on a torn segment.
            if told["files"] != self._digests():
                return False
            index = tantivy.Index(self._schema, path=str(self._folder))
            index.register_tokenizer(_ANALYSER, _ANALYSE)
            version = int(told["version"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False
        self._index, self.version = index, version
        return True

    def _digests(self) -> dict[str, str]:
        """SHA-256 of each file that belongs to the index."""
        digests = {}
        for path in sorted(self._folder.iterdir() if self._folder else ()):
            if not path.name.startswith(_STATE) and path.suffix != ".lock":
                with path.open("rb") as file:
                    digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
        return digests

    def create(self) -> None:
        """Begins an empty index in the folder."""
        if self._folder is None:
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._index = tantivy.Index(self._schema, path=str(self._folder))
        self._index.register_tokenizer(_ANALYSER, _ANALYSE)

    def keys(self) -> NDArray[np.int64]:
        self._index.reload()
        searcher = self._index.searcher()
        if not searcher.num_docs:
            return np.array([], dtype=np.int64)
        hits = searcher.search(tantivy.Query.all_query(), searcher.num_docs, count=False).hits
        values = searcher.fast_field_values("key", [address for _, address in hits])
        return np.sort(np.array(values, dtype=np.int64))

    def change(self, remove: Iterable[int], add: Iterable[tuple[int, str, str]], version: int) -> None:
        """Removes chunks by key, adds (key, place, text)."""
        writer = self._index.writer(heap_size=_WRITER_BYTES, num_threads=1)
        for key in remove:
            # By query: deletion by term takes a Python number for a signed one and finds nothing.
            writer.delete_documents_by_query(tantivy.Query.term_query(self._schema, "key", int(key)))
        for key, place, text in add:
            document = tantivy.Document()
            document.add_unsigned("key", int(key))
            document.add_text("place", place)
            document.add_text("text", text)
            writer.add_document(document)
        writer.commit()
        writer.wait_merging_threads()
        self._index.reload()
        self.version = version
        if self._folder is not None:
            temporary = self._folder / f"{_STATE}.new"
            temporary.write_text(json.dumps({**self._origin, "version": version, "files": self._digests()}), encoding="utf-8")
            temporary.replace(self._folder / _STATE)

    def search(self, text: str, count: int) -> list[tuple[int, float]]:
        """(key, BM25) of the best chunks, best first; ties by key. Punctuation in the text has no meaning."""
        terms = list(dict.fromkeys(analyse(text)))[:_MOST_QUERY_TERMS]
        if not terms or count < 1:
            return []
        query = tantivy.Query.boolean_query(
            [(tantivy.Occur.Should, self._term(field, term)) for term in terms for field in ("text", "place")]
        )
        searcher = self._index.searcher()
        hits = searcher.search(query, count, count=False).hits
        keys = searcher.fast_field_values("key", [address for _, address in hits]) if hits else []
        found = [(int(key), float(score)) for (score, _), key in zip(hits, keys, strict=True)]
        return sorted(found, key=lambda hit: (-hit[1], hit[0]))

    def _term(self, field: str, term: str) -> Any:
        query = tantivy.Query.term_query(self._schema, field, term, index_option="freq")
        return tantivy.Query.boost_query(query, 0.5) if field == "place" else query

    def weights(self, text: str) -> dict[str, float]:
        """Inverse document frequency (BM25's) of each word of `text`."""
        searcher = self._index.searcher()
        total = searcher.num_docs
        weights = {}
        for term in dict.fromkeys(analyse(text)[:_MOST_QUERY_TERMS]):
            frequency = max(searcher.doc_freq("text", term), searcher.doc_freq("place", term))
            weights[term] = math.log1p((total - min(frequency, total) + 0.5) / (frequency + 0.5))
        return weights
