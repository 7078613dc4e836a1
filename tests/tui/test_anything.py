"""Whatever is pressed, whatever a source holds: the chat stays, and shows text as text."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from textual.widgets import Static

from assistant.answering.answers import Delta, Draft
from assistant.tui.app import ChatApp
from assistant.tui.evidence_pane import EvidencePane
from assistant.tui.messages import AnswerEvent, Place
from assistant.tui.source_screen import SourceScreen
from index.documents import Document, Locator, Voice
from index.embedders import LocalEmbedder
from index.settings import IndexSettings
from tests.conftest import run_build
from tests.tui.driving import WIDE, ready
from tests.tui.test_snapshots import CITATION, SENTENCE, StillApp, answer

pytestmark = pytest.mark.slow
KEYS = (
    *"abcdefghijklmnopqrstuvwxyz ?1[]/",
    *("enter", "escape", "tab", "shift+tab", "up", "down", "left", "right", "home", "end", "pageup", "pagedown", "backspace"),
    *("delete", "space", "ctrl+j", "ctrl+o", "ctrl+r", "ctrl+n", "ctrl+b", "ctrl+p", "ctrl+s", "ctrl+z", "ctrl+d", "ctrl+t"),
    *("f1", "f2", "f3", "f4", "f5", "f7", "f8", "f9"),
)
SIZES = ((140, 40), (80, 24), (40, 12), (240, 70), (60, 15))
# More keys, or others: CHAT_KEYS=10000 CHAT_SEED=7.
COUNT = int(os.environ.get("CHAT_KEYS", "300"))


class StayingChat(ChatApp):
    """The palette offers to quit, and to write a picture: neither is meant here."""

    async def action_quit(self) -> None:
        pass

    def deliver_screenshot(self, *_: object, **__: object) -> None:  # type: ignore[override]
        pass


async def test_random_keys_clicks_and_sizes_never_end_the_chat(
    corpus: Path, settings: IndexSettings, embedder: LocalEmbedder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSISTANT_EVALS", str(tmp_path / "evals"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    run_build(settings, embedder)
    app = StayingChat({"corpus": corpus, "store": settings.store})
    monkeypatch.setattr(app, "open_url", lambda *_, **__: None)
    seed = int(os.environ.get("CHAT_SEED", "20211"))
    chance = random.Random(seed)
    pressed: list[str] = []
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        try:
            for _ in range(COUNT):
                what = chance.random()
                if what < 0.9:
                    key = chance.choice(KEYS)
                    pressed.append(key)
                    await pilot.press(key)
                elif what < 0.98:
                    width, height = app.size
                    at = (chance.randrange(width), chance.randrange(height))
                    pressed.append(f"click {at}")
                    await pilot.click(offset=at)
                else:
                    size = chance.choice(SIZES)
                    pressed.append(f"size {size}")
                    await pilot.resize_terminal(*size)
                assert app.is_running
        except Exception as error:
            raise AssertionError(f"seed {seed}: after {pressed[-25:]}") from error
        app.stop_building()
    assert app.return_code in (None, 0)


# -- text is text --------------------------------------------------------------------------------------------------------

NASTY = st.sampled_from(
    ["[red]x[/red]", "[unclosed", "[/]", "[@click=app.quit]x[/]", "\x1b[31m", "\x1b]8;;http://x\x1b\\l\x1b]8;;\x1b\\", "\x1b]52;c;eA==\x07",
     "\x9b31m", "\x9d8;;x\x9c", "\u202eevil\u202c", "\u2066x\u2069", "\u200f", "**b**", "`c`", "<b>x</b>", "\x00", "\r", "\x7f", "\u2028",
     "Đại Việt", "中国", "한국", "é" + "\u0301" * 3, "👩‍👩‍👧", "\ud800"]
)  # fmt: skip
TEXTS = st.lists(st.one_of(NASTY, st.text(max_size=12)), min_size=1, max_size=8).map("".join).filter(str.strip)
FORBIDDEN = {
    *map(chr, range(0x20)),
    "\x7f",
    *map(chr, range(0x80, 0xA0)),
    *"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f",
} - {"\n"}


def drawn(app: ChatApp) -> str:
    return "\n".join("".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips())


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=TEXTS)
async def test_what_a_source_or_a_model_says_is_inert_wherever_it_is_shown(text: str) -> None:
    from dataclasses import replace

    document = Document(text, text, f"{text}\n\n{text}", "d", (Locator(0, 2 * len(text) + 2, text),), authors=(text,))
    voice = Voice(text, text)
    citation = replace(
        CITATION, document=text, title=text, cite_as=text, locator=text, quote=text, start=0, end=len(text), voice=voice
    )
    said = replace(
        answer(), short=text, citations=(citation,), sentences=(replace(SENTENCE, text=text),), notices=(text,), reason=text
    )
    app = StillApp({})
    async with app.run_test(size=(140, 40)) as pilot:
        screen = app.ask_screen
        app.query_one(EvidencePane)._read = lambda _: document
        await screen._mount(text)
        for event in (Delta(said.sentences[0], (citation,)), Draft(text), said):
            screen.post_message(AnswerEvent(1, event))
        await screen._mount(text)
        screen.post_message(AnswerEvent(2, text))
        for _ in range(4):
            await pilot.pause()
        assert not set(drawn(app)) & FORBIDDEN
        await app.push_screen(SourceScreen([Place(1, text, 0, len(text), text, text, text, text)], 0, lambda _: document))
        for _ in range(3):
            await pilot.pause()
        assert not set(drawn(app)) & FORBIDDEN
        assert app.screen.query(".cited .words").first(Static).visual is not None


async def test_a_line_of_a_megabyte_is_shown_everywhere() -> None:
    text = "word " * 200_000
    document = Document("d", "D", text, "x", (Locator(0, len(text), "¶1"),))
    citation_place = Place(1, "d", 500_000, 500_004, text[500_000:500_004], "D, ¶1", "A", "A")
    app = StillApp({})
    async with app.run_test(size=(80, 24)) as pilot:
        pane = app.query_one(EvidencePane)
        pane._read = lambda _: document
        await pane.show([citation_place], "Evidence")
        await pilot.pause()
        await app.ask_screen._mount(text)
        app.ask_screen.post_message(AnswerEvent(1, Draft(text[:20_000])))
        await pilot.pause()
        assert app.is_running
