"""The conversation: questions, and answers as streamed Markdown with numbered citations."""

from __future__ import annotations

from collections.abc import Sequence

from markdown_it import MarkdownIt
from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import DescendantFocus
from textual.widget import Widget
from textual.widgets import Markdown, Static

from assistant.answering.answers import Answer, Citation, Delta, Sentence, quoted_voice
from assistant.answering.printed import measured
from assistant.inert import inert, markdown_literal, one_line, shortened
from assistant.tui.messages import OpenPlace, Place, ShowPlaces, places_of

_LINK = "cite:"


class Question(Static):
    def __init__(self, words: str) -> None:
        super().__init__(Content(shortened(inert(words), 600)), markup=False)


class Turn(Widget):
    """A question, how it was understood, and its answer."""

    DEFAULT_CSS = "Turn { height: auto; }"

    def __init__(self, number: int, question: str) -> None:
        super().__init__()
        self.number = number
        self.places: list[Place] = []
        self._question = question
        self._source = ""
        # CommonMark without links from bare addresses: what a source says is shown, never followed.
        self._body = Markdown("", parser_factory=lambda: MarkdownIt("commonmark"), open_links=False)

    def compose(self) -> ComposeResult:
        yield Question(self._question)
        yield Static("", markup=False, classes="understood")
        yield self._body
        yield Static("", markup=False, classes="draft")
        yield Static("Looking through the sources…", markup=False, classes="pending")
        yield Static("", markup=False, classes="notices")
        yield Static("", markup=False, classes="measured")

    def understood(self, standalone_question: str) -> None:
        line = self.query_one(".understood", Static)
        line.update(Content(f"understood as: {inert(standalone_question)}"))
        line.display = True

    async def add(self, delta: Delta) -> None:
        """Shows one more sentence."""
        await self._append(_shown(delta.sentence, delta.citations))

    def draft(self, words: str) -> None:
        """What is written beyond the sentences that were checked."""
        line = self.query_one(".draft", Static)
        line.update(Content(inert(words)))
        line.display = bool(words)
        if words:
            self.query_one(".pending", Static).display = False

    async def withdraw(self, why: str) -> None:
        """Takes back the sentences so far."""
        self._source = ""
        await self._body.update("")
        self.draft("")
        self.pending(f"{why[:1].upper()}{why[1:]} …" if why else "")

    def pending(self, words: str) -> None:
        line = self.query_one(".pending", Static)
        line.update(Content(inert(words)))
        line.display = bool(words)

    async def finish(self, answer: Answer) -> None:
        self.query_one(".pending", Static).display = False
        self.draft("")
        self.places = places_of(answer)
        if answer.abstained:
            said = f"**{markdown_literal(answer.short)}** {markdown_literal(answer.reason)}\n\n{self._source}"
            if not answer.citations:
                for place in self.places:
                    words = markdown_literal(shortened(one_line(place.quote), 160))
                    said += f"{_mark(place.number)} {markdown_literal(place.reference)}: {words}\n\n"
            await self._body.update(said)
        elif answer.headline:
            await self._body.update(f"**{markdown_literal(answer.headline)}**\n\n{self._source}")
        if answer.notices:
            notices = self.query_one(".notices", Static)
            notices.update(Content("\n".join(f"! {one_line(notice)}" for notice in answer.notices)))
            notices.display = True
        self.query_one(".measured", Static).update(
            Content(one_line(" · ".join((f"confidence {answer.confidence:.2f}", *measured(answer)))))
        )
        self.query_one(".measured", Static).display = True
        self.post_message(ShowPlaces(self.places, _title(answer)))

    async def fail(self, sentence: str) -> None:
        self.draft("")
        pending = self.query_one(".pending", Static)
        pending.update(Content(f"✗ {inert(sentence)}"))
        pending.display = True
        pending.set_classes("failed")

    async def _append(self, markdown: str) -> None:
        self._source += markdown
        await self._body.append(markdown)

    @on(Markdown.LinkClicked)
    def follow(self, event: Markdown.LinkClicked) -> None:
        event.stop()
        number = event.href.removeprefix(_LINK)
        for index, place in enumerate(self.places):
            if str(place.number) == number:
                self.post_message(OpenPlace(self.places, index))

    @on(DescendantFocus)
    def show_own_places(self) -> None:
        if self.places:
            self.post_message(ShowPlaces(self.places, f"Sources of answer {self.number}"))


class Transcript(VerticalScroll):
    """All turns, the newest at the end and in view."""

    def turn(self, number: int) -> Turn | None:
        return next((turn for turn in self.query(Turn) if turn.number == number), None)


def _shown(sentence: Sentence, citations: Sequence[Citation]) -> str:
    voice = quoted_voice(sentence, citations)
    said = f"**{markdown_literal(str(voice))}:** " if voice else ""
    marks = "".join(f" {_mark(citation.marker)}" for citation in citations)
    doubt = " *(unverified)*" if sentence.support == "unverified" else ""
    return f"{said}{markdown_literal(sentence.text)}{marks}{doubt}\n\n"


def _mark(number: int) -> str:
    return f"[\\[{number}\\]]({_LINK}{number})"


def _title(answer: Answer) -> str:
    return "Sources" if answer.citations else "Nearest passages"
