"""Gold questions and the suites that hold them. Gold names places and words of documents, so it survives re-chunking."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.answering.followups import Turn
from index.documents import Voice
from index.errors import SuiteError

SUITES = Path(__file__).resolve().parent / "suites"
_GOLD = "gold.jsonl"
_SUITE = "suite.toml"
_CASE_KEYS = {
    "id", "type", "question", "history", "answers", "must_include", "evidence", "attributed_to", "answerable"
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where evidence stands: a locator of a document ("¶7"; "§ Heading" includes "§ Heading, ¶2"), or words in it."""

    document: str
    locator: str | None = None
    quote: str | None = None


@dataclass(frozen=True, slots=True)
class GoldCase:
    id: str
    type: str
    question: str
    history: tuple[Turn, ...]
    answers: tuple[str, ...]
    must_include: tuple[tuple[str, ...], ...]
    """Key facts; each is a list of wordings, lower case, of which one must stand in the answer."""
    evidence: tuple[tuple[Place, ...], ...]
    """What an answer must rest on; each need is a list of places of which one suffices."""
    attributed_to: tuple[Voice, ...]
    """Voices any of which may rightly be credited with the answer."""
    answerable: bool
    line: int
    """Line in the gold file, for messages."""


@dataclass(frozen=True, slots=True)
class Suite:
    name: str
    title: str
    folder: Path
    corpus: Path | None
    """Folder of sources; None for the corpus that the settings name."""
    cases: tuple[GoldCase, ...]


def suite_names() -> list[str]:
    return sorted(path.parent.name for path in SUITES.glob(f"*/{_SUITE}"))


def load_suite(name: str) -> Suite:
    """name: a suite that ships with the program, or the path of a suite folder. Raises SuiteError with file and line."""
    folder = SUITES / name if name in suite_names() else Path(name).expanduser()
    if not (folder / _SUITE).is_file():
        raise SuiteError(
            f"there is no suite {name}; give a folder with {_SUITE} and {_GOLD}, or one of: {', '.join(suite_names())}."
        )
    try:
        told = tomllib.loads((folder / _SUITE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SuiteError(f"{folder / _SUITE} cannot be read: {error}.") from error
    unknown = set(told) - {"title", "corpus"}
    if unknown:
        raise SuiteError(f"{folder / _SUITE}: there is no key {sorted(unknown)[0]}; the keys are title and corpus.")
    corpus = told.get("corpus")
    return Suite(
        name=folder.resolve().name,
        title=str(told.get("title", folder.name)),
        folder=folder,
        corpus=(folder / str(corpus)).resolve() if corpus else None,
        cases=_load_cases(folder / _GOLD),
    )


def _load_cases(path: Path) -> tuple[GoldCase, ...]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path} cannot be read: {error}.") from error
    cases: list[GoldCase] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            told = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise SuiteError(f"{path}, line {number}: not JSON ({error}).") from error
        try:
            case = _case(told, number)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SuiteError(f"{path}, line {number}: not a gold case ({error}).") from error
        if any(case.id == other.id for other in cases):
            raise SuiteError(f"{path}, line {number}: the id {case.id} stands twice.")
        cases.append(case)
    if not cases:
        raise SuiteError(f"{path} holds no questions.")
    return tuple(cases)


def _case(told: Mapping[str, Any], line: int) -> GoldCase:
    unknown = set(told) - _CASE_KEYS
    if unknown:
        raise ValueError(f"unknown key {sorted(unknown)[0]}")
    if not isinstance(told["answerable"], bool):
        raise ValueError("answerable must be true or false")
    return GoldCase(
        id=str(told["id"]),
        type=str(told.get("type", "fact")),
        question=str(told["question"]),
        history=tuple(_turn(turn) for turn in told.get("history", ())),
        answers=tuple(map(str, told.get("answers", ()))),
        must_include=tuple(tuple(wording.lower() for wording in fact) for fact in told.get("must_include", ())),
        evidence=tuple(tuple(_place(place) for place in need) for need in told.get("evidence", ())),
        attributed_to=tuple(Voice(voice["speaker"], voice.get("reported_by")) for voice in told.get("attributed_to", ())),
        answerable=told["answerable"],
        line=line,
    )


def _turn(told: Mapping[str, str]) -> Turn:
    role = told["role"]
    if role == "user":
        return Turn("user", told["content"])
    if role == "assistant":
        return Turn("assistant", told["content"])
    raise ValueError(f"a turn's role is user or assistant, not {role}")


def _place(told: Mapping[str, str]) -> Place:
    place = Place(told["document"], told.get("locator"), told.get("quote"))
    if (place.locator is None) == (place.quote is None):
        raise ValueError("a place has either a locator or a quote")
    return place


def check_places(suite: Suite, documents: Mapping[str, Sequence[str]], texts: Mapping[str, str]) -> None:
    """documents: id -> locator labels; texts: id -> text. Raises SuiteError for gold that names what is not there."""
    for case in suite.cases:
        where = f"{suite.folder / _GOLD}, line {case.line}"
        for place in (place for need in case.evidence for place in need):
            if place.document not in documents:
                raise SuiteError(f"{where}: the corpus has no document {place.document}.")
            if place.locator and not any(names(place.locator, label) for label in documents[place.document]):
                raise SuiteError(f"{where}: {place.document} has no place {place.locator}.")
            if place.quote and place.quote not in texts[place.document]:
                raise SuiteError(f"{where}: {place.document} does not hold the words {place.quote!r}.")


def names(gold: str, label: str) -> bool:
    """Whether a gold locator names the place with this label."""
    return label == gold or label.startswith(f"{gold}, ¶")
