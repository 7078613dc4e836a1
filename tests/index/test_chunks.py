from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.chunking import chunk_document
from index.documents import Document
from index.embedders import LocalEmbedder
from index.loaders.markdown import load_markdown
from index.loaders.text import load_text
from index.sentences import sentence_spans
from tests.conftest import RIVERS


def count_words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def test_a_chunk_never_mixes_headings_or_voices() -> None:
    chunks = chunk_document(load_markdown("rivers.md", RIVERS, "d"), count_words, budget=200, limit=256)
    assert [str(chunk.voice) for chunk in chunks] == ["Ada Moreno", "Jonas Keller, as reported by Ada Moreno", "Ada Moreno"]
    assert [chunk.id for chunk in chunks] == ["rivers.md#0", "rivers.md#1", "rivers.md#2"]


def test_short_paragraphs_share_a_chunk_and_long_ones_do_not() -> None:
    text = "\n\n".join(["One two three four five six."] * 4)
    chunks = chunk_document(load_text("a.txt", text, "d"), count_words, budget=13, limit=256)
    assert [chunk.tokens for chunk in chunks] == [12, 12]


words = st.sampled_from(["word", "longerword", "a", "漢字漢字", "x" * 90, "\n---\n", "\n- ", "\n# c\n"])
documents = st.lists(st.lists(words, min_size=1, max_size=60).map(lambda each: " ".join(each) + "."), max_size=12).map(
    "\n\n".join
)


@given(documents)
@settings(max_examples=60, deadline=None)
def test_chunks_hold_every_sentence_at_its_place_within_the_limit(text: str) -> None:
    embedder = LocalEmbedder()
    document = load_text("a.txt", text, "d")
    chunks = chunk_document(document, embedder.count_tokens, budget=50, limit=80)
    for chunk in chunks:
        assert document.text[chunk.start : chunk.end] == chunk.text
        assert embedder.count_tokens([chunk.text])[0] + 2 <= 80
    covered = "".join(chunk.text for chunk in chunks)
    everything = [text[start:end] for place in document.locators for start, end in sentence_spans(text, place.start, place.end)]
    for sentence in everything:
        assert all(word in covered for word in sentence.split() if len(word) < 20)


@pytest.mark.parametrize(
    "text",
    [
        "One two.\n" + "# " + "comment " * 400 + "\nThree four.",
        "One two.\n" + "---\n" * 400 + "\nThree four.",
        "- " * 900 + "\nWords.",
        "| a |\n" * 400,
    ],
)
@pytest.mark.parametrize("loader", [load_text, load_markdown])
def test_what_stands_between_sentences_counts_too(text: str, loader: Callable[[str, str, str], Document]) -> None:
    embedder = LocalEmbedder()
    for chunk in chunk_document(loader("a", text, "d"), embedder.count_tokens, budget=200, limit=256):
        assert embedder.count_tokens([chunk.text])[0] + 2 <= 256
        assert chunk.tokens >= embedder.count_tokens([chunk.text])[0]


def test_sections_of_the_same_name_stay_apart() -> None:
    chunks = chunk_document(load_markdown("a.md", "# N\n\nOne.\n\n# N\n\nTwo.", "d"), count_words, budget=200, limit=256)
    assert [chunk.text for chunk in chunks] == ["One.", "Two."]
