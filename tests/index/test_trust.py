"""What lies in a store's folder is not trusted: it may be damaged, put together from two times, or made by a stranger."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from index.build import build
from index.embedders import LocalEmbedder, default_exports
from index.errors import StoreDamaged, StoreMismatch
from index.health import examine, remedy
from index.settings import IndexSettings
from index.store import LocalStore
from index.writing import upgrade
from tests.conftest import ROOT, run_build


@pytest.fixture
def built(settings: IndexSettings, embedder: LocalEmbedder) -> IndexSettings:
    run_build(settings, embedder)
    return settings


def words(store: LocalStore, text: str) -> list[str]:
    hits = store.lexical(text, 5)
    return [store.get([hit.key])[hit.key].document_id for hit in hits]


def state_of(settings: IndexSettings) -> dict[str, str]:
    return {finding.subject: finding.state for finding in examine(settings)}


@pytest.mark.parametrize("name", ["../victim.txt", "{absolute}", ".managed.json/../../victim.txt"])
@pytest.mark.parametrize("field", ["lists", "segments"])
def test_names_in_a_store_reach_no_file_outside_it(
    built: IndexSettings, embedder: LocalEmbedder, tmp_path: Path, name: str, field: str
) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("untouched")
    state = built.store / "words" / "state.json"
    told = json.loads(state.read_text().partition("\n")[2])
    told[field][name.format(absolute=victim)] = "overwritten"
    text = json.dumps(told)
    state.write_text(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")
    (built.corpus / "new.txt").write_text("Ferries cross the river.")
    run_build(built, embedder)
    assert victim.read_text() == "untouched"
    assert words(LocalStore(built.store), "ferries") == ["new.txt"]


def test_a_ledger_put_back_to_an_earlier_state_never_meets_later_indexes(built: IndexSettings, embedder: LocalEmbedder) -> None:
    old = (built.store / "ledger.db").read_bytes()
    for number in range(3):
        (built.corpus / "later.txt").write_text(f"The senate archive burns in year {number}.")
        run_build(built, embedder)
    (built.store / "ledger.db").write_bytes(old)
    (built.corpus / "later.txt").unlink()
    assert "missing or damaged" in " ".join(LocalStore(built.store).derived_state().values())
    (built.corpus / "mill.txt").write_text("The mill grinds rye.")
    run_build(built, embedder)
    store = LocalStore(built.store)
    assert words(store, "mill") == ["mill.txt"] and words(store, "senate archive") == []
    nearest = store.dense(embedder.embed(["The mill grinds rye."])[0], 1)[0]
    assert store.get([nearest.key])[nearest.key].text == "The mill grinds rye."


def test_a_rebuild_with_other_chunks_that_is_cut_off_is_no_index_yet(built: IndexSettings, embedder: LocalEmbedder) -> None:
    other = IndexSettings(built.corpus, built.added, built.store, chunk_tokens=40)
    events = build(other, embedder, rebuild=True)
    next(events)
    next(events)
    events.close()
    store = LocalStore(built.store)
    assert store.ledger.meta("finished") is None
    store.close()
    run_build(other, embedder)
    assert set(state_of(other).values()) == {"ok"}


def test_a_damaged_store_of_the_first_release_is_told_and_rebuilt(settings: IndexSettings, embedder: LocalEmbedder) -> None:
    with ZipFile(ROOT / "tests/data/store-format-1.zip") as archive:
        archive.extractall(settings.store)
    with sqlite3.connect(settings.store / "ledger.db") as connection:
        connection.execute("UPDATE documents SET record = '{torn'")
    with pytest.raises(StoreDamaged, match="rebuild it with: assistant index --rebuild"):
        upgrade(settings.store)
    assert not list(settings.store.glob("*.migrating"))
    run_build(settings, embedder, rebuild=True)
    assert set(state_of(settings).values()) == {"ok"}


def test_a_rebuild_leaves_what_cannot_be_looked_at(built: IndexSettings, embedder: LocalEmbedder) -> None:
    (built.corpus / "bread.txt").unlink()
    (built.corpus / "bread.txt").symlink_to(built.corpus / "bread.txt")
    report = run_build(built, embedder, rebuild=True)
    assert "bread.txt" in report.unchanged and report.changed == ("rivers.md",)
    assert words(LocalStore(built.store), "sourdough starter") == ["bread.txt"]


@pytest.mark.parametrize(("old", "new"), [(b'"top_key": 4', b'"top_key": 9'), (b'"version": 3', b'"version": 1')])
def test_a_changed_header_is_no_header(built: IndexSettings, old: bytes, new: bytes) -> None:
    path = built.store / "words/state.json"
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    store = LocalStore(built.store)
    assert "missing or damaged" in store.derived_state().values()
    assert len(store.dense(np.ones(384, dtype=np.float32) / np.sqrt(384), 10)) == 4


def test_a_changed_kind_date_or_model_of_a_row_is_damage(built: IndexSettings) -> None:
    for statement in (
        "UPDATE documents SET kind = 'map'",
        "UPDATE documents SET published = '1888'",
        "UPDATE vectors SET model = 2",
    ):
        copy = built.store.with_name("copy")
        shutil.copytree(built.store, copy)
        with sqlite3.connect(copy / "ledger.db") as connection:
            connection.execute("PRAGMA foreign_keys=OFF")
            connection.execute(statement)
        findings = list(examine(IndexSettings(built.corpus, built.added, copy)))
        assert {finding.subject: finding.state for finding in findings}["ledger"] == "bad", statement
        assert remedy(findings) == "rebuild"
        shutil.rmtree(copy)


@pytest.mark.parametrize("statement", ["UPDATE documents SET record = '{'", "UPDATE meta SET value = 'x' WHERE key = 'version'"])
def test_the_doctor_outlives_what_it_finds(built: IndexSettings, statement: str) -> None:
    with sqlite3.connect(built.store / "ledger.db") as connection:
        connection.execute(statement)
    assert "bad" in state_of(built).values()


def test_a_reader_of_a_ledger_that_was_set_aside_says_so(built: IndexSettings, embedder: LocalEmbedder) -> None:
    reader = LocalStore(built.store)
    assert words(reader, "oven")
    (built.store / "ledger.db").rename(built.store / "ledger.db.damaged-1")
    run_build(built, embedder)
    with pytest.raises(StoreMismatch, match="start again to use it"):
        reader.lexical("oven", 3)


def test_a_changed_manifest_of_an_export_is_not_believed(tmp_path: Path, embedder: LocalEmbedder) -> None:
    kept = next(folder for folder in default_exports().iterdir() if folder == embedder._exported.folder)  # type: ignore[union-attr]
    copy = Path(shutil.copytree(kept, tmp_path / "exports" / kept.name))
    manifest = copy / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"max_tokens": 256', '"max_tokens": 16'))
    assert not LocalEmbedder(exports=tmp_path / "exports").is_prepared
