"""What a million passages cost in different indexes, and what more would: measured curves, their fit, and its error.

    python -m evals.benchmarks.scale STORE… --sizes 10000 100000 1000000 --kinds flat ivf hnsw --out scale.jsonl
    python -m evals.benchmarks.scale STORE… --sizes 10000 100000 --kinds milvus://127.0.0.1:19530/scale --server PID DATA
    python -m evals.benchmarks.scale --fit scale.jsonl

STORE…: built indexes, of whose passages more are mixed (see evals.benchmarks.search). flat, ivf and hnsw are FAISS with single
precision, built by all cores and searched by one; in memory they hold what their file holds. An address is a store on a Milvus
server, with texts and words, built and searched as the assistant does. Each size of each kind is one line of the output, added
when it is done. --server: the server's process and its folder, for its memory and disk.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals.benchmarks.search import CHUNKS_A_DOCUMENT, Passages, blocks, mixed, real_passages
from index.settings import MilvusAddress
from index.store import built_with
from index.writing import building, index_at, open_store

_DIMENSIONS, _QUERIES, _SERVER_QUERIES, _WORD_QUERIES, _FOUND = 384, 120, 40, 20, 10
_LINKS, _LOOKED_AT_BUILDING, _LOOKED_AT = 16, 200, 128
_SHOWN = ("build_s", "search_ms_p50", "search_ms_p95", "words_ms_p50", "recall", "disk_mb", "memory_mb")
_FITTED = ("build_s", "search_ms_p50", "disk_mb", "memory_mb")
_FURTHER = (10_000_000, 100_000_000, 1_000_000_000)


def vectors_of(real: Passages, size: int) -> NDArray[np.float32]:
    made = np.empty((size, _DIMENSIONS), dtype=np.float32)
    for number, (_, vector) in enumerate(mixed(real, size, seed=1)):
        made[number] = vector
    return made


def measure_faiss(kind: str, real: Passages, size: int) -> dict[str, float]:
    """In a process of its own."""
    import faiss

    vectors, queries = vectors_of(real, size), np.stack([vector for _, vector in mixed(real, _QUERIES, seed=2)])
    begun = time.perf_counter()
    index: Any
    if kind == "flat":
        index = faiss.IndexFlatIP(_DIMENSIONS)
    elif kind == "ivf":
        lists = int(4 * size**0.5)
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(_DIMENSIONS), _DIMENSIONS, lists, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors[:: max(1, size // (40 * lists))])
        index.nprobe = max(8, lists // 50)
    else:
        index = faiss.IndexHNSWFlat(_DIMENSIONS, _LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = _LOOKED_AT_BUILDING, _LOOKED_AT
    index.add(vectors)
    figures = {"build_s": time.perf_counter() - begun}
    with tempfile.TemporaryDirectory() as folder:
        faiss.write_index(index, f"{folder}/index")
        figures["disk_mb"] = figures["memory_mb"] = Path(folder, "index").stat().st_size / 1e6
    faiss.omp_set_num_threads(1)
    taken, found = [], []
    for query in queries:
        begun = time.perf_counter()
        found.append(index.search(query[None], _FOUND)[1][0].tolist())
        taken.append(1e3 * (time.perf_counter() - begun))
    nearest = np.argsort(-(queries @ vectors.T), axis=1)[:, :_FOUND]
    return figures | _searched(taken) | {"recall": _recall(found, nearest)}


def measure_milvus(address: str, real: Passages, size: int, server: tuple[int, Path] | None) -> dict[str, float]:
    place = index_at(f"{address}_{size}")
    before = (_resident(server[0]), _size(server[1])) if server else (0.0, 0.0)
    begun = time.perf_counter()
    with building(place, rebuild=True) as store:
        store.begin_anew(built_with("synthetic", _DIMENSIONS, 200))
        for block, vectors in blocks(mixed(real, size, seed=1)):
            store.put_vectors("synthetic", vectors)
            store.apply(put=block)
        store.derive()
        store.finish("{}")
    figures = {"build_s": time.perf_counter() - begun}
    reader = open_store(place)
    queries = list(mixed(real, _SERVER_QUERIES, seed=2))
    taken: dict[str, list[float]] = {"search": [], "words": []}
    found = []
    has_words = reader.meta("words") != "none"
    for number, (text, vector) in enumerate(queries):
        begun = time.perf_counter()
        hits = reader.dense(vector, _FOUND)
        taken["search"].append(1e3 * (time.perf_counter() - begun))
        chunks = reader.get(hit.key for hit in hits)
        found.append([_number(chunks[hit.key].id) for hit in hits])
        if has_words and number < _WORD_QUERIES:
            begun = time.perf_counter()
            reader.lexical(" ".join(text.split()[:12]), _FOUND)
            taken["words"].append(1e3 * (time.perf_counter() - begun))
    reader.close()
    nearest = np.argsort(-(np.stack([vector for _, vector in queries]) @ vectors_of(real, size).T), axis=1)[:, :_FOUND]
    figures |= _searched(taken["search"]) | {"recall": _recall(found, nearest)}
    if has_words:
        figures["words_ms_p50"] = float(np.median(taken["words"]))
    if server:
        figures |= {"memory_mb": _resident(server[0]) - before[0], "disk_mb": _size(server[1]) - before[1]}
    return figures


def _number(chunk: str) -> int:
    """Of the passage that a chunk was made of."""
    document, _, ordinal = chunk.partition("#")
    return CHUNKS_A_DOCUMENT * int(document.removeprefix("d")) + int(ordinal)


def _searched(taken: list[float]) -> dict[str, float]:
    return {"search_ms_p50": float(np.quantile(taken, 0.5)), "search_ms_p95": float(np.quantile(taken, 0.95))}


def _recall(found: Sequence[Sequence[int]], nearest: NDArray[np.int64]) -> float:
    right = sum(len(set(own) & set(best)) for own, best in zip(found, nearest.tolist(), strict=True))
    return right / nearest.size


def _resident(process: int) -> float:
    """MB of a process and all that it started. Linux alone tells it."""
    total = 0.0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            words = status.read_text(encoding="ascii", errors="replace")
        except OSError:
            continue
        told = dict(re.findall(r"^(Pid|PPid|VmRSS):\s+(\d+)", words, re.MULTILINE))
        if str(process) in (told.get("Pid"), told.get("PPid")):
            total += int(told.get("VmRSS", 0)) / 1e3
    return total


def _size(folder: Path) -> float:
    """MB on disk."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def fit(lines: Sequence[dict[str, Any]]) -> str:
    """For each kind and figure the power of the size that fits it, how far off the measured points are, and what follows."""
    told = ["kind   figure          of size^    off by up to   " + "".join(f"{size:>16,}" for size in _FURTHER)]
    for kind in dict.fromkeys(line["kind"] for line in lines):
        own = sorted((line for line in lines if line["kind"] == kind), key=lambda line: line["size"])
        for figure in _FITTED:
            points = [(line["size"], line[figure]) for line in own if line.get(figure, 0) > 0]
            if len(points) < 3:
                continue
            sizes, values = np.log([size for size, _ in points]), np.log([value for _, value in points])
            power, factor = np.polyfit(sizes, values, 1)
            off = float(np.max(np.abs(np.exp(values - (power * sizes + factor)) - 1)))
            further = "".join(f"{np.exp(power * np.log(size) + factor):>16,.0f}" for size in _FURTHER)
            told.append(f"{kind:6} {figure:14} {power:8.2f} {off:14.0%}   {further}")
    return "\n".join(told)


def table(lines: Sequence[dict[str, Any]]) -> str:
    told = ["kind            size " + "".join(f"{name:>15}" for name in _SHOWN)]
    for line in sorted(lines, key=lambda line: (line["kind"], line["size"])):
        figures = "".join(f"{line[name]:>15,.3f}" if name in line else f"{'':15}" for name in _SHOWN)
        told.append(f"{line['kind']:10} {line['size']:>9,} {figures}")
    return "\n".join(told)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", nargs="*", type=Path, metavar="STORE")
    parser.add_argument("--sizes", nargs="+", type=int, default=[10_000, 100_000])
    parser.add_argument("--kinds", nargs="+", default=["flat", "ivf", "hnsw"], help="flat, ivf, hnsw, or an address")
    parser.add_argument("--name", help="what to call the server's lines")
    parser.add_argument("--server", nargs=2, metavar=("PID", "DATA"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--fit", type=Path, metavar="FILE")
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.fit:
        lines = [json.loads(line) for line in told.fit.read_text(encoding="utf-8").splitlines()]
        sys.stdout.write(f"{table(lines)}\n\n{fit(lines)}\n")
        return
    if told.only:
        sys.stdout.write(json.dumps(measure_faiss(told.only[0], real_passages(told.stores), int(told.only[1]))))
        return
    for size in told.sizes:
        for kind in told.kinds:
            if MilvusAddress.is_meant(kind):
                server = (int(told.server[0]), Path(told.server[1])) if told.server else None
                figures = measure_milvus(kind, real_passages(told.stores), size, server)
            else:
                command = [sys.executable, "-m", "evals.benchmarks.scale", *map(str, told.stores), "--only", kind, str(size)]
                figures = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            line = {"kind": told.name or kind, "size": size, **figures}
            sys.stdout.write(f"{table([line])}\n")
            sys.stdout.flush()
            if told.out:
                with told.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
