"""What the reader learns from: public question sets become examples of a question and a passage.

Each question comes with the passage that answers it, and with passages that do not, though search confuses them with it:
of the same article first. A fifth of the articles, chosen by a hash of their titles, is never trained on.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import sys
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assistant.reader.articles import is_kept_out
from index.embedders import Embedder
from index.lexical import WordIndex
from index.sentences import Span, sentence_spans

ARTICLES = ("squad_devsplit", "qed_train", "covidqa_devsplit")
SINGLE_SENTENCES = ("qamr_dev", "qamr_test")
"""Sets whose passages are sentences that stand alone: many questions on few words."""
CHOSEN_SENTENCES = "clapnq-dev"
"""A set whose annotators chose the sentences of an answer."""
_ASKED_ELSEWHERE = ("squad2", "covidqa")
"""Sets for evaluation with the same questions: what they call an article is what is kept out."""

# How the Penn Treebank's way of writing differs from everybody's: its quotation marks, and blanks before and after signs.
_TREEBANK = re.compile(
    r"(?P<quote>`` ?| ?'')|(?<=\S) (?=[,.;:?!%)\]](?:\s|$)|n't\b|'(?:s|re|ve|ll|d|m)?(?:\s|$)|°)"
    r"|(?<=[(\[$£€]) (?=\S)|(?<=\w) (?=-\s\w)|(?<=\w -) (?=\w)"
)

# Longer texts are cut into windows of whole sentences, as long as the chunks that are read when answering.
_WINDOW_WORDS = 150
_CONFUSED = 8
_SEARCHED = 40


@dataclass(frozen=True, slots=True)
class Text:
    """A passage as it is read."""

    title: str
    text: str
    group: str
    """The article it is from."""
    source: str
    """The set that it is from."""


@dataclass(frozen=True, slots=True)
class Example:
    """A question, the passages that answer it, and some that do not."""

    question: str
    source: str
    group: str
    right: int | None
    """Number of the passage that answers; None when the question is known to have no answer."""
    spans: tuple[Span, ...]
    """Where that passage holds the answer: any of these is right."""
    evidence: tuple[Span, ...]
    """The sentences of that passage that carry the answer."""
    wrong: tuple[int, ...]
    """Numbers of passages that do not answer, the most confusing first."""
    is_judged: bool = True
    """False: only where the answer stands is learned, not that there is one, which its wording gives away."""


@dataclass(frozen=True, slots=True)
class Data:
    texts: list[Text]
    examples: list[Example]

    def split(self) -> tuple[list[Example], list[Example]]:
        """(to train on, kept out)."""
        kept = [example for example in self.examples if is_kept_out(example.group)]
        return [example for example in self.examples if not is_kept_out(example.group)], kept


@dataclass(slots=True)
class _Asked:
    """A question before its wrong passages are looked for."""

    question: str
    source: str
    group: str
    right: int | None
    spans: tuple[Span, ...]
    evidence: tuple[Span, ...]
    known_wrong: tuple[int, ...]
    is_judged: bool = True


class Written(NamedTuple):
    """A question that was written for this reader."""

    question: str
    answer: str | None
    """As it stands in the paragraph; None where it holds none."""
    is_judged: bool


def read_data(folder: Path, sets: Path, embedder: Embedder, written: Path | None = None) -> Data:
    """folder: the training files in SQuAD's format. sets: the folder of question sets, for clapnq-dev and names of articles.
    written: more questions on those files' paragraphs, as written.txt beside this file has them.

    Raises OSError and ValueError where a file is missing or is not what it should be.
    """
    more = read_written(written) if written else {}
    texts: list[Text] = []
    asked: list[_Asked] = []
    groups = {row["id"]: row["group"] for name in _ASKED_ELSEWHERE for row in _lines(sets / name / "questions.dev.jsonl.gz")}
    for name in (*ARTICLES, *SINGLE_SENTENCES):
        _add_articles(folder / f"{name}.json.gz", name, groups, more, texts, asked)
    _add_chosen(sets / CHOSEN_SENTENCES, texts, asked)
    if more:
        raise ValueError(f"{written}: no file in {folder} has the paragraph @{next(iter(more))}")
    return Data(texts, list(_with_wrong(texts, asked, embedder)))


def read_written(path: Path) -> dict[str, list[Written]]:
    """The questions on each paragraph, by the first ten digits of its SHA-256.

    A line "@digits" names the paragraph; "+ question | answer", "- question", and "= question | answer" for one that is not
    judged follow. Raises ValueError for other lines.
    """
    found: dict[str, list[Written]] = {}
    here: list[Written] | None = None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        question, separator, answer = line[2:].rpartition(" | ")
        if line.startswith("@"):
            here = found.setdefault(line[1:].strip(), [])
        elif here is not None and line.startswith(("+ ", "= ")) and question and answer:
            here.append(Written(question, answer, line.startswith("+")))
        elif here is not None and line.startswith("- ") and not separator:
            here.append(Written(line[2:], None, True))
        elif line.strip():
            raise ValueError(f"{path}, line {number}: not '@digits', '+ question | answer', '= …' or '- question'")
    return found


def _add_articles(
    path: Path,
    source: str,
    groups: Mapping[str, str],
    written: dict[str, list[Written]],
    texts: list[Text],
    asked: list[_Asked],
) -> None:
    """Takes out of `written` what it adds."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        articles = json.load(file)["data"]
    for article in articles:
        ids = (question["id"] for paragraph in article["paragraphs"] for question in paragraph["qas"])
        group = next((groups[each] for each in ids if each in groups), article["title"])
        title = "" if source in SINGLE_SENTENCES else article["title"].replace("_", " ")
        for paragraph in article["paragraphs"]:
            context = Context(paragraph["context"])
            windows = list(_windows(context.text))
            first = len(texts)
            texts.extend(Text(title, context.text[start:end], group, source) for start, end in windows)
            for question in paragraph["qas"]:
                asked.extend(_asked_of(context.placed(question), source, texts, windows, first))
            digits = hashlib.sha256(paragraph["context"].encode()).hexdigest()[:10]
            for each in written.pop(digits, ()):
                made = _asked_of(context.question(each), source, texts, windows, first)
                asked.extend(replace(question, is_judged=each.is_judged) for question in made)


def _asked_of(question: dict[str, Any], source: str, texts: list[Text], windows: list[Span], first: int) -> Iterator[_Asked]:
    group = texts[first].group
    if question["is_impossible"]:
        yield _Asked(question["question"], source, group, None, (), (), tuple(range(first, first + len(windows))))
        return
    found: defaultdict[int, list[Span]] = defaultdict(list)
    for answer in question["answers"]:
        begin = answer["answer_start"]
        end = begin + len(answer["text"].rstrip())
        for number, (start, stop) in enumerate(windows):
            if start <= begin and end <= stop and begin < end:
                found[number].append((begin - start, end - start))
    if found:
        # The window that most answers stand in.
        number = max(found, key=lambda each: len(found[each]))
        spans = tuple(dict.fromkeys(found[number]))
        yield _Asked(question["question"], source, group, first + number, spans, _holding(texts[first + number].text, spans), ())


def _add_chosen(folder: Path, texts: list[Text], asked: list[_Asked]) -> None:
    """Questions with the sentences that annotators chose; no short answers."""
    documents = {row["id"]: row for row in _lines(folder / "corpus.jsonl.gz")}
    for row in _lines(folder / "questions.dev.jsonl.gz"):
        document = documents.get(next(iter(row["relevant"]), "") if row["answerable"] else row["near_miss"])
        if document is None:
            continue
        number, group = len(texts), row["group"]
        texts.append(Text(document["title"], document["text"], group, CHOSEN_SENTENCES))
        if row["answerable"]:
            chosen = {each for numbers in row["evidence"].get(document["id"], []) for each in numbers}
            evidence = _placed([document["sents"][each] for each in sorted(chosen)], document["text"])
            asked.append(_Asked(row["question"], CHOSEN_SENTENCES, group, number, (), evidence, ()))
        else:
            asked.append(_Asked(row["question"], CHOSEN_SENTENCES, group, None, (), (), (number,)))


def _placed(sentences: Sequence[str], text: str) -> tuple[Span, ...]:
    found = ((text.find(sentence.strip()), sentence.strip()) for sentence in sentences)
    return tuple((begin, begin + len(sentence)) for begin, sentence in found if begin >= 0)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


class Context:
    """A paragraph as everybody would write it, and where its places went."""

    def __init__(self, told: str) -> None:
        parts, self._moved, last, length = [], [(0, 0)], 0, 0
        for found in _TREEBANK.finditer(told):
            parts += [told[last : found.start()], '"' if found["quote"] else ""]
            length += len(parts[-2]) + len(parts[-1])
            last = found.end()
            # From here on, so much further left.
            self._moved.append((last, last - length))
        self.text = "".join((*parts, told[last:]))

    def placed(self, question: dict[str, Any]) -> dict[str, Any]:
        answers = []
        for answer in question["answers"]:
            start = answer["answer_start"]
            begin, end = self._place(start), self._place(start + len(answer["text"].rstrip()))
            answers.append({"text": self.text[begin:end].rstrip(), "answer_start": begin})
        return {**question, "answers": answers}

    def question(self, written: Written) -> dict[str, Any]:
        """One that was written for this paragraph. Raises ValueError where the answer does not stand in it."""
        question, answer, _ = written
        places = [] if answer is None else [found.start() for found in re.finditer(re.escape(answer), self.text)]
        if answer is not None and not places:
            raise ValueError(f"the answer {answer!r} to {question!r} does not stand in its paragraph")
        found = [{"text": answer, "answer_start": place} for place in places]
        return {"question": question, "is_impossible": answer is None, "answers": found}

    def _place(self, told: int) -> int:
        _, moved = self._moved[bisect_right(self._moved, (told, sys.maxsize)) - 1]
        return told - moved


def _windows(text: str) -> Iterator[Span]:
    """Whole sentences, some 150 words at a time; a short text is one window."""
    if len(text.split()) <= _WINDOW_WORDS * 4 // 3:
        yield 0, len(text)
        return
    begin, words, last = None, 0, 0
    for start, end in sentence_spans(text, 0, len(text)):
        count = len(text[start:end].split())
        if begin is not None and words + count > _WINDOW_WORDS:
            yield begin, last
            begin, words = None, 0
        begin = start if begin is None else begin
        words, last = words + count, end
    if begin is not None:
        yield begin, last


def _holding(text: str, spans: Sequence[Span]) -> tuple[Span, ...]:
    """The sentences that hold the answer that comes first in `spans`."""
    begin, end = spans[0]
    return tuple((start, stop) for start, stop in sentence_spans(text, 0, len(text)) if start < end and begin < stop)


def _with_wrong(texts: list[Text], asked: list[_Asked], embedder: Embedder) -> Iterator[Example]:
    """Looks for the passages that words and vectors confuse with the right one."""
    vectors = embedder.embed([text.text for text in texts])
    words = WordIndex(None, identity="training")
    words.create()
    words.change((), ((number, text.title, text.text) for number, text in enumerate(texts)), 0)
    for begin in range(0, len(asked), 256):
        part = asked[begin : begin + 256]
        near = embedder.embed([each.question for each in part]) @ vectors.T
        for each, cosines in zip(part, near, strict=True):
            yield Example(
                each.question, each.source, each.group, each.right, each.spans, each.evidence,
                _confused(each, texts, cosines, words) if each.is_judged else (), each.is_judged,
            )  # fmt: skip


def _confused(asked: _Asked, texts: list[Text], cosines: NDArray[np.float32], words: WordIndex) -> tuple[int, ...]:
    dense = np.argpartition(-cosines, _SEARCHED)[:_SEARCHED]
    ranks: defaultdict[int, float] = defaultdict(float)
    for ranking in (
        sorted(dense.tolist(), key=lambda number: -cosines[number]),
        [key for key, _ in words.search(asked.question, _SEARCHED)[:_SEARCHED]],
    ):
        for rank, number in enumerate(ranking):
            # Of the same article: as if it stood higher, for it is more likely to be met.
            ranks[number] += (2.0 if texts[number].group == asked.group else 1.0) / (60 + rank)
    if asked.right is None:
        # It has no answer in its own paragraph, and may well have one elsewhere.
        return asked.known_wrong[:_CONFUSED]
    right = texts[asked.right]
    answers = {right.text[start:end].lower() for start, end in asked.spans}
    single = asked.source in SINGLE_SENTENCES
    wrong = [
        number
        for number in sorted(ranks, key=lambda number: -ranks[number])
        if (texts[number].source in SINGLE_SENTENCES) == single
        and texts[number].text != right.text
        and not any(answer in texts[number].text.lower() for answer in answers)
    ]
    return tuple(wrong[:_CONFUSED])
