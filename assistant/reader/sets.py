"""Question sets for evaluation as something to learn from: their dev questions, their corpora cut as they are when indexed."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from assistant.reader.examples import Paragraph, Posed, Text
from assistant.reader.written import Written, paragraph_digits, posed_on
from assistant.retrieval.followups import Turn, wordings
from index.chunking import TokenCounter, chunk_document
from index.lexical import analyse
from index.loaders.jsonl import load_line
from index.sentences import Span

_CHUNK_TOKENS = 200
"""As the setting has it by default."""
_MOST_RIGHT = 3
"""Passages learned from for one question, where a set names many."""

Row = Mapping[str, Any]


def lines_of(path: Path) -> Iterator[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def add_set(
    folder: Path, count: TokenCounter, limit: int, written: dict[str, list[Written]], texts: list[Text], asked: list[Posed]
) -> None:
    """Takes out of `written` what it adds. limit: what the embedder reads, in tokens."""
    rows = list(lines_of(folder / "questions.dev.jsonl.gz"))
    # Of clapnq the passages that were shown; a further set has the same pages as its corpus.
    shown = {name for row in rows for name in (*row["relevant"], row.get("near_miss"))} if folder.name == "clapnq-dev" else None
    path = folder / "corpus.jsonl.gz"
    told: dict[str, Row] = {row["id"]: row for row in lines_of(path)}
    # A meeting is an article, and so is a page: all of it is kept out, or nothing.
    groups = {told[name].get("title"): row["group"] for row in rows for name in row["relevant"]}
    paragraphs: dict[str, Paragraph] = {}
    with gzip.open(path) as file:
        for number, line in enumerate(file, start=1):
            document = load_line(path, number, line)
            if shown is not None and document.id not in shown:
                continue
            chunks = chunk_document(document, count, budget=_CHUNK_TOKENS, limit=limit)
            group = groups.get(document.title, document.title)
            parts = tuple((chunk.start, chunk.end) for chunk in chunks)
            paragraphs[document.id] = read = Paragraph(document.text, folder.name, group, parts, len(texts))
            texts.extend(Text("\n".join((document.title, *chunk.headings)), chunk.text, group, folder.name) for chunk in chunks)
            asked.extend(posed_on(read, written.pop(paragraph_digits(told[document.id]["text"]), [])))
    for row in rows:
        asked.extend(each for each in _ASKING[folder.name](row, paragraphs, told) if each is not None)


def _sentences(told: Row, numbers: set[int]) -> list[Span]:
    """Where these of its sentences stand in its text."""
    found = ((told["text"].find(each), each) for each in (told["sents"][number].strip() for number in sorted(numbers)))
    return [(begin, begin + len(each)) for begin, each in found if begin >= 0]


def _clapnq(row: Row, paragraphs: Mapping[str, Paragraph], told: Mapping[str, Row]) -> Iterator[Posed | None]:
    """Questions with the sentences that annotators chose; those without an answer with the page that they looked at."""
    name = next(iter(row["relevant"]), "") if row["answerable"] else row["near_miss"]
    if name not in paragraphs:
        return
    if not row["answerable"]:
        yield paragraphs[name].unanswered(row["question"])
        return
    chosen = {each for numbers in row["evidence"].get(name, []) for each in numbers}
    yield paragraphs[name].carried(row["question"], _sentences(told[name], chosen), group=row["group"])


def _scifact(row: Row, paragraphs: Mapping[str, Paragraph], told: Mapping[str, Row]) -> Iterator[Posed | None]:
    """Claims. An abstract that is cited and settles nothing is still what should be found first."""
    for name in list(row["relevant"])[:_MOST_RIGHT]:
        read = paragraphs[name]
        if name in row["evidence"]:
            chosen = {each for numbers in row["evidence"][name] for each in numbers}
            sentences = _sentences(told[name], chosen)
            yield read.carried(row["question"], sentences, group=row["group"], bears_out=row["label"] == "SUPPORT")
        elif row["label"] == "NEI" and read.parts:
            near = max(read.numbers, key=lambda number: _shared(row["question"], read, number))
            whole = frozenset(read.numbers)
            yield Posed(row["question"], read.origin, row["group"], near, not_wrong=whole, is_judged=False)


def _conversation(row: Row, paragraphs: Mapping[str, Paragraph], _: Mapping[str, Row]) -> Iterator[Posed | None]:
    """Questions in the two wordings that passages are ranked and read for. One that nobody could answer without asking back,
    or that asks nothing, teaches nothing.
    """
    if row.get("answerability") in ("CONVERSATIONAL", "UNDERSPECIFIED"):
        return
    asked = wordings(row["question"], [Turn(turn["role"], turn["text"]) for turn in row["history"]])
    for question in dict.fromkeys((asked.standalone, asked.ranked)):
        yield from _told(question, row, paragraphs)


def _meeting(row: Row, paragraphs: Mapping[str, Paragraph], _: Mapping[str, Row]) -> Iterator[Posed | None]:
    yield from _told(row["question"], row, paragraphs)


def _told(question: str, row: Row, paragraphs: Mapping[str, Paragraph]) -> Iterator[Posed]:
    """The right passages are those that hold most of the reference answer; the other relevant ones are not wrong."""
    documents = [paragraphs[name] for name in row["relevant"] if name in paragraphs]
    if not row["answerable"]:
        origin = next(iter(paragraphs.values())).origin
        yield Posed(question, origin, row["group"], None)
        return
    answers = f"{question} {' '.join(row['answers'])}"
    held = [(_shared(answers, read, number), number) for read in documents for number in read.numbers]
    held.sort(key=lambda each: (-each[0], each[1]))
    relevant = frozenset(number for _, number in held)
    for shared, number in held[: min(_MOST_RIGHT, len(documents))]:
        if shared >= held[0][0] / 2:
            yield Posed(question, documents[0].origin, row["group"], number, not_wrong=relevant)


def _shared(told: str, read: Paragraph, number: int) -> float:
    """How many different words of what is told the passage holds, the longer ones only."""
    start, end = read.parts[number - read.first]
    wanted = {word for word in analyse(told) if re.search(r"\w{3}", word)}
    return float(len(wanted & set(analyse(read.text[start:end]))))


_ASKING: Mapping[str, Callable[[Row, Mapping[str, Paragraph], Mapping[str, Row]], Iterator[Posed | None]]] = {
    "clapnq-dev": _clapnq,
    "scifact": _scifact,
    "mtrag-govt": _conversation,
    "mtrag-clapnq": _conversation,
    "qmsum-committee": _meeting,
}
EVALUATION_SETS = tuple(_ASKING)
