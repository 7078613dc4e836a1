"""What the reader learns from: texts, and questions with what answers them and what does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from assistant.reader.articles import is_kept_out
from index.lexical import analyse
from index.sentences import Span, sentence_spans


@dataclass(frozen=True, slots=True)
class Text:
    """A passage as it is read."""

    title: str
    """What stands above it: the article's title, headings, the speaker."""
    text: str
    group: str
    """The article it is from."""
    origin: str
    """The set that it is from."""


@dataclass(frozen=True, slots=True)
class Posed:
    """A question or a claim, before the passages that are taken for its answer are looked for."""

    question: str
    origin: str
    group: str
    right: int | None
    """Number of the passage that answers; None where none does."""
    spans: tuple[Span, ...] = ()
    """Where that passage holds the answer: any of these is right; empty where it is not known."""
    evidence: tuple[Span, ...] = ()
    """The sentences of that passage that carry the answer; empty where they are not known."""
    not_wrong: frozenset[int] = frozenset()
    """Further passages that answer."""
    known_wrong: tuple[int, ...] = ()
    """Passages that are known not to answer: those that an unanswerable question was asked of."""
    is_judged: bool = True
    """False: whether the right passage answers is not learned; it may be known to be near and no more, or to be given away
    by the question's wording."""
    is_ranked: bool = True
    """False: wrong passages are not looked for."""
    bears_out: bool | None = None
    """Of a claim: whether the right passage says so; False where it says otherwise."""


@dataclass(frozen=True, slots=True)
class Example:
    """A question, the passage that answers it, and some that do not."""

    asked: Posed
    wrong: tuple[int, ...]
    """Numbers of passages that do not answer, the most confusing first."""
    cut: int | None = None
    """Number of the right passage without the sentences that answer; it looks right and is not."""


@dataclass(slots=True)
class Data:
    texts: list[Text] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)

    def split(self) -> tuple[list[Example], list[Example]]:
        """(to train on, kept out). What one article asks and another answers is trained on when neither is kept out."""
        learned, kept = [], []
        for example in self.examples:
            right = example.asked.right
            if is_kept_out(example.asked.group):
                kept.append(example)
            elif right is None or not is_kept_out(self.texts[right].group):
                learned.append(example)
        return learned, kept


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph or document whose parts are passages: questions about it find their passage here."""

    text: str
    origin: str
    """The set that it is from."""
    group: str
    parts: tuple[Span, ...]
    """Its passages, in order."""
    first: int
    """Number of the first of them."""

    @property
    def numbers(self) -> range:
        return range(self.first, self.first + len(self.parts))

    def unanswered(self, question: str, near: int | None = None) -> Posed:
        """near: the passage that it looks answered by, where it is known; else every one."""
        return Posed(question, self.origin, self.group, None, known_wrong=tuple(self.numbers) if near is None else (near,))

    def answered(self, question: str, spans: Sequence[Span], *, near: int | None = None, is_judged: bool = True) -> Posed | None:
        """spans: places of the answer in the text. The right passage is the one that most of them stand in, or `near` where it
        holds one; of its sentences, the one that shares most words with the question carries the answer, and only what stands
        there is right. None where no passage holds a whole place.
        """
        inside = [[(a - start, b - start) for a, b in spans if start <= a < b <= end] for start, end in self.parts]
        best = max(range(len(self.parts)), key=lambda part: len(inside[part]), default=None)
        if near is not None and inside[near - self.first]:
            best = near - self.first
        if best is None or not inside[best]:
            return None
        start, end = self.parts[best]
        text = self.text[start:end]
        asked = set(analyse(question))
        carrying = [
            (a, b) for a, b in sentence_spans(text, 0, len(text)) if any(a < stop and begin < b for begin, stop in inside[best])
        ]
        told = max(carrying, key=lambda place: len(asked & set(analyse(text[slice(*place)]))), default=(0, len(text)))
        found = tuple(dict.fromkeys(place for place in inside[best] if place[0] < told[1] and told[0] < place[1]))
        evidence = tuple((a, b) for a, b in carrying if a < found[0][1] and found[0][0] < b)
        return Posed(
            question, self.origin, self.group, self.first + best, found, evidence, is_judged=is_judged, is_ranked=is_judged
        )  # fmt: skip

    def carried(
        self, question: str, sentences: Sequence[Span], *, group: str | None = None, bears_out: bool | None = None
    ) -> Posed | None:
        """sentences: places of those that answer together. The passage that holds most of them is the right one. group: of the
        question, where it is not the paragraph's.
        """
        shared = [
            [(max(a, start) - start, min(b, end) - start) for a, b in sentences if a < end and start < b]
            for start, end in self.parts
        ]
        held = [sum(b - a for a, b in each) for each in shared]
        best = max(range(len(self.parts)), key=held.__getitem__, default=None)
        if best is None or not held[best]:
            return None
        others = frozenset(self.first + part for part, each in enumerate(shared) if each)
        return Posed(
            question, self.origin, group or self.group, self.first + best, evidence=tuple(shared[best]), not_wrong=others,
            bears_out=bears_out,
        )  # fmt: skip
