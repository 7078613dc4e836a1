"""What every Store promises, checked against exact references: of a folder, of a large one, and of a Milvus server."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from index.chunks import Chunk, embedding_key
from index.documents import Voice
from index.errors import StoreError, StoreMismatch
from index.filters import Filter
from index.ledger import Entry
from index.lexical import analyse
from index.milvus import MilvusStore
from index.store import Hit, Store, WritableStore
from tests.contracts.conftest import Filled, Stores
from tests.contracts.filling import DIMENSIONS, entry, fill_with_sources, texts_of

FILTERS = {
    "one document": (Filter(documents=("debate/vu.md",)), {"debate/vu.md"}),
    "a folder": (Filter(documents=("debate",)), {"debate/vu.md", "debate/lan.md"}),
    "a folder with its slash, and a document": (
        Filter(documents=("debate/", "background/laos.md")),
        {"debate/vu.md", "debate/lan.md", "background/laos.md"},
    ),
    "a voice by its last word": (Filter(voices=("vu",)), {"debate/vu.md"}),
    "a voice in full": (Filter(voices=("Ngo Di Lan",)), {"debate/lan.md"}),
    "a voice without its brackets": (Filter(voices=("Keller",)), {"background/undated.md"}),
    "a kind": (Filter(kinds=("note",)), {"background/laos.md", "background/undated.md"}),
    "since a month, a year counts whole": (Filter(since="2021-06"), {"debate/vu.md", "debate/lan.md"}),
    "until a year": (Filter(until="1994"), {"background/laos.md"}),
    "until a day before": (Filter(until="1994-07-14"), set()),
    "kind and voice together": (Filter(kinds=("digest",), voices=("Lan",)), {"debate/lan.md"}),
    "nothing of that name": (Filter(voices=("Nobody",)), set()),
}


WORD_LIST = "It rained in the north and the ferries of the upper lake waited for the pilots, who slept until the fog was gone."


def searches_words(store: Store) -> bool:
    """Whether it does: Milvus did not before its release 2.5."""
    return store.meta("words") != "none"


def texts(store: Store, hits: Sequence[Hit]) -> list[str]:
    chunks = store.get(hit.key for hit in hits)
    return [chunks[hit.key].text for hit in hits]


def test_dense_search_gives_the_exact_cosines_in_order(filled: Filled) -> None:
    store, vectors = filled
    query = np.random.default_rng(99).normal(size=DIMENSIONS).astype(np.float32)
    query /= np.linalg.norm(query)
    exact = sorted(((float(vector @ query), name) for name, vector in vectors.items()), reverse=True)[:10]
    hits = store.dense(query, 10)
    chunks = store.get(hit.key for hit in hits)
    assert [chunks[hit.key].id for hit in hits] == [name for _, name in exact]
    assert [hit.score for hit in hits] == pytest.approx([score for score, _ in exact], abs=1e-5)


@pytest.mark.words
def test_word_search_gives_bm25_in_order(filled: Filled) -> None:
    store, _ = filled
    chunks = {chunk.id: chunk for chunk in store.get(store.keys_of(None)).values()}
    bags = {name: Counter(analyse(chunk.text)) for name, chunk in chunks.items()}
    average = sum(sum(bag.values()) for bag in bags.values()) / len(bags)
    query = "alliance dam"

    def bm25(bag: Counter[str]) -> float:
        total = 0.0
        for term in analyse(query):
            frequency = sum(term in other for other in bags.values())
            weight = math.log(1 + (len(bags) - frequency + 0.5) / (frequency + 0.5))
            total += weight * bag[term] * 2.2 / (bag[term] + 1.2 * (0.25 + 0.75 * sum(bag.values()) / average))
        return total

    exact = {name: bm25(bag) for name, bag in bags.items() if bm25(bag) > 0}
    hits = store.lexical(query, 100)
    found = store.get(hit.key for hit in hits)
    assert {found[hit.key].id for hit in hits} == set(exact)
    assert [hit.score for hit in hits] == pytest.approx(sorted(exact.values(), reverse=True), rel=0.02)


def test_a_changed_document_is_found_only_as_it_is_now(filled: Filled) -> None:
    store, _ = filled
    made, rows = entry(store, "d2", ["A wholly new sentence about glaciers."], seed=77)
    before = store.version
    store.apply(put=[made])
    assert store.version > before
    if searches_words(store):
        assert texts(store, store.lexical("glaciers", 5)) == ["A wholly new sentence about glaciers."]
        assert store.lexical("mark2x0", 5) == []
    assert store.dense(rows[0], 1)[0].score == pytest.approx(1.0, abs=1e-3)
    assert len(store.dense(rows[0], 100)) == 33


def test_a_removed_document_is_gone_everywhere(filled: Filled) -> None:
    store, vectors = filled
    store.apply(remove=["d3"])
    assert not searches_words(store) or store.lexical("mark3x1", 5) == []
    found = store.get(hit.key for hit in store.dense(vectors["d3#0"], 100))
    assert {chunk.document_id for chunk in found.values()} == {"d0", "d1", "d2", "d4"}
    with pytest.raises(StoreError, match="not in the index any more"):
        store.document("d3")


@pytest.mark.words
def test_punctuation_and_operators_in_a_question_have_no_meaning(filled: Filled) -> None:
    store, _ = filled
    plain = store.lexical("river bank", 10)
    assert store.lexical('+river -"(bank)~^:[]{}*?\\ AND OR NOT', 10)[: len(plain)] == plain
    assert store.lexical("\"'()[]", 10) == store.lexical("", 10) == []


@pytest.mark.words
def test_rare_words_weigh_more(filled: Filled) -> None:
    store, _ = filled
    weights = store.term_weights("the mark1x1 treaty")
    assert set(weights) == {"mark1x1", "treati"}
    assert weights["mark1x1"] > weights["treati"] > 0


def test_a_reader_follows_a_writer_without_reopening(stores: Stores, filled: Filled) -> None:
    writer, reader = stores.builder, stores.reader()
    assert not searches_words(reader) or reader.lexical("volcano", 3) == []
    made, rows = entry(writer, "new", ["A volcano stands there."], seed=5000)
    writer.apply(put=[made])
    if searches_words(reader):
        assert texts(reader, reader.lexical("volcano", 3)) == ["A volcano stands there."]
    assert texts(reader, reader.dense(rows[0], 1)) == ["A volcano stands there."]
    assert reader.dense(rows[0], 1)[0].score == pytest.approx(1.0, abs=1e-3)
    if isinstance(reader, MilvusStore) and "lite" not in reader._server.version:
        # Read as of that write; without its time each read would wait for whatever anybody writes.
        assert reader._server.as_of


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_finds_all_that_it_allows_and_nothing_else(stores: Stores, name: str) -> None:
    store = stores.builder
    vectors = fill_with_sources(store)
    only, documents = FILTERS[name]
    query = vectors["background/laos.md#7"]
    exact = sorted(
        ((float(vector @ query), chunk) for chunk, vector in vectors.items() if chunk.partition("#")[0] in documents),
        reverse=True,
    )
    hits = store.dense(query, 5, only=only)
    chunks = store.get(hit.key for hit in hits)
    assert [chunks[hit.key].id for hit in hits] == [chunk for _, chunk in exact[:5]]
    assert store.holds(only) is bool(documents)


@pytest.mark.words
@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_finds_all_words_that_it_allows_and_nothing_else(stores: Stores, name: str) -> None:
    store = stores.builder
    fill_with_sources(store)
    only, documents = FILTERS[name]
    everything = store.lexical("river treaty north", 1000)
    wanted = [hit for hit in everything if store.get([hit.key])[hit.key].document_id in documents]
    found = store.lexical("river treaty north", 5, only=only)
    assert [hit.key for hit in found] == [hit.key for hit in wanted[:5]]
    assert [hit.score for hit in found] == pytest.approx([hit.score for hit in wanted[:5]], rel=1e-5)


def test_a_document_comes_back_as_it_was_put(filled: Filled) -> None:
    store, _ = filled
    made, _ = entry(
        store, "añ/ö'\"; drop.md", ["It was “signed” \U0001f30a in Basel.", "Keller doubts it."], seed=40, published="1999-05"
    )
    store.apply(put=[made])
    assert store.document(made.document.id) == made.document
    assert store.titles([made.document.id, "nowhere"]) == {made.document.id: made.document.title}
    row = next(row for row in store.documents() if row.id == made.document.id)
    assert (row.title, row.digest, row.chunks, row.published) == (made.document.title, made.document.digest, 2, "1999-05")
    keys = store.keys_of(Filter(documents=(made.document.id,)))
    chunks = store.get(keys)
    assert sorted(chunks.values(), key=lambda chunk: chunk.start) == list(made.chunks)
    assert {store.vector_keys(keys)[int(key)]: chunks[int(key)].text for key in keys} == dict(
        zip(made.vector_keys, (chunk.text for chunk in made.chunks), strict=True)
    )


def test_counts_and_speakers_follow_every_change(filled: Filled) -> None:
    store, _ = filled
    counts = store.counts()
    assert (counts["documents"], counts["chunks"]) == (5, 40)
    made, _ = entry(store, "d1", ["One.", "Two."], seed=41, voice=Voice("Ada Moreno"))
    store.apply(put=[made], remove=["d4"])
    store.derive()
    counts = store.counts()
    assert (counts["documents"], counts["chunks"]) == (4, 26)
    assert store.speaker_names() == ["A", "Ada Moreno"]
    assert len(store.keys_of(None)) == 26 and len(store.keys_of(Filter(voices=("Moreno",)))) == 2
    assert [row.id for row in store.documents()] == ["d0", "d1", "d2", "d3"]
    assert store.damage() is None


@pytest.mark.words
def test_words_weigh_what_the_documents_say_however_they_came_there(stores: Stores, filled: Filled) -> None:
    """Put at once or changed, removed and put again: scores are the same, for builder and reader."""
    store, _ = filled
    found, weights = store.lexical("alliance dam north", 40), store.term_weights("alliance dam north")
    before = [(store.get([hit.key])[hit.key].id, round(hit.score, 4)) for hit in found]
    for seed in (1, 3):
        store.apply(put=[entry(store, f"d{seed}", ["Alliance alliance alliance dam."], seed + 50)[0]])
    store.apply(remove=["d2"])
    store.derive()
    for seed in (2, 1, 3):
        store.apply(put=[entry(store, f"d{seed}", texts_of(seed, 8), seed)[0]])
    store.derive()
    for each in (store, stores.reader()):
        assert each.term_weights("alliance dam north") == pytest.approx(weights)
        hits = each.lexical("alliance dam north", 40)
        assert [(each.get([hit.key])[hit.key].id, round(hit.score, 4)) for hit in hits] == before


@pytest.mark.words
def test_a_word_in_many_titles_does_not_hide_the_texts_that_hold_it(store: WritableStore) -> None:
    """Words of titles count half: however many passages have one there, those whose text has it come first."""
    book, _ = entry(store, "book.md", [f"Section {number} on rivers and dams." for number in range(300)], 70)
    chunks = [replace(chunk, headings=(f"Part {chunk.start}",)) for chunk in book.chunks]
    book = replace(book, document=replace(book.document, title="Treaty"), chunks=chunks)
    notes, _ = entry(store, "notes.md", [f"{WORD_LIST} The treaty of year {number}." for number in range(20)], 71)
    store.apply(put=[book, notes])
    store.derive()
    assert {store.get([hit.key])[hit.key].document_id for hit in store.lexical("treaty", 10)} == {"notes.md"}


def test_a_text_that_was_embedded_once_is_never_embedded_again(filled: Filled) -> None:
    store, _ = filled
    made, rows = entry(store, "d2", texts_of(2, 8), 2)
    store.apply(remove=["d2"])
    fresh = embedding_key("never seen")
    assert store.missing_vectors("model:1", [*made.vector_keys, fresh]) == {fresh}
    store.apply(put=[Entry(replace(made.document, id="renamed"), renamed(made), made.vector_keys, 1, 1, 1)])
    assert store.dense(rows[3], 1)[0].score == pytest.approx(1.0, abs=1e-3)
    keys = store.keys_of(Filter(documents=("renamed",)))
    np.testing.assert_allclose(store.vectors(keys)[1], rows, atol=1e-3)


def renamed(made: Entry) -> list[Chunk]:
    return [replace(chunk, id=chunk.id.replace("d2", "renamed"), document_id="renamed") for chunk in made.chunks]


def test_what_a_build_notes_is_read_again(stores: Stores, filled: Filled) -> None:
    stores.builder.finish('{"bad.md": [1, 2]}')
    for each in (stores.builder, stores.reader()):
        assert each.meta("failed") == '{"bad.md": [1, 2]}' and each.meta("finished") == "yes"
    stores.reader().check(fingerprint="model:1", chunk_tokens=200)
    with pytest.raises(StoreMismatch, match="--rebuild"):
        stores.reader().check(fingerprint="model:2")
    readers = [stores.reader()]
    assert len(readers[0].documents()) == 5
    stores.builder.touch("d1", size=7, modified=8)
    stores.builder.derive()
    readers.append(stores.reader())
    for reader in readers:
        assert [(row.size, row.modified) for row in reader.documents() if row.id == "d1"] == [(7, 8)]


def test_a_long_document_and_a_long_word_are_kept_whole(filled: Filled) -> None:
    store, _ = filled
    long = ["x" * 150_000, *(f"Sentence {number} of a long report." for number in range(1_500)), "Ä" * 40_000]
    made, _ = entry(store, "long.md", long, 60)
    store.apply(put=[made])
    assert store.document("long.md") == made.document
    keys = store.keys_of(Filter(documents=("long.md",)))
    assert {chunk.text for chunk in store.get(keys).values()} == set(long)
    if searches_words(store):
        assert texts(store, store.lexical("sentence 1217", 1)) == [long[1218]]


def test_long_headings_and_a_long_name_of_a_voice_are_kept_whole(filled: Filled) -> None:
    store, _ = filled
    before = store.term_weights("river heading")
    made, _ = entry(store, "headed.md", ["Rivers wander.", "Rivers meet."], 61)
    headings, voice = ("Heading " * 10_000, "Part"), Voice("Ä" * 40_000, "B")
    chunks = [replace(chunk, headings=headings, voice=voice) for chunk in made.chunks]
    store.apply(put=[replace(made, chunks=chunks)])
    kept = store.get(store.keys_of(Filter(documents=("headed.md",)))).values()
    assert list(kept) == chunks and voice.speaker in store.speaker_names()
    store.apply(remove=["headed.md"])
    store.derive()
    assert store.term_weights("river heading") == pytest.approx(before)
