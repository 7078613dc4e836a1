"""Reads suites: a folder with suite.toml and gold.jsonl, or a folder in the plain layout of public question sets."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import tomllib
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from assistant.answering.followups import Turn
from evals.cases import GoldCase, Place, Suite
from evals.plain import plain_case
from index.documents import Voice
from index.errors import SuiteError

SUITES = Path(__file__).resolve().parent / "suites"
_SUITE = "suite.toml"
_FILES = re.compile(r"(?P<kind>gold|questions)(?:\.(?P<part>[a-z][a-z0-9-]*))?\.jsonl(?:\.gz)?")
_WHOLE = "all"
_CORPORA = ("corpus.jsonl", "corpus.jsonl.gz")
_KEYS = {"title": str, "corpus": str, "settings": dict, "depths": list, "measures": list, "gates": dict}
_CASE_KEYS = {
    "id", "type", "question", "history", "answers", "must_include", "evidence", "attributed_to", "answerable"
}  # fmt: skip

ReadCase = Callable[[Mapping[str, Any], str], GoldCase]
"""(a line's object, file and line) -> the case. Raises KeyError, TypeError, ValueError or AttributeError."""


def suite_names() -> list[str]:
    """Of the suites that ship with the program."""
    return sorted(path.parent.name for path in SUITES.glob(f"*/{_SUITE}"))


def load_suite(name: str, *, part: str | None = None, corpus: Path | None = None) -> Suite:
    """name: a suite that ships with the program, or the path of a suite's folder. part: "dev" unless told otherwise, or
    the only one that there is. corpus: in place of the suite's own. Raises SuiteError with file and line.
    """
    folder = SUITES / name if name in suite_names() else Path(name).expanduser()
    parts = _parts(folder)
    if not parts:
        raise SuiteError(
            f"there is no suite {name}; give a folder with {_SUITE} and gold.jsonl, or with corpus.jsonl and questions.jsonl, "
            f"or one of: {', '.join(suite_names())}."
        )
    wanted = part or ("dev" if "dev" in parts else next(iter(parts)) if len(parts) == 1 else "dev")
    if wanted not in parts:
        raise SuiteError(f"{folder} has no part {wanted}; it has: {', '.join(parts)}.")
    gold = parts[wanted]
    told = _read_toml(folder / _SUITE)
    own = next((folder / each for each in _CORPORA if (folder / each).is_file()), None)
    if corpus is None:
        corpus = (folder / told["corpus"]).resolve() if "corpus" in told else own
    read_case: ReadCase = _case
    if gold.name.startswith("questions"):
        if corpus is None:
            raise SuiteError(f"{folder} has questions but no corpus.jsonl; give one with --corpus.")
        read_case = plain_case(corpus)
    cases = tuple(_read_cases(gold, read_case))
    if not any(case.answerable for case in cases):
        raise SuiteError(f"{gold} holds no question that can be answered; nothing could be measured but silence.")
    return Suite(
        name=folder.resolve().name,
        title=told.get("title", folder.resolve().name),
        folder=folder,
        gold=gold,
        part=wanted,
        corpus=corpus,
        digest=hashlib.sha256(gold.read_bytes()).hexdigest(),
        cases=cases,
        settings=told.get("settings", {}),
        depths=tuple(told.get("depths", (1, 5, 10))),
        measures=tuple(told.get("measures", ())),
        gates=told.get("gates", {}),
    )


def _parts(folder: Path) -> dict[str, Path]:
    """Part -> its file; gold files go before questions."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.jsonl*"), reverse=True) if folder.is_dir() else ():
        match = _FILES.fullmatch(path.name)
        if match:
            found[match["part"] or _WHOLE] = path
    return dict(sorted(found.items()))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SuiteError(f"{path} cannot be read: {error}.") from error
    for key, value in told.items():
        if key not in _KEYS:
            raise SuiteError(f"{path}: there is no key {key}; the keys are {', '.join(_KEYS)}.")
        if not isinstance(value, _KEYS[key]):
            raise SuiteError(f"{path}: {key} must be {'a text' if _KEYS[key] is str else f'a {_KEYS[key].__name__}'}.")
    if any(not isinstance(depth, int) or isinstance(depth, bool) or depth < 1 for depth in told.get("depths", ())):
        raise SuiteError(f"{path}: depths must be whole numbers from 1.")
    if any(not isinstance(name, str) for name in told.get("measures", ())):
        raise SuiteError(f"{path}: measures must be names.")
    for name, floor in told.get("gates", {}).items():
        if not isinstance(floor, (int, float)) or not 0 <= floor <= 1:
            raise SuiteError(f"{path}: the gate {name} must be a number from 0 to 1.")
    return told


def _read_cases(path: Path, read_case: ReadCase) -> Iterator[GoldCase]:
    seen: dict[str, str] = {}
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            told = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SuiteError(f"{where}: not JSON ({error}).") from error
        try:
            case = read_case(told, where)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
            raise SuiteError(f"{where}: not a gold case ({reason}).") from error
        if case.id in seen:
            raise SuiteError(f"{where}: the id {case.id} stands already in {seen[case.id]}.")
        seen[case.id] = f"line {number}"
        yield case
    if not seen:
        raise SuiteError(f"{path} holds no questions.")


def _lines(path: Path) -> list[str]:
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return data.decode("utf-8").splitlines()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise SuiteError(f"{path} cannot be read: {error}.") from error


def _case(told: Mapping[str, Any], where: str) -> GoldCase:
    unknown = set(told) - _CASE_KEYS
    if unknown:
        raise ValueError(f"unknown key {sorted(unknown)[0]}")
    if not isinstance(told["answerable"], bool):
        raise ValueError("answerable must be true or false")
    needs = tuple(tuple(_place(place) for place in need) for need in told.get("evidence", ()))
    return GoldCase(
        id=str(told["id"]),
        type=str(told.get("type", "fact")),
        question=str(told["question"]),
        history=tuple(_turn(turn) for turn in told.get("history", ())),
        answers=tuple(map(str, told.get("answers", ()))),
        must_include=tuple(tuple(wording.lower() for wording in fact) for fact in told.get("must_include", ())),
        evidence=(needs,) if needs else (),
        attributed_to=tuple(Voice(voice["speaker"], voice.get("reported_by")) for voice in told.get("attributed_to", ())),
        answerable=told["answerable"],
        where=where,
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
