from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.chunks import chunk_document, embedding_text
from index.embedders import SentenceTransformerEmbedder
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


words = st.sampled_from(["word", "longerword", "a", "漢字漢字", "x" * 90])
documents = st.lists(st.lists(words, min_size=1, max_size=60).map(lambda each: " ".join(each) + "."), max_size=12).map(
    "\n\n".join
)


@given(documents)
@settings(max_examples=60, deadline=None)
def test_chunks_hold_every_sentence_at_its_place_within_the_limit(text: str) -> None:
    embedder = SentenceTransformerEmbedder()
    document = load_text("a.txt", text, "d")
    chunks = chunk_document(document, embedder.count_tokens, budget=50, limit=80)
    for chunk in chunks:
        assert document.text[chunk.start : chunk.end] == chunk.text
        assert embedder.count_tokens([embedding_text(document.title, chunk)])[0] + 2 <= 80
    covered = "".join(chunk.text for chunk in chunks)
    everything = "".join(text[start:end] for start, end in sentence_spans(text, 0, len(text)))
    assert "".join(covered.split()) == "".join(everything.split())


@pytest.mark.parametrize("heading", ["H" * 5000, "word " * 500])
def test_a_heading_longer_than_the_model_reads_does_not_crowd_the_text_out(heading: str) -> None:
    embedder = SentenceTransformerEmbedder()
    document = load_markdown("a.md", f"# {heading}\n\nThe text is here.", "d")
    (chunk,) = chunk_document(document, embedder.count_tokens, budget=200, limit=256)
    assert chunk.text == "The text is here."
    assert embedder.count_tokens([embedding_text(document.title, chunk)])[0] + 2 <= 256
