"""What retrieval finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from index.chunks import Chunk


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk and why it is here."""

    chunk: Chunk
    score: float
    """The fused score; higher is better, comparable within one question only."""
    ranks: Mapping[str, int]
    """Stage ("dense", "words") -> rank there, from 1. A stage that did not find the chunk is absent."""
    cosine: float | None = None
    """Between question and chunk; None where dense search did not find the chunk."""
