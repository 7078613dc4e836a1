"""The trained reader at work: it ranks passages, adds to what similarity tells of sentences, and finds short answers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock

from assistant.reader.model import BUNDLED_RECORD, PassageReading, ReaderModel
from assistant.reader.readings import GAPS, Asked, Evidence, Reader, Reading, ShortAnswer
from assistant.retrieval.passages import Passage
from index.documents import Document
from index.errors import ModelError
from index.store import ChunkStore

_KEPT = 512
# By words, of a passage that word search did not find: beyond all that it did.
_HYPHENED_BEFORE = re.compile(r"(?:\w+-)+\Z")
_HYPHENED_AFTER = re.compile(r"(?:-\w+)+")
_UNRANKED = 101


@dataclass(frozen=True, slots=True)
class Fit:
    """What was fitted on the dev questions; docs/answers.md tells how."""

    carries: float
    """Weight of the sentence's own evidence, 0 to 1, in its score."""
    answers: float
    """Weight of the passage's relevance, 0 to 1."""
    holds: float
    """Added for the sentence that holds the passage's short answer, times how sure that answer is."""
    confidence: tuple[float, ...]
    """Logistic: the constant, then a weight for each signal: log-odds by similarity, highest relevance, how much of the
    question's rare words the passages hold, and the same where the best sentence is spoken by whom the question asks to speak.
    """
    cosine: float
    """In re-ranking, beside relevance: weight of the cosine between question and passage."""
    first: float
    """In re-ranking: weight of the logarithm of the rank that the passage came with."""
    words: float
    """In re-ranking: weight of the logarithm of its rank by words alone."""


def bundled_fit() -> Fit:
    """Raises ModelError where the record that ships cannot be read."""
    try:
        told = json.loads(BUNDLED_RECORD.read_text(encoding="utf-8"))["fit"]
        return Fit(**{**told, "confidence": tuple(told["confidence"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"the reader's record {BUNDLED_RECORD} cannot be read; reinstall the program, or set reader = none."
        ) from error


class RememberedReadings:
    """Reads passages, and keeps what was read last: re-ranking and answering ask for the same, but within a conversation."""

    def __init__(self, model: Callable[[], ReaderModel], store: ChunkStore) -> None:
        """model: gives it, loaded once, at the first need."""
        self._model = model
        self._store = store
        self._kept: dict[tuple[str, str, str], PassageReading] = {}
        self._lock = Lock()

    def of(self, question: str, passages: Sequence[Passage]) -> list[PassageReading]:
        titles = {name: self._store.document(name).title for name in {each.chunk.document_id for each in passages}}
        return self.read(
            question,
            [
                ("\n".join((titles[each.chunk.document_id], *each.chunk.headings)), each.chunk.text)
                for each in passages
            ],
        )  # fmt: skip

    def read(self, question: str, texts: Sequence[tuple[str, str]]) -> list[PassageReading]:
        with self._lock:
            missing = [each for each in dict.fromkeys(texts) if (question, *each) not in self._kept]
            for each, reading in zip(missing, self._model().read(question, missing), strict=True):
                self._kept[(question, *each)] = reading
            found = [self._kept[(question, *each)] for each in texts]
            for key in list(self._kept)[: max(0, len(self._kept) - _KEPT)]:
                del self._kept[key]
        return found


class RelevanceReranker:
    """Ranks the passages found by how likely it is that they answer (a cross-encoder, Nogueira and Cho, 2019)."""

    depth = 20

    def __init__(self, readings: RememberedReadings, fit: Fit) -> None:
        self._readings = readings
        self._fit = fit

    def rerank(self, question: str, passages: Sequence[Passage]) -> list[Passage]:
        looked_at = passages[: self.depth]
        scores = [
            reading.relevance
            + self._fit.cosine * (passage.cosine or 0.0)
            - self._fit.first * math.log(rank)
            - self._fit.words * math.log(self._word_rank(passage))
            for rank, (reading, passage) in enumerate(
                zip(self._readings.of(question, looked_at), looked_at, strict=True), start=1
            )
        ]
        order = sorted(range(len(looked_at)), key=lambda number: (-scores[number], number))
        best = [
            replace(looked_at[number], score=scores[number], ranks={**looked_at[number].ranks, "reader": rank})
            for rank, number in enumerate(order, start=1)
        ]
        return [*best, *passages[self.depth :]]

    @staticmethod
    def _word_rank(passage: Passage) -> int:
        """The best by any wording."""
        return min((rank for name, rank in passage.ranks.items() if name.startswith("words")), default=_UNRANKED)


class TrainedReader:
    def __init__(self, similarity: Reader, readings: RememberedReadings, fit: Fit) -> None:
        self._similarity = similarity
        self._readings = readings
        self._fit = fit

    def read(self, asked: Asked, passages: Sequence[Passage], documents: Sequence[Document]) -> Reading:
        reading = self._similarity.read(asked, passages, documents)
        if not reading.evidence:
            return reading
        fit = self._fit
        read = self._readings.of(asked.standalone, passages)

        def carrying(evidence: Evidence) -> float | None:
            begin = passages[evidence.passage].chunk.start
            return read[evidence.passage].evidence_of(evidence.start - begin, evidence.end - begin)

        carried = [carrying(evidence) for evidence in reading.evidence]

        def gain(evidence: Evidence, carries: float | None) -> float:
            told, begin = read[evidence.passage], passages[evidence.passage].chunk.start
            start, end = (begin + place for place in told.answer)
            holds = evidence.start < end and start < evidence.end
            return (
                fit.carries * (0.0 if carries is None else logistic(carries))
                + fit.answers * logistic(told.relevance)
                + fit.holds * holds * logistic(told.answer_logit)
            )

        gains = [gain(evidence, carries) for evidence, carries in zip(reading.evidence, carried, strict=True)]
        scores = [evidence.score + gained for evidence, gained in zip(reading.evidence, gains, strict=True)]
        is_gap = [documents[evidence.passage].kind == GAPS for evidence in reading.evidence]
        # "The sources do not name the committee" answers nothing, and is the right thing to quote: it meets the best answer
        # by similarity alone.
        best = max((number for number, gap in enumerate(is_gap) if not gap), key=scores.__getitem__, default=None)
        if best is not None:
            scores = [
                evidence.score + gains[best] if gap else score
                for evidence, gap, score in zip(reading.evidence, is_gap, scores, strict=True)
            ]
        order = sorted(range(len(scores)), key=lambda number: (-scores[number], number))
        # A list of what the sources do not say is no source of an answer.
        telling = [each for each, document in zip(read, documents, strict=True) if document.kind != GAPS] or read
        # Who is asked to speak does: no reason to doubt, unless it is on something else ("What did Lan say about NATO?").
        spoken = reading.held if reading.evidence[order[0]].voice.speaker in reading.called else 0.0
        signals = (
            _log_odds(reading.confidence), max(each.relevance for each in telling), reading.held, spoken
        )  # fmt: skip
        answers = sorted(_short_answers(read, passages), key=lambda answer: -answer.score)
        return replace(
            reading,
            evidence=tuple(
                replace(reading.evidence[number], score=scores[number], carries=(carried[number] or 0.0) > 0.0)
                for number in order
            ),
            overlaps=tuple(tuple(reading.overlaps[one][other] for other in order) for one in order),
            answers=tuple(answers),
            confidence=confidence(fit.confidence, signals),
            signals=signals,
        )


def _whole(text: str, start: int, end: int) -> tuple[int, int]:
    """Of a word with hyphens the whole: "Thirty" is not what "Thirty-one" says."""
    before, after = _HYPHENED_BEFORE.search(text[:start]), _HYPHENED_AFTER.match(text[end:])
    return start - (len(before[0]) if before else 0), end + (len(after[0]) if after else 0)


def _short_answers(read: Sequence[PassageReading], passages: Sequence[Passage]) -> list[ShortAnswer]:
    return [
        ShortAnswer(
            passage=number,
            start=passage.chunk.start + _whole(passage.chunk.text, *told.answer)[0],
            end=passage.chunk.start + _whole(passage.chunk.text, *told.answer)[1],
            score=told.relevance + told.answer_logit,
        )
        for number, (told, passage) in enumerate(zip(read, passages, strict=True))
        if told.answer[1]
    ]  # fmt: skip


def confidence(weights: Sequence[float], signals: Sequence[float]) -> float:
    """weights: the constant, then one for each signal."""
    return logistic(weights[0] + sum(weight * signal for weight, signal in zip(weights[1:], signals, strict=True)))


def logistic(value: float) -> float:
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, value))))


def _log_odds(probability: float) -> float:
    kept = min(max(probability, 1e-4), 1 - 1e-4)
    return math.log(kept / (1 - kept))
