"""Several stores as one give what one store of all would give."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from index.documents import Voice
from index.errors import StoreError
from index.filters import Filter
from index.joined import JoinedStore
from index.store import LocalStore, built_with
from tests.contracts.filling import DIMENSIONS, entry, texts_of


def made(folder: Path, seeds: range) -> LocalStore:
    store = LocalStore(folder, writable=True)
    store.ledger.set_meta(built_with("model:1", DIMENSIONS, 200))
    for seed in seeds:
        voice = Voice("Ada Moreno" if seed % 2 else "Jonas Keller")
        store.apply(put=[entry(store, f"folder/d{seed}", texts_of(seed, 8), seed, voice=voice, published=f"199{seed}")[0]])
    store.derive()
    return store


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[LocalStore]:
    store = made(tmp_path / "whole", range(6))
    yield store
    store.close()


@pytest.fixture
def joined(tmp_path: Path) -> Iterator[JoinedStore]:
    stores = [made(tmp_path / name, seeds) for name, seeds in (("a", range(2)), ("b", range(2, 3)), ("c", range(3, 6)))]
    store = JoinedStore(stores[0], {"papers": stores[1], "more": stores[2]})
    yield store
    store.close()


def plain(name: str) -> str:
    """As the store of all names it."""
    return name.removeprefix("papers:").removeprefix("more:")


@pytest.mark.parametrize("only", [None, Filter(voices=("Moreno",)), Filter(since="1992", until="1994")])
def test_dense_search_gives_what_one_store_would(whole: LocalStore, joined: JoinedStore, only: Filter | None) -> None:
    query = np.random.default_rng(99).normal(size=DIMENSIONS).astype(np.float32)
    query /= np.linalg.norm(query)
    one, several = whole.dense(query, 12, only=only), joined.dense(query, 12, only=only)
    chunks, of_several = whole.get(hit.key for hit in one), joined.get(hit.key for hit in several)
    assert [plain(of_several[hit.key].id) for hit in several] == [chunks[hit.key].id for hit in one]
    assert [hit.score for hit in several] == [hit.score for hit in one]


def test_word_search_finds_the_same_passages_and_words_weigh_the_same(whole: LocalStore, joined: JoinedStore) -> None:
    one, several = whole.lexical("alliance dam", 100), joined.lexical("alliance dam", 100)
    chunks, of_several = whole.get(hit.key for hit in one), joined.get(hit.key for hit in several)
    assert {plain(each.id) for each in of_several.values()} == {each.id for each in chunks.values()} and len(one) == len(several)
    # Where a store is small every word is frequent there, and yet counts as in all.
    at = {plain(of_several[hit.key].id): hit.score for hit in several}
    assert [at[chunks[hit.key].id] for hit in one] == pytest.approx([hit.score for hit in one], rel=0.1)
    best = {chunks[hit.key].id for hit in one[:5]}
    assert len(best & {plain(of_several[hit.key].id) for hit in several[:5]}) >= 4
    text = "the alliance of rivers and mark3x1 nowhere"
    assert joined.term_weights(text) == pytest.approx(whole.term_weights(text))


def test_documents_keep_their_words_under_the_name_of_their_corpus(whole: LocalStore, joined: JoinedStore) -> None:
    names = [row.id for row in joined.documents()]
    assert names == [
        "folder/d0", "folder/d1", "papers:folder/d2", "more:folder/d3", "more:folder/d4", "more:folder/d5"
    ]  # fmt: skip
    for name in names:
        document = joined.document(name)
        assert document.id == name and document.text == whole.document(plain(name)).text
    for chunk in joined.get(joined.keys_of(None)).values():
        assert joined.document(chunk.document_id).text[chunk.start : chunk.end] == chunk.text
    assert joined.counts()["chunks"] == whole.counts()["chunks"] == len(joined.keys_of(None))
    assert set(joined.speaker_names()) == {"Ada Moreno", "Jonas Keller"}
    assert joined.speakers().named_in("What does Moreno say?") == whole.speakers().named_in("What does Moreno say?")
    for missing in ("folder/d2", "papers:folder/d0", "nowhere:folder/d2"):
        with pytest.raises(StoreError):
            joined.document(missing)


@pytest.mark.parametrize(
    ("told", "allowed"),
    [
        (("papers:",), {"papers:folder/d2"}),
        (("folder",), {"folder/d0", "folder/d1"}),
        (("more:folder/d4", "folder/d1"), {"more:folder/d4", "folder/d1"}),
        (("papers:nowhere",), set()),
        (("nowhere:",), set()),
    ],
)
def test_a_filter_names_documents_of_each(joined: JoinedStore, told: tuple[str, ...], allowed: set[str]) -> None:
    only = Filter(documents=told)
    assert {chunk.document_id for chunk in joined.get(joined.keys_of(only)).values()} == allowed
    assert joined.holds(only) is bool(allowed)
    hits = joined.lexical("alliance dam river treaty water", 100, only=only)
    assert {chunk.document_id for chunk in joined.get(hit.key for hit in hits).values()} == allowed


def test_a_very_long_question_and_a_document_that_is_called_like_another_corpus_are_no_trouble(tmp_path: Path) -> None:
    first, other = made(tmp_path / "a", range(1)), made(tmp_path / "b", range(1, 2))
    first.apply(put=[entry(first, "papers:own", ["The alliance of rivers."], 9)[0]])
    first.derive()
    joined = JoinedStore(first, {"papers": other})
    assert joined.document("papers:own").text == "The alliance of rivers."
    assert joined.document("papers:folder/d1").text == other.document("folder/d1").text
    assert joined.lexical(" ".join(f"word{number}" for number in range(400)) + " alliance dam", 10) == []
    assert joined.lexical("alliance dam " + " ".join(f"word{number}" for number in range(400)), 10)
    joined.close()
