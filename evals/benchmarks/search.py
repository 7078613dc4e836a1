"""How search grows with the store: time, recall, memory and size at many numbers of passages.

    python -m evals.benchmarks.search STORE… --sizes 10000 100000 1000000 --folder scale

STORE…: built indexes, such as those below .evals/stores, of which passages are taken. Where they hold fewer than asked for,
more are made of them: a new passage has the first half of one and the second half of another, and its vector lies between
theirs, with noise. A query is a dozen words from the middle of such a passage that is in no store, embedded as it is.

Each size gets a store of its own below --folder, which is kept and used again. Searches run in a process of their own, whose
memory is what a reader of that store needs.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assistant.retrieval.retriever import Retriever, plain
from index.chunks import Chunk, embedding_key
from index.documents import Document, Locator, Voice
from index.embedders import LocalEmbedder
from index.errors import AssistantError
from index.ledger import Entry
from index.store import LocalStore, built_with

_DIMENSIONS = 384
_QUERIES = 300
CHUNKS_A_DOCUMENT = 10
_AT_ONCE = 4_000
_NOISE = 0.01
_FINGERPRINT = "synthetic"


@dataclass(frozen=True, slots=True)
class Passages:
    texts: list[str]
    vectors: NDArray[np.float32]


class Given:
    """An embedder that knows the vectors of the queries, so that only searching is timed."""

    fingerprint = _FINGERPRINT
    max_tokens = 256
    dimensions = _DIMENSIONS
    is_prepared = True
    notice = None

    def __init__(self, vectors: dict[str, NDArray[np.float32]]) -> None:
        self._vectors = vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def preload(self) -> None:
        pass

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self._vectors[text] for text in texts])


def real_passages(stores: Sequence[Path]) -> Passages:
    """The chunks of at least 100 tokens, each text once: some sets share passages. Raises AssistantError."""
    texts: dict[str, None] = {}
    vectors: list[NDArray[np.float32]] = []
    for folder in stores:
        store = LocalStore(folder)
        keys, rows = store.ledger.vectors(store.ledger.chunk_keys(), store.dimensions)
        chunks = store.get(keys)
        long = []
        for number, key in enumerate(keys.tolist()):
            if chunks[key].tokens >= 100 and chunks[key].text not in texts:
                texts[chunks[key].text] = None
                long.append(number)
        vectors.append(rows[long])
        store.close()
    return Passages(list(texts), np.concatenate(vectors))


def mixed(real: Passages, count: int, seed: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """`count` passages, the same for the same seed."""
    random = np.random.default_rng(seed)
    for begin in range(0, count, _AT_ONCE):
        size = min(_AT_ONCE, count - begin)
        pairs = random.integers(len(real.texts), size=(2, size))
        weights = random.uniform(0.5, 0.95, size=(size, 1)).astype(np.float32)
        noise = random.normal(scale=_NOISE, size=(size, _DIMENSIONS)).astype(np.float32)
        vectors = weights * real.vectors[pairs[0]] + (1 - weights) * real.vectors[pairs[1]] + noise
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        for number in range(size):
            first, second = real.texts[pairs[0, number]].split(), real.texts[pairs[1, number]].split()
            yield " ".join((*first[: len(first) // 2], *second[len(second) // 2 :])), vectors[number]


def entry(name: str, texts: Sequence[str]) -> Entry:
    """A document of these passages."""
    body = "\n\n".join(texts)
    chunks, places, at = [], [], 0
    voice = Voice("A. N. Author")
    for number, text in enumerate(texts):
        chunks.append(Chunk(f"{name}#{number}", name, (), text, at, at + len(text), len(text.split()), voice))
        end = len(body) if number == len(texts) - 1 else at + len(text) + 2
        places.append(Locator(at, end, f"¶{number + 1}"))
        at = end
    keys = [embedding_key(f"{name} {number}") for number in range(len(texts))]
    return Entry(Document(name, name, body, name, tuple(places)), chunks, keys, size=1, modified=1, tokens=1)


def blocks(passages: Iterator[tuple[str, NDArray[np.float32]]]) -> Iterator[tuple[list[Entry], dict[bytes, NDArray[np.float32]]]]:
    """Documents of ten passages each, some hundred at once, with their vectors by name."""
    number = 0
    while block := [each for _, each in zip(range(_AT_ONCE), passages, strict=False)]:
        entries: list[Entry] = []
        vectors: dict[bytes, NDArray[np.float32]] = {}
        for begin in range(0, len(block), CHUNKS_A_DOCUMENT):
            part = block[begin : begin + CHUNKS_A_DOCUMENT]
            made = entry(f"d{number}", [text for text, _ in part])
            vectors |= {key: vector for key, (_, vector) in zip(made.vector_keys, part, strict=True)}
            entries.append(made)
            number += 1
        yield entries, vectors


def fill(store: LocalStore, passages: Iterator[tuple[str, NDArray[np.float32]]]) -> None:
    # What is filled here can be filled again: the disk is not waited for at each document.
    store.ledger._connection.execute("PRAGMA synchronous=OFF")
    store.ledger.set_meta({**built_with(_FINGERPRINT, _DIMENSIONS, 200), "finished": "yes"})
    for entries, vectors in blocks(passages):
        store.ledger.put_vectors(_FINGERPRINT, vectors)
        store.apply(put=entries)
    store.ledger._connection.execute("PRAGMA synchronous=FULL")


def exact(store: LocalStore, queries: NDArray[np.float32], count: int) -> list[list[int]]:
    """For each query the keys of the nearest chunks, by comparing every vector."""
    best_scores = np.full((len(queries), count), -2, dtype=np.float32)
    best_keys = np.full((len(queries), count), -1, dtype=np.int64)
    keys = store.ledger.chunk_keys()
    for begin in range(0, len(keys), 20_000):
        part, rows = store.ledger.vectors(keys[begin : begin + 20_000], _DIMENSIONS)
        scores = np.concatenate([best_scores, queries @ rows.T], axis=1)
        named = np.concatenate([best_keys, np.broadcast_to(part, (len(queries), len(part)))], axis=1)
        order = np.argsort(-scores, axis=1)[:, :count]
        best_scores, best_keys = np.take_along_axis(scores, order, axis=1), np.take_along_axis(named, order, axis=1)
    return [[int(key) for key in row] for row in best_keys]


def search(folder: Path) -> dict[str, float]:
    """Runs in a process of its own: opens the store and asks it the prepared queries."""
    asked = json.loads((folder / "queries.json").read_text(encoding="utf-8"))
    vectors = np.load(folder / "queries.npy")
    # Search is timed, not the disk: all files are in the system's cache.
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                while file.read(1 << 24):
                    pass
    started = time.perf_counter()
    store = LocalStore(folder)
    store.warm()
    opened = time.perf_counter() - started
    embedder = Given(dict(zip(asked["texts"], vectors, strict=True)))
    retriever = Retriever(store, embedder)
    times: dict[str, list[float]] = {"dense": [], "words": [], "fused": []}
    right = 0
    for number, (text, vector, nearest) in enumerate(zip(asked["texts"], vectors, asked["nearest"], strict=True)):
        begin = time.perf_counter()
        hits = store.dense(vector, 50)
        dense = time.perf_counter()
        store.lexical(text, 50)
        words = time.perf_counter()
        retriever.search(plain(text), 10)
        fused = time.perf_counter()
        right += len({hit.key for hit in hits[:10]} & set(nearest))
        if number >= 20:
            for name, seconds in (("dense", dense - begin), ("words", words - dense), ("fused", fused - words)):
                times[name].append(seconds * 1e3)
    figures = {"opened_ms": opened * 1e3, "recall": right / (10 * len(vectors))}
    for name, taken in times.items():
        figures |= {f"{name}_p50": float(np.quantile(taken, 0.5)), f"{name}_p95": float(np.quantile(taken, 0.95))}
    figures["resident_mb"] = most_resident()
    return figures


def most_resident() -> float:
    """MB that this process held at most. Linux alone tells it: elsewhere not a number.

    Not getrusage's, which counts what the parent held when it started this process.
    """
    status = Path("/proc/self/status")
    told = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii")) if status.exists() else None
    return int(told[1]) / 1024 if told else float("nan")


def measure(folder: Path, size: int, real: Passages) -> dict[str, float]:
    figures: dict[str, float] = {"passages": size}
    if not (folder / "figures.json").exists():
        store = LocalStore(folder, writable=True)
        begin = time.perf_counter()
        fill(store, mixed(real, size, seed=1))
        filled = time.perf_counter()
        store.derive()
        figures |= {"fill_s": filled - begin, "derive_s": time.perf_counter() - filled}
        queries = list(mixed(real, _QUERIES, seed=2))
        texts = list(dict.fromkeys(" ".join(text.split()[len(text.split()) // 2 - 6 :][:12]) for text, _ in queries))
        vectors = LocalEmbedder().embed(texts)
        np.save(folder / "queries.npy", vectors)
        told = {"texts": texts, "nearest": exact(store, vectors, 10)}
        (folder / "queries.json").write_text(json.dumps(told), encoding="utf-8")
        store.close()
        held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.name.startswith("queries"))
        figures["bytes_a_passage"] = held / size
        (folder / "figures.json").write_text(json.dumps(figures), encoding="utf-8")
    figures = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    done = subprocess.run(
        [sys.executable, "-m", "evals.benchmarks.search", "--only-search", str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    figures |= json.loads(done.stdout)
    figures["add_ms"] = add_one(folder, real)
    return figures


def add_one(folder: Path, real: Passages) -> float:
    """Milliseconds to add a document of ten passages whose vectors are known, until a reader finds it; median of nine."""
    store, reader = LocalStore(folder, writable=True), LocalStore(folder)
    reader.warm()
    taken = []
    for number in range(9):
        passages = list(mixed(real, CHUNKS_A_DOCUMENT, seed=1000 + number))
        made = entry(f"added{number}", [text for text, _ in passages])
        store.ledger.put_vectors(_FINGERPRINT, {key: vector for key, (_, vector) in zip(made.vector_keys, passages, strict=True)})
        begin = time.perf_counter()
        store.apply(put=[made])
        store.derive()
        hit = reader.dense(passages[0][1], 1)[0]
        taken.append((time.perf_counter() - begin) * 1e3)
        assert reader.get([hit.key])[hit.key].document_id == f"added{number}"
    store.apply(remove=[f"added{number}" for number in range(9)])
    store.derive()
    store.close()
    reader.close()
    return float(np.median(taken))


_COLUMNS = (
    ("passages", "{:,.0f}"), ("dense_p50", "{:.1f}"), ("dense_p95", "{:.1f}"), ("words_p50", "{:.1f}"), ("words_p95", "{:.1f}"),
    ("fused_p50", "{:.1f}"), ("fused_p95", "{:.1f}"), ("recall", "{:.3f}"), ("add_ms", "{:.0f}"), ("opened_ms", "{:.0f}"),
    ("resident_mb", "{:.0f}"), ("bytes_a_passage", "{:,.0f}"), ("fill_s", "{:.0f}"), ("derive_s", "{:.1f}"),
)  # fmt: skip


def draw(measured: Sequence[dict[str, float]], path: Path) -> None:
    """How time, memory and size grow, as SVG whose words stay words."""
    import matplotlib
    from matplotlib.figure import Figure

    sizes = [figures["passages"] for figures in measured]
    panels = {
        "milliseconds of a query": {
            "fused, p95": "fused_p95", "fused, median": "fused_p50", "dense, median": "dense_p50", "words, median": "words_p50"
        },
        "MB resident in a reader": {"": "resident_mb"},
        "bytes on disk a passage": {"": "bytes_a_passage"},
    }  # fmt: skip
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "search", "font.size": 9}):
        figure = Figure(figsize=(10, 3.2), layout="constrained")
        for axes, (title, lines) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
            for label, name in lines.items():
                axes.plot(sizes, [figures[name] for figures in measured], marker="o", markersize=3, label=label or None)
            axes.set(xscale="log", xlabel="passages", title=title, ylim=(0, None))
            axes.grid(alpha=0.3)
            if any(lines):
                axes.legend(fontsize=8)
        figure.savefig(path, format="svg", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description="Search at many sizes: milliseconds, recall@10, memory, bytes a passage.")
    parser.add_argument("stores", nargs="*", type=Path, metavar="STORE")
    parser.add_argument("--sizes", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, default=Path("scale"))
    parser.add_argument("--picture", type=Path, help="Draw the curves to this SVG file.")
    parser.add_argument("--only-search", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only_search:
        sys.stdout.write(json.dumps(search(given.only_search)))
        return
    try:
        real = real_passages(given.stores)
        sys.stdout.write(f"{len(real.texts)} real passages\n" + " ".join(f"{name:>15}" for name, _ in _COLUMNS) + "\n")
        measured = []
        for size in given.sizes:
            folder = given.folder / f"{size}-of-{len(real.texts)}"
            folder.mkdir(parents=True, exist_ok=True)
            figures = measure(folder, size, real)
            sys.stdout.write(" ".join(f"{form.format(figures[name]):>15}" for name, form in _COLUMNS) + "\n")
            sys.stdout.flush()
            measured.append(figures)
        if given.picture:
            draw(measured, given.picture)
    except AssistantError as error:
        sys.exit(f"search: {error}")


if __name__ == "__main__":
    main()
