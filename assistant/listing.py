"""How builds and sources are shown on the command line. Progress goes to stderr, results to stdout."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import typer

from assistant.answering.contract import SourceJSON
from assistant.inert import inert, one_line
from index.build import Plan, Report
from index.build import Progress as BuildProgress
from index.ledger import DocumentRow

if TYPE_CHECKING:
    from assistant.retrieval.passages import Passage
    from assistant.servers import Server
    from index.documents import Document


def show_build(events: Iterable[Plan | BuildProgress | Report], *, quiet: bool) -> Report | None:
    """Runs a build with a progress bar. quiet: only troubles are told, on stderr, besides the bar."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

    console = Console(stderr=True)
    report: Report | None = None
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        tasks = {
            "reading": bar.add_task("Reading documents", total=None),
            "preparing": bar.add_task("Preparing the model for this machine (once)", total=None, visible=False),
            "embedding": bar.add_task("Embedding chunks", total=None, visible=False),
        }
        for event in events:
            if isinstance(event, BuildProgress):
                if event.stage == "embedding":
                    bar.update(tasks["preparing"], visible=False)
                bar.update(tasks[event.stage], completed=event.done, total=event.total, visible=True)
            elif isinstance(event, Report):
                report = event
    if report is None:
        return None
    for sentence in (*report.failed, *report.warnings):
        console.print(Text(f"! {one_line(sentence)}"), soft_wrap=True)
    if not quiet:
        _print_report(report)
    return report


def print_servers(found: Sequence[Server]) -> None:
    if not found:
        typer.echo(
            "No server of language models answers on this machine, and no address is configured.\n"
            "Start one (docs/models.md shows how), or set base_url in assistant.toml or OPENAI_BASE_URL."
        )
    for server in found:
        typer.echo(inert(f"{server.name}  {server.address}  {server.trouble}".rstrip()))
        for model in server.models:
            typer.echo(inert(f"  {model}"))
        if server.models:
            typer.echo(inert(f"  to ask: {_asking(server)}"))


def _asking(server: Server) -> str:
    asking = f"assistant --generator {server.generator} --model {shlex.quote(server.models[0])}"
    if server.name == "configured":
        return asking
    return f"ASSISTANT_BASE_URL={shlex.quote(server.address)} {asking}"


def _print_report(report: Report) -> None:
    from rich.console import Console
    from rich.text import Text

    out = Console()
    for name, documents in (("added", report.added), ("changed", report.changed), ("removed", report.removed)):
        for document in documents[:50]:
            out.print(Text(f"  {name:8} {one_line(document)}"), soft_wrap=True)
        if len(documents) > 50:
            out.print(Text(f"  {name:8} … and {len(documents) - 50} more"))
    out.print(
        Text(
            f"{len(report.added)} added, {len(report.changed)} changed, {len(report.removed)} removed, "
            f"{len(report.unchanged)} unchanged"
            + (f", {len(report.failed)} not read" if report.failed else "")
            + f"; {report.embedded} chunks embedded; {report.seconds:.1f} s"
        ),
        soft_wrap=True,
    )


def print_sources(rows: list[DocumentRow]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("document", overflow="fold", ratio=1)
    table.add_column("kind", no_wrap=True)
    for name in ("chunks", "tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        who = " · ".join(part for part in (", ".join(row.authors), row.published or "") if part)
        first = Text.assemble(one_line(row.title), (f"  {inert(who)}" if who else "", "dim"), "\n  ", (one_line(row.id), "dim"))
        table.add_row(first, Text(inert(row.kind)), str(row.chunks), f"{row.tokens:,}")
    console = Console()
    console.print(table)
    chunks, tokens = sum(row.chunks for row in rows), sum(row.tokens for row in rows)
    console.print(Text(f"{len(rows)} documents, {chunks} chunks, {tokens:,} tokens"))


def print_passages(found: Sequence[tuple[Passage, Document, str]]) -> None:
    """Each with its place and who speaks; nothing for nothing."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for number, (passage, document, locator) in enumerate(found, start=1):
        title = f" · {document.title}" if document.title != document.cite_as else ""
        place = f"[{number}] {document.cite_as}, {locator}{title} · {document.id}"
        console.print(Text(one_line(place), "bold"), soft_wrap=True)
        console.print(Text(inert(f"{passage.chunk.voice}: {' '.join(passage.chunk.text.split())}")), soft_wrap=True)
        console.print()
    if not found:
        console.print("No passage fits.")


def sources_as_json(rows: list[DocumentRow]) -> list[SourceJSON]:
    return [
        {
            "document": row.id,
            "title": row.title,
            "authors": list(row.authors),
            "published": row.published,
            "kind": row.kind,
            "chunks": row.chunks,
            "tokens": row.tokens,
            "digest": row.digest,
        }
        for row in rows
    ]


def drift_lines(plan: Plan | None) -> Iterator[str]:
    """What a person should know before trusting the index, if anything."""
    if plan is None:
        yield "! The corpus folder is gone; answers come from the index alone."
    elif not plan.is_empty:
        yield (
            f"! The corpus has changed since the index was built ({len(plan.new)} new, {len(plan.touched)} changed, "
            f"{len(plan.removed)} removed); bring it up to date with: assistant index (and the same --corpus and --store)"
        )
