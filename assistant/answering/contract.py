"""The JSON that programs get: a contract, described in docs/json.md, held by tests. From its types the HTTP server's description
is made.
"""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

from assistant.answering.answers import (
    Answer,
    Citation,
    Delta,
    Draft,
    Event,
    Finished,
    Found,
    Rewritten,
    Sentence,
    Waiting,
    Withdrawn,
)
from assistant.retrieval.passages import Passage


class SentenceJSON(TypedDict):
    text: str
    support: Literal["verified", "unverified", "none"]
    citations: list[int]


class VoiceJSON(TypedDict):
    speaker: str
    reported_by: str | None


class CitationJSON(TypedDict):
    marker: int
    document: str
    title: str
    authors: list[str]
    published: str | None
    locator: str
    quote: str
    start: int
    end: int
    voice: VoiceJSON


class PassageJSON(TypedDict):
    document: str
    locator: str
    start: int
    end: int
    score: float
    ranks: dict[str, int]
    voice: VoiceJSON
    text: str


class OriginJSON(TypedDict):
    """What a document tells of itself."""

    title: str
    authors: list[str]
    published: str | None
    url: str | None


class FoundJSON(PassageJSON, OriginJSON):
    pass


class PlaceJSON(OriginJSON):
    document: str
    locator: str
    start: int
    end: int
    text: str


class SourceJSON(TypedDict):
    document: str
    title: str
    authors: list[str]
    published: str | None
    kind: str
    chunks: int
    tokens: int
    digest: str


class PassagesJSON(TypedDict):
    passages: list[FoundJSON]


class SourcesJSON(TypedDict):
    sources: list[SourceJSON]


class TokensJSON(TypedDict):
    read: int
    written: int


class AnswerJSON(TypedDict):
    question: str
    standalone_question: str
    short: str
    abstained: bool
    reason: str
    confidence: float
    signals: list[float]
    sentences: list[SentenceJSON]
    citations: list[CitationJSON]
    passages: list[PassageJSON]
    generator: str
    model: str | None
    notices: list[str]
    tokens: TokensJSON | None
    cost: float | None
    seconds: dict[str, float]


def answer_as_json(answer: Answer) -> AnswerJSON:
    return {
        "question": answer.question,
        "standalone_question": answer.standalone_question,
        "short": answer.short,
        "abstained": answer.abstained,
        "reason": answer.reason,
        "confidence": round(answer.confidence, 4),
        "signals": [round(signal, 4) for signal in answer.signals],
        "sentences": [_sentence(sentence) for sentence in answer.sentences],
        "citations": [_citation(citation) for citation in answer.citations],
        "passages": [
            passage_as_json(passage, locator) for passage, locator in zip(answer.passages, answer.locators, strict=True)
        ],
        "generator": answer.generator,
        "model": answer.model,
        "notices": list(answer.notices),
        "tokens": None if answer.usage is None else {"read": answer.usage.read, "written": answer.usage.written},
        "cost": None if answer.cost is None else round(answer.cost, 6),
        "seconds": {stage: round(seconds, 4) for stage, seconds in answer.seconds.items()},
    }


def passage_as_json(passage: Passage, locator: str) -> PassageJSON:
    return {
        "document": passage.chunk.document_id,
        "locator": locator,
        "start": passage.chunk.start,
        "end": passage.chunk.end,
        "score": round(passage.score, 6),
        "ranks": dict(passage.ranks),
        "voice": {"speaker": passage.chunk.voice.speaker, "reported_by": passage.chunk.voice.reported_by},
        "text": passage.chunk.text,
    }


def event_as_json(event: Event) -> tuple[str, dict[str, Any]]:
    """(its name, what it says): what an answer is while it is made. `finished` holds the whole answer."""
    match event:
        case Rewritten(standalone):
            return "rewritten", {"standalone_question": standalone}
        case Found(passages):
            places = [{"document": each.chunk.document_id, "start": each.chunk.start, "end": each.chunk.end} for each in passages]
            return "found", {"passages": places}
        case Draft(words):
            return "draft", {"words": words}
        case Waiting(seconds):
            return "waiting", {"seconds": seconds}
        case Withdrawn(why):
            return "withdrawn", {"why": why}
        case Delta(sentence, citations):
            return "sentence", {"sentence": _sentence(sentence), "citations": [_citation(each) for each in citations]}
        case Finished(answer):
            return "finished", {"answer": answer_as_json(answer)}


def _sentence(sentence: Sentence) -> SentenceJSON:
    return {"text": sentence.text, "support": sentence.support, "citations": list(sentence.citations)}


def _citation(citation: Citation) -> CitationJSON:
    return {
        "marker": citation.marker,
        "document": citation.document,
        "title": citation.title,
        "authors": list(citation.authors),
        "published": citation.published,
        "locator": citation.locator,
        "quote": citation.quote,
        "start": citation.start,
        "end": citation.end,
        "voice": {"speaker": citation.voice.speaker, "reported_by": citation.voice.reported_by},
    }
