"""Indexing from files to a saved index, beside other tools with the same weights; and again after one file changed.

    python -m evals.benchmarks.indexing STORE… --passages 2000 --peer txtai=PYTHON --peer langchain=PYTHON …

STORE…: built indexes whose chunks become the paragraphs of the files. Each peer (txtai, llamaindex, langchain, chroma) runs
in an environment of its own: PYTHON is that environment's interpreter. evals/benchmarks/peers holds what each one runs; its
docstring and docs/performance.md tell how such an environment is made.

The task is the same for all: read a hundred files, embed each paragraph, leave an index on disk. Times are of whole
processes, imports included.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from evals.benchmarks.embedding import chunk_texts, print_line
from index.build import Progress, Report, build
from index.embedders import LocalEmbedder
from index.errors import AssistantError
from index.models import find_model
from index.settings import IndexSettings

_FILES = 100
_PEERS = Path(__file__).parent / "peers"


def write_files(texts: list[str], folder: Path) -> None:
    folder.mkdir()
    texts = [" ".join(text.split()) for text in texts]
    for number in range(_FILES):
        (folder / f"file{number:03}.txt").write_text("\n\n".join(texts[number::_FILES]), encoding="utf-8")


def ours(corpus: Path, store: Path, precision: str) -> tuple[float, str]:
    """(seconds of the process, what it said last)."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "assistant", "index", "--corpus", str(corpus), "--store", str(store)],
        capture_output=True, check=True, text=True, env={**os.environ, "ASSISTANT_PRECISION": precision},
    )  # fmt: skip
    return time.perf_counter() - begin, done.stdout.strip().splitlines()[-1]


def embedding_share(corpus: Path, store: Path) -> tuple[int, float, float]:
    """(chunks, seconds, share of them spent embedding), in this process, model loaded."""
    embedder, spent = LocalEmbedder(), 0.0
    embedder.embed(["warm"])
    real = embedder.embed

    def timed(texts: list[str]) -> object:
        nonlocal spent
        begin = time.perf_counter()
        made = real(texts)
        spent += time.perf_counter() - begin
        return made

    embedder.embed = timed  # type: ignore[method-assign, assignment]
    begin = time.perf_counter()
    for event in build(IndexSettings(corpus, corpus / "added", store), embedder):
        if isinstance(event, Report):
            return event.embedded, time.perf_counter() - begin, spent / (time.perf_counter() - begin)
        assert not isinstance(event, Progress) or event.done <= event.total
    raise AssistantError("the build did not end")


def main() -> None:
    parser = argparse.ArgumentParser(description="Seconds from files to an index, beside other tools.")
    parser.add_argument("stores", nargs="+", type=Path, metavar="STORE")
    parser.add_argument("--passages", type=int, default=2_000)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    given = parser.parse_args()
    try:
        texts, tokens = chunk_texts(given.stores, given.passages)
        with TemporaryDirectory() as folder:
            measure(texts, tokens, Path(folder), dict(each.split("=", 1) for each in given.peer))
    except AssistantError as error:
        sys.exit(f"indexing: {error}")


def measure(texts: list[str], tokens: float, folder: Path, peers: dict[str, str]) -> None:
    corpus = folder / "corpus"
    write_files(texts, corpus)
    print_line(f"{len(texts)} paragraphs of {tokens:.0f} tokens in {_FILES} files")
    full, told = ours(corpus, folder / "store", "exact")
    print_line(f"{'assistant index':24}{full:8.1f} s   {told}")
    fast, told = ours(corpus, folder / "fast", "fast")
    print_line(f"{'  precision = fast':24}{fast:8.1f} s   {told}")
    changed = corpus / "file050.txt"
    changed.write_text(changed.read_text(encoding="utf-8").replace(" the ", " that ", 1), encoding="utf-8")
    again, told = ours(corpus, folder / "store", "exact")
    print_line(f"{'  one of 100 changed':24}{again:8.2f} s   {told}   {again / full:.1%} of the full build")
    again, told = ours(corpus, folder / "store", "exact")
    print_line(f"{'  nothing changed':24}{again:8.2f} s   {told}")
    chunks, seconds, share = embedding_share(corpus, folder / "share")
    print_line(f"{'  in one process':24}{seconds:8.1f} s   {chunks} chunks, {share:.0%} of the time embedding")
    for name, python in peers.items():
        target = folder / name
        begin = time.perf_counter()
        done = subprocess.run(
            [python, str(_PEERS / f"{name}_peer.py"), str(find_model().folder), str(corpus), str(target)],
            capture_output=True, check=False, text=True,
        )  # fmt: skip
        taken = time.perf_counter() - begin
        if done.returncode:
            print_line(f"{name:24}  failed: {(done.stderr.strip().splitlines() or ['?'])[-1][:120]}")
            continue
        said = json.loads(done.stdout.strip().splitlines()[-1])
        print_line(
            f"{name:24}{taken:8.1f} s   {said['passages']} passages, {said['work_s']:.1f} s of work   {taken / full:.1f} ×"
        )
        shutil.rmtree(target, ignore_errors=True)


if __name__ == "__main__":
    main()
