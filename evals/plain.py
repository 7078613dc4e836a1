"""The plain layout: corpus.jsonl (id, title, text) with questions.jsonl (id, question, answers, answerable, relevant,
history, and optional evidence, rewrite and more). ".gz" may follow. Keys that are not known are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from assistant.answering.followups import Turn
from evals.cases import GoldCase, Place
from index.documents import Voice
from index.errors import CorpusError, SuiteError
from index.loaders.jsonl import is_jsonl, parse_line, read_lines

_LONGEST_LINE = 100_000_000


def plain_case(corpus: Path) -> Callable[[Mapping[str, Any], str], GoldCase]:
    """corpus: whose documents the questions name. Raises SuiteError where it cannot be read."""
    sentences, ids = _sentences(corpus)

    def read(told: Mapping[str, Any], where: str) -> GoldCase:
        if not isinstance(told["answerable"], bool):
            raise ValueError("answerable must be true or false")
        relevant = {str(name): int(grade) for name, grade in (told.get("relevant") or {}).items() if int(grade) > 0}
        evidence = _evidence(told, sentences)
        document = told.get("doc")
        if isinstance(document, str) and document in ids and told.get("spans"):
            # The corpus holds whole documents, the questions name characters in them.
            evidence = (tuple((Place(document, span=(int(start), int(end))),) for start, end in told["spans"]),)
            relevant = {document: 1}
        return GoldCase(
            id=str(told["id"]),
            question=str(told["question"]),
            answerable=told["answerable"],
            where=where,
            type=_type(told),
            history=tuple(_turn(turn) for turn in told.get("history") or ()),
            answers=tuple(map(str, told.get("answers") or ())),
            evidence=evidence,
            relevant=relevant,
            attributed_to=tuple(Voice(str(name)) for name in told.get("about_speakers") or ()),
            rewrite=told.get("rewrite") or None,
            sides=_sides(told),
            tests_abstention=told.get("answerability") != "CONVERSATIONAL",
        )

    return read


def _type(told: Mapping[str, Any]) -> str:
    for key in ("type", "answerability", "label"):
        if told.get(key):
            return str(told[key]).lower()
    return "answerable" if told["answerable"] else "unanswerable"


def _turn(told: Mapping[str, str]) -> Turn:
    text = told["text"] if "text" in told else told["content"]
    if told["role"] == "user":
        return Turn("user", text)
    if told["role"] in ("assistant", "agent"):
        return Turn("assistant", text)
    raise ValueError(f"a turn's role is user or assistant, not {told['role']}")


def _evidence(
    told: Mapping[str, Any], sentences: Mapping[str, list[tuple[int, int]]]
) -> tuple[tuple[tuple[Place, ...], ...], ...]:
    """evidence: {document: [alternative lists of sentence numbers from 0]}; the alternatives of all documents."""
    alternatives = []
    for document, lists in (told.get("evidence") or {}).items():
        spans = sentences.get(document)
        if spans is None:
            raise ValueError(f"evidence names {document}, of which the corpus tells no sentences (sents)")
        alternatives += [tuple((Place(document, span=spans[number]),) for number in numbers) for numbers in lists if numbers]
    return tuple(alternatives)


def _sides(told: Mapping[str, Any]) -> dict[str, tuple[tuple[str, ...], ...]]:
    sides: dict[str, tuple[tuple[str, ...], ...]] = {}
    for cluster in told.get("clusters") or ():
        sides[cluster["stance"]] = (*sides.get(cluster["stance"], ()), tuple(map(str, cluster["docs"])))
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
            if told.get("sents"):
                spans: list[tuple[int, int]] = []
                end = 0
                for sentence in told["sents"]:
                    start = told["text"].find(sentence, end)
                    if start < 0:
                        raise SuiteError(f"{corpus}, line {number}: the text does not hold its sentence {len(spans)}.")
                    end = start + len(sentence)
                    spans.append((start, end))
                found[told["id"]] = spans
    except CorpusError as error:
        raise SuiteError(str(error)) from error
    return found, ids
