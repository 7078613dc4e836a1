"""Makes the pictures of docs/ from the program itself: `make screenshot`.

Conversations, runs and settings are those of a folder of its own; the runs of the evals are made on the way (some minutes).
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static

from assistant.tui.app import ChatApp
from assistant.tui.debate_screen import Position
from assistant.tui.question_input import QuestionInput
from assistant.tui.transcript import Transcript

HERE = Path(__file__).resolve().parent
QUESTIONS = (
    "How many Vietnamese troops were in Laos in the late 1970s?",
    "Why does Lan doubt that the 1977 treaty is an alliance?",
    "How does Vu answer that?",
)
REFUSED = "What is the population of Laos?"


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    while not condition():
        await pilot.pause(0.05)
    await pilot.pause(0.5)


async def ask(pilot: Pilot[None], question: str) -> None:
    transcript = pilot.app.query_one(Transcript)
    before = len(transcript.turns)
    pilot.app.query_one(QuestionInput).text = question
    await pilot.press("enter")
    await until(pilot, lambda: len(transcript.turns) > before and bool(transcript.turns[-1].places))


def save(app: ChatApp, name: str) -> None:
    """Without the fonts that the picture would fetch from the network."""
    picture = re.sub(r"@font-face \{.*?\}\s*", "", app.export_screenshot(), flags=re.DOTALL)
    (HERE / name).write_text(picture, encoding="utf-8")


def words(app: ChatApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).content)


async def main() -> None:
    app = ChatApp({})
    async with app.run_test(size=(132, 40)) as pilot:
        await until(pilot, lambda: app.state.ready and bool(app.query("#suggestions")))
        save(app, "welcome.svg")
        for question in QUESTIONS:
            await ask(pilot, question)
        save(app, "chat.svg")
        app.query_one(QuestionInput).text = "1"
        await pilot.press("enter")
        await until(pilot, lambda: bool(app.screen.query(".cited")))
        save(app, "source.svg")
        await pilot.press("escape")
        await ask(pilot, REFUSED)
        app.query_one(QuestionInput).text = ""
        save(app, "refused.svg")
        await pilot.press("ctrl+r")
        await pilot.pause(0.5)
        app.screen.query_one("#threshold", Input).value = "0"
        await pilot.press("enter")
        transcript = app.query_one(Transcript)
        await until(pilot, lambda: (view := transcript.turns[-1].view(1)) is not None and view.answer is not None)
        save(app, "again.svg")
        await pilot.press("f7")
        await pilot.pause(0.5)
        save(app, "conversations.svg")
        await pilot.press("escape", "f8")
        await pilot.pause(0.5)
        save(app, "filter.svg")
        await pilot.press("escape", "f3")
        await until(pilot, lambda: app.screen.query_one("#documents", DataTable).row_count > 20)
        await pilot.press("down", "down", "down", "v")
        await pilot.pause(1)
        save(app, "library.svg")
        await pilot.press("f5")
        await until(pilot, lambda: app.screen.query_one("#issues", DataTable).row_count > 5)
        await pilot.press("down", "right")
        await pilot.pause(0.5)
        save(app, "map.svg")
        await pilot.press("t")
        await until(pilot, lambda: app.screen.query_one("#dates", DataTable).row_count > 20)
        save(app, "timeline.svg")
        await pilot.press("c")
        await until(pilot, lambda: len(app.screen.query(Position)) > 5)
        save(app, "compare.svg")
        await pilot.press("f4")
        await pilot.pause(1)
        await pilot.press("r")
        await pilot.pause(0.5)
        await pilot.press("enter")
        await until(pilot, lambda: " of 99, " in words(app, "#running"))
        await until(pilot, lambda: words(app, "#running").startswith("✓") and "interval" in words(app, "#figures Static"))
        save(app, "evals.svg")
        await pilot.press("enter")
        await pilot.pause(0.5)
        await pilot.press("w", "down")
        await pilot.pause(0.5)
        save(app, "cases.svg")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ASSISTANT_HISTORY"] = f"{folder}/conversations.db"
        os.environ["ASSISTANT_EVALS"] = f"{folder}/evals"
        asyncio.run(main())
