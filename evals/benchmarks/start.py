"""From the start of a process to the first cited answer, beside a bare script of sentence-transformers and FAISS.

    python -m evals.benchmarks.start --runs 10

The bare script does what is least: it loads the same model, opens a saved FAISS index of as many vectors, embeds the
question and prints the nearest numbers. It quotes and cites nothing. Both run in turns, after one run of each that does not
count.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from assistant.assembly import Assistant
from assistant.settings import load_settings
from index.models import find_model

_QUESTION = "How many Vietnamese troops were in Laos?"
_BARE = """
import sys
import faiss
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1], device="cpu", local_files_only=True)
index = faiss.read_index(sys.argv[2])
scores, numbers = index.search(model.encode([sys.argv[3]], show_progress_bar=False), 10)
print(numbers[0].tolist())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Seconds from process start to the first answer.")
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    settings = load_settings({})
    store = Assistant(settings).own
    keys, vectors = store.vectors(store.keys_of(None).tolist())
    with tempfile.TemporaryDirectory() as folder:
        import faiss

        index = faiss.IndexFlatIP(store.dimensions)
        index.add(vectors)
        path = str(Path(folder) / "bare.faiss")
        faiss.write_index(index, path)
        commands = {
            "assistant ask": [sys.executable, "-m", "assistant", "ask", _QUESTION],
            "bare script": [sys.executable, "-c", _BARE, str(find_model().folder), path, _QUESTION],
        }
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(runs + 1):
            for name, command in commands.items():
                begin = time.perf_counter()
                done = subprocess.run(command, capture_output=True, check=True, text=True)
                if number:
                    taken[name].append(time.perf_counter() - begin)
        assert "[1]" in subprocess.run(commands["assistant ask"], capture_output=True, check=True, text=True).stdout
        assert done.stdout.startswith("[")
    ratios = [bare / ours for ours, bare in zip(*taken.values(), strict=True)]
    sys.stdout.write(f"{len(keys)} chunks, {runs} runs in turns\n")
    for name, each in taken.items():
        sys.stdout.write(f"{name:14} median {median(each):.2f} s ({min(each):.2f} – {max(each):.2f})\n")
    sys.stdout.write(f"ratio          median {median(ratios):.1f} ({min(ratios):.1f} – {max(ratios):.1f})\n")


if __name__ == "__main__":
    main()
