"""What a store in a folder does beside what every store does: derived files that are damaged, saved, followed and folded in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import index.vectors
from index.filters import Filter
from index.store import LocalStore, built_with
from tests.contracts.conftest import search_as_large
from tests.contracts.filling import DIMENSIONS, entry, fill, fill_with_sources


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    opened = LocalStore(tmp_path / "store", writable=True)
    opened.ledger.set_meta(built_with("model:1", DIMENSIONS, 200))
    yield opened
    opened.close()


@pytest.fixture
def filled(store: LocalStore) -> tuple[LocalStore, dict[str, np.ndarray]]:
    return store, fill(store)


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


@pytest.fixture
def sourced(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> tuple[LocalStore, dict[str, np.ndarray]]:
    """A store that is searched as large ones are."""
    search_as_large(monkeypatch)
    vectors = fill_with_sources(store)
    assert store._fresh_vectors()._large is not None
    return store, vectors


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
