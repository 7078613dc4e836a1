"""`assistant add`, `remove`, `index`, `watch` and `sources`: what the corpus holds, and the index of it."""

from __future__ import annotations

import glob
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from assistant.settings import Settings

OpenSettings = Callable[[typer.Context, str | None, str | None], "Settings"]

Corpus = Annotated[
    str | None,
    typer.Option("--corpus", metavar="CORPUS", help="A named corpus, folder or file, instead of the alliance debate."),
]
Store = Annotated[str | None, typer.Option("--store", metavar="STORE", help="Folder of the built index, or its address.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
# A folder that is written to is looked at when nothing has changed in it for so long, in milliseconds.
_SETTLED = 2_000


def register(app: typer.Typer, settings_of: OpenSettings) -> None:
    """Adds the commands."""

    @app.command("index")
    def index_command(
        context: typer.Context,
        rebuild: Annotated[
            bool, typer.Option("--rebuild", help="Read every source again; needed after a change of model or chunk size.")
        ] = False,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Tell what would be done and how long it may take, no more.")
        ] = False,
        ray: Annotated[bool, typer.Option("--ray", help="Read and embed on a Ray cluster.")] = False,
        address: Annotated[
            str | None,
            typer.Argument(
                metavar="[ADDRESS]", help="With --ray: the cluster's HOST:PORT, instead of one of this machine alone."
            ),
        ] = None,
        corpus: Corpus = None,
        store: Store = None,
    ) -> None:
        """Bring the index up to date with the corpus, and tell what changed.

        Examples:

        * `assistant index --dry-run`
        * `assistant index --store milvus://127.0.0.1:19530/papers --ray 10.0.0.5:6379`
        """
        from assistant.opening import bring_up_to_date

        if address is not None and not ray:
            raise typer.BadParameter(f"{address} is the address of nothing; with --ray it is that of a Ray cluster.")

        settings = settings_of(context, corpus, store)
        if dry_run:
            _tell_plan(settings, rebuild=rebuild)
        else:
            bring_up_to_date(settings, rebuild=rebuild, quiet=False, ray=(address or "local") if ray else None)

    @app.command()
    def add(
        context: typer.Context,
        sources: Annotated[
            list[str] | None, typer.Argument(metavar="SOURCE…", help="Files, folders, patterns (notes/*.pdf), web addresses.")
        ] = None,
        replace: Annotated[
            bool, typer.Option("--replace", help="Put a file in the place of an added one of the same name.")
        ] = False,
        ignore: Annotated[
            list[str] | None,
            typer.Option("--ignore", metavar="PATTERN", help='Leave out files and folders like "draft*". Repeatable.'),
        ] = None,
        primary: Annotated[
            bool, typer.Option("--primary", help="Fetch the articles that the corpus lists as its primary sources.")
        ] = False,
        allow_private: Annotated[
            bool, typer.Option("--allow-private", help="Fetch from this machine and from local networks as well.")
        ] = False,
        corpus: Corpus = None,
        store: Store = None,
    ) -> None:
        """Copy sources into the corpus and bring the index up to date.

        Web addresses are fetched, and what comes is kept with its address and the day. See docs/sources.md for what is read.

        Examples:

        * `assistant add article.pdf notes/`
        * `assistant add "papers/*.docx" --ignore "draft*"`
        * `assistant add https://example.org/treaty.html`
        * `assistant add --replace article.pdf`
        """
        from assistant.adding import add_sources
        from assistant.opening import bring_up_to_date

        if not sources and not primary:
            raise typer.BadParameter("name a file, folder, pattern or web address, or give --primary.")
        settings = settings_of(context, corpus, store)
        paths, addresses = _sorted_out(sources or [])
        names: list[str] = []
        if paths:
            adding = add_sources(paths, settings.for_index(), replace=replace, ignore=ignore or ())
            names += adding.copied
            for name in adding.present:
                _tell(f"  there already  {name}")
            for sentence in adding.refused:
                _tell(f"  not added      {sentence}", err=True)
        names += _fetched(settings, addresses, primary=primary, allow_private=allow_private)
        bring_up_to_date(settings, quiet=False)
        _tell_same(settings, names)

    @app.command()
    def remove(
        context: typer.Context,
        documents: Annotated[list[str], typer.Argument(metavar="DOCUMENT…", help="As `assistant sources` names it, or its end.")],
        corpus: Corpus = None,
        store: Store = None,
    ) -> None:
        """Take added sources out again. Their files are kept, and it is told where."""
        from assistant.adding import remove_source
        from assistant.opening import bring_up_to_date

        settings = settings_of(context, corpus, store)
        known = _documents(settings)
        chosen = [_one_of(told, known) for told in documents]
        for name in dict.fromkeys(chosen):
            removed = remove_source(name, settings.for_index())
            _tell(f"  removed  {name}; its file lies in {removed.kept}")
        bring_up_to_date(settings, quiet=False)

    @app.command()
    def describe(
        context: typer.Context,
        document: Annotated[str, typer.Argument(metavar="DOCUMENT", help="As `assistant sources` names it, or its end.")],
        title: Annotated[str | None, typer.Option("--title", metavar="WORDS")] = None,
        author: Annotated[list[str] | None, typer.Option("--author", metavar="NAME", help="Repeatable.")] = None,
        date: Annotated[str | None, typer.Option("--date", metavar="DATE", help="1999, 1999-05 or 1999-05-01.")] = None,
        publisher: Annotated[str | None, typer.Option("--publisher", metavar="WORDS")] = None,
        url: Annotated[str | None, typer.Option("--url", metavar="URL")] = None,
        kind: Annotated[str | None, typer.Option("--kind", metavar="WORD")] = None,
        cite_as: Annotated[str | None, typer.Option("--cite-as", metavar="WORDS", help="Short form in citations.")] = None,
        corpus: Corpus = None,
        store: Store = None,
    ) -> None:
        """Tell who wrote a document, when and so on, where its file does not, or tells it wrongly; "" takes it back.

        It is written into a file beside the document's own.

        Examples:

        * `assistant describe article.pdf --author "Ada Moreno" --date 1999-05`
        """
        from assistant.adding import describe_source
        from assistant.opening import bring_up_to_date

        settings = settings_of(context, corpus, store)
        name = _one_of(document, _documents(settings))
        given = {
            "title": title, "published": date, "publisher": publisher, "url": url, "kind": kind, "cite_as": cite_as
        }  # fmt: skip
        told: dict[str, str | list[str]] = {key: value for key, value in given.items() if value is not None}
        if author:
            told["authors"] = [each for each in author if each.strip()]
        if not told:
            raise typer.BadParameter("tell something of it: --title, --author, --date, --publisher, --url, --kind or --cite-as.")
        _tell(f"  written  {describe_source(name, settings.for_index(), told)}")
        bring_up_to_date(settings, quiet=False)

    @app.command()
    def watch(context: typer.Context, corpus: Corpus = None, store: Store = None) -> None:
        """Keep the index up to date while files of the corpus change, until Ctrl+C."""
        from watchfiles import DefaultFilter
        from watchfiles import watch as changes

        from assistant.opening import bring_up_to_date
        from index.errors import CorpusError

        settings = settings_of(context, corpus, store)
        index = settings.for_index()
        # Inside the corpus it is watched with it, once it is there.
        roots = [root for root in {index.corpus, index.added} if root.exists()]
        if not roots:
            raise CorpusError(f"the corpus {index.corpus} does not exist; choose one with --corpus.")
        # What is being saved settles first: between the removal and the arrival of a new version the old one is not lost.
        logging.getLogger("watchfiles").setLevel(logging.ERROR)
        stop = threading.Event()

        def end(*_: object) -> None:
            # Where Python cannot raise, in a destructor say, it would be forgotten.
            stop.set()
            raise KeyboardInterrupt

        signal.signal(signal.SIGINT, end)
        settled = changes(
            *roots, watch_filter=DefaultFilter(), debounce=4 * _SETTLED, step=_SETTLED, rust_timeout=500,
            yield_on_timeout=True, raise_interrupt=False, stop_event=stop,
        )  # fmt: skip
        is_watching = False
        for found in settled:
            if is_watching and not found:
                continue
            # The first time when the folders are watched already, so that nothing falls in between.
            bring_up_to_date(settings, quiet=False)
            # What is told goes into a log at once.
            sys.stdout.flush()
            if not is_watching:
                _tell(f"watching {index.corpus}; Ctrl+C ends it", err=True)
                sys.stderr.flush()
            is_watching = True

    @app.command()
    def sources(context: typer.Context, as_json: Json = False, corpus: Corpus = None, store: Store = None) -> None:
        """List the documents in the index, and what has changed in the corpus since it was built."""
        from assistant.listing import drift_lines, print_sources, sources_as_json
        from assistant.opening import open_assistant

        assistant = open_assistant(settings_of(context, corpus, store))
        if as_json:
            typer.echo(json.dumps(sources_as_json(assistant.store.documents()), indent=2))
            return
        print_sources(assistant.store.documents())
        for line in drift_lines(assistant.drift()):
            typer.echo(line)


def _documents(settings: Settings) -> list[str]:
    """Those of the index, and those that lie in the corpus and could not be read."""
    from assistant.opening import open_assistant
    from index.build import corpus_sources
    from index.errors import CorpusError

    assistant = open_assistant(_alone(settings))
    known = [row.id for row in assistant.own.documents()]
    assistant.close()
    try:
        lying = list(corpus_sources(settings.for_index()).by_id)
    except CorpusError:
        lying = []
    return list(dict.fromkeys([*known, *lying]))


def _alone(settings: Settings) -> Settings:
    """What is done to one corpus needs no other."""
    return settings.model_copy(update={"also": ()})


def _one_of(told: str, known: Sequence[str]) -> str:
    """The document that is meant. Raises CorpusError where that is none, or not only one."""
    from index.errors import CorpusError

    found = [name for name in known if name == told] or [name for name in known if name.endswith(f"/{told}")]
    if len(found) != 1:
        raise CorpusError(
            f"{told} names {'no document' if not found else f'{len(found)} documents'}; `assistant sources` lists them. "
            "Nothing was changed."
        )
    return found[0]


def _sorted_out(told: Sequence[str]) -> tuple[list[Path], list[str]]:
    """(files and folders, web addresses). Patterns that the shell left as they are are unfolded."""
    from assistant.adding import is_address

    paths: list[Path] = []
    for each in told:
        if is_address(each):
            continue
        path = Path(each).expanduser()
        is_pattern = glob.has_magic(each) and not path.exists()
        # Path.glob takes no absolute patterns.
        unfolded = sorted(glob.glob(str(path), recursive=True)) if is_pattern else []  # noqa: PTH207
        paths += [Path(found) for found in unfolded] or [path]
    return paths, [each for each in told if is_address(each)]


def _fetched(settings: Settings, addresses: Sequence[str], *, primary: bool, allow_private: bool) -> list[str]:
    """The ids of what is new. What cannot be fetched is told; raises CorpusError where nothing at all could be."""
    from assistant.adding import add_addresses
    from index.errors import CorpusError

    arrivals = []
    for each in add_addresses(addresses, settings.for_index(), primary=primary, allow_private=allow_private):
        arrivals.append(each)
        if each.refused:
            _tell(f"  not added      {each.refused}", err=True)
        else:
            _tell(f"  {'fetched' if each.is_new else 'there already'}  {each.name}")
    if arrivals and all(each.refused for each in arrivals):
        raise CorpusError("nothing was fetched." if len(arrivals) > 1 else arrivals[0].refused)
    return [each.name for each in arrivals if each.is_new]


def _tell_plan(settings: Settings, *, rebuild: bool) -> None:
    from assistant.assembly import planned

    plan, seconds = planned(_alone(settings), rebuild=rebuild)
    for words, names in (("would add", plan.new), ("would read again", plan.touched), ("would remove", plan.removed)):
        for name in names:
            _tell(f"  {words}  {name}")
    cost = "" if seconds is None else f", ≈ {max(1, round(seconds))} s"
    _tell(f"{len(plan.new)} new, {len(plan.touched)} changed, {len(plan.removed)} gone, {len(plan.unchanged)} unchanged{cost}")


def _tell_same(settings: Settings, names: Sequence[str]) -> None:
    """What says the same, or nearly, as another document. Nothing is dropped: a person decides."""
    if not names:
        return
    from assistant.assembly import same_as
    from index.sameness import MOST_COMPARED

    if len(names) > MOST_COMPARED:
        _tell(f"! copies were looked for among the first {MOST_COMPARED} of {len(names)} documents alone", err=True)
    for same in same_as(settings, names[:MOST_COMPARED]):
        _tell(f"! {same.words}; to keep one: assistant remove …", err=True)


def _tell(words: str, *, err: bool = False) -> None:
    from assistant.inert import inert

    # A file may have a line break in its name.
    (sys.stderr if err else sys.stdout).write(inert(words).replace("\n", " ") + "\n")
