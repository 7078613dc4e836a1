from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

import index.build
import index.reading
from index.build import Plan, Progress, build
from index.embedders import LocalEmbedder
from index.errors import CorpusError, StoreBusy, StoreError, StoreMismatch, StoreMissing
from index.filters import Filter
from index.health import examine
from index.loaders.registry import Loaded, load
from index.settings import IndexSettings
from index.store import LocalStore
from index.writing import build_lock
from tests.conftest import BREAD, ROOT, run_build
from tests.index.writing_files import column, pdf


def found(settings: IndexSettings, embedder: LocalEmbedder, question: str) -> list[str]:
    """Texts found by both searches, best first, without doubles."""
    store = LocalStore(settings.store)
    hits = [*store.lexical(question, 5), *store.dense(embedder.embed([question])[0], 5)]
    chunks = store.get(hit.key for hit in hits)
    store.close()
    return list(dict.fromkeys(chunks[hit.key].text for hit in hits))


def test_the_first_build_tells_what_it_added(settings: IndexSettings, embedder: LocalEmbedder) -> None:
    report = run_build(settings, embedder)
    assert (report.added, report.changed, report.removed, report.failed) == (("bread.txt", "rivers.md"), (), (), ())
    assert report.embedded == 4
    assert "sour starter" in found(settings, embedder, "What does rye bread need?")[0]


def test_a_second_build_embeds_nothing_and_loads_no_model(settings: IndexSettings, embedder: LocalEmbedder) -> None:
    run_build(settings, embedder)
    fresh = LocalEmbedder()
    report = run_build(settings, fresh)
    assert (report.embedded, report.unchanged) == (0, ("bread.txt", "rivers.md"))
    assert fresh._compiled is None and fresh._reference is None


def test_one_changed_file_costs_that_file(settings: IndexSettings, embedder: LocalEmbedder) -> None:
    run_build(settings, embedder)
    (settings.corpus / "bread.txt").write_text(BREAD + "\nSpelt is an old grain.\n", encoding="utf-8")
    (settings.corpus / "new.md").write_text("# Salt\n\nSalt keeps bread fresh.", encoding="utf-8")
    report = run_build(settings, embedder)
    assert (report.added, report.changed, report.unchanged) == (("new.md",), ("bread.txt",), ("rivers.md",))
    assert report.embedded == 2
    assert any("Spelt" in text for text in found(settings, embedder, "spelt grain"))


def test_reading_is_a_little_ahead_of_embedding_and_ends_with_it(
    settings: IndexSettings, embedder: LocalEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(path: Path, document_id: str, *, max_bytes: int) -> Loaded:
        read.append(document_id)
        return load(path, document_id, max_bytes=max_bytes)

    monkeypatch.setattr(index.reading, "load", counted)
    monkeypatch.setattr(index.build, "_WAITING", 4)
    for number in range(60):
        (settings.corpus / f"note{number:02}.txt").write_text(f"The bread of day {number} was good.", encoding="utf-8")
    events = build(settings, embedder)
    for event in events:
        if isinstance(event, Progress) and event.stage == "embedding":
            break
    deadline = time.monotonic() + 20
    while len(read) < 8 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    assert len(read) == 8
    events.close()
    done = len(read)
    time.sleep(0.1)
    assert done == len(read) < 60 and not any("reading" in thread.name for thread in threading.enumerate())
    assert run_build(settings, embedder).failed == ()
    assert set(read) == {"bread.txt", "rivers.md", *(f"note{number:02}.txt" for number in range(60))}


def test_what_goes_wrong_while_reading_ahead_reaches_the_caller(
    settings: IndexSettings, embedder: LocalEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(index.reading, "chunk_document", exhausted)
    with pytest.raises(MemoryError):
        run_build(settings, embedder)


def test_touched_files_are_read_without_a_model_and_with_progress(settings: IndexSettings, embedder: LocalEmbedder) -> None:
    run_build(settings, embedder)
    for path in settings.corpus.iterdir():
        os.utime(path, (1, 1))
    fresh = LocalEmbedder()
    events = list(build(settings, fresh))
    assert [event.done for event in events if isinstance(event, Progress) and event.stage == "reading"][-1] == 2
    assert fresh._compiled is None and fresh._reference is None and fresh._tokenizer is None


def test_touching_a_file_changes_nothing(settings: IndexSettings, embedder: LocalEmbedder) -> None:
    run_build(settings, embedder)
    os.utime(settings.corpus / "bread.txt", (1, 1))
    report = run_build(settings, embedder)
    assert (report.changed, report.embedded, len(report.unchanged)) == ((), 0, 2)


def test_a_renamed_and_a_reverted_file_are_not_embedded_again(settings: IndexSettings, embedder: LocalEmbedder) -> None:
    run_build(settings, embedder)
    (settings.corpus / "rivers.md").rename(settings.corpus / "streams.md")
    report = run_build(settings, embedder)
    assert (report.added, report.removed, report.embedded) == (("streams.md",), ("rivers.md",), 0)
    (settings.corpus / "bread.txt").write_text("Something else entirely.", encoding="utf-8")
    assert run_build(settings, embedder).embedded == 1
    (settings.corpus / "bread.txt").write_text(BREAD, encoding="utf-8")
    assert run_build(settings, embedder).embedded == 0


def test_a_removed_file_is_found_no_more(settings: IndexSettings, embedder: LocalEmbedder) -> None:
    run_build(settings, embedder)
    (settings.corpus / "bread.txt").unlink()
    assert run_build(settings, embedder).removed == ("bread.txt",)
    assert not any("sour" in text for text in found(settings, embedder, "sour starter for rye bread"))


def test_one_bad_file_is_reported_and_the_others_are_indexed(settings: IndexSettings, embedder: LocalEmbedder) -> None:
    (settings.corpus / "binary.txt").write_bytes(b"\0\1\2")
    (settings.corpus / "big.txt").write_bytes(b"word " * 300_000)
    (settings.corpus / "empty.md").write_text("", encoding="utf-8")
    report = run_build(replace(settings, max_file_bytes=1_000_000), embedder)
    assert set(report.added) == {"bread.txt", "empty.md", "rivers.md"}
    assert [sentence.split(":")[0] for sentence in report.failed] == ["big.txt", "binary.txt"]
    assert any("no sentences" in sentence for sentence in report.warnings)


def test_a_file_that_turns_bad_keeps_its_last_good_state(settings: IndexSettings, embedder: LocalEmbedder) -> None:
    run_build(settings, embedder)
    (settings.corpus / "bread.txt").write_bytes(b"\0broken")
    report = run_build(settings, embedder)
    assert len(report.failed) == 1
    assert any("sour starter" in text for text in found(settings, embedder, "rye bread starter"))


def test_an_empty_corpus_builds_an_empty_store(tmp_path: Path, embedder: LocalEmbedder) -> None:
    (tmp_path / "none").mkdir()
    settings = IndexSettings(tmp_path / "none", tmp_path / "none/added", tmp_path / "store")
    assert run_build(settings, embedder).added == ()
    assert found(settings, embedder, "anything at all") == []


def test_hidden_files_and_links_out_of_the_corpus_are_passed_over(
    settings: IndexSettings, embedder: LocalEmbedder, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_text("A secret outside.", encoding="utf-8")
    (settings.corpus / "link.txt").symlink_to(tmp_path / "secret.txt")
    (settings.corpus / ".hidden.txt").write_text("Hidden.", encoding="utf-8")
    (settings.corpus / ".git").mkdir()
    (settings.corpus / ".git" / "x.txt").write_text("Hidden.", encoding="utf-8")
    assert run_build(settings, embedder).added == ("bread.txt", "rivers.md")


def test_another_chunk_size_is_a_planned_rebuild_never_a_mixture(settings: IndexSettings, embedder: LocalEmbedder) -> None:
    run_build(settings, embedder)
    other = replace(settings, chunk_tokens=40)
    with pytest.raises(StoreMismatch, match="--rebuild"):
        run_build(other, embedder)
    report = run_build(other, embedder, rebuild=True)
    assert set(report.changed) == {"bread.txt", "rivers.md"}
    LocalStore(settings.store).check(fingerprint=embedder.fingerprint, chunk_tokens=40)


def test_a_rebuild_that_is_cut_short_is_gone_on_with_never_taken_for_the_whole(
    settings: IndexSettings, embedder: LocalEmbedder
) -> None:
    for number in range(40):
        (settings.corpus / f"p{number:02}.txt").write_text(
            "\n\n".join(f"Paragraph {number} {line} is about rivers and their dams." * 6 for line in range(6)), encoding="utf-8"
        )
    run_build(settings, embedder)
    other = replace(settings, chunk_tokens=40)
    reader = LocalStore(settings.store)
    assert reader.lexical("rivers", 1)
    events = build(other, embedder, rebuild=True)
    for event in events:
        if getattr(event, "stage", "") == "embedding" and event.done >= 64:  # type: ignore[union-attr]
            break
    events.close()
    with pytest.raises(StoreMismatch, match="meanwhile rebuilt"):
        reader.lexical("rivers", 1)
    report = run_build(other, embedder)
    assert len(report.changed) > 10
    store = LocalStore(settings.store)
    assert max(chunk.tokens for chunk in store.get(store.ledger.chunk_keys()).values()) <= 60
    assert len(store.dense(embedder.embed(["rivers"])[0], 10_000)) == store.ledger.counts()["chunks"]


def test_a_folder_that_cannot_be_looked_into_loses_nothing(
    settings: IndexSettings, embedder: LocalEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (settings.corpus / "sub").mkdir()
    (settings.corpus / "sub/s.txt").write_text("Salmon climb the ladder.", encoding="utf-8")
    (settings.corpus / "loop.txt").symlink_to(settings.corpus / "loop.txt")
    run_build(settings, embedder)
    real = os.scandir

    def closed(path: str) -> object:
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", closed)
    report = run_build(settings, embedder)
    assert report.removed == () and "sub/s.txt" in report.unchanged
    assert any(sentence.startswith("sub: cannot be looked at") for sentence in report.failed)
    assert any(sentence.startswith("loop.txt: cannot be looked at") for sentence in report.failed)


def test_a_locked_or_foreign_ledger_is_not_set_aside(settings: IndexSettings, embedder: LocalEmbedder) -> None:
    import sqlite3

    settings.store.mkdir()
    with sqlite3.connect(settings.store / "ledger.db") as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    with pytest.raises(StoreError, match="not an index of this program"):
        run_build(settings, embedder, rebuild=True)
    assert [path.name for path in settings.store.iterdir() if "damaged" in path.name] == []


def test_a_file_that_cannot_be_read_is_not_told_as_drift_until_it_changes(
    settings: IndexSettings, embedder: LocalEmbedder
) -> None:
    (settings.corpus / "binary.txt").write_bytes(b"\0\1")
    run_build(settings, embedder)
    assert not any(finding.subject == "drift" and finding.state != "ok" for finding in examine(settings))
    assert len(run_build(settings, embedder).failed) == 1
    (settings.corpus / "binary.txt").write_text("Words after all.", encoding="utf-8")
    assert any("1 new" in finding.words for finding in examine(settings))


def test_a_damaged_ledger_is_refused_then_rebuilt_and_set_aside(settings: IndexSettings, embedder: LocalEmbedder) -> None:
    run_build(settings, embedder)
    ledger = settings.store / "ledger.db"
    ledger.write_bytes(b"not a database at all, " * 100)
    with pytest.raises(StoreError, match="is damaged"):
        LocalStore(settings.store).documents()
    assert set(run_build(settings, embedder, rebuild=True).added) == {"bread.txt", "rivers.md"}
    assert (settings.store / "ledger.db.damaged-1").read_bytes().startswith(b"not a database")


def test_a_store_that_is_missing_or_another_programs_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match="assistant index"):
        LocalStore(tmp_path / "nothing")
    import sqlite3

    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    with pytest.raises(StoreError, match="not an index of this program"):
        LocalStore(tmp_path)


def test_two_builders_do_not_meet(settings: IndexSettings, embedder: LocalEmbedder) -> None:
    with build_lock(settings.store), pytest.raises(StoreBusy, match=f"process {os.getpid()} on .* is building"):
        run_build(settings, embedder)
    assert run_build(settings, embedder).embedded == 4


def test_a_missing_corpus_is_told(tmp_path: Path, embedder: LocalEmbedder) -> None:
    with pytest.raises(CorpusError, match="--corpus"):
        run_build(IndexSettings(tmp_path / "no", tmp_path / "no/added", tmp_path / "store"), embedder)


def test_a_build_left_in_the_middle_keeps_whole_documents_and_goes_on(settings: IndexSettings, embedder: LocalEmbedder) -> None:
    for number in range(30):
        (settings.corpus / f"p{number:02}.txt").write_text(
            "\n\n".join(f"Paragraph {number} {line} is about rivers." * 12 for line in range(6)), encoding="utf-8"
        )
    events = build(settings, embedder)
    assert isinstance(next(events), Plan)
    for event in events:
        if getattr(event, "stage", "") == "embedding" and event.done >= 64:  # type: ignore[union-attr]
            break
    events.close()
    store = LocalStore(settings.store)
    assert all(row.chunks for row in store.documents())
    kept = store.ledger.counts()
    store.close()
    assert kept["vectors"] >= 64
    report = run_build(settings, embedder)
    assert report.embedded == LocalStore(settings.store).ledger.counts()["vectors"] - kept["vectors"]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_ctrl_c_and_kill_leave_a_store_that_works(how: signal.Signals, settings: IndexSettings, embedder: LocalEmbedder) -> None:
    for number in range(400):
        (settings.corpus / f"p{number:03}.txt").write_text(
            "\n\n".join(f"Paragraph {number} {line} tells of rivers and dams." * 10 for line in range(5)), encoding="utf-8"
        )
    process = subprocess.Popen(
        [sys.executable, "-m", "assistant", "index", "--corpus", str(settings.corpus), "--store", str(settings.store)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # A background job of a shell ignores Ctrl-C, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    ledger = settings.store / "ledger.db"
    while process.poll() is None and (not ledger.exists() or documents_in(settings.store) < 5):
        time.sleep(0.01)
    time.sleep(random.Random(how).random() * 0.2)
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "goes on from here" in errors
    store = LocalStore(settings.store)
    assert 0 < len(store.documents()) < 402
    assert all(row.chunks for row in store.documents())
    assert store.lexical("rivers dams", 3)
    store.close()
    run_build(settings, embedder)
    assert len(LocalStore(settings.store).documents()) == 402


def documents_in(folder: Path) -> int:
    """Counted without opening the store, which takes so long on a busy machine that a build may end meanwhile."""
    try:
        with closing(sqlite3.connect(f"file:{folder / 'ledger.db'}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM documents").fetchone()[0])
    except sqlite3.Error:
        return 0


def test_doctor_tells_drift_and_damage(settings: IndexSettings, embedder: LocalEmbedder) -> None:
    def states() -> dict[str, tuple[str, str]]:
        return {finding.subject: (finding.state, finding.words) for finding in examine(settings)}

    assert states()["store"][0] == "look"
    run_build(settings, embedder)
    assert all(state == "ok" for state, _ in states().values())
    (settings.corpus / "bread.txt").unlink()
    (settings.store / "words/state.json").write_bytes(b"torn")
    told = states()
    assert told["drift"] == ("look", told["drift"][1]) and "1 removed" in told["drift"][1]
    assert "missing or damaged" in told["words"][1]
    (settings.store / "ledger.db").write_bytes(b"x" * 5000)
    assert states()["store"][0] == "bad"


def test_files_that_vanish_change_and_grow_while_they_are_read(settings: IndexSettings, embedder: LocalEmbedder) -> None:
    corpus = settings.corpus
    restless = {"grows.txt", "changes.md", "goes.txt", "goes.pdf", "swapped.txt"}
    page = pdf([column(60, 700, ["The pier of Ulm was built in 1888."])])
    stop = threading.Event()

    def disturb() -> None:
        for number in count():
            if stop.wait(0.005):
                return
            with (corpus / "grows.txt").open("a", encoding="utf-8") as file:
                file.write(f"Ferry number {number} left the pier. ")
            (corpus / "changes.md").write_text(f"# Piers\n\nThere are {number} piers.\n" * (1 + number % 50), encoding="utf-8")
            for name, data in (("goes.txt", b"The pier is closed."), ("goes.pdf", page)):
                if (corpus / name).exists():
                    (corpus / name).unlink()
                else:
                    (corpus / name).write_bytes(data)
            (corpus / ".swapped.new").write_text(f"The ferry left {number} times.", encoding="utf-8")
            (corpus / ".swapped.new").replace(corpus / "swapped.txt")

    worker = threading.Thread(target=disturb)
    worker.start()
    try:
        for _ in range(6):
            report = run_build(settings, embedder)
            assert all(sentence.split(":")[0] in restless for sentence in report.failed), report.failed
            store = LocalStore(settings.store)
            assert {"rivers.md", "bread.txt"} <= {row.id for row in store.documents()}
            for row in store.documents():
                document = store.document(row.id)
                for chunk in store.get(store.keys_of(Filter(documents=(row.id,)))).values():
                    assert document.text[chunk.start : chunk.end] == chunk.text
            store.close()
    finally:
        stop.set()
        worker.join()
    assert not run_build(settings, embedder).failed
    store = LocalStore(settings.store)
    assert {row.id for row in store.documents()} == {
        path.name for path in corpus.iterdir() if path.suffix in (".md", ".txt", ".pdf")
    }
    for name in ("grows.txt", "changes.md", "swapped.txt"):
        assert store.document(name).text.strip() == (corpus / name).read_text(encoding="utf-8").strip()
    store.close()
