"""The untrained reader: sentences that resemble the question, share its rare words, and hold what it asks for.

The weights below were chosen by hand on the dev questions of the alliance suite; docs/evals.md shows what they reach.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from assistant.reader.readings import Evidence, Reading
from assistant.retrieval.passages import Passage
from index.documents import Document
from index.embedders import Embedder
from index.lexical import analyse
from index.sentences import sentence_spans
from index.store import ChunkStore

# What a sentence's score is made of; each part lies between 0 and 1.
_SENTENCE_COSINE = 0.5
_PLACED_COSINE = 0.5
_WORDS = 0.2
_PLACED_WORDS = 0.1
_PASSAGE_RANK = 0.1
_ASKED_VOICE = 0.1
_ASKED_KIND_OF_ANSWER = 0.15
# Maps and timelines repeat what stands elsewhere: the place itself is the better citation.
_SECOND_HAND = 0.08
_SECOND_HAND_KINDS = frozenset({"map", "timeline"})

# confidence = logistic(a + b * best cosine + c * share of the question's rare words found).
_CONFIDENCE = (-6.0, 7.0, 4.0)

_MONTH = r"(?:january|february|march|april|may|june|july|august|september|october|november|december)"
_EXPECTED: tuple[tuple[re.Pattern[str], re.Pattern[str]], ...] = (
    (
        re.compile(r"\b(?:in (?:what|which) years?|when|on (?:what|which) (?:date|day)|until when|since when)\b", re.I),
        re.compile(rf"\b(?:1[5-9]|20)\d\d\b|\b{_MONTH}\b", re.I),
    ),
    (
        re.compile(r"\bhow (?:many|much|long|old|often)\b|\bwhat (?:number|figure|share|percentage)\b", re.I),
        re.compile(
            r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|hundred|thousand|million|billion)\b", re.I
        ),
    ),
)


class SimilarityReader:
    """Reads with the embedder and the store's word statistics; nothing in it is trained."""

    def __init__(self, embedder: Embedder, store: ChunkStore) -> None:
        self._embedder = embedder
        self._store = store

    def read(self, question: str, standalone: str, passages: Sequence[Passage], documents: Sequence[Document]) -> Reading:
        found = [
            (position, start, end)
            for position, (passage, document) in enumerate(zip(passages, documents, strict=True))
            for start, end in sentence_spans(document.text, passage.chunk.start, passage.chunk.end)
        ]
        if not found:
            return Reading((), 0.0, ())
        texts = [documents[position].text[start:end] for position, start, end in found]
        placed = [
            f"{' · '.join(passages[position].chunk.headings)}: {text}" for (position, _, _), text in zip(found, texts, strict=True)
        ]
        wordings = list(dict.fromkeys((standalone, question)))
        vectors = self._embedder.embed([*wordings, *texts, *placed])
        asked, said, said_placed = (
            vectors[: len(wordings)],
            vectors[len(wordings) : len(wordings) + len(texts)],
            vectors[len(wordings) + len(texts) :],
        )
        cosines = (said @ asked.T).mean(axis=1)
        placed_cosines = (said_placed @ asked.T).mean(axis=1)
        weights = self._store.term_weights(standalone)
        own_weights = {term: weights[term] for term in analyse(question) if term in weights} or weights
        voices = _asked_voices(standalone, passages)
        scores = []
        for number, (position, _, _) in enumerate(found):
            passage, document = passages[position], documents[position]
            terms = set(analyse(texts[number]))
            placed_terms = terms | set(analyse(f"{document.title} {placed[number]}"))
            score = (
                _SENTENCE_COSINE * float(cosines[number])
                + _PLACED_COSINE * float(placed_cosines[number])
                + _WORDS * _share(own_weights, terms)
                + _PLACED_WORDS * _share(weights, placed_terms)
                + _PASSAGE_RANK * passage.score / passages[0].score
                + _PASSAGE_RANK / (1 + position)
            )
            if passage.chunk.voice.speaker in voices:
                score += _ASKED_VOICE
            if document.kind in _SECOND_HAND_KINDS:
                score -= _SECOND_HAND
            for asks, holds in _EXPECTED:
                if asks.search(question) and holds.search(texts[number]):
                    score += _ASKED_KIND_OF_ANSWER
            scores.append(score)
        order = sorted(range(len(found)), key=lambda number: (-scores[number], number))
        best = max(float(max(cosines)), float(max(placed_cosines)))
        covered = max(
            _share(own_weights, set(analyse(f"{document.title} {' '.join(passage.chunk.headings)} {passage.chunk.text}")))
            for passage, document in zip(passages, documents, strict=True)
        )
        alike = said @ said.T
        return Reading(
            evidence=tuple(
                Evidence(found[number][0], found[number][1], found[number][2], texts[number], scores[number]) for number in order
            ),
            confidence=_logistic(_CONFIDENCE[0] + _CONFIDENCE[1] * best + _CONFIDENCE[2] * covered),
            overlaps=tuple(tuple(float(alike[left, right]) for right in order) for left in order),
        )


def _share(weights: Mapping[str, float], terms: set[str]) -> float:
    """How much of the question's rare words is among the terms, 0 to 1."""
    total = sum(weights.values())
    return sum(weight for term, weight in weights.items() if term in terms) / total if total else 0.0


def _asked_voices(question: str, passages: Sequence[Passage]) -> set[str]:
    """Speakers among the passages whose name, or its last part, stands in the question."""
    words = set(re.findall(r"\w+", question))
    return {
        passage.chunk.voice.speaker
        for passage in passages
        if passage.chunk.voice.speaker in question or passage.chunk.voice.speaker.split()[-1] in words
    }


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))
