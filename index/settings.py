"""What the index must be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from index.exported import Precision
from index.models import BUNDLED


@dataclass(frozen=True, slots=True)
class IndexSettings:
    corpus: Path
    """Folder of sources, or one file of JSON Lines (.jsonl, .jsonl.gz), each line a document."""
    added: Path
    """Folder that `assistant add` copies sources to; their ids begin with "added/"."""
    store: Path
    """Folder of built files."""
    model: str = BUNDLED
    """"all-MiniLM-L6-v2", or the path of a sentence-transformers model folder."""
    precision: Precision = "exact"
    """"exact", or "fast" for 8-bit computing."""
    device: str = "cpu"
    """Where the model computes: "cpu", or what torch calls the device."""
    exports: Path | None = None
    """Folder of exported models; the user's cache unless told otherwise."""
    chunk_tokens: int = 200
    """Size of a chunk to aim at, in tokens of the embedder."""
    max_file_bytes: int = 20_000_000
    """Larger files are refused, with a message."""
