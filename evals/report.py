"""One self-contained page about one or several runs: no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from assistant.inert import inert
from evals.comparison import RETRIEVAL_MEASURES, Comparison, compare, gates
from evals.pictures import bars_by_type, calibration_curve, risk_coverage_curve
from evals.printed import spoken_answer
from evals.records import Record, Result
from evals.summaries import Summary, by_type, quality_of, run_label, summarise
from index.errors import SuiteError

_WORST = 20
_PASSAGES = 5
_CHANGES = 15
_BARS = ("evidence R@5", "nDCG@10", "key-fact recall", "F1", "citation precision", "answered")


@dataclass(frozen=True, slots=True)
class _Case:
    """A question as the page shows it."""

    result: Result
    said: str
    why: str
    """What is wrong with it."""
    passages: tuple[tuple[Mapping[str, Any], tuple[tuple[str, bool], ...]], ...]
    """Passages, each with its text in pieces: (words, whether they are cited)."""
    more: tuple[tuple[Mapping[str, Any], tuple[tuple[str, bool], ...]], ...]
    """Those that nothing was cited from."""


def write_report(records: Sequence[Record], path: Path) -> None:
    """Raises SuiteError when a run holds no questions, runs are of different suites, or the page cannot be written."""
    for record in records:
        if path.exists() and path.resolve() == record.path.resolve():
            raise SuiteError(f"{path} is the run itself; choose another file for the page.")
        if not record.results:
            raise SuiteError(f"{record.path} holds no question yet; there is nothing to report.")
        if (record.run.suite, record.run.gold) != (records[0].run.suite, records[0].run.gold):
            raise SuiteError(f"{record.path} and {records[0].path} were asked of different questions; report them apart.")
    environment = Environment(loader=PackageLoader("evals", "."), autoescape=True, undefined=StrictUndefined)
    environment.filters["inert"] = lambda words: inert(str(words))
    summaries = [summarise(record) for record in records]
    last = records[-1]
    page = environment.get_template("report.html.jinja").render(
        title=last.run.title,
        labels=[run_label(number) for number in range(len(records))],
        summaries=summaries,
        names=list(dict.fromkeys(name for summary in summaries for name in summary.shown)),
        gates=gates(last),
        pictures=[Markup(picture) for picture in _pictures(summaries)],
        worst=worst_cases(last),
        comparison=_comparison(records),
        most=_CHANGES,
        spoken=spoken_answer,
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise SuiteError(f"{path} cannot be written ({error.strerror}).") from error


def _comparison(records: Sequence[Record]) -> Comparison | None:
    return compare(records[0], records[-1]) if len(records) > 1 else None


def _pictures(summaries: Sequence[Summary]) -> Iterator[str]:
    shown = [name for name in _BARS if any(name in each.measures for each in summaries)][:4]
    types = [by_type(summary.record, shown) for summary in summaries]
    for name in shown:
        yield bars_by_type(name, types)
    yield from filter(None, (risk_coverage_curve(summaries), calibration_curve(summaries)))


# -- the worst ---------------------------------------------------------------------------------------------------------------


def worst_cases(record: Record) -> list[_Case]:
    """Answers to what cannot be answered and wrong refusals first, each the surest first; then the poorest answers."""
    quality = quality_of(record.results)
    found: list[tuple[tuple[float, float], str, Result]] = []
    for result in record.results:
        sure = result.confidence or 0.0
        if result.error is not None:
            found.append(((0, 0), "failed", result))
        elif result.abstained is None:
            measure = next((name for name in RETRIEVAL_MEASURES if name in result.scores), None)
            if measure is not None and result.scores[measure] < 1:
                found.append(((2, result.scores[measure]), f"{measure} {result.scores[measure]:.2f}", result))
        elif not result.tests_abstention:
            continue
        elif not result.answerable and not result.abstained:
            found.append(((1, -sure), "answered, though the sources do not say", result))
        elif result.answerable and result.abstained:
            found.append(((1, sure), "refused, though the sources say", result))
        elif result.answerable and quality is not None and quality in result.scores and result.scores[quality] < 1:
            found.append(((2, result.scores[quality]), f"{quality} {result.scores[quality]:.2f}", result))
    found.sort(key=lambda entry: entry[0])
    return [_case(why, result) for _, why, result in found[:_WORST]]


def _case(why: str, result: Result) -> _Case:
    answer = result.answer or {"citations": [], "passages": result.passages}
    cited, more = [], []
    for number, passage in enumerate(answer["passages"], start=1):
        pieces = tuple(highlighted(passage, answer["citations"]))
        if any(marked for _, marked in pieces):
            cited.append(({**passage, "rank": number}, pieces))
        elif number <= _PASSAGES:
            more.append(({**passage, "rank": number}, pieces))
    return _Case(result, spoken_answer(result), why, tuple(cited), tuple(more))


def highlighted(passage: Mapping[str, Any], citations: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, bool]]:
    """The passage's text in pieces, each with whether a citation holds it."""
    text = str(passage.get("text", ""))
    start = int(passage["start"])
    marked = bytearray(len(text))
    for citation in citations:
        if citation["document"] == passage["document"]:
            begin, end = (min(max(int(citation[edge]) - start, 0), len(text)) for edge in ("start", "end"))
            marked[begin:end] = b"\1" * (end - begin)
    place = 0
    for cited, characters in groupby(marked):
        length = sum(1 for _ in characters)
        yield text[place : place + length], bool(cited)
        place += length
