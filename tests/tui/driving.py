"""Drives the chat by keys, and waits for what should come."""

from __future__ import annotations

from collections.abc import Callable

from textual.pilot import Pilot
from textual.widgets import Static

from assistant.tui.app import ChatApp
from assistant.tui.question_input import QuestionInput
from assistant.tui.transcript import Transcript
from assistant.tui.turn import Said, Turn

WIDE, USUAL, SMALL = (140, 40), (80, 24), (40, 12)


async def until(pilot: Pilot[None], condition: Callable[[], bool], what: str) -> None:
    """Waits for the app to get there, by its own clock; no test sleeps for a fixed time."""
    for _ in range(3000):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError(f"never came: {what}")


def state(app: ChatApp) -> str:
    return str(app.query_one("#state", Static).content)


async def ready(pilot: Pilot[None]) -> ChatApp:
    app = pilot.app
    assert isinstance(app, ChatApp)
    await until(pilot, lambda: "ready" in state(app), "ready")
    return app


async def ask(pilot: Pilot[None], question: str) -> Turn:
    app = pilot.app
    assert isinstance(app, ChatApp)
    app.query_one(QuestionInput).text = question
    transcript = app.query_one(Transcript)
    before = transcript.turns[-1:]
    await pilot.press("enter")
    await until(pilot, lambda: transcript.turns[-1:] != before, "a turn")
    turn = transcript.turns[-1]
    await until(pilot, lambda: bool(turn.places) or bool(turn.query(".failed")), "an answer")
    await pilot.pause()
    return turn


def shown(turn: Turn) -> str:
    """The words of a turn's first answer."""
    lines = [turn.query_one(".headline", Static), *turn.query(Said)]
    return "\n".join(str(line.content) for line in lines)
