"""A builder that waits for its word: run as a process of its own, to be killed at any instant.

    python -m tests.index.builder CORPUS STORE [large|ADDRESS]

Prints "ready" when its model is loaded; for each line on standard input it builds once and prints "done" or why not.
ADDRESS: of the index on a server, in place of the store. large: what is kept of a store of many passages is kept of one of twenty, and written anew after few changes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import index.vectors
from index.build import build
from index.embedders import LocalEmbedder
from index.errors import AssistantError
from index.settings import IndexSettings, MilvusAddress


def main(corpus: Path, store: Path, engine: MilvusAddress | None) -> None:
    embedder = LocalEmbedder()
    embedder.embed(["warm"])
    print("ready", flush=True)  # noqa: T201 - the words of this process
    for _ in sys.stdin:
        try:
            for _ in build(IndexSettings(corpus, corpus / "added", store, engine=engine), embedder):
                pass
            print("done", flush=True)  # noqa: T201
        except AssistantError as error:
            print(f"{type(error).__name__}: {error}", flush=True)  # noqa: T201


if __name__ == "__main__":
    if "large" in sys.argv[3:]:
        index.vectors.EXACT_UP_TO, index.vectors._FEW_CHANGES = 20, 5
    address = next((MilvusAddress.parse(each) for each in sys.argv[3:] if MilvusAddress.is_meant(each)), None)
    main(Path(sys.argv[1]), Path(sys.argv[2]), address)
