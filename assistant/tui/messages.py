"""What the workers and widgets tell the app."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from assistant.answering.answers import Answer, Delta, Draft, Waiting, Withdrawn


@dataclass(frozen=True, slots=True)
class Place:
    """Words in a document that a person can go to."""

    number: int
    """As shown in brackets, from 1 within its answer."""
    document: str
    start: int
    end: int
    quote: str
    """The words that must stand there; empty where nothing is quoted."""
    reference: str
    """"Vu 2021, ¶7"."""
    voice: str


def places_of(answer: Answer, *, nearest: int = 3) -> list[Place]:
    """The citations of an answer, or the nearest passages where there are none."""
    if answer.citations:
        return [
            Place(each.marker, each.document, each.start, each.end, each.quote, each.reference, str(each.voice))
            for each in answer.citations
        ]
    return [
        Place(
            number,
            passage.chunk.document_id,
            passage.chunk.start,
            passage.chunk.end,
            passage.chunk.text,
            reference,
            str(passage.chunk.voice),
        )
        for number, (passage, reference) in enumerate(
            list(zip(answer.passages, answer.references, strict=True))[:nearest], start=1
        )
    ]


class StateChanged(Message):
    """What the assistant is doing, in a few words."""

    def __init__(self, words: str, *, ready: bool = False, failed: bool = False) -> None:
        super().__init__()
        self.words = words
        self.ready = ready
        self.failed = failed


class AnswerEvent(Message):
    """One event of the answer to the question with this number."""

    def __init__(self, number: int, event: Draft | Waiting | Withdrawn | Delta | Answer | str) -> None:
        """event: a part of the answer, the whole of it, or why there is none."""
        super().__init__()
        self.number = number
        self.event = event


class Understood(Message):
    """How a follow-up was completed."""

    def __init__(self, number: int, standalone_question: str) -> None:
        super().__init__()
        self.number = number
        self.standalone_question = standalone_question


class OpenPlace(Message):
    def __init__(self, places: list[Place], index: int) -> None:
        """index: which of the places to open first."""
        super().__init__()
        self.places = places
        self.index = index


class ShowPlaces(Message):
    """The sources pane should show the places of this answer."""

    def __init__(self, places: list[Place], title: str) -> None:
        super().__init__()
        self.places = places
        self.title = title
