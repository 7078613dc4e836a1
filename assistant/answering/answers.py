"""What an answer is, and the events that bring it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from assistant.retrieval.passages import Passage
from index.documents import Voice


@dataclass(frozen=True, slots=True)
class Citation:
    """The exact words that a sentence rests on: `document.text[start:end] == quote`."""

    marker: int
    """Its number in the answer, from 1."""
    document: str
    """Document id."""
    title: str
    authors: tuple[str, ...]
    published: str | None
    cite_as: str
    """Short form of the document: "Vu 2021"."""
    kind: str
    locator: str
    """"¶7", "§ Article II"."""
    quote: str
    start: int
    end: int
    digest: str
    """Of the document when the citation was made: tells later whether the source has changed."""
    voice: Voice

    @property
    def reference(self) -> str:
        """ "Vu 2021, ¶7"; a digest says that it is one, for its words are not the author's own."""
        return f"{self.cite_as}, {self.locator}{' (digest)' if self.kind == 'digest' else ''}"


@dataclass(frozen=True, slots=True)
class Sentence:
    text: str
    citations: tuple[int, ...]
    """Markers of the citations that carry it."""
    support: Literal["verified", "unverified", "none"]
    """verified: code found the words at their place. unverified: cited, but not found to be carried. none: uncited."""
    score: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    question: str
    standalone_question: str
    short: str
    """The few words that answer (empty where the reader is not sure of any; the speaker for "Who says that …?"), without a
    trained reader the first sentence of the answer; or a plain "The sources do not say."."""
    abstained: bool
    reason: str
    """Why the assistant abstained; empty otherwise."""
    confidence: float
    """How likely it is that the sources answer the question, 0 to 1."""
    sentences: tuple[Sentence, ...]
    citations: tuple[Citation, ...]
    passages: tuple[Passage, ...]
    """What was retrieved, best first."""
    locators: tuple[str, ...]
    """For each passage the locator of its first word."""
    references: tuple[str, ...]
    """For each passage its short reference: "Vu 2021, ¶7"."""
    generator: str
    seconds: Mapping[str, float]
    """Stage -> seconds: rewrite, retrieve, answer, total."""
    signals: tuple[float, ...] = ()
    """What the confidence of a trained reader was made of."""
    tokens: int | None = None
    """Tokens that a language model read and wrote; None where none was asked."""

    @property
    def headline(self) -> str:
        """The short answer where it says it in clearly fewer words than the sentence that holds it; else empty."""
        words = len(self.short.split())
        holding = [len(sentence.text.split()) for sentence in self.sentences if self.short in sentence.text]
        return "" if self.abstained or any(3 * words > 2 * whole for whole in holding) else self.short

    def citation(self, marker: int) -> Citation:
        return self.citations[marker - 1]


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The question was made to stand alone."""

    standalone_question: str


@dataclass(frozen=True, slots=True)
class Found:
    """Passages were retrieved."""

    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class Delta:
    """One more sentence of the answer, with the citations that are new with it."""

    sentence: Sentence
    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    answer: Answer


Event = Rewritten | Found | Delta | Finished
