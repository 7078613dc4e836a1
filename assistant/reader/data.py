"""What the reader learns from: public question sets become examples of a question and its passages.

Each question comes with the passage that answers it, and with passages that do not, though search confuses them with it:
of the same article first. A fifth of the articles, chosen by a hash of their titles, is never trained on.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.reader.articles import is_kept_out
from assistant.reader.examples import Data, Example, Paragraph, Posed, Text
from assistant.reader.sets import EVALUATION_SETS, add_set, lines_of
from assistant.reader.written import Written, paragraph_digits, places_of, posed_on, read_written
from index.embedders import Embedder
from index.lexical import WordIndex
from index.sentences import Span, sentence_spans

ARTICLES = ("squad_devsplit", "qed_train", "covidqa_devsplit")
SINGLE_SENTENCES = ("qamr_dev", "qamr_test")
"""Sets whose passages are sentences that stand alone: many questions on few words."""
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
# From here on another passage says the same as the one that answers, by the words of the sentences that do.
_SAYS_THE_SAME = 0.95
_FEWEST_SENTENCES = 2


def read_data(folder: Path, sets: Path, embedder: Embedder, written: Path | None = None) -> Data:
    """folder: the training files in SQuAD's format. sets: the folder of question sets; those for evaluation lend their dev
    questions, and the names of articles. written: more questions on all of these, as written.txt beside this file has them.

    Raises OSError and ValueError where a file is missing or is not what it should be.
    """
    more = read_written(written) if written else {}
    data = Data()
    asked: list[Posed] = []
    groups = {row["id"]: row["group"] for name in _ASKED_ELSEWHERE for row in lines_of(sets / name / "questions.dev.jsonl.gz")}
    for name in (*ARTICLES, *SINGLE_SENTENCES):
        _add_articles(folder / f"{name}.json.gz", name, groups, more, data.texts, asked)
    for name in EVALUATION_SETS:
        add_set(sets / name, embedder.count_tokens, embedder.max_tokens, more, data.texts, asked)
    if more:
        raise ValueError(f"{written}: no set has the paragraph @{next(iter(more))}")
    for example in list(_with_wrong(data.texts, asked, embedder)):
        cut = _without_answer(data.texts, example.asked)
        if cut is not None:
            data.texts.append(cut)
        data.examples.append(replace(example, cut=None if cut is None else len(data.texts) - 1))
    return data


def _add_articles(
    path: Path,
    name: str,
    groups: Mapping[str, str],
    written: dict[str, list[Written]],
    texts: list[Text],
    asked: list[Posed],
) -> None:
    """Takes out of `written` what it adds."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        articles = json.load(file)["data"]
    for article in articles:
        ids = (question["id"] for paragraph in article["paragraphs"] for question in paragraph["qas"])
        group = next((groups[each] for each in ids if each in groups), article["title"])
        title = "" if name in SINGLE_SENTENCES else article["title"].replace("_", " ")
        for paragraph in article["paragraphs"]:
            context = Context(paragraph["context"])
            read = Paragraph(context.text, name, group, tuple(_windows(context.text)), len(texts))
            texts.extend(Text(title, context.text[start:end], group, name) for start, end in read.parts)
            for question in paragraph["qas"]:
                if question["is_impossible"]:
                    asked.append(read.unanswered(question["question"]))
                elif (made := read.answered(question["question"], context.places(question["answers"]))) is not None:
                    asked.append(made)
            asked.extend(posed_on(read, written.pop(paragraph_digits(paragraph["context"]), [])))


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

    def places(self, answers: Sequence[Mapping[str, Any]]) -> list[Span]:
        """answers: in SQuAD's form."""
        spans = []
        for answer in answers:
            start = answer["answer_start"]
            begin, end = self._place(start), self._place(start + len(answer["text"].rstrip()))
            spans.append((begin, begin + len(self.text[begin:end].rstrip())))
        return spans

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


def _without_answer(texts: Sequence[Text], asked: Posed) -> Text | None:
    """The right passage without the sentences that are known to answer, where something is left of it that does not hold the
    short answer.
    """
    if asked.right is None or not asked.is_judged:
        return None
    right = texts[asked.right]
    sentences = sentence_spans(right.text, 0, len(right.text))
    left = [(a, b) for a, b in sentences if not any(a < end and start < b for start, end in asked.evidence)]
    if len(left) < _FEWEST_SENTENCES or len(left) == len(sentences):
        return None
    text = " ".join(right.text[start:end] for start, end in left)
    answers = {right.text[start:end].lower() for start, end in asked.spans}
    return None if any(answer in text.lower() for answer in answers) else replace(right, text=text)


def _with_wrong(texts: Sequence[Text], asked: Sequence[Posed], embedder: Embedder) -> Iterator[Example]:
    """Looks for the passages that words and vectors confuse with the right one."""
    vectors = embedder.embed([text.text for text in texts])
    words = WordIndex(None, identity="training")
    words.create()
    words.change((), ((number, text.title, text.text) for number, text in enumerate(texts)), 0)
    # The same question may be asked of several passages: none that answers it is wrong for it.
    rights: defaultdict[str, set[int]] = defaultdict(set)
    for each in asked:
        rights[each.question].update(each.not_wrong, () if each.right is None else (each.right,))
    for begin in range(0, len(asked), 256):
        part = asked[begin : begin + 256]
        near = embedder.embed([each.question for each in part]) @ vectors.T
        for each, cosines in zip(part, near, strict=True):
            yield Example(each, _confused(each, rights[each.question], texts, cosines, words) if each.is_ranked else ())


def _confused(
    asked: Posed, rights: set[int], texts: Sequence[Text], cosines: NDArray[np.float32], words: WordIndex
) -> tuple[int, ...]:
    if asked.known_wrong:
        # It has no answer in its own paragraph, and may well have one elsewhere.
        return tuple(sorted(asked.known_wrong, key=lambda number: -cosines[number])[:_CONFUSED])
    dense = np.argpartition(-cosines, _SEARCHED)[:_SEARCHED]
    ranks: defaultdict[int, float] = defaultdict(float)
    for ranking in (
        sorted(dense.tolist(), key=lambda number: -cosines[number]),
        [key for key, _ in words.search(asked.question, _SEARCHED)[:_SEARCHED]],
    ):
        for rank, number in enumerate(ranking):
            # Of the same article: as if it stood higher, for it is more likely to be met.
            ranks[number] += (2.0 if texts[number].group == asked.group else 1.0) / (60 + rank)
    answers: set[str] = set()
    telling: set[str] = set()
    if asked.right is not None:
        right = texts[asked.right].text
        answers = {right[start:end].lower() for start, end in asked.spans}
        # Where it is not known which sentences tell, all of them may.
        told = " ".join(right[start:end] for start, end in asked.evidence) or right
        telling = set(re.findall(r"\w+", told.lower()))
    single, kept_out = asked.origin in SINGLE_SENTENCES, is_kept_out(asked.group)
    wrong: list[int] = []
    for number in sorted(ranks, key=lambda number: -ranks[number]):
        text = texts[number].text.lower()
        if (
            (texts[number].origin in SINGLE_SENTENCES) != single
            or number in rights
            # Nor is a passage that is kept out shown as a wrong one.
            or (not kept_out and is_kept_out(texts[number].group))
            or any(places_of(answer, text) for answer in answers)
            or (telling and len(telling & set(re.findall(r"\w+", text))) >= _SAYS_THE_SAME * len(telling))
        ):
            continue
        wrong.append(number)
        if len(wrong) == _CONFUSED:
            break
    return tuple(wrong)
