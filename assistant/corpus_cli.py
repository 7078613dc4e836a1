"""`assistant corpus`: named corpora, each with sources, an index and settings of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from assistant.corpora import NamedCorpus
    from index.settings import MilvusAddress

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Named corpora: create, list, use, rename, delete. `--corpus NAME` takes one for a single command.",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Small letters, digits and hyphens.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def create(
    name: Name,
    path: Annotated[
        Path | None, typer.Argument(metavar="PATH", help="A folder of sources, or a .jsonl file, that is there already.")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting for this corpus. Repeatable.")
    ] = None,
) -> None:
    """Make a corpus, empty or of a folder that is there already.

    Examples:

    * `assistant corpus create papers` then `assistant add --corpus papers *.pdf`
    * `assistant corpus create treaties ~/treaties --set passages=15`
    """
    from assistant.corpora import create as create_corpus

    made = create_corpus(name, path, _settings(changes or []))
    _tell(f"{name}: sources in {made.sources}, settings in {made.file}")
    _tell(f"add to it: assistant add --corpus {name} …   take it for every command: assistant corpus use {name}")


@app.command("list")
def list_corpora(as_json: Json = False) -> None:
    """Show the corpora, which one is in use, and how much each holds."""
    from assistant.corpora import DEBATE, corpus_named, corpus_names, named_corpora
    from assistant.settings import BUNDLED_CORPUS, load_settings
    from index.errors import SettingsError

    used = load_settings().corpus.expanduser().resolve()
    rows: list[dict[str, Any]] = [_row(DEBATE, BUNDLED_CORPUS, None)]
    readable = named_corpora()
    rows += [_row(each.name, each.sources, each) for each in readable]
    for broken in sorted(set(corpus_names()) - {each.name for each in readable}):
        try:
            corpus_named(broken)
        except SettingsError as error:
            _tell(f"! {error}", err=True)
    for row in rows:
        row["in_use"] = Path(row["sources"]).resolve() == used
    if as_json:
        typer.echo(json.dumps({"corpora": rows}, indent=2))
        return
    for row in rows:
        count = row["documents"]
        size = f"{count} document{'s' * (count != 1)}" if count is not None else "no index yet"
        _tell(f"{'*' if row['in_use'] else ' '} {row['name']:20} {size:>16}  {row['sources']}")
        if row["trouble"] not in (None, "no index yet"):
            _tell(f"{'':24}! {row['trouble']}")
        if row["suites"]:
            _tell(f"{'':24}suites: {', '.join(row['suites'])}")
    if not any(row["in_use"] for row in rows):
        _tell(f"* in use: {used}, which has no name; assistant corpus create NAME {used}")


@app.command()
def use(name: Name) -> None:
    """Take a corpus for every command from now on; `debate` is the one that ships with the program."""
    from assistant.corpora import DEBATE
    from assistant.settings import load_settings, located, write_settings
    from index.errors import SettingsError

    if not _exists(name):
        raise SettingsError(f"there is no corpus {name}; see: assistant corpus list")
    # A store that stands there belongs to the corpus before.
    file = write_settings({"corpus": None if name == DEBATE else name, "store": None})
    _tell(f"{name} is in use; written to {file}")
    now = load_settings().corpus.expanduser().resolve()
    if now != located(name).expanduser().resolve():
        place = "ASSISTANT_CORPUS" if os.environ.get("ASSISTANT_CORPUS") else "another assistant.toml"
        _tell(f"! {place} says otherwise, and counts more: {now}", err=True)


@app.command()
def rename(name: Name, new: Annotated[str, typer.Argument(metavar="NEW", help="Its name from now on.")]) -> None:
    """Give a corpus another name."""
    from assistant.corpora import rename as rename_corpus

    _check_not_built(name)
    made = rename_corpus(name, new)
    _follow(name, new)
    _tell(f"{name} is {new} now; sources in {made.sources}")


@app.command()
def delete(name: Name) -> None:
    """Delete a corpus. Its files are kept, and it is told where; a folder of yours is only forgotten."""
    from assistant.corpora import corpus_named
    from assistant.corpora import delete as delete_corpus
    from index.errors import SettingsError

    _check_not_built(name)
    try:
        known = corpus_named(name)
    except SettingsError:
        known = None
    kept = delete_corpus(name)
    if known is not None and known.is_elsewhere:
        _tell(f"{name} is no name any more; {known.sources} is as it was, its settings lie in {kept}")
    else:
        _tell(f"{name} is deleted; its files lie in {kept}")
    if _follow(name, None):
        _tell("debate is in use again")


def _follow(name: str, new: str | None) -> bool:
    """Puts the new name wherever a settings file chooses the old one; whether any did. What chooses it otherwise is told."""
    from assistant.settings import corpus_told_in, write_settings

    files = [path for path, told in corpus_told_in().items() if told == name]
    for path in files:
        write_settings({"corpus": new} if new else {"corpus": None, "store": None}, path)
    if os.environ.get("ASSISTANT_CORPUS") == name:
        _tell(f"! ASSISTANT_CORPUS still says {name}", err=True)
    return bool(files)


def _settings(changes: list[str]) -> dict[str, Any]:
    """As a corpus keeps them. Raises SettingsError."""
    from pydantic import ValidationError

    from assistant.settings import FOLDERS, Settings
    from index.errors import SettingsError
    from index.settings import MilvusAddress

    told: dict[str, Any] = {}
    for each in changes:
        key, between, value = each.partition("=")
        is_address = key.strip() == "store" and MilvusAddress.is_meant(value.strip())
        if not between or (key.strip() in FOLDERS and not is_address):
            raise SettingsError(f"--set {each}: write KEY=VALUE; folders cannot be set.")
        told[key.strip()] = value.strip()
    try:
        made = Settings(**told)
    except ValidationError as error:
        first = error.errors()[0]
        raise SettingsError(f"--set {first['loc'][0]}: {first['msg'].lower()}.") from error
    return {key: str(value) if key == "store" else value for key, value in ((key, getattr(made, key)) for key in told)}


def _row(name: str, sources: Path, known: NamedCorpus | None) -> dict[str, Any]:
    from assistant.settings import Settings
    from index.errors import StoreError, StoreMissing
    from index.writing import open_store

    documents = chunks = trouble = None
    try:
        store = open_store(Settings(corpus=sources, store=_index_of(known)).for_index())
    except StoreMissing:
        trouble = "no index yet"
    except StoreError as error:
        trouble = str(error)
    else:
        counts = store.counts()
        documents, chunks = counts["documents"], counts["chunks"]
        store.close()
    suites = sorted(f"{name}.{path.parent.name}" for path in known.suites.glob("*/suite.toml")) if known else []
    return {
        "name": name,
        "sources": str(sources),
        "settings": dict(known.settings) if known else {},
        "suites_folder": str(known.suites) if known else None,
        "suites": suites,
        "documents": documents,
        "chunks": chunks,
        "trouble": trouble,
    }


def _index_of(known: NamedCorpus | None) -> MilvusAddress | None:
    """The index on a server that a named corpus has; None where it has a folder."""
    from index.settings import MilvusAddress

    told = known.settings.get("store") if known else None
    return MilvusAddress.parse(told) if told else None


def _exists(name: str) -> bool:
    from assistant.corpora import DEBATE, corpus_named

    return name == DEBATE or corpus_named(name) is not None


def _check_not_built(name: str) -> None:
    """Raises StoreBusy where its index is being built."""
    from assistant.settings import Settings, located
    from index.errors import SettingsError, StoreBusy, StoreError
    from index.store import LocalStore

    try:
        if not _exists(name):
            return
        store = LocalStore(Settings(corpus=located(name)).for_index().store)
    except (StoreError, SettingsError):
        return
    try:
        if store.is_being_built:
            raise StoreBusy(f"the index of {name} is being built; try again when that has ended.")
    finally:
        store.close()


def _tell(words: str, *, err: bool = False) -> None:
    from assistant.inert import inert

    typer.echo(inert(words).replace("\n", " "), err=err)
