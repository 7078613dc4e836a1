"""What an answer is, and the events that bring it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from assistant.retrieval.passages import Passage
from index.documents import Voice


class Usage(NamedTuple):
    """Tokens, as the server of a language model counts them."""

    read: int
    written: int


def total(*counted: Usage | None) -> Usage | None:
    """None where nothing was counted."""
    known = [each for each in counted if each is not None]
    return Usage(sum(each.read for each in known), sum(each.written for each in known)) if known else None


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
    """verified: code found the words that carry it at their place. unverified: it did not; such a sentence has no citations.
    none: the sentence claims nothing."""
    score: float | None
    """How well it answers, as its reader has it; None where a language model wrote it."""


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
    notices: tuple[str, ...] = ()
    """What a person should know of how the answer came about: what did not fit, broke off, or was put right."""
    model: str | None = None
    """The language model that was asked; None where none was."""
    usage: Usage | None = None
    """Its tokens, those of completing a follow-up included; None where it was not asked or the server did not count."""
    cost: float | None = None
    """In the currency that the settings price_read and price_written are in; None where they are not set."""

    @property
    def headline(self) -> str:
        """The short answer where it says it in clearly fewer words than the sentence that holds it; else empty."""
        words = len(self.short.split())
        holding = [len(sentence.text.split()) for sentence in self.sentences if self.short in sentence.text]
        return "" if self.abstained or any(3 * words > 2 * whole for whole in holding) else self.short

    def voice_of(self, sentence: Sentence) -> Voice | None:
        """Who says it, where it is quoted word for word; a written sentence tells that itself."""
        return quoted_voice(sentence, [self.citation(marker) for marker in sentence.citations])

    def citation(self, marker: int) -> Citation:
        return self.citations[marker - 1]


def quoted_voice(sentence: Sentence, citations: Sequence[Citation]) -> Voice | None:
    """The voice of the words that the sentence repeats; None where it puts them in words of its own. citations: its own."""
    return citations[0].voice if citations and sentence.text == " ".join(citations[0].quote.split()) else None


def measured(answer: Answer) -> list[str]:
    """Who wrote it, in how long, and what it took."""
    # A model that was asked in vain wrote nothing of it.
    named = answer.model is not None and answer.generator != "extractive"
    told = [f"{answer.generator}, {answer.model}" if named else answer.generator, f"{answer.seconds['total']:.1f} s"]
    if answer.usage is not None:
        told.append(f"{answer.usage.read:,} + {answer.usage.written:,} tokens")
    if answer.cost is not None:
        told.append(f"cost {answer.cost:.4f}")
    return told


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The question was made to stand alone."""

    standalone_question: str


@dataclass(frozen=True, slots=True)
class Found:
    """Passages were retrieved."""

    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """What a language model has written beyond the sentences that were checked; each Draft takes the place of the one before."""

    words: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """The server of a language model asks to wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The sentences so far are taken back; others follow."""

    why: str


@dataclass(frozen=True, slots=True)
class Delta:
    """One more sentence of the answer, with its citations."""

    sentence: Sentence
    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    answer: Answer


Event = Rewritten | Found | Draft | Waiting | Withdrawn | Delta | Finished
