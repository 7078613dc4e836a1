"""An answer as lines of a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from assistant.answering.answers import Answer, Citation
from assistant.inert import one_line, shortened

_NEAREST = 3


def print_answer(answer: Answer) -> None:
    console = Console(highlight=False)
    if answer.standalone_question != answer.question:
        console.print(Text(f"Understood as: {one_line(answer.standalone_question)}", style="dim"), soft_wrap=True)
    if answer.abstained:
        console.print(Text(answer.short, style="bold"), Text(one_line(answer.reason), style="dim"), soft_wrap=True)
    for sentence in answer.sentences:
        line = Text()
        if sentence.citations:
            line.append(f"{one_line(str(answer.citation(sentence.citations[0]).voice))}: ", style="bold")
        line.append(one_line(sentence.text))
        for marker in sentence.citations:
            line.append(f" [{marker}]", style="cyan")
        if sentence.support != "verified":
            line.append(f" ({sentence.support})", style="yellow")
        console.print(line, soft_wrap=True)
    if answer.citations:
        console.print()
    for citation in answer.citations:
        console.print(Text(f"[{citation.marker}] ", style="cyan"), Text(described(citation)), sep="", soft_wrap=True)
    if answer.abstained and not answer.citations and answer.passages:
        console.print(Text("\nNearest passages:", style="bold"))
        for passage, reference in list(zip(answer.passages, answer.references, strict=True))[:_NEAREST]:
            shown = shortened(one_line(passage.chunk.text), 160)
            console.print(Text(f"  {one_line(reference)}: {shown}"), soft_wrap=True)


def described(citation: Citation) -> str:
    """ "Vu 2021, ¶7 · Why There Is No Gulf … · debate/reply.md"."""
    parts = [citation.reference, citation.title if citation.title != citation.cite_as else "", citation.document]
    return one_line(" · ".join(part for part in parts if part))
