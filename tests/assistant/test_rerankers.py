from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assistant.retrieval.passages import Passage
from assistant.retrieval.rerankers import SentenceReranker
from index.chunks import Chunk
from index.documents import Voice
from index.embedders import LocalEmbedder, RememberingEmbedder, Vectors


def passage(number: int, text: str) -> Passage:
    chunk = Chunk(f"d#{number}", "d", (), text, number * 1000, number * 1000 + len(text), 5, Voice("A"))
    return Passage(chunk, 1 / (60 + number), {"dense": number})


def test_re_ranking_raises_the_passage_whose_one_sentence_answers(embedder: LocalEmbedder) -> None:
    filler = "Bread needs salt. Ovens are hot. Loaves rise in the morning. "
    passages = [
        passage(1, filler),
        passage(2, filler + "The river treaty was signed in Basel."),
        passage(3, filler + "The mill stands by a river."),
    ]
    ranked = SentenceReranker(embedder).rerank("Where was the river treaty signed?", passages)
    assert ranked[0].chunk.id == "d#2" and ranked[0].ranks == {"dense": 2, "sentences": 1}
    assert [each.score for each in ranked] == sorted((each.score for each in ranked), reverse=True)


def test_re_ranking_keeps_the_order_below_its_depth_and_bears_none_at_all(embedder: LocalEmbedder) -> None:
    many = [passage(number, f"Sentence number {number}.") for number in range(1, 36)]
    ranked = SentenceReranker(embedder).rerank("Which number?", many)
    assert ranked[20:] == many[20:] and {each.chunk.id for each in ranked} == {each.chunk.id for each in many}
    assert SentenceReranker(embedder).rerank("Which number?", []) == []


def test_remembered_vectors_are_those_of_the_model_and_the_oldest_go_first(embedder: LocalEmbedder) -> None:
    asked: list[str] = []

    class Counting(LocalEmbedder):
        def embed(self, texts: Sequence[str]) -> Vectors:
            asked.extend(texts)
            return embedder.embed(texts)

    remembering = RememberingEmbedder(Counting(), kept=2)
    texts = ["one", "two", "one", "three"]
    assert np.allclose(remembering.embed(texts), embedder.embed(texts), atol=1e-6)
    assert asked == ["one", "two", "three"]
    remembering.embed(["three", "two"])
    assert asked == ["one", "two", "three"]
    remembering.embed(["one"])
    assert asked[3:] == ["one"] and remembering.embed([]).shape == (0, 384)
