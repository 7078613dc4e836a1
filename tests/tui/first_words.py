"""How soon the first words of a language model are in the chat after its server sends them, and how soon a key is, meanwhile.

python -m tests.tui.first_words [--questions 20]

The server is on loopback and in the same process, the screen is Textual's without a terminal.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from statistics import median, quantiles

from textual import on
from textual.events import Key
from textual.widgets import TextArea

from assistant.answering.answers import Answer, Draft
from assistant.tui.app import ChatApp
from assistant.tui.messages import AnswerEvent
from assistant.tui.question_input import QuestionInput
from tests.scripted_server import Script, scripted_server, spoken

QUESTION = "Why does Lan doubt that the 1977 treaty is an alliance?"
WRITTEN = (
    "Lan doubts that the 1977 treaty is an alliance because its duties are unclear [1]. Vu concludes that Lan's denial that the "
    "1977 treaty is an alliance treaty does not fit the evidence [3]. In Vu's view the case is a legitimate deviant case [3]."
)


class TimedChat(ChatApp):
    shown: float | None = None
    is_done = False
    typed_at: float | None = None

    def __init__(self, url: str) -> None:
        super().__init__({"generator": "openai", "chat_model": "scripted", "base_url": url})
        self.keys: list[float] = []

    @on(AnswerEvent)
    def first(self, message: AnswerEvent) -> None:
        if isinstance(message.event, Draft) and message.event.words and self.shown is None:
            self.call_after_refresh(self.note)
        self.is_done = isinstance(message.event, Answer | str)

    def note(self) -> None:
        self.shown = self.shown or time.perf_counter()

    @on(TextArea.Changed)
    def typed(self) -> None:
        if self.typed_at is not None:
            self.keys.append(time.perf_counter() - self.typed_at)
            self.typed_at = None

    def press_one(self) -> None:
        if self.typed_at is None and not self.is_done:
            self.typed_at = time.perf_counter()
            self.query_one("#question").post_message(Key("a", "a"))


async def measure(questions: int, url: str, script: Script) -> tuple[list[float], list[float]]:
    app = TimedChat(url)
    delays: list[float] = []
    async with app.run_test(size=(140, 40)) as pilot:
        while not app.state.ready:
            await pilot.pause(0.05)
        app.set_interval(0.05, app.press_one)
        for _ in range(questions):
            await pilot.press("ctrl+n")
            app.shown, app.is_done = None, False
            app.query_one(QuestionInput).text = QUESTION
            await pilot.press("enter")
            while not app.is_done:
                await asyncio.sleep(0.01)
            assert app.shown is not None
            delays.append(app.shown - script.first_word_at[-1])
    return delays, app.keys


def main() -> None:
    parser = argparse.ArgumentParser(description="Times the first words and the keys of the chat.")
    parser.add_argument("--questions", type=int, default=20)
    given = parser.parse_args()
    reply = spoken(WRITTEN, 5)
    reply.seconds_between = 0.02
    with scripted_server(reply) as (url, script):
        delays, keys = asyncio.run(measure(given.questions, url, script))
    for name, taken in (("first words after the server's first", delays), ("a key, while words come", keys)):
        told = [1000 * each for each in taken]
        sys.stdout.write(f"{name:36} median {median(told):5.1f} ms   p95 {quantiles(told, n=20)[-1]:5.1f} ms   n {len(told)}\n")


if __name__ == "__main__":
    main()
