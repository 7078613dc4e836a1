"""Chunks: whole sentences under one heading and in one voice, and the names of their vectors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from index.documents import Voice

DIGEST_BYTES = 16
"""How much of a text's SHA-256 names its vector: among a billion texts two of one name are as likely as 1 in 10^20."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What is embedded and found. `document.text[start:end] == text`."""

    id: str
    """Document id and ordinal: "debate/reply.md#3"."""
    document_id: str
    headings: tuple[str, ...]
    text: str
    start: int
    end: int
    tokens: int
    """Tokens of `text` by the embedder's tokenizer."""
    voice: Voice


def embedding_key(text: str) -> bytes:
    """The name under which a vector is kept: a text that was embedded once is never embedded again."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:DIGEST_BYTES]
