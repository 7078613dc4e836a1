"""How soon the first frame is there, and how soon a key is seen while an index is built and an answer streams.

    python -m tests.tui.latency [--starts 10] [--seconds 20] [--documents 3000]

First frame: real processes in a pseudo-terminal, in turns with an empty Textual app, from the start of the process to the words
in the frame. Keys: one process, Textual's screen without a terminal, the model's server on loopback; from the key's event to the
refresh that shows it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pty
import re
import select
import struct
import sys
import tempfile
import termios
import time
from fcntl import ioctl
from pathlib import Path
from statistics import median, quantiles

from textual import on
from textual.events import Key
from textual.widgets import TextArea

from assistant.tui.app import ChatApp
from assistant.tui.question_input import QuestionInput
from tests.scripted_server import Reply, scripted_server

EMPTY = """
from textual.app import App
from textual.widgets import Footer, Static
class Empty(App):
    def compose(self):
        yield Static("Ask what the sources say")
        yield Footer()
Empty().run()
"""
MARK = b"Ask what the sources say"
LOST = 20.0


def first_frame(command: list[str]) -> float:
    """Seconds from the start of the process until the words are on the screen."""
    began = time.perf_counter()
    child, terminal = pty.fork()
    if not child:
        os.environ["TERM"] = "xterm-256color"
        os.execv(command[0], command)
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
    seen = b""
    try:
        while MARK not in seen:
            if time.perf_counter() - began > LOST or not select.select([terminal], [], [], LOST)[0]:
                raise RuntimeError(f"no frame in {LOST:.0f} s: {seen[-200:]!r}")
            seen += os.read(terminal, 65_536)
        return time.perf_counter() - began
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(terminal)


class TimedChat(ChatApp):
    typed_at: float | None = None

    def begin(self) -> None:
        self.keys: list[float] = []
        self.set_interval(0.05, self.press_one)

    def press_one(self) -> None:
        if self.typed_at is None and self.query(QuestionInput):
            self.typed_at = time.perf_counter()
            self.query_one(QuestionInput).post_message(Key("a", "a"))

    @on(TextArea.Changed)
    def typed(self) -> None:
        self.call_after_refresh(self.shown)

    def shown(self) -> None:
        if self.typed_at is not None:
            self.keys.append(time.perf_counter() - self.typed_at)
            self.typed_at = None


async def keys_while_busy(seconds: float, documents: int, url: str) -> tuple[list[float], int]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ASSISTANT_HISTORY"] = f"{folder}/conversations.db"
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        (corpus / "first.txt").write_text("Mira Holt counts 91 ferries on the river.", encoding="utf-8")
        app = TimedChat(
            {"corpus": corpus, "store": Path(folder) / "store", "generator": "openai", "chat_model": "s", "base_url": url}
        )
        async with app.run_test(size=(140, 40)) as pilot:
            while not app.state.ready:
                await pilot.pause(0.05)
            for number in range(documents):
                words = " ".join(f"Glacier {number} feeds river {number * 7 + at} in August of {1900 + at}." for at in range(40))
                (corpus / f"{number}.txt").write_text(words, encoding="utf-8")
            app.query_one(QuestionInput).text = "How many ferries does Mira Holt count?"
            await pilot.press("enter")
            app.update_index()
            await asyncio.sleep(1)
            app.begin()
            built = 0
            ends = time.perf_counter() + seconds
            while time.perf_counter() < ends:
                await asyncio.sleep(0.1)
                built += app.is_building and app.ask_screen.is_answering
            app.stop_building()
            await pilot.press("escape")
            while app.is_building:
                await asyncio.sleep(0.1)
            return app.keys, built


def main() -> None:
    parser = argparse.ArgumentParser(description="Times the first frame and the keys of the chat.")
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--documents", type=int, default=3000)
    given = parser.parse_args()
    commands = {"the chat": [sys.executable, "-m", "assistant"], "an empty Textual app": [sys.executable, "-c", EMPTY]}
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(given.starts + 1):
        for name, command in commands.items():
            seconds = first_frame(command)
            if number:
                taken[name].append(1000 * seconds)
    for name, told in taken.items():
        sys.stdout.write(f"first frame, {name:22} median {median(told):6.0f} ms ({min(told):.0f} – {max(told):.0f})\n")
    ratios = [ours / empty for ours, empty in zip(*taken.values(), strict=True)]
    sys.stdout.write(f"ratio {'':29} median {median(ratios):6.2f} ({min(ratios):.2f} – {max(ratios):.2f})\n")
    sentence = "Mira Holt counts 91 ferries on the river and says that all of them run in August [1]. "
    endless = Reply(tuple(re.findall(r"\S+ ", sentence)), seconds_between=0.03, is_endless=True)
    with scripted_server(endless) as (url, _):
        keys, busy = asyncio.run(keys_while_busy(given.seconds, given.documents, url))
    told = [1000 * each for each in keys]
    sys.stdout.write(
        f"a key, while an index is built and an answer streams: median {median(told):.1f} ms, p95 {quantiles(told, n=20)[-1]:.1f} ms, "
        f"worst {max(told):.0f} ms, n {len(told)} (busy with both in {busy / given.seconds * 10:.0f} % of it)\n"
    )


if __name__ == "__main__":
    main()
