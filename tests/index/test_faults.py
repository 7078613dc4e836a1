"""What the store must stand: killed builders, full disks, copies taken in the middle, many readers and writers at once.

ASSISTANT_SOAK=1 (`make soak`) runs the long forms: 500 kills of a small store and of a large one, a minute of readers and writers.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from index.embedders import LocalEmbedder
from index.errors import AssistantError, StoreError
from index.health import examine
from index.ledger import Entry
from index.settings import IndexSettings
from index.store import LocalStore
from tests.conftest import ROOT, run_build

SOAK = os.environ.get("ASSISTANT_SOAK") == "1"
QUESTIONS = ["Who inspects the dams in spring?", "treaty of the upper river", "bread and salt", "army of the north border"]
NOUNS = "dam river treaty border army bread salt oven bank ferry mill bridge pact senate archive".split()
VERBS = "inspects crosses guards signs bakes measures denies floods repairs describes".split()


class World:
    """A corpus that changes at random, and what each of its files has ever said."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.ever: dict[str, set[str]] = {}
        folder.mkdir()

    def text(self) -> str:
        pick = self.random.choice
        return "\n\n".join(
            " ".join(
                f"The {pick(NOUNS)} of the {pick(NOUNS)} {pick(VERBS)} the {pick(NOUNS)} number {self.random.randrange(99)}."
                for _ in range(self.random.randint(1, 14))
            )
            for _ in range(self.random.randint(1, 5))
        )

    def write(self, name: str) -> None:
        text = self.text()
        self.ever.setdefault(name, set()).add(text)
        (self.folder / name).write_text(text, encoding="utf-8")

    def change(self) -> None:
        """Adds, changes, renames and removes some files."""
        names = sorted(path.name for path in self.folder.glob("*.txt"))
        for _ in range(self.random.randint(1, 4)):
            self.write(f"f{self.random.randrange(60):02}.txt")
        if len(names) > 3:
            moved, gone = self.random.sample(names, 2)
            target = f"m{self.random.randrange(30):02}.txt"
            self.ever.setdefault(target, set()).add((self.folder / moved).read_text(encoding="utf-8"))
            (self.folder / moved).rename(self.folder / target)
            if self.random.random() < 0.7:
                (self.folder / gone).unlink(missing_ok=True)


@dataclass
class Builder:
    process: subprocess.Popen[str]

    @classmethod
    def start(cls, corpus: Path, store: Path, *kind: str, **options: Callable[[], None]) -> Builder:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.index.builder", str(corpus), str(store), *kind],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, **options,
        )  # fmt: skip
        return cls(process)

    def ready(self) -> Builder:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        return self

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def said(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=30)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                # What was not read yet is of no interest.
                with suppress(BrokenPipeError):
                    pipe.close()


def found(store: LocalStore, questions: np.ndarray, count: int = 30) -> list[list[tuple[str, float]]]:
    """For each question what both searches give: chunk ids and scores."""
    results = []
    for text, vector in zip(QUESTIONS, questions, strict=True):
        for hits in (store.dense(vector, count), store.lexical(text, count)):
            chunks = store.get(hit.key for hit in hits)
            results.append([(chunks[hit.key].id, round(hit.score, 4)) for hit in hits])
    return results


def built_at_once(store: LocalStore, folder: Path) -> LocalStore:
    """Another store that holds the same documents, put there in another order, and derives its indexes at once."""
    made = LocalStore(folder, writable=True)
    names = ("fingerprint", "dimensions", "chunk_tokens", "finished")
    made.ledger.set_meta({name: store.ledger.meta(name) or "" for name in names})
    by_document: dict[str, list[int]] = {}
    for key, (document, _) in store.ledger.places(store.ledger.chunk_keys()).items():
        by_document.setdefault(document, []).append(key)
    for row in reversed(store.documents()):
        chunks = [chunk for _, chunk in sorted(store.get(by_document.get(row.id, [])).items())]
        keys, vectors = store.ledger.vectors(by_document.get(row.id, []), store.dimensions)
        assert len(keys) == len(chunks), "a chunk without its vector"
        digests = [chunk.id.encode() for chunk in chunks]
        made.ledger.put_vectors(store.ledger.meta("fingerprint") or "", dict(zip(digests, vectors, strict=True)))
        made.apply(put=[Entry(store.document(row.id), chunks, digests, size=1, modified=1, tokens=1)])
    return made


def check(folder: Path, world: World, questions: np.ndarray, scratch: Path) -> None:
    """Whatever happened to the builder: whole documents only, no orphan, and search as if built at once."""
    store = LocalStore(folder)
    try:
        assert store.ledger.integrity() == "ok"
        counts = store.ledger.counts()
        rows = store.documents()
        assert sum(row.chunks for row in rows) == counts["chunks"]
        for row in rows:
            document = store.document(row.id)
            assert document.text in world.ever[row.id], f"{row.id} holds what no file ever said"
            assert row.chunks
        for chunk in store.get(store.ledger.chunk_keys()).values():
            assert store.document(chunk.document_id).text[chunk.start : chunk.end] == chunk.text
        shutil.rmtree(scratch, ignore_errors=True)
        if rows:
            reference = built_at_once(store, scratch)
            assert found(store, questions) == found(reference, questions)
            reference.close()
    finally:
        store.close()


@pytest.fixture(scope="module")
def questions(embedder: LocalEmbedder) -> np.ndarray:
    return embedder.embed(QUESTIONS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["small", "large"])
def test_killed_at_random_instants_the_store_loses_nothing(
    kind: str, tmp_path: Path, questions: np.ndarray, embedder: LocalEmbedder
) -> None:
    world = World(tmp_path / "corpus", seed=4)
    settings = IndexSettings(world.folder, world.folder / "added", tmp_path / "store")
    for _ in range(4):
        world.change()
    run_build(settings, embedder)
    instants = random.Random(7)
    waiting = Builder.start(world.folder, settings.store, kind)
    killed_in_work, longest = 0, 0.25
    for number in range(500 if SOAK else 20):
        builder, waiting = waiting.ready(), Builder.start(world.folder, settings.store, kind)
        world.change()
        begun = time.perf_counter()
        builder.go()
        if number % 10 == 9:
            # Now and then a builder finishes: the whole is then as if built from the files at once.
            assert builder.said() == "done"
            longest = max(0.05, 0.5 * longest + 0.5 * (time.perf_counter() - begun))
            builder.kill()
            assert (settings.store / "vectors.faiss").exists() == (kind == "large")
            fresh = IndexSettings(world.folder, world.folder / "added", tmp_path / f"fresh{number}")
            run_build(fresh, embedder)
            left, right = LocalStore(settings.store), LocalStore(fresh.store)
            assert [row.id for row in left.documents()] == [row.id for row in right.documents()]
            assert found(left, questions) == found(right, questions)
            left.close()
            right.close()
            shutil.rmtree(fresh.store)
        else:
            time.sleep(instants.uniform(0, longest))
            killed_in_work += builder.process.poll() is None
            builder.kill()
        check(settings.store, world, questions, tmp_path / "scratch")
    waiting.kill()
    run_build(settings, embedder)
    last = LocalStore(settings.store)
    held = {row.id: last.document(row.id).text for row in last.documents()}
    assert held == {path.name: path.read_text(encoding="utf-8") for path in world.folder.glob("*.txt")}
    assert {finding.state for finding in examine(settings)} == {"ok"}
    assert killed_in_work


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1000k", "tmpfs", str(folder)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("a small disk can be mounted by root only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


@pytest.mark.slow
def test_a_full_disk_is_told_and_what_was_written_is_whole(tiny_disk: Path, tmp_path: Path, questions: np.ndarray) -> None:
    world = World(tmp_path / "corpus", seed=5)
    store = tiny_disk / "store"
    builder = Builder.start(world.folder, store).ready()
    said = []
    for _ in range(40):
        for _ in range(3):
            world.change()
        builder.go()
        said.append(builder.said())
        if said[-1] != "done":
            break
    builder.kill()
    assert said[0] == "done"
    assert said[-1].startswith("StoreError: ") and str(store) in said[-1]
    # With room again everything is there that was whole, and the next build goes on.
    roomy = tmp_path / "roomy"
    shutil.copytree(store, roomy)
    check(roomy, world, questions, tmp_path / "scratch")
    again = Builder.start(world.folder, roomy).ready()
    again.go()
    assert again.said() == "done"
    again.kill()
    check(roomy, world, questions, tmp_path / "scratch")


@pytest.mark.slow
def test_files_that_may_not_grow_are_told_and_nothing_is_torn(tmp_path: Path, questions: np.ndarray) -> None:
    world = World(tmp_path / "corpus", seed=6)
    for _ in range(30):
        world.change()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, 120_000))

    builder = Builder.start(world.folder, tmp_path / "store", preexec_fn=limit).ready()
    builder.go()
    said = builder.said()
    builder.kill()
    assert said.startswith("StoreError: ") and "store" in said
    free = Builder.start(world.folder, tmp_path / "store").ready()
    free.go()
    assert free.said() == "done"
    free.kill()
    check(tmp_path / "store", world, questions, tmp_path / "scratch")


@pytest.mark.slow
def test_a_copy_taken_while_a_builder_works_is_whole_or_refused(
    tmp_path: Path, questions: np.ndarray, embedder: LocalEmbedder
) -> None:
    world = World(tmp_path / "corpus", seed=8)
    store = tmp_path / "store"
    for _ in range(10):
        world.change()
    builder = Builder.start(world.folder, store).ready()
    builder.go()
    assert builder.said() == "done"
    outcomes = []
    for number in range(40 if SOAK else 8):
        world.change()
        builder.go()
        copy = tmp_path / f"copy{number}"
        # As a person's file manager does it: one file after the other, of which some may be gone again.
        copy.mkdir()
        for path in sorted(store.rglob("*")):
            target = copy / path.relative_to(store)
            try:
                if path.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                else:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, target)
            except OSError:
                continue
        assert builder.said() == "done"
        try:
            check(copy, world, questions, tmp_path / "scratch")
            outcomes.append("whole")
        except StoreError:
            outcomes.append("refused")
            run_build(IndexSettings(world.folder, world.folder / "added", copy), embedder, rebuild=True)
            check(copy, world, questions, tmp_path / "scratch")
        shutil.rmtree(copy)
    builder.kill()
    assert "whole" in outcomes


@pytest.mark.slow
def test_two_write_and_five_read_at_once(tmp_path: Path, questions: np.ndarray) -> None:
    world = World(tmp_path / "corpus", seed=9)
    store = tmp_path / "store"
    for _ in range(6):
        world.change()
    builders = [Builder.start(world.folder, store).ready() for _ in range(2)]
    builders[0].go()
    assert builders[0].said() == "done"
    end = time.monotonic() + (60 if SOAK else 5)
    faults: list[str] = []
    asked = [0] * 5

    def read(number: int) -> None:
        reader = LocalStore(store)
        try:
            while time.monotonic() < end:
                for text, vector in zip(QUESTIONS, questions, strict=True):
                    hits = [*reader.dense(vector, 10), *reader.lexical(text, 10)]
                    for chunk in reader.get(hit.key for hit in hits).values():
                        try:
                            document = reader.document(chunk.document_id)
                        except StoreError as error:
                            assert "not in the index any more" in str(error)
                            continue
                        assert document.text in world.ever[document.id]
                    asked[number] += 1
        except (AssertionError, AssistantError) as error:
            faults.append(f"{type(error).__name__}: {error}")
        finally:
            reader.close()

    readers = [threading.Thread(target=read, args=(number,)) for number in range(5)]
    for reader in readers:
        reader.start()
    said = set()
    while time.monotonic() < end:
        world.change()
        for builder in builders:
            builder.go()
        said |= {builder.said().partition(":")[0] for builder in builders}
    for reader in readers:
        reader.join()
    for builder in builders:
        builder.go()
        builder.said()
        builder.kill()
    assert faults == []
    assert all(asked)
    assert said <= {"done", "StoreBusy"} and "done" in said
    check(store, world, questions, tmp_path / "scratch")


@pytest.mark.slow
@pytest.mark.parametrize("place", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
@pytest.mark.parametrize("damage", ["flipped", "zeroed", "cut"])
def test_a_damaged_ledger_is_found_or_harmless(
    damage: str, place: float, tmp_path: Path, questions: np.ndarray, embedder: LocalEmbedder
) -> None:
    world = World(tmp_path / "corpus", seed=10)
    for _ in range(12):
        world.change()
    settings = IndexSettings(world.folder, world.folder / "added", tmp_path / "store")
    run_build(settings, embedder)
    ledger = settings.store / "ledger.db"
    with sqlite3.connect(ledger) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(ledger.read_bytes())
    at = int(len(data) * place)
    if damage == "flipped":
        data[at] ^= 0xFF
    elif damage == "zeroed":
        data[at : at + 512] = bytes(len(data[at : at + 512]))
    else:
        del data[at:]
    ledger.write_bytes(data)
    told = [finding for finding in examine(settings) if finding.state == "bad"]
    if not told:
        check(settings.store, world, questions, tmp_path / "scratch")
    run_build(settings, embedder, rebuild=True)
    check(settings.store, world, questions, tmp_path / "scratch")
