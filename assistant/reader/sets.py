"""Question sets for evaluation as something to learn from: their dev questions, their corpora cut as they are when indexed."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from assistant.reader.examples import Asked, Source, Text
from assistant.reader.written import Written, asked_of, paragraph_digits
from assistant.retrieval.followups import Turn, wordings
from index.chunks import TokenCounter, chunk_document
from index.lexical import analyse
from index.loaders.jsonl import load_line
from index.sentences import Span

EVALUATION_SETS = ("clapnq-dev", "scifact", "mtrag-govt", "mtrag-clapnq", "qmsum-committee")
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
    folder: Path, count: TokenCounter, limit: int, written: dict[str, list[Written]], texts: list[Text], asked: list[Asked]
) -> None:
    """Takes out of `written` what it adds. limit: what the embedder reads, in tokens."""
    rows = list(lines_of(folder / "questions.dev.jsonl.gz"))
    # Of clapnq the passages that were shown; a further set has the same pages as its corpus.
    shown = {name for row in rows for name in (*row["relevant"], row.get("near_miss"))} if folder.name == "clapnq-dev" else None
    groups = {name: row["group"] for row in rows for name in row["relevant"]}
    sources: dict[str, Source] = {}
    told: dict[str, Row] = {}
    path = folder / "corpus.jsonl.gz"
    with gzip.open(path) as file:
        for number, line in enumerate(file, start=1):
            document = load_line(path, number, line)
            if shown is not None and document.id not in shown:
                continue
            chunks = chunk_document(document, count, budget=_CHUNK_TOKENS, limit=limit)
            # A meeting is an article, and so is a page; a passage that a question was asked of belongs to its group.
            group = groups.get(document.id) or document.title
            parts = tuple((chunk.start, chunk.end) for chunk in chunks)
            sources[document.id] = source = Source(document.text, folder.name, group, parts, len(texts))
            told[document.id] = json.loads(line)
            texts.extend(Text("\n".join((document.title, *chunk.headings)), chunk.text, group, folder.name) for chunk in chunks)
            asked.extend(asked_of(source, written.pop(paragraph_digits(told[document.id]["text"]), [])))
    for row in rows:
        asked.extend(each for each in _ASKING[folder.name](row, sources, told) if each is not None)


def _sentences(told: Row, numbers: set[int]) -> list[Span]:
    """Where these of its sentences stand in its text."""
    found = ((told["text"].find(each), each) for each in (told["sents"][number].strip() for number in sorted(numbers)))
    return [(begin, begin + len(each)) for begin, each in found if begin >= 0]


def _clapnq(row: Row, sources: Mapping[str, Source], told: Mapping[str, Row]) -> Iterator[Asked | None]:
    """Questions with the sentences that annotators chose; those without an answer with the page that they looked at."""
    name = next(iter(row["relevant"]), "") if row["answerable"] else row["near_miss"]
    if name not in sources:
        return
    if not row["answerable"]:
        yield sources[name].unanswered(row["question"])
        return
    chosen = {each for numbers in row["evidence"].get(name, []) for each in numbers}
    yield sources[name].carried(row["question"], _sentences(told[name], chosen))


def _scifact(row: Row, sources: Mapping[str, Source], told: Mapping[str, Row]) -> Iterator[Asked | None]:
    """Claims. An abstract that is cited and settles nothing is still what should be found first."""
    for name in list(row["relevant"])[:_MOST_RIGHT]:
        source = sources[name]
        if name in row["evidence"]:
            numbers = {each for numbers in row["evidence"][name] for each in numbers}
            yield source.carried(row["question"], _sentences(told[name], numbers), bears_out=row["label"] == "SUPPORT")
        elif row["label"] == "NEI" and source.parts:
            near = max(source.numbers, key=lambda number: _shared(row["question"], source, number))
            whole = frozenset(source.numbers)
            yield Asked(row["question"], source.name, row["group"], near, not_wrong=whole, is_judged=False)


def _conversation(row: Row, sources: Mapping[str, Source], _: Mapping[str, Row]) -> Iterator[Asked | None]:
    """Questions as they stand alone, with the passages that hold most of the reference answer."""
    if row.get("answerability") == "CONVERSATIONAL":
        return
    history = [Turn(turn["role"], turn["text"]) for turn in row["history"]]
    question = wordings(row["question"], history).standalone
    yield from _told(question, row, sources)


def _meeting(row: Row, sources: Mapping[str, Source], _: Mapping[str, Row]) -> Iterator[Asked | None]:
    yield from _told(row["question"], row, sources)


def _told(question: str, row: Row, sources: Mapping[str, Source]) -> Iterator[Asked | None]:
    documents = [sources[name] for name in row["relevant"] if name in sources]
    if not documents:
        if not row["answerable"]:
            yield Asked(question, next(iter(sources.values())).name, row["group"], None)
        return
    answers = f"{question} {' '.join(row['answers'])}"
    numbers = [(_shared(answers, source, number), number) for source in documents for number in source.numbers]
    numbers.sort(key=lambda each: (-each[0], each[1]))
    right = frozenset(number for _, number in numbers)
    most = numbers[0][0] if numbers else 0.0
    for shared, number in numbers[: min(_MOST_RIGHT, len(documents))]:
        if shared >= most / 2:
            yield Asked(question, documents[0].name, row["group"], number, not_wrong=right)


def _shared(told: str, source: Source, number: int) -> float:
    """How many different words of what is told the passage holds, the longer ones only."""
    start, end = source.parts[number - source.first]
    wanted = {word for word in analyse(told) if re.search(r"\w{3}", word)}
    return float(len(wanted & set(analyse(source.text[start:end]))))


_ASKING: Mapping[str, Callable[[Row, Mapping[str, Source], Mapping[str, Row]], Iterator[Asked | None]]] = {
    "clapnq-dev": _clapnq,
    "scifact": _scifact,
    "mtrag-govt": _conversation,
    "mtrag-clapnq": _conversation,
    "qmsum-committee": _meeting,
}
