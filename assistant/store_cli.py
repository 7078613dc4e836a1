"""`assistant store`: indexes moved from one place to another."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Copy an index between folders and servers; nothing is embedded again.",
)

Place = "A folder of a built index, or an address: milvus://HOST:PORT/NAME."


@app.command("copy")
def copy_store(
    source: Annotated[str, typer.Argument(metavar="FROM", help=Place)],
    target: Annotated[str, typer.Argument(metavar="TO", help=Place)],
    replace: Annotated[bool, typer.Option("--replace", help="Replace what TO holds, however it was built.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Copy an index, and compare what came with what was sent; stopped, the same command goes on.

    What TO holds already is not written again; what FROM does not hold is removed from it.

    Examples:

    * `assistant store copy .index milvus://127.0.0.1:19530/alliance`
    * `assistant store copy milvus://127.0.0.1:19530/alliance ./my-index`
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from assistant.inert import inert
    from index.build import Progress as Step
    from index.copying import Copied, copy
    from index.errors import SettingsError
    from index.writing import building, index_at, open_store

    origin, place = index_at(source), index_at(target)
    if (origin.engine or origin.store.resolve()) == (place.engine or place.store.resolve()):
        raise SettingsError(f"{source} and {target} are the same index; name another place to copy it to.")
    opened = open_store(origin)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    done: Copied | None = None
    try:
        with (
            building(place, rebuild=replace) as made,
            Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
        ):
            tasks: dict[str, Any] = {}
            for event in copy(opened, made, anew=replace):
                if isinstance(event, Step):
                    if event.stage not in tasks:
                        tasks[event.stage] = bar.add_task(event.stage.capitalize(), total=event.total)
                    bar.update(tasks[event.stage], completed=event.done)
                else:
                    done = event
    finally:
        opened.close()
    assert done is not None
    if as_json:
        told = {"from": str(source), "to": str(target), "documents": done.documents, "chunks": done.chunks}
        told |= {"written": done.written, "removed": done.removed, "seconds": round(done.seconds, 1)}
        typer.echo(json.dumps(told, indent=2))
        return
    typer.echo(
        inert(
            f"{done.documents:,} documents with {done.chunks:,} chunks in {target}, compared with {source}: the same; "
            f"{done.written:,} written, {done.removed:,} removed; {done.seconds:.1f} s"
        )
    )
