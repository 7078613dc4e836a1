"""Documents with vectors for stores to hold."""

from __future__ import annotations

import numpy as np

from index.chunks import Chunk, embedding_key
from index.documents import Document, Locator, Voice
from index.ledger import Entry
from index.store import WritableStore

DIMENSIONS = 16
WORDS = ["treaty", "river", "alliance", "border", "dam", "army", "water", "north", "south", "bank"]


def entry(
    store: WritableStore,
    name: str,
    texts: list[str],
    seed: int,
    *,
    voice: Voice = Voice("A", "B"),  # noqa: B008 - frozen
    kind: str = "note",
    published: str | None = None,
) -> tuple[Entry, np.ndarray]:
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(len(texts), DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    # As a store keeps them: what is then found is compared exactly.
    vectors = vectors.astype(np.float16).astype(np.float32)
    body = "\n\n".join(texts)
    chunks, at = [], 0
    for number, text in enumerate(texts):
        at = body.index(text, at)
        chunks.append(Chunk(f"{name}#{number}", name, (), text, at, at + len(text), len(text.split()), voice))
        at += len(text)
    keys = [embedding_key(f"{name} {number} {seed}") for number in range(len(texts))]
    store.put_vectors("model:1", dict(zip(keys, vectors, strict=True)))
    document = Document(
        name, name, body, f"{name}{seed}", (Locator(0, len(body), "¶1", (), voice),), kind=kind, published=published
    )
    return Entry(document, chunks, keys, size=1, modified=1, tokens=1), vectors


def texts_of(seed: int, count: int) -> list[str]:
    generator = np.random.default_rng(seed)
    return [
        " ".join(generator.choice(WORDS, size=generator.integers(3, 9))) + f" mark{seed}x{number}." for number in range(count)
    ]


SOURCES = {
    "debate/vu.md": (Voice("Khang Vu"), "digest", "2021-06"),
    "debate/lan.md": (Voice("Ngo Di Lan", "Khang Vu"), "digest", "2021"),
    "background/laos.md": (Voice("Library", "Author"), "note", "1994-07-15"),
    "background/undated.md": (Voice("Jonas Keller (North)"), "note", None),
}
"""Of each document who speaks in it, its kind and its date."""


def fill(store: WritableStore) -> dict[str, np.ndarray]:
    """Five documents of eight chunks each; gives every chunk's vector by its id."""
    vectors: dict[str, np.ndarray] = {}
    for seed in range(5):
        made, rows = entry(store, f"d{seed}", texts_of(seed, 8), seed)
        store.apply(put=[made])
        vectors |= {chunk.id: row for chunk, row in zip(made.chunks, rows, strict=True)}
    store.derive()
    return vectors


def fill_with_sources(store: WritableStore) -> dict[str, np.ndarray]:
    vectors: dict[str, np.ndarray] = {}
    for seed, (name, (voice, kind, published)) in enumerate(SOURCES.items()):
        made, rows = entry(store, name, texts_of(seed, 60), seed, voice=voice, kind=kind, published=published)
        store.apply(put=[made])
        vectors |= {chunk.id: row for chunk, row in zip(made.chunks, rows, strict=True)}
    store.derive()
    return vectors


def unit(seed: int) -> np.ndarray:
    """A vector to ask for."""
    vector = np.random.default_rng(seed).normal(size=DIMENSIONS).astype(np.float32)
    return vector / np.linalg.norm(vector)
