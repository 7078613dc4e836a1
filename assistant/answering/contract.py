"""The JSON of an answer: a contract, described in docs/json.md and held by tests."""

from __future__ import annotations

from typing import Any

from assistant.answering.answers import Answer
from assistant.retrieval.passages import Passage


def answer_as_json(answer: Answer) -> dict[str, Any]:
    return {
        "question": answer.question,
        "standalone_question": answer.standalone_question,
        "short": answer.short,
        "abstained": answer.abstained,
        "reason": answer.reason,
        "confidence": round(answer.confidence, 4),
        "signals": [round(signal, 4) for signal in answer.signals],
        "sentences": [
            {"text": sentence.text, "support": sentence.support, "citations": list(sentence.citations)}
            for sentence in answer.sentences
        ],
        "citations": [
            {
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
            for citation in answer.citations
        ],
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


def passage_as_json(passage: Passage, locator: str) -> dict[str, Any]:
    return {
        "document": passage.chunk.document_id,
        "locator": locator,
        "start": passage.chunk.start,
        "end": passage.chunk.end,
        "score": round(passage.score, 6),
        "ranks": dict(passage.ranks),
        "text": passage.chunk.text,
    }
