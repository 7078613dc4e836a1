"""The command line. Heavy parts are imported by the command that needs them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assistant.corpus_cli import app as corpora_app
from assistant.eval_cli import app as evals_app
from assistant.leaving import leave
from assistant.map_cli import register as register_maps
from assistant.sources_cli import register as register_sources
from assistant.store_cli import app as store_app

if TYPE_CHECKING:
    from assistant.history import History
    from assistant.settings import Settings

app = typer.Typer(
    name="assistant",
    add_completion=True,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(evals_app, name="eval")
app.add_typer(corpora_app, name="corpus")
app.add_typer(store_app, name="store")

Corpus = Annotated[
    str | None,
    typer.Option(
        "--corpus",
        metavar="CORPUS",
        help="A named corpus, a folder of sources, or a .jsonl file, instead of the alliance debate.",
    ),
]
Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="STORE",
        help="Folder of the built index instead of the one beside the corpus, or its address on a server (milvus://HOST:PORT/NAME).",
    ),
]
Also = Annotated[
    list[str] | None,
    typer.Option("--also", metavar="CORPUS", help="A further corpus to search, by name or path. Repeatable."),
]
WrittenBy = Annotated[
    str | None,
    typer.Option("--generator", metavar="NAME", help="Who writes the answer: extractive, openai, anthropic or local."),
]
ChatModelName = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="The language model that writes it (see: assistant models).")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.callback(invoke_without_command=True)
def chat(
    context: typer.Context,
    corpus: Corpus = None,
    also: Also = None,
    store: Store = None,
    generator: WrittenBy = None,
    model: ChatModelName = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """Cited answers to questions about the alliance debate between Khang Vu and Ngo Di Lan, or any corpus; offline.

    Without a command it opens the chat.

    Examples:

    * `assistant` opens the chat
    * `assistant web` opens it in a browser of this machine
    * `assistant ask "Why does Lan doubt that the 1977 treaty is an alliance?"` answers once
    * `assistant add ~/papers` adds PDF, Word, web and other files and brings the index up to date
    * `assistant map` shows who holds what on which issue, `assistant timeline` what happened when
    * `assistant eval alliance` measures the answers against gold
    """
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"alliance-assistant {installed('alliance-assistant')}")
        raise typer.Exit
    if context.invoked_subcommand is not None:
        context.obj = {"corpus": corpus, "also": also, "store": store, "generator": generator, "chat_model": model}
        return
    from assistant.chat import open_chat

    open_chat({"corpus": corpus, "also": also, "store": store, "generator": generator, "chat_model": model})


@app.command()
def ask(
    context: typer.Context,
    question: Annotated[
        str | None, typer.Argument(metavar="QUESTION", help="What you want to know; - reads it from standard input.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    form: Annotated[str, typer.Option("--format", metavar="NAME", help="plain, markdown or json.")] = "plain",
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="A conversation line by line, as a screen reader likes it.")
    ] = False,
    history: Annotated[
        Path | None,
        typer.Option(
            "--history", metavar="FILE", help='Earlier turns: a JSON list of {"role": "user"|"assistant", "content": …}.'
        ),
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option("--source", metavar="ID", help="Only this document, or folder of the corpus. Repeatable.")
    ] = None,
    voice: Annotated[list[str] | None, typer.Option("--voice", metavar="NAME", help="Only this speaker. Repeatable.")] = None,
    kind: Annotated[list[str] | None, typer.Option("--kind", metavar="KIND", help="Only this kind of document.")] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="DATE", help="Only published then or later: 2021-06.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="DATE", help="Only published then or earlier.")] = None,
    generator: WrittenBy = None,
    model: ChatModelName = None,
    corpus: Corpus = None,
    also: Also = None,
    store: Store = None,
) -> None:
    """Answer one question, with citations.

    The index is built first where there is none.

    Examples:

    * `assistant ask "How many Vietnamese troops were in Laos?"`
    * `assistant ask "What is promised on the border?" --corpus ~/treaties --json`
    * `assistant ask "Is the treaty an alliance?" --voice Lan`
    * `assistant ask "What do Vu and Lan agree on?" --generator openai --model llama3.2`
    * `assistant ask -i` goes on asking, line by line
    """
    if form not in ("plain", "markdown", "json"):
        raise typer.BadParameter(f"--format {form} is none of plain, markdown, json.")
    form = "json" if as_json else form
    if (question is None) != interactive or (interactive and form != "plain"):
        raise typer.BadParameter("give either a question or -i, and a format with a question alone.")
    settings = _settings(context, corpus, store, also=also, generator=generator, chat_model=model)
    if settings.generator != "local":
        # One question needs no pool of threads for matrices; making it costs a sixth of the start.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    # One long turn after the other: threads that import in turns of milliseconds only get in each other's way.
    sys.setswitchinterval(0.05)

    from index.embedders import embedder_for

    embedder = embedder_for(settings.for_index())
    # The models load while the rest of the program is imported.
    embedder.preload()
    from assistant.reader.model import LazyReaderModel

    reader_model = LazyReaderModel(settings.exports) if settings.has_bundled_reader else None
    if reader_model:
        reader_model.preload()

    from assistant.answering.answers import Finished, Waiting
    from assistant.answering.contract import answer_as_json
    from assistant.answering.conversation import check_question
    from assistant.answering.printed import print_answer
    from assistant.opening import open_assistant, tell_drift, tell_writer
    from index.filters import Filter, check_date

    if question is not None:
        question = check_question(sys.stdin.read() if question == "-" else question)
    turns = _history(history)
    assistant = open_assistant(settings, embedder=embedder, reader_model=reader_model)
    only = Filter(
        tuple(source or ()), tuple(voice or ()), tuple(kind or ()), check_date(since, "--since"), check_date(until, "--until")
    )
    assistant.warm()
    tell_writer(assistant)
    tell_drift(assistant)
    assistant.check_filter(only)
    if question is None:
        from assistant.plain import talk

        talk(assistant, _kept(settings), str(settings.for_index().corpus), only=only or None)
        leave(0)
    events = assistant.converse(turns, only=only).ask(question)
    for event in events:
        if isinstance(event, Waiting):
            sys.stderr.write(f"the server asks to wait {event.seconds:.0f} seconds\n")
        elif isinstance(event, Finished):
            answer = event.answer
    if form == "json":
        typer.echo(json.dumps(answer_as_json(answer), indent=2))
    elif form == "markdown":
        from assistant.exporting import answer_as_markdown

        typer.echo(answer_as_markdown(answer, assistant.store.document).rstrip())
    else:
        print_answer(answer)
    leave(0)


@app.command()
def web(
    context: typer.Context,
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port on loopback; 0 takes a free one.")] = 0,
    generator: WrittenBy = None,
    model: ChatModelName = None,
    corpus: Corpus = None,
    also: Also = None,
    store: Store = None,
) -> None:
    """Open the chat in a browser of this machine: prints a link with a secret in it.

    It listens on loopback alone, and every tab is a chat of its own.
    """
    _settings(context, corpus, store, also=also, generator=generator, chat_model=model)
    before: dict[str, Any] = context.obj or {}
    told = {"--corpus": corpus, "--also": also, "--store": store, "--generator": generator, "--model": model}
    names = {"--model": "chat_model"}
    arguments = []
    for option, value in told.items():
        given = value if value not in (None, []) else before.get(names.get(option, option.removeprefix("--")))
        for each in given if isinstance(given, list) else [given]:
            arguments += [option, str(each)] if each is not None else []
    from assistant.web import serve_chat

    serve_chat(arguments, port)
    leave(0)


@app.command()
def search(
    context: typer.Context,
    query: Annotated[list[str], typer.Argument(metavar="QUERY…", help="Words, and what narrows the search.")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=200, help="How many passages.")] = 10,
    as_json: Json = False,
    corpus: Corpus = None,
    also: Also = None,
    store: Store = None,
) -> None:
    """Print the passages that fit best, with where they stand and who speaks.

    Besides words: "exact words" in quotation marks, -word for what must not stand there, and author:, voice:, kind:, source:
    and date:.

    Examples:

    * `assistant search secret treaties`
    * `assistant search 'alliance "formal commitment" voice:Vu'`
    * `assistant search 'troops -Cambodia date:>=2021 kind:digest'`
    """
    from assistant.api import OpenAssistant
    from assistant.api import as_json as told_as_json
    from assistant.listing import print_passages
    from assistant.opening import open_assistant, tell_drift

    assistant = open_assistant(_settings(context, corpus, store, also=also))
    tell_drift(assistant)
    found = OpenAssistant(assistant).search(" ".join(query), count)
    if as_json:
        typer.echo(json.dumps({"passages": [told_as_json(each) for each in found]}, indent=2))
    else:
        print_passages([(each.passage, each.document, each.locator) for each in found])
    leave(0)


@app.command()
def mcp(context: typer.Context, corpus: Corpus = None, also: Also = None, store: Store = None) -> None:
    """Serve ask, search, read_passage and list_sources to another program (Model Context Protocol, standard input and output).

    docs/mcp.md tells how to name it there.
    """
    # The library would tell of each request where a tracer of the machine is set up.
    os.environ["OTEL_SDK_DISABLED"] = "true"
    from assistant.api import OpenAssistant
    from assistant.mcp_server import serve
    from assistant.opening import open_assistant

    assistant = open_assistant(_settings(context, corpus, store, also=also))
    assistant.warm()
    serve(OpenAssistant(assistant))
    leave(0)


@app.command()
def serve(
    context: typer.Context,
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="On loopback; 0 takes a free one.")] = 8390,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", metavar="FILE", help="Take the secret from this file, which is made where there is none."),
    ] = None,
    description: Annotated[bool, typer.Option("--description", help="Print the OpenAPI description and stop.")] = False,
    generator: WrittenBy = None,
    model: ChatModelName = None,
    corpus: Corpus = None,
    also: Also = None,
    store: Store = None,
) -> None:
    """Serve ask, search, read_passage and list_sources over HTTP to programs of this machine, which need a secret.

    docs/http.md tells how to use it.

    Examples:

    * `assistant serve` prints the address and the secret
    * `assistant serve --token-file ~/.assistant-token` has the same secret each time
    """
    from assistant.http_api import serve as serve_api
    from assistant.http_api import token_from
    from assistant.http_operations import description as described

    if description:
        typer.echo(json.dumps(described(port), indent=2))
        return
    from assistant.api import OpenAssistant
    from assistant.opening import open_assistant, tell_drift, tell_writer

    settings = _settings(context, corpus, store, also=also, generator=generator, chat_model=model)
    token = token_from(token_file)
    assistant = open_assistant(settings)
    tell_writer(assistant)
    tell_drift(assistant)
    assistant.warm()
    serve_api(OpenAssistant(assistant), port, token)
    leave(0)


@app.command()
def export(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="How it ends tells the format: .md .html .docx .json .bib .ris .csl.json"),
    ] = None,
    number: Annotated[
        int | None, typer.Option("--conversation", "-c", metavar="N", help="Which; the last one unless told otherwise.")
    ] = None,
    corpus: Corpus = None,
    also: Also = None,
    store: Store = None,
) -> None:
    """Write a conversation of the chat, or the bibliography of its citations, to a file; without a file list what is kept.

    Examples:

    * `assistant export` lists the conversations
    * `assistant export answer.docx` writes the last one
    * `assistant export sources.ris -c 12` writes what conversation 12 cites, with the places
    """
    from datetime import datetime

    from assistant.exporting import format_of, write_export
    from assistant.history import History
    from assistant.inert import inert
    from assistant.opening import open_assistant
    from assistant.settings import load_settings
    from index.errors import HistoryError

    settings = _settings(context, corpus, store, also=also)
    history = History(settings.history_file())
    kept = history.conversations()
    if file is None:
        for each in kept:
            day = datetime.fromtimestamp(each.begun).astimezone().date()
            typer.echo(inert(f"{each.number:5}  {day}  {each.turns:3} questions  {each.title}"))
        return
    chosen = [each for each in kept if number is None or each.number == number]
    if not chosen:
        raise HistoryError(f"there is no conversation{f' {number}' if number else ''}; `assistant export` lists what is kept.")
    # Pinned ones stand first: the last is the one touched last.
    last = max(chosen, key=lambda each: each.touched)
    of_conversation = Path(last.corpus)
    if corpus is None and not (context.obj or {}).get("corpus") and of_conversation.exists():
        # What it cites stands in the corpus that it was had over, whichever is in use now.
        settings = load_settings({"corpus": of_conversation, "store": store, "also": settings.also})
    write_export(file, format_of(file), last, history.turns(last.number), open_assistant(settings).store.document)
    typer.echo(inert(f"{last.title} → {file}"))
    leave(0)


@app.command()
def models(
    context: typer.Context,
    as_json: Json = False,
    corpus: Corpus = None,
    store: Store = None,
) -> None:
    """List the language models that answer at the configured address, and at the well-known ones of this machine.

    Each address is asked for its list of models and for nothing else; without this command none is asked at all.
    """
    from assistant.listing import print_servers
    from assistant.servers import servers

    found = servers(_settings(context, corpus, store))
    if as_json:
        typer.echo(json.dumps([each._asdict() for each in found], indent=2))
    else:
        print_servers(found)
    leave(0)


@app.command()
def doctor(
    context: typer.Context,
    mend: Annotated[
        bool, typer.Option("--mend", help="Mend what can be mended: an older format, drift, damage, another model.")
    ] = False,
    corpus: Corpus = None,
    store: Store = None,
) -> None:
    """Examine model, corpus and index, row by row; the exit code is 1 when something does not work.

    A damaged ledger is set aside, never deleted, before another is built from the sources.
    """
    from assistant.inert import inert
    from assistant.opening import bring_up_to_date
    from index.health import Finding, examine, remedy

    settings = _settings(context, corpus, store)

    def tell() -> list[Finding]:
        findings = []
        for finding in examine(settings.for_index()):
            findings.append(finding)
            typer.echo(inert(f"{finding.state:5} {finding.subject:11} {finding.words}"))
        return findings

    findings = tell()
    if mend and (wanted := remedy(findings)) != "none":
        typer.echo("\nmending: " + ("reading every source again" if wanted == "rebuild" else "bringing the index up to date"))
        bring_up_to_date(settings, rebuild=wanted == "rebuild", quiet=False)
        typer.echo("\nafter mending")
        findings = tell()
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(1)


def _settings(context: typer.Context, corpus: str | None, store: str | None, **given: str | list[str] | None) -> Settings:
    """Options count before and after the command's name."""
    from assistant.settings import load_settings
    from index.errors import SettingsError

    before: dict[str, Any] = {key: value for key, value in (context.obj or {}).items() if value not in (None, [])}
    told = {"corpus": corpus, "store": store, **given}
    settings = load_settings({**before, **{key: value for key, value in told.items() if value is not None}})
    if (given.get("chat_model") or before.get("chat_model")) and not settings.asks_model:
        raise SettingsError("--model: the sources' own words answer, and ask no language model; add --generator openai.")
    return settings


register_maps(app, _settings)
register_sources(app, _settings)


def _kept(settings: Settings) -> History | None:
    """Where conversations are kept; where that cannot be, it is told, and asking goes on."""
    from assistant.history import History
    from index.errors import HistoryError

    try:
        return History(settings.history_file())
    except HistoryError as error:
        typer.echo(f"! What is said is not kept: {error}", err=True)
        return None


def _history(path: Path | None) -> list[Any]:
    from assistant.retrieval.followups import Turn
    from index.errors import QuestionError

    if path is None:
        return []
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        turns = [Turn(turn["role"], str(turn["content"])) for turn in told]
    except OSError as error:
        raise QuestionError(f"the history {path} cannot be read ({error.strerror}).") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise QuestionError(f'{path} is not a JSON list of {{"role": "user" or "assistant", "content": "…"}}.') from error
    if any(turn.role not in ("user", "assistant") for turn in turns):
        raise QuestionError(f"{path}: a turn's role must be user or assistant.")
    return turns
