"""The task that every peer is given: read a folder of text files, embed each paragraph, keep the index on disk.

Run by evals/benchmarks/indexing.py with a peer's own interpreter; nothing of this project is imported.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1", "ANONYMIZED_TELEMETRY": "False"}


def passages(folder: str) -> list[str]:
    """The paragraphs of all files, which are between blank lines."""
    return [text for path in sorted(Path(folder).glob("*.txt")) for text in path.read_text(encoding="utf-8").split("\n\n")]


def run(build: Callable[[str, str, str], int]) -> None:
    """build(model folder, corpus folder, target folder) -> passages."""
    started = time.perf_counter()
    count = build(*sys.argv[1:4])
    sys.stdout.write("\n" + json.dumps({"passages": count, "work_s": time.perf_counter() - started}) + "\n")
