"""What the reader learns from: texts, and questions with what answers them and what does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from assistant.reader.articles import is_kept_out
from index.sentences import Span, sentence_spans


@dataclass(frozen=True, slots=True)
class Text:
    """A passage as it is read."""

    title: str
    """What stands above it: the article's title, headings, the speaker."""
    text: str
    group: str
    """The article it is from."""
    source: str
    """The set that it is from."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question or a claim, before the passages that are taken for its answer are looked for."""

    question: str
    source: str
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

    asked: Asked
    wrong: tuple[int, ...]
    """Numbers of passages that do not answer, the most confusing first."""
    cut: int | None = None
    """Number of the right passage without the sentences that answer; it looks right and is not."""


@dataclass(slots=True)
class Data:
    texts: list[Text] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)

    def split(self) -> tuple[list[Example], list[Example]]:
        """(to train on, kept out)."""
        kept = [example for example in self.examples if is_kept_out(example.asked.group)]
        return [example for example in self.examples if not is_kept_out(example.asked.group)], kept


@dataclass(frozen=True, slots=True)
class Source:
    """A paragraph or document whose parts are passages: questions about it find their passage here."""

    text: str
    name: str
    """The set that it is from."""
    group: str
    parts: tuple[Span, ...]
    """Its passages, in order."""
    first: int
    """Number of the first of them."""

    @property
    def numbers(self) -> range:
        return range(self.first, self.first + len(self.parts))

    def unanswered(self, question: str, near: int | None = None) -> Asked:
        """near: the passage that it looks answered by, where it is known; else every one."""
        return Asked(question, self.name, self.group, None, known_wrong=tuple(self.numbers) if near is None else (near,))

    def answered(self, question: str, spans: Sequence[Span], *, is_judged: bool = True) -> Asked | None:
        """spans: places of the answer in the text. The passage that most of them stand in is the right one; None where none
        holds a whole one.
        """
        inside = [[(a - start, b - start) for a, b in spans if start <= a < b <= end] for start, end in self.parts]
        best = max(range(len(self.parts)), key=lambda part: len(inside[part]), default=None)
        if best is None or not inside[best]:
            return None
        start, end = self.parts[best]
        text = self.text[start:end]
        found = tuple(dict.fromkeys(inside[best]))
        begin, stop = found[0]
        evidence = tuple((a, b) for a, b in sentence_spans(text, 0, len(text)) if a < stop and begin < b)
        right = self.first + best
        return Asked(
            question, self.name, self.group, right, found, evidence, is_judged=is_judged, is_ranked=is_judged
        )  # fmt: skip

    def carried(self, question: str, sentences: Sequence[Span], *, bears_out: bool | None = None) -> Asked | None:
        """sentences: places of those that answer together. The passage that holds most of them is the right one."""
        shared = [
            [(max(a, start) - start, min(b, end) - start) for a, b in sentences if a < end and start < b]
            for start, end in self.parts
        ]
        held = [sum(b - a for a, b in each) for each in shared]
        best = max(range(len(self.parts)), key=held.__getitem__, default=None)
        if best is None or not held[best]:
            return None
        others = frozenset(self.first + part for part, each in enumerate(shared) if each)
        return Asked(
            question, self.name, self.group, self.first + best, evidence=tuple(shared[best]), not_wrong=others,
            bears_out=bears_out,
        )  # fmt: skip
