"""Reads suites: a folder with suite.toml and gold.jsonl, or a folder in the plain layout of public question sets."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import tomllib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assistant.corpora import corpus_named, named_corpora
from assistant.retrieval.followups import Turn
from assistant.settings import FOLDERS
from evals.cases import GoldCase, Place, Suite
from evals.plain import plain_case
from index.documents import Voice
from index.errors import SuiteError

SUITES = Path(__file__).resolve().parent / "suites"
_SUITE = "suite.toml"
_FILES = re.compile(r"(?P<kind>gold|questions)(?:\.(?P<part>[a-z][a-z0-9-]*))?\.jsonl(?:\.gz)?")
_WHOLE = "all"
_CORPORA = ("corpus.jsonl", "corpus.jsonl.gz")

ReadCase = Callable[[Any, str], GoldCase]
"""(a line's object, file and line) -> the case. Raises ValidationError or ValueError."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _SuiteFile(_Strict):
    title: str | None = None
    corpus: str | None = None
    settings: dict[str, Any] = {}
    depths: list[int] = Field(default=[1, 5, 10], min_length=1)
    measures: list[str] = []
    gates: dict[str, float] = {}


class _VoiceLine(_Strict):
    speaker: str = Field(min_length=1)
    reported_by: str | None = None


class _PlaceLine(_Strict):
    document: str
    locator: str | None = Field(default=None, min_length=1)
    quote: str | None = Field(default=None, min_length=1)


class _TurnLine(_Strict):
    role: Literal["user", "assistant"]
    content: str


class _GoldLine(_Strict):
    id: str = Field(min_length=1)
    question: str
    answerable: bool
    type: str = "fact"
    history: list[_TurnLine] = []
    answers: list[str] = []
    must_include: list[list[str]] = []
    evidence: list[list[_PlaceLine]] = []
    attributed_to: list[_VoiceLine] = []


def suite_names() -> list[str]:
    """Of the suites that ship with the program, and of those that named corpora have: "papers.basics"."""
    own = [f"{each.name}.{path.parent.name}" for each in named_corpora() for path in each.suites.glob(f"*/{_SUITE}")]
    return sorted(path.parent.name for path in SUITES.glob(f"*/{_SUITE}")) + sorted(own)


def load_suite(name: str, *, part: str | None = None, corpus: Path | None = None) -> Suite:
    """name: a suite that ships with the program or that a named corpus has, or the path of a suite's folder. part: "dev" unless
    told otherwise, or the only one that there is. corpus: in place of the suite's own. Raises SuiteError with file and line.
    """
    named = None
    try:
        if name in suite_names():
            named = corpus_named(name.partition(".")[0])
            folder = named.suites / name.partition(".")[2] if named else SUITES / name
        else:
            folder = Path(name).expanduser()
        parts = _parts(folder)
    except (OSError, RuntimeError, ValueError):
        parts = {}
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
        corpus = (folder / told.corpus).resolve() if told.corpus is not None else own or (named.sources if named else None)
    if corpus is not None and not corpus.expanduser().exists():
        raise SuiteError(f"the corpus {corpus} of the suite {folder} does not exist.")
    read_case: ReadCase = _case
    if gold.name.startswith("questions"):
        if corpus is None:
            raise SuiteError(f"{folder} has questions but no corpus.jsonl; give one with --corpus.")
        read_case = plain_case(corpus.expanduser())
    data = _read(gold)
    cases = tuple(_read_cases(gold, data, read_case))
    if not any(case.answerable for case in cases):
        raise SuiteError(f"{gold} holds no question that can be answered; nothing could be measured but silence.")
    return Suite(
        name=name if named else folder.resolve().name,
        title=told.title or folder.resolve().name,
        folder=folder,
        gold=gold,
        part=wanted,
        corpus=corpus,
        digest=hashlib.sha256(data).hexdigest(),
        cases=cases,
        settings=told.settings,
        depths=tuple(told.depths),
        measures=tuple(told.measures),
        gates=told.gates,
    )


def _parts(folder: Path) -> dict[str, Path]:
    """Part -> its file; gold files go before questions."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.jsonl*"), reverse=True) if folder.is_dir() else ():
        match = _FILES.fullmatch(path.name)
        if match:
            found[match["part"] or _WHOLE] = path
    return dict(sorted(found.items()))


def _read_toml(path: Path) -> _SuiteFile:
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return _SuiteFile()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SuiteError(f"{path} cannot be read: {error}.") from error
    try:
        suite = _SuiteFile.model_validate(told)
    except ValidationError as error:
        raise SuiteError(f"{path}: {first_complaint(error)}; the keys are {', '.join(_SuiteFile.model_fields)}.") from error
    if any(depth < 1 for depth in suite.depths):
        raise SuiteError(f"{path}: depths must be whole numbers from 1.")
    for name, floor in suite.gates.items():
        if not 0 <= floor <= 1:
            raise SuiteError(f"{path}: the gate {name} must be a number from 0 to 1.")
    for name in FOLDERS:
        if name in suite.settings:
            raise SuiteError(f"{path}: {name} is no setting of a suite; name the corpus by the key corpus above the tables.")
    return suite


def first_complaint(error: ValidationError) -> str:
    """What is wrong, and at which key: "answers.0: input should be a valid string"."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    what = "is not a key that is known" if first["type"] == "extra_forbidden" else first["msg"][:1].lower() + first["msg"][1:]
    return f"{where}: {what}" if where else what


def _read_cases(path: Path, data: bytes, read_case: ReadCase) -> Iterator[GoldCase]:
    seen: dict[str, str] = {}
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            told = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SuiteError(f"{where}: not JSON ({error}).") from error
        try:
            case = read_case(told, where)
        except ValidationError as error:
            raise SuiteError(f"{where}: not a gold case ({first_complaint(error)}).") from error
        except ValueError as error:
            raise SuiteError(f"{where}: not a gold case ({error}).") from error
        if case.id in seen:
            raise SuiteError(f"{where}: the id {case.id} stands already in {seen[case.id]}.")
        seen[case.id] = f"line {number}"
        yield case
    if not seen:
        raise SuiteError(f"{path} holds no questions.")


def _read(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise SuiteError(f"{path} cannot be read: {error}.") from error


def _case(told: Any, where: str) -> GoldCase:
    line = _GoldLine.model_validate(told)
    if not all(wording.strip() for fact in line.must_include for wording in fact) or not all(line.must_include):
        raise ValueError("must_include: a fact or a wording is empty")
    if not all(line.evidence):
        raise ValueError("evidence: a need names no place")
    needs = tuple(tuple(_place(place) for place in need) for need in line.evidence)
    return GoldCase(
        id=line.id,
        type=line.type,
        question=line.question,
        history=tuple(Turn(turn.role, turn.content) for turn in line.history),
        answers=tuple(line.answers),
        must_include=tuple(tuple(wording.lower() for wording in fact) for fact in line.must_include),
        evidence=(needs,) if needs else (),
        attributed_to=tuple(Voice(voice.speaker, voice.reported_by) for voice in line.attributed_to),
        answerable=line.answerable,
        where=where,
    )


def _place(line: _PlaceLine) -> Place:
    if (line.locator is None) == (line.quote is None):
        raise ValueError("a place has either a locator or a quote")
    return Place(line.document, line.locator, line.quote)
