"""`assistant map` and `assistant timeline`: who holds what on which issue, and what happened when. Both cite."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from assistant.answering.answers import Citation
    from assistant.answering.debate import DebateMap
    from assistant.answering.timeline import Statement
    from assistant.assembly import Assistant
    from assistant.settings import Settings

OpenSettings = Callable[[typer.Context, str | None, str | None], "Settings"]

Corpus = Annotated[str | None, typer.Option("--corpus", metavar="PATH", help="Sources, instead of the alliance debate.")]
Store = Annotated[str | None, typer.Option("--store", metavar="STORE", help="Folder of the built index, or its address.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown.")]
_MOST_SPEAKERS = 4
_STATE_OF_PLAY = "State of play"


def register(app: typer.Typer, settings_of: OpenSettings) -> None:
    """Adds both commands."""

    @app.command("map")
    def map_command(
        context: typer.Context,
        issues: Annotated[
            list[str] | None,
            typer.Argument(metavar="ISSUE…", help="What to look for instead of the issues of the corpus's own map."),
        ] = None,
        voice: Annotated[list[str] | None, typer.Option("--voice", metavar="NAME", help="Only this speaker. Repeatable.")] = None,
        as_json: Json = False,
        markdown: Markdown = False,
        corpus: Corpus = None,
        store: Store = None,
    ) -> None:
        """Show issues and voices: each position in one cited sentence.

        The issues are those of the corpus's issue map; for others, and for a corpus without a map, name them.

        Examples:

        * `assistant map`
        * `assistant map "secret treaties" "troops in Laos" --voice Vu --voice Lan`
        * `assistant map --markdown > map.md`
        """
        from assistant.answering.debate import MAP, DebateMap, map_of
        from assistant.opening import open_assistant, tell_drift
        from index.errors import QuestionError
        from index.filters import Filter

        assistant = open_assistant(settings_of(context, corpus, store))
        tell_drift(assistant)
        only = Filter(voices=tuple(voice or ()))
        assistant.check_filter(only)
        if issues:
            speakers = _speakers(assistant, only)
            shown = DebateMap(tuple(assistant.ask_voices(issues, speakers)))
        else:
            maps = [row.id for row in assistant.store.documents() if row.kind == MAP]
            if not maps:
                raise QuestionError('this corpus has no issue map of its own; name the issues: assistant map "ISSUE" "ISSUE"')
            shown = map_of(assistant.store.document(name) for name in maps)
        _print_map(_heard(shown, only), as_json=as_json, markdown=markdown)

    @app.command("timeline")
    def timeline_command(
        context: typer.Context,
        question: Annotated[
            str | None, typer.Argument(metavar="[QUESTION]", help="Only what is found for these words; all sources without them.")
        ] = None,
        begin: Annotated[
            str | None, typer.Option("--from", metavar="DATE", help="The first date to show: 1975, 1975-12.")
        ] = None,
        end: Annotated[str | None, typer.Option("--to", metavar="DATE", help="The last date to show.")] = None,
        source: Annotated[
            list[str] | None, typer.Option("--source", metavar="ID", help="Only this document, or folder of the corpus.")
        ] = None,
        voice: Annotated[list[str] | None, typer.Option("--voice", metavar="NAME", help="Only this speaker. Repeatable.")] = None,
        as_json: Json = False,
        markdown: Markdown = False,
        corpus: Corpus = None,
        store: Store = None,
    ) -> None:
        """Show the dated statements of the sources, in the order of what they tell, each with its citation.

        Examples:

        * `assistant timeline --from 1975 --to 1980`
        * `assistant timeline "Vietnamese troops in Laos"`
        * `assistant timeline --source debate/timeline.md --json`
        """
        from assistant.answering.timeline import statements
        from assistant.opening import open_assistant, tell_drift
        from index.filters import Filter, check_date

        first, last = check_date(begin, "--from"), check_date(end, "--to")
        assistant = open_assistant(settings_of(context, corpus, store))
        tell_drift(assistant)
        only = Filter(documents=tuple(source or ()), voices=tuple(voice or ()))
        assistant.check_filter(only)
        found = statements(assistant.spans(question, only=only))
        # Of a date that is known less exactly than it is asked for, the part that is known counts.
        shown = [
            each
            for each in found
            if (first is None or first[: len(each.date.iso)] <= each.date.iso)
            and (last is None or each.date.iso[: len(last)] <= last)
        ]
        _print_timeline(shown, as_json=as_json, markdown=markdown)


def _speakers(assistant: Assistant, only: Any) -> list[str]:
    """Those who speak most in the corpus; of a filter, all that it allows."""
    spoken = assistant.store.speaker_names()
    return [name for name in spoken if only.allows_voice(name)] if only else spoken[:_MOST_SPEAKERS]


def _heard(shown: DebateMap, only: Any) -> DebateMap:
    from assistant.answering.debate import DebateMap, Issue

    if not only:
        return shown
    return DebateMap(
        tuple(
            Issue(issue.name, tuple(each for each in issue.positions if only.allows_voice(each.voice.speaker)), issue.state)
            for issue in shown.issues
        )
    )


# -- printing ----------------------------------------------------------------------------------------------------------------


def _print_map(shown: DebateMap, *, as_json: bool, markdown: bool) -> None:
    from assistant.inert import one_line

    if as_json:
        told = [
            {
                "issue": issue.name,
                "positions": [_as_json(each) for each in issue.positions],
                "state": _as_json(issue.state) if issue.state else None,
            }
            for issue in shown.issues
        ]
        typer.echo(json.dumps({"speakers": list(shown.speakers), "issues": told}, indent=2))
    elif markdown:
        columns = [*shown.speakers, *([_STATE_OF_PLAY] if any(issue.state for issue in shown.issues) else [])]
        rows = []
        for issue in shown.issues:
            cells = {speaker: [each for each in issue.positions if each.voice.speaker == speaker] for speaker in shown.speakers}
            cells[_STATE_OF_PLAY] = [issue.state] if issue.state else []
            rows.append([_cell(issue.name), *(" ".join(map(_cited_cell, cells[column])) or "–" for column in columns)])
        _print_table(["Issue", *map(_cell, columns)], rows)
    else:
        for issue in shown.issues:
            typer.echo(typer.style(one_line(issue.name), bold=True))
            for each in issue.positions:
                _print_cited(f"{one_line(str(each.voice))}: ", each)
            if issue.state:
                _print_cited(f"{_STATE_OF_PLAY}: " if issue.positions else "", issue.state)
            if not issue.positions and not issue.state:
                typer.echo("  The sources do not say.")
            typer.echo()


def _print_timeline(shown: Sequence[Statement], *, as_json: bool, markdown: bool) -> None:
    from assistant.inert import one_line

    if as_json:
        told = [{"date": each.date.iso, "as_written": each.date.words, **_as_json(each.citation)} for each in shown]
        typer.echo(json.dumps({"statements": told}, indent=2))
    elif markdown:
        _print_table(["Date", "Statement"], [[_cell(each.date.words), _cited_cell(each.citation)] for each in shown])
    elif not shown:
        sys.stderr.write("The sources hold no dated statement of that kind.\n")
    else:
        for each in shown:
            _print_cited(typer.style(f"{one_line(each.date.words)}  ", bold=True), each.citation, indent="")


def _print_cited(before: str, citation: Citation, indent: str = "  ") -> None:
    from assistant.inert import one_line

    typer.echo(f"{indent}{before}{one_line(citation.quote)} {typer.style(f'[{one_line(citation.reference)}]', fg='cyan')}")


def _print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    for row in (columns, ["---"] * len(columns), *rows):
        typer.echo(f"| {' | '.join(row)} |")


def _cell(text: str) -> str:
    from assistant.inert import markdown_literal

    return markdown_literal(text)


def _cited_cell(citation: Citation) -> str:
    return f"{_cell(citation.quote)} ({_cell(citation.reference)})"


def _as_json(citation: Citation) -> dict[str, Any]:
    return {
        "voice": {"speaker": citation.voice.speaker, "reported_by": citation.voice.reported_by},
        "quote": citation.quote,
        "document": citation.document,
        "locator": citation.locator,
        "start": citation.start,
        "end": citation.end,
    }
