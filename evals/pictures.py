"""Curves and bars for reports, drawn by matplotlib as SVG whose words stay words."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from assistant.inert import one_line
from evals.records import Result
from evals.statistics import Estimate, calibration, risk_coverage
from evals.summaries import Summary, quality_of, risks, run_label

_COLOURS = ("#1b6ca8", "#d1603d", "#4c8c4a", "#7d5ba6", "#b8860b", "#666666")
_MARKS = ("o", "s", "^", "D", "v", "P")
_WIDE = (6.4, 3.4)


def risk_coverage_curve(summaries: Sequence[Summary]) -> str:
    """Empty when no run has confidences."""
    curves = {}
    for number, summary in enumerate(summaries):
        results = summary.record.results
        quality = quality_of(results)
        if quality is not None:
            confidence, risk = risks(results, quality)
            if len(risk):
                curves[number] = (quality, risk_coverage(confidence, risk))
    if not curves:
        return ""
    qualities = " or ".join(dict.fromkeys(quality for quality, _ in curves.values()))
    figure, axes = _axes("Risk and coverage", "share of the questions answered, the surest first", f"risk (1 − {qualities})")
    for number, (_, (coverage, risk)) in curves.items():
        axes.plot(coverage, risk, color=_colour(number), label=run_label(number), linewidth=1.8)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    return _svg(figure, len(summaries), "Risk of an answer against the share of questions answered")


def calibration_curve(summaries: Sequence[Summary]) -> str:
    """Empty when no run has questions of both kinds."""
    judged = [_judged(summary.record.results) for summary in summaries]
    curves = {
        number: calibration(_values("confidence", results), _values("answerable", results))
        for number, results in enumerate(judged)
        if len({result.answerable for result in results}) == 2
    }
    if not curves:
        return ""
    figure, axes = _axes("Calibration", "confidence", "share that can be answered")
    axes.plot((0, 1), (0, 1), color="#999999", linewidth=1, linestyle="--")
    for number, bins in curves.items():
        axes.plot(
            [each.confidence for each in bins],
            [each.answerable for each in bins],
            color=_colour(number),
            label=run_label(number),
            linewidth=1.2,
        )
        # The more questions in a bin, the larger its mark.
        axes.scatter(
            [each.confidence for each in bins],
            [each.answerable for each in bins],
            s=[12 + 160 * each.n / sum(other.n for other in bins) for each in bins],
            color=_colour(number),
            marker=_MARKS[number % len(_MARKS)],
            zorder=3,
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    return _svg(figure, len(summaries), "Share of answerable questions against confidence")


def bars_by_type(measure: str, runs: Sequence[Mapping[str, Mapping[str, Estimate]]]) -> str:
    """Bars with intervals: one group for each type of question, one bar for each run."""
    types = [
        name for name in dict.fromkeys(name for run in runs for name in run) if any(measure in run.get(name, {}) for run in runs)
    ]
    figure, axes = _axes(measure, "", "", height=0.9 + 0.34 * len(types) * max(1.0, 0.55 * len(runs)))
    width = 0.8 / len(runs)
    for number, run in enumerate(runs):
        told = [(place, run[name][measure]) for place, name in enumerate(types) if measure in run.get(name, {})]
        values = [each.value for _, each in told]
        axes.barh(
            [place + number * width for place, _ in told],
            values,
            height=width * 0.92,
            color=_colour(number),
            label=run_label(number),
            xerr=(
                [max(0.0, each.value - each.low) for _, each in told],
                [max(0.0, each.high - each.value) for _, each in told],
            ),
            error_kw={"elinewidth": 1, "ecolor": "#333333", "capsize": 2},
        )
    counts = {name: max(run[name][measure].n for run in runs if measure in run.get(name, {})) for name in types}
    axes.set_yticks([place + width * (len(runs) - 1) / 2 for place in range(len(types))])
    axes.set_yticklabels([f"{one_line(name)} ({counts[name]})".replace("$", r"\$") for name in types])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.grid(axis="y", visible=False)
    return _svg(figure, len(runs), f"{measure} by type of question")


def _judged(results: Sequence[Result]) -> list[Result]:
    return [result for result in results if result.tests_abstention and result.confidence is not None]


def _values(name: str, results: Sequence[Result]) -> Any:
    import numpy as np

    return np.array([float(getattr(result, name)) for result in results])


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _axes(title: str, across: str, up: str, *, height: float = _WIDE[1]) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDE[0], height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Any, curves: int, described: str) -> str:
    import matplotlib

    if curves > 1:
        figure.legend(loc="outside upper right", ncols=curves, frameon=False, fontsize=9)
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": described, "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Title": described})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
