"""What an index on a Milvus server must stand: servers and builders that die, two builders, rebuilds under readers, lost replies."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import index.milvus_server
from index.build import Report, build
from index.embedders import LocalEmbedder
from index.errors import CorpusError, SettingsError, StoreBusy, StoreDamaged, StoreError, StoreMismatch, StoreMissing
from index.filters import Filter
from index.health import examine
from index.milvus import MilvusStore
from index.milvus_builder import MilvusBuilder
from index.milvus_collections import Generation, Head, days
from index.settings import IndexSettings, MilvusAddress
from index.store import LocalStore, Store, built_with
from index.writing import building, open_store
from tests.conftest import run_build
from tests.contracts.filling import DIMENSIONS, entry, fill, texts_of
from tests.milvus_lite import MilvusLite, needs


@pytest.fixture
def shared(milvus: MilvusLite, corpus: Path, tmp_path: Path) -> IndexSettings:
    return IndexSettings(corpus, corpus / "added", tmp_path / "store", engine=milvus.address())


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[MilvusLite]:
    """One that a test may kill."""
    needs("pymilvus")
    server = MilvusLite(tmp_path / "own")
    server.start()
    yield server
    server.kill()


def rankings(store: Store, embedder: LocalEmbedder) -> list[tuple[str, float]]:
    question = "Who doubts that the treaty is fair?"
    hits = [*store.dense(embedder.embed([question])[0], 20), *store.lexical(question, 20)]
    chunks = store.get(hit.key for hit in hits)
    return [(chunks[hit.key].id, round(hit.score, 3)) for hit in hits]


def more(corpus: Path, count: int) -> None:
    for number in range(count):
        words = "\n\n".join(f"Gauge {number} at mile {mile} rose by {number + mile} inches. The dam held." for mile in range(20))
        (corpus / f"gauge{number:02}.txt").write_text(words, encoding="utf-8")


# -- building ---------------------------------------------------------------------------------------------------------


def test_a_build_gives_what_a_local_build_gives(
    shared: IndexSettings, settings: IndexSettings, corpus: Path, embedder: LocalEmbedder
) -> None:
    more(corpus, 3)
    for each in (settings, shared):
        assert len(run_build(each, embedder).added) == 5
    (corpus / "bread.txt").write_text("Rye bread needs a sour starter and a fair oven.", encoding="utf-8")
    (corpus / "gauge01.txt").rename(corpus / "moved.txt")
    reports = [run_build(each, embedder) for each in (settings, shared)]
    assert [(each.added, each.changed, each.removed, each.embedded) for each in reports] == [
        (("moved.txt",), ("bread.txt",), ("gauge01.txt",), 1)
    ] * 2
    local, engine = open_store(settings), open_store(shared)
    assert rankings(local, embedder) == rankings(engine, embedder)
    assert local.term_weights("treaty dam oven") == pytest.approx(engine.term_weights("treaty dam oven"))
    assert local.speaker_names() == engine.speaker_names()
    assert [local.document(row.id) for row in local.documents()] == [engine.document(row.id) for row in engine.documents()]
    assert run_build(shared, embedder).embedded == 0
    assert {finding.state for finding in examine(shared)} == {"ok"}
    local.close()
    engine.close()


def test_nothing_is_there_until_a_build_is_finished(
    shared: IndexSettings, corpus: Path, embedder: LocalEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.build._WAITING", 20)
    with pytest.raises(StoreMissing, match="no finished index"):
        open_store(shared)
    more(corpus, 30)
    events = build(shared, embedder)
    # By then some documents are stored, and not all.
    assert any(getattr(event, "stage", "") == "embedding" and getattr(event, "done", 0) > 40 for event in events)
    events.close()
    with pytest.raises(StoreMissing, match="no finished index"):
        open_store(shared)
    assert run_build(shared, embedder).unchanged
    store = open_store(shared)
    assert store.counts()["documents"] == 32 and store.damage() is None
    store.close()


def test_a_corpus_that_shares_nothing_with_the_index_does_not_empty_it(
    shared: IndexSettings, tmp_path: Path, embedder: LocalEmbedder
) -> None:
    run_build(shared, embedder)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/new.txt").write_text("Nothing of the rivers.", encoding="utf-8")
    other = IndexSettings(tmp_path / "other", tmp_path / "none", tmp_path / "store", engine=shared.engine)
    with pytest.raises(CorpusError, match="would remove them all"):
        run_build(other, embedder)
    store = open_store(shared)
    assert store.counts()["documents"] == 2
    store.close()


def test_nor_does_a_wrong_corpus_after_a_rebuild_that_was_cut_short(
    shared: IndexSettings, tmp_path: Path, embedder: LocalEmbedder
) -> None:
    run_build(shared, embedder)
    with building(shared, rebuild=True) as store:
        store.begin_anew(built_with(embedder.fingerprint, embedder.dimensions, shared.chunk_tokens))
    (tmp_path / "other").mkdir()
    other = IndexSettings(tmp_path / "other", tmp_path / "none", tmp_path / "store", engine=shared.engine)
    with pytest.raises(CorpusError, match="would remove them all"):
        run_build(other, embedder)
    assert len(run_build(shared, embedder).added) == 2


@pytest.mark.parametrize("method", ["put_terms", "put_heads", "delete", "put_text", "set_meta"])
def test_wherever_a_build_fails_the_next_one_leaves_what_a_build_at_once_leaves(
    shared: IndexSettings,
    settings: IndexSettings,
    corpus: Path,
    embedder: LocalEmbedder,
    method: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each write of a build fails once, after it was done."""
    more(corpus, 3)
    run_build(shared, embedder)
    (corpus / "gauge01.txt").write_text("The river fell. The dam was dry.", encoding="utf-8")
    (corpus / "gauge02.txt").unlink()
    (corpus / "new.txt").write_text("Ferries wait for the dam.", encoding="utf-8")
    kept = getattr(Generation, method)
    for failing in range(6):
        calls = 0

        def fails(self: Generation, *told: object, failing: int = failing, **named: object) -> object:
            nonlocal calls
            made = kept(self, *told, **named)
            calls += 1
            if calls == failing + 1:
                raise KeyboardInterrupt
            return made

        monkeypatch.setattr(Generation, method, fails)
        with suppress(KeyboardInterrupt):
            run_build(shared, embedder)
        monkeypatch.setattr(Generation, method, kept)
    run_build(shared, embedder)
    run_build(settings, embedder)
    local, engine = open_store(settings), open_store(shared)
    assert engine.damage() is None and engine.counts()["documents"] == local.counts()["documents"]
    words = "river dam dry ferries gauge treaty"
    assert engine.term_weights(words) == pytest.approx(local.term_weights(words))
    assert engine.speaker_names() == local.speaker_names() and rankings(engine, embedder) == rankings(local, embedder)
    local.close()
    engine.close()


# -- what is killed ----------------------------------------------------------------------------------------------------


def test_a_server_killed_in_the_middle_of_a_build_loses_no_whole_document(
    own_server: MilvusLite,
    corpus: Path,
    tmp_path: Path,
    embedder: LocalEmbedder,
    settings: IndexSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("index.build._WAITING", 20)
    monkeypatch.setattr("index.milvus_server._PATIENCE_WRITING", 2.0)
    shared = IndexSettings(corpus, corpus / "added", tmp_path / "none", engine=own_server.address())
    more(corpus, 40)
    killer: list[threading.Timer] = []
    with pytest.raises(StoreError, match="does not answer"):
        for event in build(shared, embedder):
            if getattr(event, "stage", "") == "embedding" and getattr(event, "done", 0) > 60 and not killer:
                killer.append(threading.Timer(0.05, own_server.kill))
                killer[0].start()
    own_server.start()
    expire_leases(shared)
    report = run_build(shared, embedder)
    assert len(report.added) + len(report.unchanged) == 42 and report.unchanged
    run_build(settings, embedder)
    local, engine = open_store(settings), open_store(shared)
    assert engine.damage() is None
    assert rankings(local, embedder) == rankings(engine, embedder)
    assert local.term_weights("gauge treaty 7") == pytest.approx(engine.term_weights("gauge treaty 7"))
    local.close()
    engine.close()


def test_a_reader_finds_a_server_that_was_started_again(
    own_server: MilvusLite, corpus: Path, tmp_path: Path, embedder: LocalEmbedder
) -> None:
    shared = IndexSettings(corpus, corpus / "added", tmp_path / "none", engine=own_server.address())
    run_build(shared, embedder)
    store = open_store(shared)
    assert store.lexical("treaty", 3)
    own_server.kill()
    with pytest.raises(StoreError, match="does not answer"):
        store.lexical("treaty", 3)
    own_server.start()
    assert store.lexical("treaty", 3)
    store.close()


def test_a_walk_over_all_rows_goes_on_where_the_server_was_away(own_server: MilvusLite) -> None:
    server = index.milvus_server.MilvusServer(own_server.address())
    server.create("walked", index.milvus_server.record_fields(), index.milvus_server.RECORD_INDEXES)
    server.upsert("walked", [index.milvus_server.record(f"r.{number}", "x", number=number) for number in range(300)])
    found = []
    for row in server.each("walked", "number >= 50", ["number"], at_once=40):
        found.append(row["number"])
        if len(found) in (40, 120):
            own_server.kill()
            threading.Timer(1.0, own_server.start).start()
    assert sorted(found) == list(range(50, 300))
    server.close()


def test_a_build_outlasts_a_server_that_is_started_again(
    own_server: MilvusLite, corpus: Path, tmp_path: Path, embedder: LocalEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.build._WAITING", 20)
    shared = IndexSettings(corpus, corpus / "added", tmp_path / "none", engine=own_server.address())
    more(corpus, 20)
    restarted = False
    for event in build(shared, embedder):
        if getattr(event, "stage", "") == "embedding" and getattr(event, "done", 0) > 30 and not restarted:
            restarted = True
            own_server.kill()
            threading.Timer(2.0, own_server.start).start()
    store = open_store(shared)
    assert restarted and store.counts()["documents"] == 22 and store.damage() is None
    store.close()


def test_a_builder_killed_at_any_moment_leaves_whole_documents(
    shared: IndexSettings, corpus: Path, embedder: LocalEmbedder, settings: IndexSettings
) -> None:
    more(corpus, 40)
    generator = np.random.default_rng(5)
    for _ in range(3):
        command = [sys.executable, "-m", "tests.index.builder", str(corpus), str(shared.store), str(shared.engine)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as builder:
            assert builder.stdin is not None and builder.stdout is not None
            assert builder.stdout.readline() == "ready\n"
            builder.stdin.write("build\n")
            builder.stdin.flush()
            time.sleep(generator.uniform(0.2, 3.0))
            builder.kill()
        expire_leases(shared)
        for number in generator.choice(40, 4, replace=False):
            path = corpus / f"gauge{number:02}.txt"
            path.write_text(path.read_text(encoding="utf-8") + "\n\nIt rose again.", encoding="utf-8")
    run_build(shared, embedder)
    run_build(settings, embedder)
    local, engine = open_store(settings), open_store(shared)
    assert engine.damage() is None and engine.counts()["chunks"] == local.counts()["chunks"]
    assert rankings(local, embedder) == rankings(engine, embedder)
    assert local.term_weights("rose again gauge") == pytest.approx(engine.term_weights("rose again gauge"))
    assert isinstance(engine, MilvusStore)
    # Nothing of what was cut short is left over.
    assert len(list(engine._server.each(engine._here.chunks, "key >= 0", [], key="key"))) == engine.counts()["chunks"]
    local.close()
    engine.close()


def expire_leases(settings: IndexSettings) -> None:
    """As if the time had passed after which a builder that is not heard of has lost the index."""
    assert settings.engine is not None
    server = index.milvus_server.MilvusServer(settings.engine)
    collection = index.milvus_server.lease_collection(settings.engine)
    for row in list(server.each(collection, "number > 0", ["id", "body"])) if server.names(collection) else []:
        server.upsert(collection, [index.milvus_server.record(str(row["id"]), str(row["body"]), number=1)])
    server.close()


def test_a_build_that_touches_and_then_fails_is_counted_anew(
    shared: IndexSettings, settings: IndexSettings, corpus: Path, embedder: LocalEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    more(corpus, 3)
    run_build(shared, embedder)
    (corpus / "bread.txt").touch()
    (corpus / "gauge01.txt").write_text("The river fell. The dam was dry.", encoding="utf-8")
    monkeypatch.setattr("index.build._WAITING", 1)
    kept = Generation.put_heads

    def fails(self: Generation, heads: list[Head]) -> None:
        kept(self, heads)
        if heads[0].row.id == "gauge01.txt":
            raise KeyboardInterrupt

    monkeypatch.setattr(Generation, "put_heads", fails)
    with suppress(KeyboardInterrupt):
        run_build(shared, embedder)
    monkeypatch.setattr(Generation, "put_heads", kept)
    for each in (shared, settings):
        run_build(each, embedder)
    local, engine = open_store(settings), open_store(shared)
    assert engine.damage() is None and engine.counts()["chunks"] == local.counts()["chunks"]
    assert engine.term_weights("river dam dry gauge") == pytest.approx(local.term_weights("river dam dry gauge"))
    local.close()
    engine.close()


def test_stamps_that_a_killed_builder_wrote_reach_open_readers(
    shared: IndexSettings, corpus: Path, embedder: LocalEmbedder
) -> None:
    run_build(shared, embedder)
    reader = open_store(shared)
    assert reader.documents()
    with building(shared) as builder:
        assert isinstance(builder, MilvusBuilder)
        (corpus / "bread.txt").touch()
        stat = (corpus / "bread.txt").stat()
        builder.touch("bread.txt", size=stat.st_size, modified=stat.st_mtime_ns)
        builder._touched = False  # As if it were killed: nothing is told.
    assert not run_build(shared, embedder).changed
    assert [row.modified for row in reader.documents() if row.id == "bread.txt"] == [stat.st_mtime_ns]
    reader.close()


# -- one builder ---------------------------------------------------------------------------------------------------------


def test_one_builder_at_a_time(shared: IndexSettings, embedder: LocalEmbedder) -> None:
    with building(shared), pytest.raises(StoreBusy, match=r"process \d+ on .* is building"):
        run_build(shared, embedder)
    run_build(shared, embedder)
    store = open_store(shared)
    assert not store.is_being_built
    with building(shared):
        assert store.is_being_built
    store.close()


def test_of_builders_that_begin_at_once_never_two_hold_the_index(shared: IndexSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    holding, most, got = 0, 0, 0
    lock, gate = threading.Lock(), threading.Barrier(4)

    def one() -> None:
        nonlocal holding, most, got
        for _ in range(4):
            gate.wait()
            try:
                with building(shared):
                    with lock:
                        holding, got = holding + 1, got + 1
                        most = max(most, holding)
                    time.sleep(0.2)
                    with lock:
                        holding -= 1
            except StoreBusy:
                pass

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1 and got >= 4


def test_a_builder_that_was_cut_off_for_too_long_writes_nothing_more(
    shared: IndexSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.milvus_server.LEASE_SECONDS", 1.0)
    with building(shared) as store:
        store.begin_anew(built_with("model:1", DIMENSIONS, 200))
        made, _ = entry(store, "d0", texts_of(0, 3), 0)
        monkeypatch.setattr(index.milvus_server.Lease, "_write", lambda self: None)
        time.sleep(1.5)
        with pytest.raises(StoreBusy, match="was cut off"):
            store.apply(put=[made])
        assert store.counts()["documents"] == 0


# -- readers --------------------------------------------------------------------------------------------------------------


def test_readers_go_on_during_a_rebuild_and_go_over_to_it_at_its_end(
    shared: IndexSettings, corpus: Path, embedder: LocalEmbedder
) -> None:
    run_build(shared, embedder)
    reader = open_store(shared)
    before = rankings(reader, embedder)
    (corpus / "bread.txt").write_text("The treaty on bread is fair.", encoding="utf-8")
    versions = []
    for event in build(shared, embedder, rebuild=True):
        if not isinstance(event, Report):
            versions.append(reader.version)
            assert rankings(reader, embedder) == before
    assert len(set(versions)) == 1 and reader.version > versions[0]
    assert "The treaty on bread is fair." in reader.document("bread.txt").text
    other = IndexSettings(corpus, shared.added, shared.store, chunk_tokens=64, engine=shared.engine)
    run_build(other, embedder, rebuild=True)
    for _ in range(2):
        with pytest.raises(StoreMismatch, match="start again"):
            reader.lexical("treaty", 3)
    reader.close()
    fresh = open_store(other)
    assert fresh.lexical("treaty", 3)
    fresh.close()


def test_a_rebuild_keeps_what_cannot_be_read_this_time(shared: IndexSettings, corpus: Path, embedder: LocalEmbedder) -> None:
    run_build(shared, embedder)
    (corpus / "rivers.md").write_bytes(b"\x00\x01\xff" * 50)
    (corpus / "gone.txt").write_text("Gone soon.", encoding="utf-8")
    report = run_build(shared, embedder, rebuild=True)
    assert len(report.failed) == 1
    store = open_store(shared)
    assert [row.id for row in store.documents()] == ["bread.txt", "gone.txt", "rivers.md"]
    assert "signed in Basel" in store.document("rivers.md").text
    assert store.lexical("Basel", 1) and store.damage() is None
    store.close()


def test_a_reader_looks_again_where_a_builder_changes_what_it_reads(
    shared: IndexSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two of a reader's calls the builder puts another version of each document."""
    with building(shared) as builder:
        builder.begin_anew(built_with("model:1", DIMENSIONS, 200))
        fill(builder)
        builder.finish("{}")
        reader = open_store(shared)
        assert isinstance(reader, MilvusStore)
        versions, call = 0, reader._server.call

        def call_after_a_change(name: str, *told: object, **named: object) -> object:
            nonlocal versions
            if versions < 4:
                versions += 1
                builder.apply(put=[entry(builder, f"d{seed}", texts_of(seed, 8), seed)[0] for seed in range(5)])
                builder.derive()
            return call(name, *told, **named)

        query = np.ones(DIMENSIONS, dtype=np.float32) / 4
        for ask in (
            lambda: len(reader.dense(query, 100)),
            lambda: len(reader.lexical("river treaty north dam border army water south bank alliance", 100)),
            lambda: len(reader.document("d3").text) and 40,
            lambda: len(reader.keys_of(None)),
            lambda: len(reader.speaker_names()) and 40,
            lambda: reader.damage() or 40,
        ):
            versions = 0
            monkeypatch.setattr(reader._server, "call", call_after_a_change)
            assert ask() == 40 and versions == 4
            monkeypatch.setattr(reader._server, "call", call)
        reader.close()


def test_a_document_that_is_being_written_is_not_missed(shared: IndexSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between a search and the look at what counts, the builder writes a document and has not told it yet, or was killed then."""
    with building(shared) as builder:
        assert isinstance(builder, MilvusBuilder)
        builder.begin_anew(built_with("model:1", DIMENSIONS, 200))
        fill(builder)
        builder.finish("{}")
        reader = open_store(shared)
        assert isinstance(reader, MilvusStore)
        reader.warm()
        tell, call, written = MilvusBuilder._tell, reader._server.call, 0

        def call_after_a_write(name: str, *told: object, **named: object) -> object:
            nonlocal written
            if name == "query" and not written and "m.stats" not in str(named.get("ids")):
                written += 1
                monkeypatch.setattr(MilvusBuilder, "_tell", lambda self, **named: (_ for _ in ()).throw(KeyboardInterrupt))
                with suppress(KeyboardInterrupt):
                    builder.apply(put=[entry(builder, "d3", texts_of(3, 8), 3)[0]])
                monkeypatch.setattr(MilvusBuilder, "_tell", tell)
            return call(name, *told, **named)

        query, voice = np.ones(DIMENSIONS, dtype=np.float32) / 4, Filter(voices=("A",))
        for ask in (
            lambda: len(reader.dense(query, 100)),
            lambda: len(reader.dense(query, 100, only=voice)),
            lambda: reader.damage() or 40,
        ):
            written = 0
            reader._forget()
            monkeypatch.setattr(reader._server, "call", call_after_a_write)
            assert ask() == 40 and written == 1
            monkeypatch.setattr(reader._server, "call", call)
        reader.close()


def test_a_reader_that_slept_through_two_rebuilds_wakes_in_the_last(shared: IndexSettings, embedder: LocalEmbedder) -> None:
    run_build(shared, embedder)
    readers = [open_store(shared) for _ in range(3)]
    for _ in range(3):
        run_build(shared, embedder, rebuild=True)
    assert readers[0].lexical("treaty", 3)
    assert readers[1].document("rivers.md").title == "The River Treaty"
    assert len(readers[2].keys_of(None)) == readers[2].counts()["chunks"]
    for reader in readers:
        reader.close()


@pytest.mark.parametrize(("half", "rebuild"), [("records", False), ("records", True), ("chunks", True)])
def test_a_builder_killed_while_it_drops_a_generation_blocks_no_other(
    shared: IndexSettings, embedder: LocalEmbedder, half: str, rebuild: bool
) -> None:
    run_build(shared, embedder)
    with building(shared, rebuild=True) as store:
        assert isinstance(store, MilvusBuilder)
        store.begin_anew(built_with(embedder.fingerprint, embedder.dimensions, shared.chunk_tokens))
        store._server.drop(getattr(store._here, half))
    assert run_build(shared, embedder, rebuild=rebuild).embedded == 0
    reader = open_store(shared)
    assert isinstance(reader, MilvusStore)
    assert reader.damage() is None and reader.counts()["documents"] == 2
    assert len(Generation.numbers(reader._server)) <= 2
    reader.close()


@pytest.mark.parametrize(
    ("published", "known"),
    [
        ("2021", (20210000, 20219999)), ("2021-06", (20210600, 20210699)), ("2021-06-15", (20210615, 20210615)),
        ("2021-06-15T10:00:00Z", (20210615, 20210615)), ("20210615", (20210615, 20210615)), ("2021/06", (20210600, 20210699)),
        ("1990s", (19900000, 19909999)), ("12345678901234567890", (12340000, 12349999)), ("June 2021", (0, 0)), (None, (0, 0)),
    ],
)  # fmt: skip
def test_the_days_that_a_date_may_mean(published: str | None, known: tuple[int, int]) -> None:
    assert days(published) == known


def test_a_filter_never_becomes_part_of_an_expression(shared: IndexSettings) -> None:
    with building(shared) as store:
        store.begin_anew(built_with("model:1", DIMENSIONS, 200))
        fill(store)
        query = np.ones(DIMENSIONS, dtype=np.float32) / 4
        for hostile in ('d1" or key >= 0 or name == "', "d1') or (1==1", "{ids}", "d%", "\\", "key"):
            for only in (Filter(documents=(hostile,)), Filter(voices=(hostile,)), Filter(kinds=(hostile,))):
                assert store.dense(query, 5, only=only) == [] and store.lexical("river", 5, only=only) == []


# -- what servers are ------------------------------------------------------------------------------------------------------


def test_an_index_of_another_format_is_refused_and_rebuilt(shared: IndexSettings, embedder: LocalEmbedder) -> None:
    run_build(shared, embedder)
    with building(shared) as builder:
        assert isinstance(builder, MilvusBuilder)
        builder._here.set_meta({"format": "77"})
    with pytest.raises(StoreDamaged, match=r"has format 77.*--rebuild"):
        open_store(shared)
    with pytest.raises(StoreDamaged, match=r"has format 77.*--rebuild"):
        run_build(shared, embedder)
    run_build(shared, embedder, rebuild=True)
    store = open_store(shared)
    assert store.counts()["documents"] == 2
    store.close()


def test_a_missing_index_is_known_however_a_server_names_it(shared: IndexSettings) -> None:
    from pymilvus.exceptions import DescribeCollectionException

    assert shared.engine is not None
    server = index.milvus_server.MilvusServer(shared.engine)
    for error in (
        DescribeCollectionException(100, "collection not found[collection=x]"),
        DescribeCollectionException(0, "can't find collection[database=default][collection=x]", 4),
    ):
        assert isinstance(server._failure(error), index.milvus_server.CollectionGone)
    assert server.described("nothing") is None
    server.close()


def test_a_collection_of_somebody_else_is_left_alone(shared: IndexSettings, embedder: LocalEmbedder) -> None:
    assert shared.engine is not None
    server = index.milvus_server.MilvusServer(shared.engine)
    server.create(shared.engine.name, index.milvus_server.record_fields(), index.milvus_server.RECORD_INDEXES)
    with pytest.raises(StoreError, match="something else"):
        run_build(shared, embedder)
    assert server.names(shared.engine.name + "__1") == []
    server.close()


def test_a_server_that_is_not_there_is_told_in_one_sentence(command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    needs("pymilvus")
    done = command("ask", "--store", "milvus://127.0.0.1:9/alliance", "What does Vu say?")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("assistant: the Milvus server at 127.0.0.1:9 does not answer; check that it runs")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "told",
    [
        "milvus://",
        "milvus://user:p/ss@host/x",
        "milvus:user:p@ss@host/x",
        "milvus:x",
        "milvus://host",
        "milvus://host/a b",
        "milvus://host/a__b",
        "milvus://u:p@host/a",
        "milvus://h:99999/a",
    ],
)
def test_what_is_no_address_is_refused(told: str) -> None:
    with pytest.raises(SettingsError, match=r"write milvus://HOST:19530/NAME") as refused:
        MilvusAddress.parse(told)
    assert "ss@" not in str(refused.value) and "p/ss" not in str(refused.value)


def test_an_address_is_read_as_it_is_written() -> None:
    for told in ("milvus://db.example.org:19530/debate", "milvus+tls://[::1]:443/a_b"):
        assert str(MilvusAddress.parse(told)) == told
    assert MilvusAddress.parse("milvus://localhost/x").port == 19530


@pytest.mark.parametrize("missing", ["pymilvus", "something_pymilvus_needs"])
def test_a_missing_extra_names_its_command_and_other_failures_pass(tmp_path: Path, missing: str) -> None:
    """pymilvus itself missing is told with the command that installs it; what it lacks in turn is not mistaken for that."""
    package = tmp_path / "pymilvus"
    package.mkdir()
    (package / "__init__.py").write_text(f"raise ModuleNotFoundError('No such module', name={missing!r})")
    script = (
        "from index.settings import MilvusAddress\nfrom index.milvus_server import MilvusServer\n"
        "from index.errors import StoreError\n"
        "try:\n    MilvusServer(MilvusAddress.parse('milvus://127.0.0.1:9/x'))\n"
        "except StoreError as error:\n    print('told', error)\nexcept ModuleNotFoundError as error:\n    print('passed', error.name)\n"
    )
    environment = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    if missing == "pymilvus":
        assert "pip install 'alliance-assistant[milvus]'" in done.stdout
    else:
        assert done.stdout == "passed something_pymilvus_needs\n"


# -- networks -----------------------------------------------------------------------------------------------------------------


def proxied(port: int, shared: IndexSettings, *, host: str = "127.0.0.1", encrypted: bool = False) -> IndexSettings:
    assert shared.engine is not None
    address = MilvusAddress(host, port, shared.engine.name, encrypted)
    return IndexSettings(shared.corpus, shared.added, shared.store, engine=address)


def test_lost_replies_and_busy_servers_double_nothing(
    milvus: MilvusLite, shared: IndexSettings, settings: IndexSettings, corpus: Path, embedder: LocalEmbedder
) -> None:
    """Every third write is done and its reply lost: it is sent again, and what it wrote is there once."""
    import grpc

    from tests.milvus_proxy import Proxy

    more(corpus, 5)
    lost = grpc.StatusCode.UNAVAILABLE
    writes = {"Upsert", "Delete", "AlterCollection", "CreateAlias", "AlterAlias", "DropCollection"}
    proxy = Proxy(milvus, trouble=lambda name, count: lost if name in writes and count % 3 == 1 else None).start()
    run_build(proxied(proxy.port, shared), embedder)
    (corpus / "gauge01.txt").unlink()
    run_build(proxied(proxy.port, shared), embedder)
    for _ in range(2):
        assert run_build(proxied(proxy.port, shared), embedder, rebuild=True).embedded == 0
    assert proxy.calls["Upsert"] > 10 and all(proxy.calls[name] for name in writes)
    proxy.stop()
    run_build(settings, embedder)
    local, engine = open_store(settings), open_store(shared)
    assert isinstance(engine, MilvusStore) and isinstance(local, LocalStore)
    assert engine.damage() is None and engine.counts()["chunks"] == local.counts()["chunks"]
    assert len(list(engine._server.each(engine._here.chunks, "key >= 0", [], key="key"))) == local.counts()["chunks"]
    assert rankings(local, embedder) == rankings(engine, embedder)
    local.close()
    engine.close()


def test_a_key_and_tls_are_used_and_a_wrong_key_is_told(
    milvus: MilvusLite, shared: IndexSettings, tmp_path: Path, embedder: LocalEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    import base64

    from tests.milvus_proxy import Proxy, certificate

    key, chain = certificate(tmp_path)
    proxy = Proxy(milvus, key=base64.b64encode(b"reader:secret").decode()).start((key, chain))
    safe = proxied(proxy.port, shared, host="localhost", encrypted=True)
    monkeypatch.setenv("MILVUS_CA", str(chain))
    monkeypatch.setenv("MILVUS_TOKEN", "reader:secret")
    run_build(safe, embedder)
    store = open_store(safe)
    assert store.counts()["documents"] == 2
    store.close()
    monkeypatch.setenv("MILVUS_TOKEN", "reader:wrong")
    with pytest.raises(StoreError, match="refuses the key; set the environment variable MILVUS_TOKEN"):
        open_store(safe)
    monkeypatch.setenv("MILVUS_TOKEN", "reader:secret")
    monkeypatch.delenv("MILVUS_CA")
    with pytest.raises(StoreError, match="does not answer"):
        open_store(safe)
    monkeypatch.setenv("MILVUS_CA", str(tmp_path / "nowhere.pem"))
    with pytest.raises(StoreError, match="MILVUS_CA names a file that cannot be read"):
        open_store(safe)
    with pytest.raises(StoreError, match="does not answer"):
        open_store(proxied(proxy.port, shared, host="localhost"))
    proxy.stop()
