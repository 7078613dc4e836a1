"""Embedding beside sentence-transformers' defaults and the processor's own peak, in one run.

    python -m evals.benchmarks.embedding STORE… --chunks 2000

STORE…: built indexes whose chunks are embedded (of at least 100 tokens, the first ones). Ways are timed in turns, several
rounds; figures are medians, ratios are taken round by round. The peak is that of a square matrix product in torch, in
single precision and in bfloat16.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.chunks import Chunk
from index.embedders import LocalEmbedder, load_sentence_transformer
from index.errors import AssistantError
from index.models import find_model
from index.store import LocalStore

# Operations a token takes in all-MiniLM-L6-v2: six layers of 4 * 384 * 384 + 2 * 384 * 1536 weights, multiplied and added.
_OPERATIONS_A_TOKEN = 2 * 6 * (4 * 384 * 384 + 2 * 384 * 1536)


def chunk_texts(folders: Sequence[Path], count: int) -> tuple[list[str], float]:
    """(texts, mean tokens) of the first `count` chunks of at least 100 tokens, each text once. Raises AssistantError."""
    long: dict[str, Chunk] = {}
    for folder in folders:
        store = LocalStore(folder)
        # Some sets share passages.
        long |= {chunk.text: chunk for chunk in store.get(store.ledger.chunk_keys()).values() if chunk.tokens >= 100}
        store.close()
    chunks = list(long.values())[:count]
    if len(chunks) < count:
        raise AssistantError(f"these indexes hold {len(chunks)} chunks of at least 100 tokens only; name more of them.")
    return [chunk.text for chunk in chunks], float(np.mean([chunk.tokens + 2 for chunk in chunks]))


def peak(kind: Any) -> float:
    """GFLOP/s of a product of two matrices of 2,048 rows and columns; the best of ten."""
    import torch

    left, right = (torch.randn(2048, 2048).to(kind) for _ in range(2))
    taken = []
    for _ in range(10):
        begin = time.perf_counter()
        left @ right
        taken.append(time.perf_counter() - begin)
    return 2 * 2048**3 / min(taken) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description="Chunks a second, against sentence-transformers and the processor's peak.")
    parser.add_argument("stores", nargs="+", type=Path, metavar="STORE")
    parser.add_argument("--chunks", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    try:
        texts, tokens = chunk_texts(given.stores, given.chunks)
        measure(texts, tokens, given.rounds)
    except AssistantError as error:
        sys.exit(f"embedding: {error}")


def measure(texts: list[str], tokens: float, rounds: int) -> None:
    reference = load_sentence_transformer(find_model().folder, "cpu")
    # The reference is slow and steady: a part of the texts tells its speed.
    sample = texts[:: max(1, len(texts) // 256)]
    ways: dict[str, tuple[list[str], Callable[[list[str]], NDArray[np.float32]]]] = {
        "sentence-transformers, defaults": (sample, lambda each: np.asarray(reference.encode(each, show_progress_bar=False))),
        "exact": (texts, LocalEmbedder().embed),
        "fast": (texts, LocalEmbedder(precision="fast").embed),
    }
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    alone: dict[str, list[float]] = {name: [] for name in ways}
    vectors: dict[str, NDArray[np.float32]] = {}
    for _, embed in ways.values():
        embed(sample[:32])
    for _ in range(rounds):
        for name, (given, embed) in ways.items():
            begin = time.perf_counter()
            made = embed(given)
            speeds[name].append(len(given) / (time.perf_counter() - begin))
            vectors[name] = made if given is sample else embed(sample)
            for number in range(20):
                begin = time.perf_counter()
                embed([f"How many troops stood at border post {number}?"])
                alone[name].append((time.perf_counter() - begin) * 1e3)
    first = next(iter(ways))
    import torch

    peaks = {"float32": peak(torch.float32), "bfloat16": peak(torch.bfloat16)}
    print_line(f"{len(texts)} chunks of {tokens:.0f} tokens, {os.cpu_count()} cores, medians of {rounds} rounds")
    print_line(f"peak of a matrix product: {peaks['float32']:.0f} GFLOP/s in float32, {peaks['bfloat16']:.0f} in bfloat16")
    print_line(
        f"{'way':34}{'chunks/s':>10}{'ratio (least – most)':>24}{'GFLOP/s':>9}{'mean cosine':>13}{'least':>9}{'one, ms':>9}"
    )
    for name, each in speeds.items():
        ratios = [speed / base for speed, base in zip(each, speeds[first], strict=True)]
        cosines = (vectors[name] * vectors[first]).sum(axis=1)
        print_line(
            f"{name:34}{median(each):10.1f}{f'{median(ratios):.2f} ({min(ratios):.2f} – {max(ratios):.2f})':>24}"
            f"{median(each) * tokens * _OPERATIONS_A_TOKEN / 1e9:9.0f}{cosines.mean():13.6f}{cosines.min():9.5f}"
            f"{median(alone[name]):9.1f}"
        )


def print_line(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
