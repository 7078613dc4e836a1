"""An answer as lines of a terminal."""

from __future__ import annotations

import os
from typing import Any

import typer

from assistant.answering.answers import Answer, Citation, measured
from assistant.inert import one_line, shortened

_NEAREST = 3


def print_answer(answer: Answer) -> None:
    if answer.standalone_question != answer.question:
        _print(_styled(f"Understood as: {one_line(answer.standalone_question)}", dim=True))
    if answer.abstained:
        _print(_styled(answer.short, bold=True), " ", _styled(one_line(answer.reason), dim=True))
    if answer.headline:
        _print(_styled(one_line(answer.headline), bold=True), "\n")
    for sentence in answer.sentences:
        line = []
        if voice := answer.voice_of(sentence):
            line.append(_styled(f"{one_line(str(voice))}: ", bold=True))
        line.append(one_line(sentence.text))
        line.extend(_styled(f" [{marker}]", fg="cyan") for marker in sentence.citations)
        if sentence.support == "unverified":
            line.append(_styled(" (unverified)", fg="yellow"))
        _print(*line)
    if answer.citations:
        _print()
    for citation in answer.citations:
        _print(_styled(f"[{citation.marker}] ", fg="cyan"), described(citation))
    if answer.abstained and not answer.citations and answer.passages:
        _print(_styled("\nNearest passages:", bold=True))
        for passage, reference in list(zip(answer.passages, answer.references, strict=True))[:_NEAREST]:
            shown = shortened(one_line(passage.chunk.text), 160)
            _print(f"  {one_line(reference)}: {shown}")
    for notice in answer.notices:
        _print(_styled(f"\n! {one_line(notice)}", fg="yellow"))
    if answer.usage is not None:
        _print(_styled(f"\n{one_line(' · '.join(measured(answer)))}", dim=True))


def _styled(text: str, **style: Any) -> str:
    return typer.style(text, **style)


def _print(*parts: str) -> None:
    # On anything but a terminal the styles are taken out; rich would do the same, and cost a twentieth of the start.
    typer.echo("".join(parts), color=False if os.environ.get("NO_COLOR") else None)


def described(citation: Citation) -> str:
    """ "Vu 2021, ¶7 · Why There Is No Gulf … · debate/reply.md"."""
    parts = [citation.reference, citation.title if citation.title != citation.cite_as else "", citation.document]
    return one_line(" · ".join(part for part in parts if part))
