"""Questions that were written for this reader, in the form of written.txt."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, cast

from assistant.reader.examples import Paragraph, Posed
from index.sentences import Span, sentence_spans

Kind = Literal["+", "=", "-", "?", "T", "F"]
_LINE = re.compile(r"([+=?TF-]) (.+)")
_NUMBERS = re.compile(r"\d+(?:, ?\d+)*")


class Written(NamedTuple):
    kind: Kind
    question: str
    answer: str = ""
    """As it stands in the paragraph; of kinds + and = only."""
    sentences: tuple[int, ...] = ()
    """Numbers, from 1, of the sentences that answer; of kinds ?, T and F only."""


def paragraph_digits(told: str) -> str:
    """How a paragraph or document is named: the first ten digits of its SHA-256, as it stands in its set."""
    return hashlib.sha256(told.encode()).hexdigest()[:10]


def read_written(path: Path) -> dict[str, list[Written]]:
    """The questions on each paragraph, by its digits.

    A line "@digits" names the paragraph. Those that follow are "+ question | answer"; "= question | answer" for one whose
    wording gives away that it has an answer, so that only the place of the answer is learned; "- question" for one that the
    paragraph does not answer; "? question | 3,4" for one that these sentences answer; "T claim | 3" and "F claim | 3" for what
    that sentence bears out, or contradicts. Raises ValueError for other lines.
    """
    found: dict[str, list[Written]] = {}
    here: list[Written] | None = None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("@"):
            here = found.setdefault(line[1:].strip(), [])
        elif line.strip():
            written = parsed(line)
            if here is None or written is None:
                raise ValueError(f"{path}, line {number}: not '@digits', or '+', '=', '-', '?', 'T', 'F' with what belongs to it")
            here.append(written)
    return found


def parsed(line: str) -> Written | None:
    """None for a line that is none."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    kind, rest = cast(Kind, match[1]), match[2]
    question, _, answer = rest.rpartition(" | ")
    if kind == "-":
        return None if question else Written(kind, rest)
    if not question or not answer:
        return None
    if kind in "+=":
        return Written(kind, question, answer)
    if not _NUMBERS.fullmatch(answer):
        return None
    return Written(kind, question, sentences=tuple(map(int, answer.split(","))))


def posed_on(paragraph: Paragraph, written: Sequence[Written]) -> Iterator[Posed]:
    """Raises ValueError where the answer does not stand in the text, or the text has no sentence of that number."""
    sentences = sentence_spans(paragraph.text, 0, len(paragraph.text))
    near: int | None = None
    for number, (kind, question, answer, numbers) in enumerate(written):
        made: Posed | None
        if kind == "-":
            # Its twin, the question before it, tells which part of a long text was in view.
            made = paragraph.unanswered(question, near)
        elif kind in "+=":
            places = places_of(answer, paragraph.text)
            if not places:
                raise ValueError(f"the answer {answer!r} to {question!r} does not stand in its paragraph")
            # And so does the next line that names sentences.
            named = next((each.sentences for each in written[number:] if each.sentences), ())
            view = paragraph.carried("", [sentences[each - 1] for each in named if each <= len(sentences)])
            made = paragraph.answered(question, places, near=view.right if view else None, is_judged=kind == "+")
        else:
            if not all(1 <= each <= len(sentences) for each in numbers):
                raise ValueError(f"the paragraph of {question!r} has no sentences {numbers}")
            bears_out = None if kind == "?" else kind == "T"
            made = paragraph.carried(question, [sentences[each - 1] for each in numbers], bears_out=bears_out)
        if made is not None:
            near = near if made.right is None else made.right
            yield made


def places_of(words: str, text: str) -> list[Span]:
    """Where they stand as whole words ("no" not in "not"), or anywhere if they nowhere do."""
    found = [match.span() for match in re.finditer(rf"(?<!\w){re.escape(words)}(?!\w)", text)]
    return found or [match.span() for match in re.finditer(re.escape(words), text)]
