"""What the workers and widgets tell each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from assistant.answering.answers import Answer, Citation, Delta, Draft, Waiting, Withdrawn
    from assistant.retrieval.passages import Passage
    from index.build import Progress

NEAREST = 3


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
    speaker: str
    """The voice without who reports it."""
    digest: str | None = None
    """Of the document when its words were quoted; None where that is not known."""
    found: str = ""
    """Why its passage is here: "passage 2 of 10: words 1, meaning 4, reader 2"."""


def places_of(answer: Answer) -> list[Place]:
    """The citations of an answer, or the nearest passages where there are none."""
    if answer.citations:
        return [place_of(each, _found(answer, each.document, each.start)) for each in answer.citations]
    return [
        Place(
            number=number,
            document=passage.chunk.document_id,
            start=passage.chunk.start,
            end=passage.chunk.end,
            quote=passage.chunk.text,
            reference=reference,
            voice=str(passage.chunk.voice),
            speaker=passage.chunk.voice.speaker,
            found=_why(passage, number, len(answer.passages)),
        )
        for number, (passage, reference) in enumerate(
            list(zip(answer.passages, answer.references, strict=True))[:NEAREST], start=1
        )
    ]


def place_of(citation: Citation, found: str = "", number: int | None = None) -> Place:
    """number: instead of the citation's own."""
    return Place(
        number=citation.marker if number is None else number,
        document=citation.document,
        start=citation.start,
        end=citation.end,
        quote=citation.quote,
        reference=citation.reference,
        voice=str(citation.voice),
        speaker=citation.voice.speaker,
        digest=citation.digest,
        found=found,
    )


def _found(answer: Answer, document: str, start: int) -> str:
    for number, passage in enumerate(answer.passages, start=1):
        chunk = passage.chunk
        if chunk.document_id == document and chunk.start <= start < chunk.end:
            return _why(passage, number, len(answer.passages))
    return ""


def _why(passage: Passage, number: int, total: int) -> str:
    names = {"words": "by words", "dense": "by meaning", "fused": "by both", "reader": "by reading"}
    best: dict[str, int] = {}
    for stage, rank in passage.ranks.items():
        # A follow-up is searched for in several wordings: the best of them tells why.
        name = next((told for begin, told in names.items() if stage.startswith(begin)), stage)
        best[name] = min(rank, best.get(name, rank))
    return (
        f"passage {number} of {total}" + (": " if best else "") + ", ".join(f"{name} no. {rank}" for name, rank in best.items())
    )


class StateChanged(Message):
    """What the assistant is doing, in a few words."""

    def __init__(
        self,
        words: str,
        *,
        ready: bool = False,
        failed: bool = False,
        progress: Progress | None = None,
        version: int | None = None,
    ) -> None:
        """progress: of a build that goes on. version: of the store, where it was looked at."""
        super().__init__()
        self.words = words
        self.ready = ready
        self.failed = failed
        self.progress = progress
        self.version = version


class AnswerEvent(Message):
    """One event of an answer to the question with this number."""

    def __init__(self, number: int, event: Draft | Waiting | Withdrawn | Delta | Answer | str, attempt: int = 0) -> None:
        """event: a part of the answer, the whole of it, or why there is none. attempt: 0 for the first answer."""
        super().__init__()
        self.number = number
        self.event = event
        self.attempt = attempt


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
    """The evidence pane should show the places of this answer, and look at one of them."""

    def __init__(self, places: list[Place], title: str, index: int = 0) -> None:
        super().__init__()
        self.places = places
        self.title = title
        self.index = index


class OpenUrl(Message):
    """The person wants to see where a document comes from."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place


class CopyPlace(Message):
    """The person wants the words and their reference in the clipboard."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place


class Reword(Message):
    """The person wants to change these words and ask again."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words


class TypedElsewhere(Message):
    """A letter that belongs into the line to ask in."""

    def __init__(self, letter: str) -> None:
        super().__init__()
        self.letter = letter
