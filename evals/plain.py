"""The plain layout: corpus.jsonl (id, title, text) with questions.jsonl (id, question, answers, answerable, relevant,
history, and optional evidence, rewrite and more). ".gz" may follow. Keys that are not known are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from assistant.retrieval.followups import Turn
from evals.cases import GoldCase, Place
from index.documents import Voice
from index.errors import CorpusError, SuiteError
from index.loaders.jsonl import is_jsonl, parse_line, read_lines

_LONGEST_LINE = 100_000_000

Number = Annotated[int, Field(ge=0)]


class _Turn(BaseModel):
    role: Literal["user", "assistant", "agent"]
    text: str = Field(validation_alias=AliasChoices("text", "content"))


class _Cluster(BaseModel):
    stance: str
    docs: list[str]


class _Line(BaseModel):
    """Strict types; null stands for what is left out."""

    model_config = ConfigDict(extra="ignore", strict=True)

    id: str = Field(min_length=1)
    question: str
    answerable: bool
    answers: list[str] | None = None
    relevant: dict[str, Annotated[int, Field(ge=0, le=1000)]] | None = None
    history: list[_Turn] | None = None
    evidence: dict[str, list[list[Number]]] | None = None
    rewrite: str | None = None
    doc: str | None = None
    spans: list[Annotated[list[Number], Field(min_length=2, max_length=2)]] | None = None
    about_speakers: list[str] | None = None
    clusters: list[_Cluster] | None = None
    type: str | None = None
    answerability: str | None = None
    label: str | None = None
    group: str | None = None


def plain_case(corpus: Path) -> Callable[[Any, str], GoldCase]:
    """corpus: whose documents the questions name. Raises SuiteError where it cannot be read."""
    sentences, ids = _sentences(corpus)

    def read(told: Any, where: str) -> GoldCase:
        line = _Line.model_validate(told)
        relevant = {name: grade for name, grade in (line.relevant or {}).items() if grade}
        evidence = _evidence(line, sentences)
        if line.doc in ids and line.doc is not None and line.spans:
            # The corpus holds whole documents, the questions name characters in them.
            evidence = (tuple((Place(line.doc, span=(start, end)),) for start, end in line.spans),)
            relevant = {line.doc: 1}
        return GoldCase(
            id=line.id,
            question=line.question,
            answerable=line.answerable,
            where=where,
            type=(line.type or line.answerability or line.label or ("answerable" if line.answerable else "unanswerable")).lower(),
            history=tuple(Turn("user" if turn.role == "user" else "assistant", turn.text) for turn in line.history or ()),
            answers=tuple(line.answers or ()),
            evidence=evidence,
            relevant=relevant,
            attributed_to=tuple(map(Voice, line.about_speakers or ())),
            rewrite=line.rewrite or None,
            sides=_sides(line),
            group=line.group,
            tests_abstention=line.answerability != "CONVERSATIONAL",
        )

    return read


def _evidence(line: _Line, sentences: Mapping[str, list[tuple[int, int]]]) -> tuple[tuple[tuple[Place, ...], ...], ...]:
    """evidence: {document: [alternative lists of sentence numbers from 0]}; the alternatives of all documents."""
    alternatives = []
    for document, lists in (line.evidence or {}).items():
        spans = sentences.get(document)
        if spans is None:
            raise ValueError(f"evidence names {document}, of which the corpus tells no sentences (sents)")
        highest = max((number for numbers in lists for number in numbers), default=0)
        if highest >= len(spans):
            raise ValueError(f"evidence names sentence {highest} of {document}, which has {len(spans)}, counted from 0")
        alternatives += [tuple((Place(document, span=spans[number]),) for number in numbers) for numbers in lists if numbers]
    return tuple(alternatives)


def _sides(line: _Line) -> dict[str, tuple[tuple[str, ...], ...]]:
    sides: dict[str, tuple[tuple[str, ...], ...]] = {}
    for cluster in line.clusters or ():
        sides[cluster.stance] = (*sides.get(cluster.stance, ()), tuple(cluster.docs))
    return sides


def _sentences(corpus: Path) -> tuple[dict[str, list[tuple[int, int]]], set[str]]:
    """(document -> its sentences as told in "sents", found in its text one after the other; all document ids)."""
    found: dict[str, list[tuple[int, int]]] = {}
    ids: set[str] = set()
    if not is_jsonl(corpus):
        return found, ids
    try:
        for number, line in read_lines(corpus, max_bytes=_LONGEST_LINE):
            told = parse_line(corpus, number, line)
            ids.add(told["id"])
            if isinstance(told.get("sents"), list):
                spans: list[tuple[int, int]] = []
                end = 0
                for sentence in map(str, told["sents"]):
                    start = told["text"].find(sentence, end)
                    if start < 0:
                        raise SuiteError(f"{corpus}, line {number}: the text does not hold its sentence {len(spans)}.")
                    end = start + len(sentence)
                    spans.append((start, end))
                found[told["id"]] = spans
    except CorpusError as error:
        raise SuiteError(str(error)) from error
    return found, ids
