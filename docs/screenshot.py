"""Makes the pictures of docs/ from the program itself: `make screenshot`."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from textual.pilot import Pilot

from assistant.tui.app import ChatApp
from assistant.tui.question_input import QuestionInput
from assistant.tui.transcript import Turn

HERE = Path(__file__).resolve().parent
QUESTIONS = (
    "How many Vietnamese troops were in Laos in the late 1970s?",
    "Why does Lan doubt that the 1977 treaty is an alliance?",
    "How does Vu answer that?",
)


async def settle(pilot: Pilot[None], turns: int) -> None:
    while sum(bool(turn.places) for turn in pilot.app.query(Turn)) < turns:
        await pilot.pause(0.05)
    await pilot.pause(0.5)


def save(app: ChatApp, name: str) -> None:
    """Without the fonts that the picture would fetch from the network."""
    picture = re.sub(r"@font-face \{.*?\}\s*", "", app.export_screenshot(), flags=re.DOTALL)
    (HERE / name).write_text(picture, encoding="utf-8")


async def main() -> None:
    app = ChatApp({})
    async with app.run_test(size=(132, 40)) as pilot:
        for number, question in enumerate(QUESTIONS, start=1):
            app.query_one(QuestionInput).text = question
            await pilot.press("enter")
            await settle(pilot, number)
        await pilot.pause(0.5)
        save(app, "chat.svg")
        app.query_one(QuestionInput).text = "1"
        await pilot.press("enter")
        while not app.screen.query(".cited"):
            await pilot.pause(0.05)
        await pilot.pause(0.5)
        save(app, "source.svg")


if __name__ == "__main__":
    asyncio.run(main())
