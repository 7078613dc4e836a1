"""A store of the first release (made by it, from the sources of conftest) opens in this one."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from index.chunks import Chunk
from index.embedders import LocalEmbedder
from index.errors import StoreError, StoreOutdated
from index.settings import IndexSettings
from index.store import LocalStore
from index.writing import upgrade
from tests.conftest import ROOT, run_build


@pytest.fixture
def first_release(settings: IndexSettings) -> IndexSettings:
    with ZipFile(ROOT / "tests/data/store-format-1.zip") as archive:
        archive.extractall(settings.store)
    return settings


def found(store: LocalStore, embedder: LocalEmbedder) -> tuple[list[Chunk], list[float]]:
    hits = [*store.dense(embedder.embed(["Who inspects the dams?"])[0], 10), *store.lexical("dams bread oven", 10)]
    chunks = store.get(hit.key for hit in hits)
    return [chunks[hit.key] for hit in hits], [hit.score for hit in hits]


def test_a_store_of_the_first_release_answers_as_one_built_afresh(
    first_release: IndexSettings, embedder: LocalEmbedder, tmp_path: Path
) -> None:
    with pytest.raises(StoreOutdated, match="made by an earlier release; bring it up to date with: assistant index"):
        LocalStore(first_release.store)
    upgrade(first_release.store)
    fresh = IndexSettings(first_release.corpus, first_release.added, tmp_path / "fresh")
    run_build(fresh, embedder)
    old, new = LocalStore(first_release.store), LocalStore(fresh.store)
    (old_chunks, old_scores), (new_chunks, new_scores) = found(old, embedder), found(new, embedder)
    assert old_chunks == new_chunks
    # The first release embedded with sentence-transformers in single precision.
    assert old_scores == pytest.approx(new_scores, abs=2e-3)
    assert [old.document(row.id) for row in old.documents()] == [new.document(row.id) for row in new.documents()]
    assert all(state.startswith("current") for state in old.derived_state().values())
    assert not (first_release.store / "vectors.faiss").exists()


def test_a_build_brings_an_old_store_up_and_embeds_nothing(first_release: IndexSettings, embedder: LocalEmbedder) -> None:
    report = run_build(first_release, embedder)
    assert (report.embedded, report.failed, report.warnings) == (0, (), ())
    assert sorted((*report.changed, *report.unchanged)) == ["bread.txt", "rivers.md"]


def test_a_migration_that_is_cut_off_leaves_the_old_store(first_release: IndexSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (first_release.store / "ledger.db").read_bytes()
    real = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if self.name.endswith(".migrating"):
            raise OSError(28, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StoreError, match=r"cannot be brought to this one's format.*No space left"):
        upgrade(first_release.store)
    monkeypatch.undo()
    with sqlite3.connect(first_release.store / "ledger.db") as connection:
        assert connection.execute("SELECT count(*) FROM chunks").fetchone() == (4,)
    assert len((first_release.store / "ledger.db").read_bytes()) == len(before)
    upgrade(first_release.store)
    LocalStore(first_release.store).close()


def test_vectors_survive_a_migration_to_half_precision(first_release: IndexSettings, tmp_path: Path) -> None:
    with sqlite3.connect(shutil.copy(first_release.store / "ledger.db", tmp_path / "old.db")) as connection:
        rows = connection.execute(
            "SELECT c.key, v.vector FROM chunks c JOIN vectors v ON v.digest = c.vector ORDER BY c.key"
        ).fetchall()
    old = np.stack([np.frombuffer(vector, dtype=np.float32) for _, vector in rows])
    upgrade(first_release.store)
    keys, new = LocalStore(first_release.store).ledger.vectors([key for key, _ in rows], 384)
    assert keys.tolist() == [key for key, _ in rows]
    assert np.abs(old - new).max() < 1e-4
    assert ((old * new).sum(axis=1) / np.linalg.norm(new, axis=1)).min() > 0.999999
