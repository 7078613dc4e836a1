"""`assistant ask -i`: a conversation line by line, for screen readers, slow lines, and people who like it so."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from threading import Event as Flag

import typer

from assistant.answering.answers import Answer, Finished, Waiting
from assistant.answering.conversation import Conversation, spoken
from assistant.answering.printed import print_answer
from assistant.assembly import Assistant
from assistant.history import History
from assistant.inert import inert, one_line
from index.errors import AssistantError, HistoryError
from index.filters import Filter

_NUMBER = re.compile(r"\[?(\d{1,2})\]?")
_HELP = (
    "Ask, and press Enter. A number alone reads the source of that number in its place. "
    "Also: new (a new conversation), help, quit."
)
_COMMANDS = ("quit", "exit", "help", "new")


def talk(assistant: Assistant, history: History | None, corpus: str, *, only: Filter | None = None) -> None:
    """Until the end of the input, or "quit". history: where it is kept; None where nowhere."""
    typer.echo(_HELP)
    conversation = assistant.converse(only=only)
    kept: int | None = None
    last: Answer | None = None
    while True:
        try:
            line = input("\nask: " if sys.stdin.isatty() else "").strip()
        except EOFError:
            return
        if line.startswith("/"):
            line = line[1:].strip()
            if line not in _COMMANDS:
                _say(f"There is no command {line}. {_HELP}")
                continue
        if line in ("quit", "exit"):
            return
        if line in ("help", "?"):
            typer.echo(_HELP)
        elif line == "new":
            conversation, kept, last = assistant.converse(only=only), None, None
            typer.echo("A new conversation.")
        elif number := _NUMBER.fullmatch(line):
            _read_source(assistant, last, int(number[1]))
        elif line:
            turn: int | None = None
            try:
                if history is not None:
                    kept = history.begin(line, corpus) if kept is None else kept
                    turn = history.ask(kept, line)
                last = _answer(conversation, line)
                if history is not None and turn is not None:
                    history.answered(turn, last, spoken(last))
            except HistoryError as error:
                history = None
                _say(f"! What is said from now on is not kept: {error}")
            except AssistantError as error:
                _say(f"not answered: {error}")
                if history is not None and turn is not None:
                    with suppress(HistoryError):
                        history.failed(turn, str(error))


def _answer(conversation: Conversation, question: str) -> Answer:
    """Prints it whole. Ctrl+C ends what is being written and keeps what there is."""
    stopped = Flag()
    events = conversation.ask(question, stopped)
    while True:
        try:
            event = next(events)
        except KeyboardInterrupt:
            stopped.set()
            continue
        if isinstance(event, Waiting):
            _say(f"the server asks to wait {event.seconds:.0f} seconds")
        elif isinstance(event, Finished):
            print_answer(event.answer)
            return event.answer


def _read_source(assistant: Assistant, answer: Answer | None, number: int) -> None:
    """The paragraph around the words of a citation, the words between marks that are read aloud."""
    found = next((each for each in answer.citations if each.marker == number), None) if answer else None
    if found is None:
        _say(f"The last answer has no source {number}.")
        return
    try:
        document = assistant.store.document(found.document)
    except AssistantError as error:
        _say(str(error))
        return
    _say(f"{found.reference}. {found.title}. {found.voice}.")
    if document.text[found.start : found.end] != found.quote:
        _say("The source has changed since this answer: the words no longer stand at their place.")
        return
    locator = document.locator_at(found.start)
    before, after = document.text[locator.start : found.start], document.text[found.end : max(found.end, locator.end)]
    typer.echo(f"{inert(before)}[quote begins] {inert(found.quote)} [quote ends]{inert(after)}".strip())


def _say(words: str) -> None:
    typer.echo(one_line(words))
