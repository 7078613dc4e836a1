"""An index copied from one kind of store to another holds the same, and says so only when it was compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from index.build import Progress
from index.copying import Copied, copy
from index.errors import StoreError, StoreMismatch
from index.settings import IndexSettings
from index.store import LocalStore, Store, built_with
from index.writing import building, open_store
from tests.contracts.filling import DIMENSIONS, entry, fill_with_sources, texts_of
from tests.milvus_lite import MilvusLite

MakePlace = Callable[[str], IndexSettings]


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> MakePlace:
    def make(kind: str) -> IndexSettings:
        if kind == "local":
            folder = tmp_path / f"store{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            return IndexSettings(folder, folder, folder)
        server: MilvusLite = request.getfixturevalue("milvus")
        return IndexSettings(tmp_path, tmp_path, tmp_path, engine=server.address())

    return make


def made(settings: IndexSettings) -> IndexSettings:
    with building(settings) as store:
        store.begin_anew(built_with("model:1", DIMENSIONS, 200))
        fill_with_sources(store)
        store.apply(put=[entry(store, "empty.md", [], 9)[0], entry(store, "d/x.md", ["x" * 70_000, "Two."], 10)[0]])
        store.derive()
        store.finish('{"bad.pdf": [3, 4]}')
    return settings


def copied(source: IndexSettings, target: IndexSettings, *, anew: bool = False) -> Copied:
    opened = open_store(source)
    with building(target, rebuild=anew) as store:
        *_, last = copy(opened, store, anew=anew)
    opened.close()
    assert isinstance(last, Copied)
    return last


def told(store: Store) -> list[object]:
    """All that a store holds, but for when it was indexed and what its keys are."""
    chunks = list(store.get(store.keys_of(None)).values())
    rows: list[object] = []
    for row in store.documents():
        own = [chunk for chunk in chunks if chunk.document_id == row.id]
        rows.append((store.document(row.id), row.size, row.modified, row.tokens, own))
    hits = store.lexical("river treaty north", 50)
    rows.append([(store.get([hit.key])[hit.key].id, round(hit.score, 4)) for hit in hits])
    hits = store.dense(np.ones(DIMENSIONS, dtype=np.float32) / 4, 50)
    rows.append([(store.get([hit.key])[hit.key].id, round(hit.score, 4)) for hit in hits])
    return [*rows, store.speaker_names(), store.meta("failed"), store.meta("fingerprint"), store.meta("chunk_tokens")]


@pytest.mark.parametrize(("one", "other"), [("local", "local"), ("local", "milvus"), ("milvus", "local"), ("milvus", "milvus")])
def test_a_copy_holds_the_same_and_is_written_once(place: MakePlace, one: str, other: str) -> None:
    source, target = made(place(one)), place(other)
    done = copied(source, target)
    assert (done.documents, done.chunks, done.written, done.removed) == (6, 242, 6, 0)
    first, second = open_store(source), open_store(target)
    assert told(first) == told(second)
    assert second.damage() is None
    first.close()
    second.close()
    with building(source) as store:
        store.apply(put=[entry(store, "debate/vu.md", texts_of(70, 3), 70)[0]], remove=["background/laos.md"])
        store.derive()
    done = copied(source, target)
    assert (done.documents, done.chunks, done.written, done.removed) == (5, 125, 1, 1)
    first, second = open_store(source), open_store(target)
    assert told(first) == told(second)
    first.close()
    second.close()


def test_a_copy_that_was_stopped_goes_on(place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.copying._CHUNKS_AT_ONCE", 50)
    source, target = made(place("local")), place("local")
    opened = open_store(source)
    with building(target) as store:
        for event in copy(opened, store):
            if isinstance(event, Progress) and event.done == 2:
                break
    opened.close()
    with building(target) as half:
        assert half.meta("finished") is None and half.counts()["documents"] == 2
    assert copied(source, target).written == 4


def test_what_was_built_otherwise_is_replaced_only_when_that_is_asked_for(place: MakePlace) -> None:
    source, target = made(place("local")), place("local")
    with building(target) as store:
        store.begin_anew(built_with("model:2", DIMENSIONS, 200))
        store.finish("{}")
    with pytest.raises(StoreMismatch, match="--replace"):
        copied(source, target)
    assert copied(source, target, anew=True).documents == 6
    opened = open_store(target)
    assert opened.meta("fingerprint") == "model:1"
    opened.close()


def test_a_copy_from_the_wrong_place_empties_nothing(place: MakePlace) -> None:
    target = made(place("local"))
    empty = place("local")
    with building(empty) as store:
        store.begin_anew(built_with("model:1", DIMENSIONS, 200))
        store.finish("{}")
    with pytest.raises(StoreMismatch, match="would remove them all"):
        copied(empty, target)
    opened = open_store(target)
    assert opened.counts()["documents"] == 6
    opened.close()
    assert copied(empty, target, anew=True).documents == 0


def test_a_copy_that_differs_is_no_copy(place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """One vector of the target is another than was sent: readers never see it as finished."""
    source, target = made(place("local")), place("local")
    put = LocalStore.put_vectors

    def wrong(store: LocalStore, fingerprint: str, vectors: dict[bytes, np.ndarray]) -> None:
        first = next(iter(vectors))
        put(store, fingerprint, {**vectors, first: -vectors[first]})

    monkeypatch.setattr(LocalStore, "put_vectors", wrong)
    with pytest.raises(StoreError, match="is not the same in"):
        copied(source, target)
    with building(target) as store:
        assert store.meta("finished") is None
