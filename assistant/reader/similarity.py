"""The untrained reader: sentences that resemble the question, share its rare words, and hold what it asks for.

The weights below were chosen by hand on the dev questions of the alliance suite; docs/evals.md shows what they reach.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from assistant.reader.readings import GAPS, Asked, Evidence, Reading
from assistant.retrieval.passages import Passage
from index.documents import Document
from index.embedders import Embedder
from index.lexical import analyse
from index.speakers import Speakers, asks_who_says, goes_by_family_name, is_asked_to_speak, matter, plain_name
from index.store import ChunkStore
from index.voices import sentences_with_voices

# What a sentence's score is made of; each part lies between 0 and 1.
_SENTENCE_COSINE = 0.5
_PASSAGE_COSINE = 0.3
_WORDS = 0.2
_PLACED_WORDS = 0.2
_PASSAGE_RANK = 0.1
_ASKED_VOICE = 0.1
# "How does Vu answer that?" asks for Vu's own words, not for words about him.
_ASKED_TO_SPEAK = 0.2
_ASKED_KIND_OF_ANSWER = 0.15
# Maps and timelines repeat what stands elsewhere, cautions qualify it: the place itself is the better citation.
_SECOND_HAND = 0.1
# "Who says that?" asks for a person, and not for the newspaper that printed it or the map that lists it.
_NOBODYS_WORDS = 0.6
_SECOND_HAND_KINDS = frozenset({"map", "timeline", "caution"})
# "The sources do not say" must not win over a sentence that answers as well.
_GAP = 0.05
# Unless the question asks in its very words for what the sources leave out.
_NAMED_GAP, _ALL_WORDS = 0.2, 0.99
# A follow-up asks for more than the words of the last answer.
_TOLD = 0.3

# confidence = logistic(a + b * best cosine of a passage + c * best cosine of a sentence); docs/evals.md tells the fit.
_CONFIDENCE = (-6.5, 6.6, 3.7)

# A comparison, a summary, an opinion, a definition, an event, several things, a yes or no.
_WHOLE_SENTENCES = re.compile(
    r"\bcompare|\bcontrast|\bsummari[sz]e|\bexplain\b|\bdiffer|^\W*(?:sort|list|describe|outline|discuss|tell)\b|"
    r"\bwhat\s+happen|\bwh(?:at|o)\s+are\b|\bwhat\s+(?:is|was)\s+(?!the\b|his\b|her\b|its\b|their\b)\w+(?:\s+\w+)?\W*$|"
    r"\bwhat\s+(?:do|does|did|would|has|have)\b.*\b(?:say|says|said|think|thinks|argue|argued|believe|mean|claim|answer|reply)\b|"
    r"^\W*(?:(?:and|but|so|or|then|according to [^,]+,)\s+)?(?!(?:can|could|do|would) you\b)"
    r"(?:do|does|did|is|are|was|were|can|could|will|would|should|must|may|shall|has|have|had|isn|aren|wasn|weren|don|doesn|didn)\b",
    re.IGNORECASE,
)
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
_NAME = (re.compile(r"\bwho(?:m|se)?\b", re.IGNORECASE), re.compile(r"[A-Z]"))
_ANYTHING = re.compile(r"\w")
_REASON = re.compile(r"\bwhy\b", re.IGNORECASE)


_ASKED_WORD = re.compile(r"\d+(?:[.,]\d+)+|[^\W_]+(?:[-'’][^\W_]+)*")
# Words that put a question; that no passage holds them says nothing.
_ONLY_ASKS = frozenset(
    "many much think thinks thought say says said tell tells told believe believes source sources cannot can't could would "
    "should please explain describe mean means ever anyone anything someone something does did".split()
)


class SimilarityReader:
    """Reads with the embedder and the store's word statistics; nothing in it is trained."""

    def __init__(self, embedder: Embedder, store: ChunkStore) -> None:
        self._embedder = embedder
        self._store = store

    def read(self, asked: Asked, passages: Sequence[Passage], documents: Sequence[Document]) -> Reading:
        question, standalone = asked.question, asked.standalone
        found = [
            (position, start, end, voice)
            for position, (passage, document) in enumerate(zip(passages, documents, strict=True))
            for start, end, voice in sentences_with_voices(document, passage.chunk.start, passage.chunk.end)
            if asked.allows(voice)
        ]
        if not found:
            return Reading((), 0.0, ())
        texts = [documents[position].text[start:end] for position, start, end, _ in found]
        said = self._embedder.embed(texts)
        heard = Speakers({voice.speaker for *_, voice in found})
        people = {} if asks_who_says(question) else next(filter(None, map(heard.named_in, asked.names)), {})
        speakers = {name for names in people.values() for name in names}
        called = {name for person, names in people.items() if is_asked_to_speak(person, question) for name in names}
        about = matter(standalone, people)
        wanted = self._embedder.embed([about] if asks_who_says(question) else list(dict.fromkeys((standalone, question))))
        cosines = (said @ wanted.T).mean(axis=1)
        weights = self._store.term_weights(standalone)
        own_weights = {term: weights[term] for term in analyse(question) if term in weights} or weights
        places = [
            set(analyse(" ".join((document.title, *passage.chunk.headings))))
            for passage, document in zip(passages, documents, strict=True)
        ]
        # A passage that dense search did not find is no nearer than the last that it did.
        near = [passage.cosine for passage in passages if passage.cosine is not None]
        floor = min(near, default=0.0)
        best, least = passages[0].score, min(passage.score for passage in passages)
        scores = []
        for number, (position, _, _, voice) in enumerate(found):
            passage, kind = passages[position], documents[position].kind
            terms = set(analyse(texts[number]))
            placed = terms | places[position]
            score = (
                _SENTENCE_COSINE * float(cosines[number])
                + _PASSAGE_COSINE * (floor if passage.cosine is None else passage.cosine)
                + _WORDS * _share(own_weights, terms)
                + _PLACED_WORDS * (_share(own_weights, placed) + _share(weights, placed)) / 2
                + _PASSAGE_RANK * ((passage.score - least) / ((best - least) or 1.0) + 1 / (1 + position))
                + _ASKED_VOICE * (voice.speaker in speakers)
                + _ASKED_TO_SPEAK * (voice.speaker in called)
                + _ASKED_KIND_OF_ANSWER * _holds_what_is_asked(question, texts[number])
                - _SECOND_HAND * (kind in _SECOND_HAND_KINDS)
                - _NOBODYS_WORDS * (asks_who_says(question) and not goes_by_family_name(plain_name(voice.speaker)))
                - _GAP * (kind == GAPS)
                + _NAMED_GAP * (kind == GAPS and _share(own_weights, terms) > _ALL_WORDS)
                - _TOLD * (" ".join(texts[number].split()) in asked.last_answer)
            )
            scores.append(score)
        order = sorted(range(len(found)), key=lambda number: (-scores[number], number))
        alike = said @ said.T
        a, b, c = _CONFIDENCE
        nearest_sentence = float((said @ np.vstack([wanted, self._embedder.embed([about])]).T).max())
        return Reading(
            evidence=tuple(Evidence(*found[number][:3], texts[number], found[number][3], scores[number]) for number in order),
            confidence=_logistic(a + b * max(near, default=nearest_sentence) + c * nearest_sentence),
            overlaps=tuple(tuple(float(alike[left, right]) for right in order) for left in order),
            asked_speakers=tuple(map(frozenset, people.values())),
            called=frozenset(called),
            asks_who_says=asks_who_says(question),
            few_words=_few_words(question, asks_for_words=bool(called)),
            held=_share(weights, self._telling(passages, documents, places)) if weights else 1.0,
            missing=self._missing(question, [*texts, *(str(voice) for *_, voice in found)], places),
        )

    @staticmethod
    def _telling(passages: Sequence[Passage], documents: Sequence[Document], places: Sequence[set[str]]) -> set[str]:
        """The words of the passages and their places; a list of what the sources do not say is no source of an answer."""
        told = list(zip(passages, documents, places, strict=True))
        told = [each for each in told if each[1].kind != GAPS] or told
        return set(analyse("\n".join(passage.chunk.text for passage, *_ in told))).union(*(place for *_, place in told))

    def _missing(self, question: str, texts: Sequence[str], places: Sequence[set[str]]) -> tuple[str, ...]:
        """The words of the question that neither the texts nor their places hold, in any form, the rarest first."""
        held = set(analyse("\n".join(texts))).union(*places)
        told = dict.fromkeys(_ASKED_WORD.findall(question))
        wanted = {word: analyse(word) for word in told if word.lower() not in _ONLY_ASKS}
        missing = [word for word, terms in wanted.items() if terms and not held.intersection(terms)]
        weights = self._store.term_weights(question)
        return tuple(sorted(missing, key=lambda word: -max(weights.get(term, math.inf) for term in wanted[word])))


def _share(weights: Mapping[str, float], terms: set[str]) -> float:
    """How much of the question's rare words is among the terms, 0 to 1."""
    total = sum(weights.values())
    return sum(weight for term, weight in weights.items() if term in terms) / total if total else 0.0


def _few_words(question: str, *, asks_for_words: bool) -> re.Pattern[str] | None:
    """What few words must hold to answer; None where whole sentences are asked for: what somebody says, unless that is a date,
    a number, a name or a reason.
    """
    if _WHOLE_SENTENCES.search(question):
        return None
    anything = None if asks_for_words and not _REASON.search(question) else _ANYTHING
    return next((holds for asks, holds in (*_EXPECTED, _NAME) if asks.search(question)), anything)


def _holds_what_is_asked(question: str, text: str) -> bool:
    """Whether the question asks for a date or a number and the text holds one."""
    return any(asks.search(question) and holds.search(text) for asks, holds in _EXPECTED)


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))
