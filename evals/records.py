"""The record of a run: one file of JSON lines. The first tells what was run and where, each further one holds a question."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, TextIO

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

import evals
from assistant.settings import ASIDE
from evals.cases import Suite
from evals.suites import first_complaint
from index.errors import SuiteError

FORMAT = 1
Mode = Literal["answers", "retrieval"]
_HOME = Path(evals.__file__).resolve().parent.parent
_PACKAGES = ("assistant", "index", "evals")
_LIBRARIES = (
    "alliance-assistant", "torch", "sentence-transformers", "openvino", "faiss-cpu", "tantivy", "tokenizers", "sentencex",
    "numpy", "ir-measures", "pytrec-eval-terrier"
)  # fmt: skip
# These may differ between the beginning of a run and its end.
_MAY_DIFFER = frozenset({"machine", "started", "format"})


@dataclass(frozen=True, slots=True)
class Run:
    """What was run, and where."""

    suite: str
    title: str
    part: str
    mode: Mode
    """Whether questions were answered, or their passages retrieved only."""
    gold: str
    """SHA-256 of the gold file."""
    corpus: Mapping[str, Any]
    """documents: how many; digest: SHA-256 over their ids and digests."""
    model: str
    """Fingerprint of the embedding model."""
    settings: Mapping[str, Any]
    changed: Mapping[str, Any]
    """The settings among them that are neither the program's nor the suite's own, wherever they were told."""
    limit: int | None
    seed: int
    code: Mapping[str, Any]
    """revision and dirty, of git, where there is one; digest: SHA-256 of the program's files."""
    versions: Mapping[str, str]
    """Python, and the libraries that results depend on."""
    machine: Mapping[str, Any]
    started: str
    """UTC, ISO 8601."""
    questions: int
    """How many the run asks."""
    depths: Sequence[int] = ()
    gates: Mapping[str, float] = field(default_factory=dict)
    measures: Sequence[str] = ()
    judge: Mapping[str, str] = field(default_factory=dict)
    """model, place and prompt, where a language model judged the answers."""
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Result:
    """One question of a run."""

    id: str
    type: str
    question: str
    answerable: bool
    scores: Mapping[str, float]
    """Measure -> value; measures that do not apply are absent."""
    answers: Sequence[str] = ()
    """Gold's."""
    tests_abstention: bool = True
    abstained: bool | None = None
    """None when passages were retrieved only."""
    confidence: float | None = None
    if_answered: Mapping[str, float] | None = None
    """The scores of the answer given when refusing is forbidden; None when it is refused all the same, or none was asked."""
    seconds: float | None = None
    answer: Mapping[str, Any] | None = None
    """As in docs/json.md."""
    passages: Sequence[Mapping[str, Any]] = ()
    """When passages were retrieved only: document, start and end of the best."""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    path: Path
    run: Run
    results: tuple[Result, ...]

    @property
    def is_complete(self) -> bool:
        return len(self.results) == self.run.questions


def describe(
    suite: Suite,
    *,
    mode: Mode,
    documents: Sequence[tuple[str, str]],
    model: str,
    settings: Mapping[str, Any],
    changed: Mapping[str, Any],
    limit: int | None,
    seed: int,
    questions: int,
) -> Run:
    """documents: (id, digest) of each in the corpus."""
    return Run(
        suite=suite.name,
        title=suite.title,
        part=suite.part,
        mode=mode,
        gold=suite.digest,
        corpus={"documents": len(documents), "digest": hashlib.sha256(json.dumps(sorted(documents)).encode()).hexdigest()},
        model=model,
        settings=settings,
        changed=changed,
        limit=limit,
        seed=seed,
        code=_code(),
        versions={"python": platform.python_version(), **{name: _version(name) for name in _LIBRARIES}},
        machine={"system": platform.platform(), "processor": _processor(), "cores": _cores()},
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        questions=questions,
        depths=suite.depths,
        gates=suite.gates,
        measures=suite.measures,
    )


def differences(first: Run, second: Run, *, names: tuple[str, str] = ("in the file", "now")) -> list[str]:
    """What keeps two runs from being one, a line each. Where the files lie does not matter."""
    one, other = (_comparable(run) for run in (first, second))
    return [
        f"{key}: {json.dumps(one.get(key))} {names[0]}, {json.dumps(other.get(key))} {names[1]}"
        for key in sorted({*one, *other})
        if one.get(key) != other.get(key)
    ]


def _comparable(run: Run) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in json.loads(json.dumps(asdict(run))).items():
        if key in _MAY_DIFFER:
            continue
        if isinstance(value, dict):
            flat |= {f"{key}.{name}": each for name, each in value.items() if not (key == "settings" and name in ASIDE)}
        else:
            flat[key] = value
    # The digest tells code apart where revisions say nothing of changes not committed.
    return {key: value for key, value in flat.items() if key not in ("code.revision", "code.dirty")}


_RUN = TypeAdapter(Run)
_RESULTS = TypeAdapter(list[Result])


# -- files -------------------------------------------------------------------------------------------------------------------


def read_record(path: Path) -> Record:
    """Raises SuiteError with file and line. A last line that was cut off while it was written is left out."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise SuiteError(f"the run {path} cannot be read ({error.strerror}).") from error
    parsed: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            told = json.loads(line, parse_constant=_refused)
            if not isinstance(told, dict):
                raise ValueError("no JSON object")
        except (ValueError, RecursionError) as error:
            if number == len(lines) > 1 and not line.endswith(b"\n"):
                break
            raise SuiteError(f"{path}, line {number}: not a line of a run ({error}).") from error
        parsed.append(told)
    if not parsed or parsed[0].get("format") != FORMAT or "gold" not in parsed[0]:
        raise SuiteError(f"{path} is not the record of a run; make one with: assistant eval SUITE --out {path.name}")
    try:
        run = _RUN.validate_python(parsed[0])
        results = tuple(_RESULTS.validate_python(parsed[1:]))
    except ValidationError as error:
        raise SuiteError(f"{path} is damaged, or of another version of the program ({first_complaint(error)}).") from error
    return Record(path, run, results)


def _refused(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def read_runs(folder: Path) -> list[Record]:
    """The runs kept in a folder, the latest first; files that are no runs are passed over."""
    records = []
    for path in sorted(folder.glob("*.jsonl")):
        with suppress(SuiteError):
            records.append(read_record(path))
    return sorted(records, key=lambda record: record.run.started, reverse=True)


@contextmanager
def recording(path: Path, run: Run, *, done: Sequence[Result]) -> Iterator[TextIO]:
    """The file to which results are written, one by one, after those that are done. Raises SuiteError."""
    path = path.resolve()
    if path.exists() and not path.is_file():
        raise SuiteError(f"{path} is no regular file; choose another --out.")
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        temporary = path.with_name(f".{path.name}.new")
        with temporary.open("w", encoding="utf-8") as file:
            for line in (asdict(run), *map(asdict, done)):
                file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        with path.open("a", encoding="utf-8") as file:
            yield file
    except Timeout as error:
        raise SuiteError(f"another run is writing {path}; wait for it or choose another --out.") from error
    except OSError as error:
        raise SuiteError(f"{path} cannot be written ({error.strerror or error}).") from error
    finally:
        if lock.is_locked:
            # While it is still held: whoever comes next makes and locks a file of its own.
            with suppress(OSError):
                Path(lock.lock_file).unlink()
            lock.release()


def write(file: TextIO, result: Result) -> None:
    """Raises SuiteError for a figure that is not a number: it would spoil every mean."""
    try:
        line = json.dumps(asdict(result), allow_nan=False)
    except ValueError as error:
        raise SuiteError(f"{file.name}: a figure of the question {result.id} is not a number; it was not written.") from error
    file.write(line + "\n")
    file.flush()


# -- what results depend on --------------------------------------------------------------------------------------------------


def _code() -> dict[str, Any]:
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for path in sorted((_HOME / package).rglob("*.py")):
            digest.update(path.relative_to(_HOME).as_posix().encode() + b"\0" + path.read_bytes())
    revision = _git("rev-parse", "HEAD") if (_HOME / ".git").exists() else None
    dirty = bool(_git("status", "--porcelain", "--", *_PACKAGES)) if revision else None
    return {"revision": revision, "dirty": dirty, "digest": digest.hexdigest()}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(_HOME), *arguments], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
