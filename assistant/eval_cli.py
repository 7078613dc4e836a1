"""`assistant eval`: runs suites, compares runs, reports. Heavy parts are imported by the command that needs them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from index.errors import SuiteError

if TYPE_CHECKING:
    from evals.records import Record

_RUN = "run"


class _RunUnlessTold(TyperGroup):
    """`assistant eval alliance` is `assistant eval run alliance`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = [_RUN, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RunUnlessTold,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Measure the assistant against gold questions; compare runs; report.

    Examples:

    * `assistant eval alliance` asks the suite that ships
    * `assistant eval ~/squad2 --retrieval --set retrieval=words` tries word search alone on a public question set
    * `assistant eval list` shows the suites and their last results
    * `assistant eval compare before.jsonl after.jsonl` tells what changed
    * `assistant eval report after.jsonl --html report.html` writes a page to read
    """,
)

Runs = Annotated[list[str], typer.Argument(metavar="RUN…", help="Files of runs, or names that `assistant eval list` shows.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(_RUN, no_args_is_help=True)
def run_suite(
    context: typer.Context,
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A suite's name (alliance), or the folder of a suite.")],
    part: Annotated[str | None, typer.Option("--part", metavar="NAME", help="dev (the default) or test.")] = None,
    retrieval: Annotated[
        bool, typer.Option("--retrieval", help="Retrieve passages only, in batches; nothing is answered.")
    ] = False,
    kept_out: Annotated[
        bool, typer.Option("--kept-out", help="Only questions about articles that the reader was not trained on.")
    ] = False,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Ask N of them, drawn with the seed.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="S", min=0, help="Of the draw and of the intervals.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting for this run; may stand several times.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Record of the run; one cut short goes on.", dir_okay=False),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew although the file of --out holds a run.")] = False,
    as_json: Json = False,
    corpus: Annotated[str | None, typer.Option("--corpus", metavar="PATH", help="In place of the suite's corpus.")] = None,
    store: Annotated[
        str | None, typer.Option("--store", metavar="STORE", help="Folder of the built index, or its address.")
    ] = None,
) -> None:
    """Ask a suite's questions and measure the answers against gold; the exit code is 1 when a gate falls.

    Examples:

    * `assistant eval alliance --json`
    * `assistant eval alliance --out run.jsonl` can be stopped, and goes on with the same command
    * `assistant eval ~/scifact --retrieval --set retrieval=dense`
    """
    from assistant.opening import open_assistant, tell_drift, tell_writer
    from assistant.settings import located
    from evals.planning import new_file, settings_for, unusual
    from evals.printed import print_summary, run_with_progress
    from evals.records import describe
    from evals.runner import SEED, chosen_cases, of_articles_kept_out
    from evals.suites import load_suite
    from evals.summaries import summarise, summary_as_json

    before: dict[str, Any] = context.obj or {}
    corpus = corpus or before.get("corpus")
    loaded = load_suite(suite, part=part, corpus=located(corpus) if corpus else None)
    loaded = of_articles_kept_out(loaded) if kept_out else loaded
    store = store or before.get("store")
    # Said before the command's name they are settings like any other.
    given = [f"{key}={before[key]}" for key in ("generator", "chat_model") if before.get(key)]
    changes = [*given, *(changes or [])]
    settings, own_store = settings_for(loaded, _changes(changes), store)
    assistant = open_assistant(settings, up_to_date=own_store)
    if not retrieval:
        tell_writer(assistant)
    if not own_store:
        tell_drift(assistant)
    seed = SEED if seed is None else seed
    cases = chosen_cases(loaded, limit=limit, seed=seed)
    run = describe(
        loaded,
        mode="retrieval" if retrieval else "answers",
        documents=[(row.id, row.digest) for row in assistant.store.documents()],
        model=assistant.fingerprint,
        settings=settings.model_dump(mode="json"),
        changed=unusual(settings, loaded),
        limit=limit,
        seed=seed,
        questions=len(cases),
    )
    if out is None:
        out = new_file(settings.evals_folder() / "runs", run)
    again = _again(context, suite, out, corpus=Path(corpus) if corpus else None, store=store, changes=changes)
    record = run_with_progress(loaded, assistant, cases, run, out, fresh=fresh, command=again)
    summary = summarise(record)
    if as_json:
        typer.echo(json.dumps(summary_as_json(summary), indent=2))
    held = print_summary(summary, loaded.folder, quiet=as_json)
    if not held:
        raise typer.Exit(1)


@app.command("list")
def list_suites(as_json: Json = False) -> None:
    """Show the suites that ship, and the last runs of each suite."""
    from assistant.settings import load_settings
    from evals.printed import print_runs, runs_as_json
    from evals.records import read_runs
    from evals.suites import suite_names

    records = read_runs(load_settings().evals_folder() / "runs")
    if as_json:
        typer.echo(json.dumps(runs_as_json(suite_names(), records), indent=2))
    else:
        print_runs(suite_names(), records)


@app.command()
def show(runs: Runs, as_json: Json = False) -> None:
    """Print the figures of runs side by side."""
    from evals.printed import print_side_by_side
    from evals.summaries import summarise, summary_as_json

    summaries = [summarise(record) for record in map(_record, runs)]
    if as_json:
        typer.echo(json.dumps([summary_as_json(summary) for summary in summaries], indent=2))
    else:
        print_side_by_side(summaries)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="RUN_A", help="The run before.")],
    second: Annotated[str, typer.Argument(metavar="RUN_B", help="The run after.")],
    by: Annotated[
        str | None, typer.Option("--by", metavar="MEASURE", help="The measure that questions are won and lost by.")
    ] = None,
    most: Annotated[int, typer.Option("--cases", metavar="N", min=0, help="Show at most N won and N lost questions.")] = 10,
    as_json: Json = False,
) -> None:
    """Tell what changed from one run to another; the exit code is 1 when a gate of the suite falls.

    Differences come with a paired 95 % interval and the p of a randomisation test.
    """
    from evals.comparison import compare as compare_runs
    from evals.printed import comparison_as_json, print_comparison

    told = compare_runs(_record(first), _record(second), by=by)
    if as_json:
        typer.echo(json.dumps(comparison_as_json(told), indent=2))
    held = print_comparison(told, most=most, quiet=as_json)
    if not held:
        raise typer.Exit(1)


@app.command()
def report(
    runs: Runs,
    html: Annotated[Path, typer.Option("--html", metavar="FILE", help="The page to write.", dir_okay=False)],
) -> None:
    """Write one page with tables, curves, the worst answers, and what changed between the first and the last run."""
    from evals.report import write_report

    write_report([_record(name) for name in runs], html)
    typer.echo(f"{html} written.")


@app.command()
def accept(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A whole run of a suite's dev part.")],
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="The suite.")],
) -> None:
    """Take a run as what its suite has reached, and print the gates to put into suite.toml: the lower ends of the intervals."""
    from evals.comparison import accept as accept_run
    from evals.suites import load_suite
    from evals.summaries import summarise

    loaded = load_suite(suite)
    floors = accept_run(summarise(_record(run)), loaded)
    typer.echo("[gates]")
    for name, floor in floors.items():
        typer.echo(f'"{name}" = {floor}')


@app.command("judge")
def judge_run(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run with answers.")],
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="The language model that judges.")],
    generator: Annotated[str, typer.Option("--generator", metavar="NAME", help="openai, anthropic or local.")] = "openai",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The judged run; beside RUN unless told otherwise.", dir_okay=False),
    ] = None,
) -> None:
    """Let a language model judge a run's answers against gold, and tell how far it agrees with key-fact recall.

    Questions, gold answers and answers are sent to the model's server (base_url). The judged run is a run of its own, with the
    judge's name and prompt in it; the measure is called "judged right".
    """
    from assistant.assembly import open_chat_model
    from assistant.settings import load_settings
    from evals.judging import agreement, judge, judged_run
    from evals.printed import done_of, print_agreement, print_summary
    from evals.records import Record, recording, write
    from evals.summaries import summarise
    from index.errors import GeneratorError

    record = _record(run)
    chat = open_chat_model(load_settings({"generator": generator, "chat_model": model}))
    out = out or record.path.with_name(f"{record.path.stem}-judged.jsonl")
    described = judged_run(record.run, chat)
    results = list(done_of(out, described))
    typer.echo(f"judged by {chat.name} at {chat.place}", err=True)
    try:
        with recording(out, described, done=results) as file:
            known = {result.id for result in results}
            for result in judge([each for each in record.results if each.id not in known], chat):
                write(file, result)
                results.append(result)
    except GeneratorError as error:
        kept = f"{len(results)} of {len(record.results)} are judged and kept; the same command goes on"
        raise GeneratorError(f"{error} ({kept}.)") from error
    finally:
        chat.close()
    judged = Record(out, described, tuple(results))
    print_summary(summarise(judged), out.parent, quiet=False)
    print_agreement(agreement(results))


def _record(name: str) -> Record:
    """A file, or the bare name of a run in the folder of runs."""
    from assistant.settings import load_settings
    from evals.records import read_record

    try:
        path = Path(name).expanduser()
        if path.name == name and not path.exists():
            kept = load_settings().evals_folder() / "runs" / f"{name.removesuffix('.jsonl')}.jsonl"
            path = kept if kept.exists() else path
    except (RuntimeError, OSError, ValueError) as error:
        raise SuiteError(f"the run {name} cannot be read ({error}).") from error
    return read_record(path)


def _changes(given: list[str]) -> dict[str, str]:
    from assistant.settings import FOLDERS
    from index.errors import SettingsError

    changed = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not equals or not key.strip():
            raise SettingsError(f"--set {each}: write it as KEY=VALUE, for instance --set retrieval=words.")
        if key.strip() in FOLDERS:
            raise SettingsError(f"--set {each}: use --corpus and --store, and ASSISTANT_EVALS, ASSISTANT_EXPORTS for the others.")
        changed[key.strip()] = value.strip()
    return dict(sorted(changed.items()))


def _again(context: typer.Context, suite: str, out: Path, **told: str | Path | list[str] | None) -> str:
    """The command that goes on with this run."""
    given = {**context.params, **told}
    words = ["assistant", "eval", suite]
    for name, option in _OPTIONS.items():
        value = given.get(name)
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if each is True:
                words.append(option)
            elif each is not None and each is not False:
                words += [option, str(each)]
    return shlex.join([*words, "--out", str(out)])


_OPTIONS = {
    "part": "--part", "retrieval": "--retrieval", "kept_out": "--kept-out", "limit": "--limit", "seed": "--seed",
    "changes": "--set", "corpus": "--corpus", "store": "--store",
}  # fmt: skip
