"""What every ChunkStore promises, checked against exact references."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import index.lexical
import index.store
import index.vectors
from index.chunks import Chunk, embedding_key
from index.documents import Document, Locator, Voice
from index.errors import StoreError
from index.filters import Filter
from index.ledger import Entry
from index.lexical import analyse
from index.store import LocalStore, built_with

DIMENSIONS = 16
WORDS = ["treaty", "river", "alliance", "border", "dam", "army", "water", "north", "south", "bank"]


def entry(
    store: LocalStore,
    name: str,
    texts: list[str],
    seed: int,
    *,
    voice: Voice = Voice("A", "B"),  # noqa: B008 - frozen
    kind: str = "note",
    published: str | None = None,
) -> tuple[Entry, np.ndarray]:
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(len(texts), DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    # As a store keeps them: what is then found is compared exactly.
    vectors = vectors.astype(np.float16).astype(np.float32)
    body = "\n\n".join(texts)
    chunks, at = [], 0
    for number, text in enumerate(texts):
        at = body.index(text, at)
        chunks.append(Chunk(f"{name}#{number}", name, (), text, at, at + len(text), len(text.split()), voice))
        at += len(text)
    keys = [embedding_key(f"{name} {number} {seed}") for number in range(len(texts))]
    store.ledger.put_vectors("model:1", dict(zip(keys, vectors, strict=True)))
    document = Document(
        name, name, body, f"{name}{seed}", (Locator(0, len(body), "¶1", (), voice),), kind=kind, published=published
    )
    return Entry(document, chunks, keys, size=1, modified=1, tokens=1), vectors


def texts_of(seed: int, count: int) -> list[str]:
    generator = np.random.default_rng(seed)
    return [
        " ".join(generator.choice(WORDS, size=generator.integers(3, 9))) + f" mark{seed}x{number}." for number in range(count)
    ]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    opened = LocalStore(tmp_path / "store", writable=True)
    opened.ledger.set_meta(built_with("model:1", DIMENSIONS, 200))
    yield opened
    opened.close()


@pytest.fixture
def filled(store: LocalStore) -> tuple[LocalStore, dict[str, np.ndarray]]:
    vectors: dict[str, np.ndarray] = {}
    for seed in range(5):
        made, rows = entry(store, f"d{seed}", texts_of(seed, 8), seed)
        store.apply(put=[made])
        vectors |= {chunk.id: row for chunk, row in zip(made.chunks, rows, strict=True)}
    store.derive()
    return store, vectors


def test_dense_search_gives_the_exact_cosines_in_order(filled: tuple[LocalStore, dict[str, np.ndarray]]) -> None:
    store, vectors = filled
    query = np.random.default_rng(99).normal(size=DIMENSIONS).astype(np.float32)
    query /= np.linalg.norm(query)
    exact = sorted(((float(vector @ query), name) for name, vector in vectors.items()), reverse=True)[:10]
    hits = store.dense(query, 10)
    chunks = store.get(hit.key for hit in hits)
    assert [chunks[hit.key].id for hit in hits] == [name for _, name in exact]
    assert [hit.score for hit in hits] == pytest.approx([score for score, _ in exact], abs=1e-5)


def test_word_search_gives_bm25_in_order(filled: tuple[LocalStore, dict[str, np.ndarray]]) -> None:
    store, _ = filled
    chunks = {chunk.id: chunk for chunk in store.get(store.ledger.chunk_keys()).values()}
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


def test_a_changed_document_is_found_only_as_it_is_now(filled: tuple[LocalStore, dict[str, np.ndarray]]) -> None:
    store, _ = filled
    made, rows = entry(store, "d2", ["A wholly new sentence about glaciers."], seed=77)
    before = store.version
    store.apply(put=[made])
    assert store.version > before
    assert [store.get([hit.key])[hit.key].text for hit in store.lexical("glaciers", 5)] == [
        "A wholly new sentence about glaciers."
    ]
    assert store.lexical("mark2x0", 5) == []
    assert store.dense(rows[0], 1)[0].score == pytest.approx(1.0, abs=1e-3)
    assert len(store.dense(rows[0], 100)) == 33


def test_a_removed_document_is_gone_everywhere(filled: tuple[LocalStore, dict[str, np.ndarray]]) -> None:
    store, vectors = filled
    store.apply(remove=["d3"])
    assert store.lexical("mark3x1", 5) == []
    found = store.get(hit.key for hit in store.dense(vectors["d3#0"], 100))
    assert {chunk.document_id for chunk in found.values()} == {"d0", "d1", "d2", "d4"}
    with pytest.raises(StoreError, match="not in the index any more"):
        store.document("d3")


def test_punctuation_and_operators_in_a_question_have_no_meaning(filled: tuple[LocalStore, dict[str, np.ndarray]]) -> None:
    store, _ = filled
    plain = store.lexical("river bank", 10)
    assert store.lexical('+river -"(bank)~^:[]{}*?\\ AND OR NOT', 10)[: len(plain)] == plain
    assert store.lexical("\"'()[]", 10) == store.lexical("", 10) == []


def test_rare_words_weigh_more(filled: tuple[LocalStore, dict[str, np.ndarray]]) -> None:
    store, _ = filled
    weights = store.term_weights("the mark1x1 treaty")
    assert set(weights) == {"mark1x1", "treati"}
    assert weights["mark1x1"] > weights["treati"] > 0


def test_a_reader_follows_a_writer_without_reopening(filled: tuple[LocalStore, dict[str, np.ndarray]]) -> None:
    writer, _ = filled
    reader = LocalStore(writer.folder)
    assert reader.lexical("volcano", 3) == []
    made, rows = entry(writer, "new", ["A volcano stands there."], seed=5000)
    writer.apply(put=[made])
    assert [chunk.text for chunk in reader.get(hit.key for hit in reader.lexical("volcano", 3)).values()] == [
        "A volcano stands there."
    ]
    assert reader.dense(rows[0], 1)[0].score == pytest.approx(1.0, abs=1e-3)
    reader.close()


def ranking(store: LocalStore, query: np.ndarray) -> list[tuple[str, float]]:
    hits = [*store.dense(query, 20), *store.lexical("river treaty north", 20)]
    chunks = store.get(hit.key for hit in hits)
    return [(chunks[hit.key].id, round(hit.score, 4)) for hit in hits]


@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped", "renumbered", "garbage"])
def test_a_damaged_derived_file_never_changes_what_is_found(
    filled: tuple[LocalStore, dict[str, np.ndarray]], damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file after the other, each in a copy of its own: no damage hides behind another."""
    store, vectors = filled
    monkeypatch.setattr(index.vectors, "EXACT_UP_TO", 20)
    store.derive()
    query = vectors["d1#1"]
    expected = ranking(store, query)
    names = [store.folder / "vectors.faiss", *sorted((store.folder / "words").iterdir())]
    for number, original in enumerate(path for path in names if path.stat().st_size):
        copy = Path(shutil.copytree(store.folder, tmp_path / f"copy{number}"))
        file = copy / original.relative_to(store.folder)
        data = file.read_bytes()
        if damage == "missing":
            file.unlink()
        elif damage == "truncated":
            file.write_bytes(data[: len(data) // 2])
        elif damage == "garbage":
            file.write_bytes(b"\xff" * 64)
        elif damage == "renumbered":
            file.write_bytes(data.replace(b'"version": 5', b'"version": 4'))
        else:
            file.write_bytes(data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 0x55]) + data[len(data) // 2 + 1 :])
        reader = LocalStore(copy)
        assert ranking(reader, query) == expected, original.name
        reader.close()
        writer = LocalStore(copy, writable=True)
        writer.derive()
        assert set(writer.derived_state().values()) == {"current"}, original.name
        writer.close()


def test_a_small_store_keeps_no_vector_twice(
    filled: tuple[LocalStore, dict[str, np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, vectors = filled
    expected, file = ranking(store, vectors["d1#1"]), store.folder / "vectors.faiss"
    assert not file.exists()
    monkeypatch.setattr(index.vectors, "EXACT_UP_TO", 20)
    store.derive()
    assert file.exists() and ranking(store, vectors["d1#1"]) == expected
    monkeypatch.undo()
    store.derive()
    assert not file.exists() and ranking(LocalStore(store.folder), vectors["d1#1"]) == expected


def test_vectors_that_no_chunk_has_are_dropped_but_for_the_youngest(filled: tuple[LocalStore, dict[str, np.ndarray]]) -> None:
    store, vectors = filled
    store.apply(remove=["d0", "d1"])
    assert store.ledger.collect_garbage(spare=5) == 11
    assert store.ledger.counts()["vectors"] == 24 + 5
    assert store.dense(vectors["d4#2"], 24)[0].score == pytest.approx(1.0, abs=1e-3)
    assert len(store.dense(vectors["d4#2"], 100)) == 24
    assert store.ledger.collect_garbage(spare=5) == 0


# -- filters ----------------------------------------------------------------------------------------------------------

SOURCES = {
    "debate/vu.md": (Voice("Khang Vu"), "digest", "2021-06"),
    "debate/lan.md": (Voice("Ngo Di Lan", "Khang Vu"), "digest", "2021"),
    "background/laos.md": (Voice("Library", "Author"), "note", "1994-07-15"),
    "background/undated.md": (Voice("Jonas Keller (North)"), "note", None),
}
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


@pytest.fixture(params=["small", "large"])
def sourced(
    request: pytest.FixtureRequest, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> tuple[LocalStore, dict[str, np.ndarray]]:
    """As a small store, and as one that is searched as large ones are."""
    if request.param == "large":
        monkeypatch.setattr(index.vectors, "EXACT_UP_TO", 100)
        monkeypatch.setattr(index.vectors, "_FEW", 10)
        monkeypatch.setattr(index.lexical, "_FEW", 10)
        monkeypatch.setattr(index.store, "ANEW_UP_TO", 100)
    vectors: dict[str, np.ndarray] = {}
    for seed, (name, (voice, kind, published)) in enumerate(SOURCES.items()):
        made, rows = entry(store, name, texts_of(seed, 60), seed, voice=voice, kind=kind, published=published)
        store.apply(put=[made])
        vectors |= {chunk.id: row for chunk, row in zip(made.chunks, rows, strict=True)}
    store.derive()
    assert (store._fresh_vectors()._large is not None) == (request.param == "large")
    return store, vectors


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_finds_all_that_it_allows_and_nothing_else(sourced: tuple[LocalStore, dict[str, np.ndarray]], name: str) -> None:
    store, vectors = sourced
    only, documents = FILTERS[name]
    query = vectors["background/laos.md#7"]
    exact = sorted(
        ((float(vector @ query), chunk) for chunk, vector in vectors.items() if chunk.partition("#")[0] in documents),
        reverse=True,
    )
    hits = store.dense(query, 5, only=only)
    chunks = store.get(hit.key for hit in hits)
    assert [chunks[hit.key].id for hit in hits] == [chunk for _, chunk in exact[:5]]
    everything = store.lexical("river treaty north", 1000)
    wanted = [hit for hit in everything if store.get([hit.key])[hit.key].document_id in documents]
    found = store.lexical("river treaty north", 5, only=only)
    assert [hit.key for hit in found] == [hit.key for hit in wanted[:5]]
    assert [hit.score for hit in found] == pytest.approx([hit.score for hit in wanted[:5]], rel=1e-5)


def test_a_large_store_follows_changes_and_folds_them_in(sourced: tuple[LocalStore, dict[str, np.ndarray]]) -> None:
    store, vectors = sourced
    made, rows = entry(store, "debate/vu.md", ["Glaciers melt.", "Ferries sink."], seed=900)
    store.apply(put=[made], remove=["background/laos.md"])
    store.derive()
    kept = {name: vector for name, vector in vectors.items() if not name.startswith(("debate/vu.md", "background/laos.md"))}
    kept |= {chunk.id: row for chunk, row in zip(made.chunks, rows, strict=True)}
    for reader in (store, LocalStore(store.folder)):
        for name in ("debate/lan.md#3", "debate/vu.md#1"):
            exact = sorted(((float(vector @ kept[name]), other) for other, vector in kept.items()), reverse=True)[:8]
            hits = reader.dense(kept[name], 8)
            chunks = reader.get(hit.key for hit in hits)
            assert [chunks[hit.key].id for hit in hits] == [other for _, other in exact]
        assert [reader.get([hit.key])[hit.key].text for hit in reader.lexical("glaciers", 3)] == ["Glaciers melt."]
        assert len(reader.dense(rows[0], 1000)) == len(kept)


def test_a_reader_of_a_large_store_follows_beside_the_saved_word_index(sourced: tuple[LocalStore, dict[str, np.ndarray]]) -> None:
    """Until the builder saves: what is new is found, ranked as the builder's index will rank it; what is gone is not."""
    store, _ = sourced
    reader = LocalStore(store.folder)
    reader.warm()
    texts = ["Glaciers melt in the river of the north.", "The ferry sinks. The ferry burns. The ferry returns to the north bank."]
    made, _ = entry(store, "debate/vu.md", texts, seed=900)
    store.apply(put=[made], remove=["background/laos.md"])

    def found(each: LocalStore, text: str) -> list[tuple[str, float]]:
        hits = each.lexical(text, 300)
        chunks = each.get(hit.key for hit in hits)
        return [(chunks[hit.key].id, hit.score) for hit in hits]

    questions = ["glaciers", "ferry north", "mark2x5", "river treaty north", "mark0x3"]
    before = {text: found(reader, text) for text in questions}
    assert [name for name, _ in before["glaciers"]] == ["debate/vu.md#0"]
    assert before["ferry north"][0][0] == "debate/vu.md#1"
    assert before["mark2x5"] == before["mark0x3"] == []
    assert reader.lexical("glaciers", 5, only=Filter(documents=("debate/lan.md",))) == []
    store.derive()
    again = LocalStore(store.folder)
    for text in questions:
        after = dict(found(again, text))
        assert dict(before[text]).keys() == after.keys()
    # A later change is followed from there.
    store.apply(remove=["debate/vu.md"])
    assert found(reader, "glaciers") == []
