"""The evidence beside the answer: its citations, and the passage of the one looked at, in its surroundings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Label, ListItem, ListView, Static

from assistant.inert import inert, one_line, shortened
from assistant.tui.messages import CopyPlace, OpenPlace, OpenUrl, Place
from index.errors import AssistantError

if TYPE_CHECKING:
    from assistant.tui.voices import Colour
    from index.documents import Document

# Characters of what stands before and after the cited place.
_AROUND = 400
_LONGEST = 4_000
CITED = "$text on $accent-muted bold"
CHANGED = "The source has changed since this answer: the words no longer stand at their place."
CHANGED_ELSEWHERE = "The source has changed since this answer; these words still stand in it."


class EvidencePane(Vertical):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right_square_bracket", "walk(1)", "Next citation", key_display="]"),
        Binding("left_square_bracket", "walk(-1)", "Previous", key_display="[", show=False),
        Binding("o", "url", "Original"),
        Binding("c", "copy_quote", "Copy the quote"),
    ]

    def __init__(self, read: Callable[[str], Document], colour: Colour, *, id: str) -> None:
        """read: document id -> document; raises AssistantError when it is gone."""
        super().__init__(id=id)
        self._read = read
        self._colour = colour
        self._places: list[Place] = []
        self._looking = 0

    def compose(self) -> ComposeResult:
        yield Static("Evidence", markup=False, classes="pane-title")

    def on_mount(self) -> None:
        # After the first frame, which needs none of it.
        self.call_after_refresh(self._furnish)

    async def _furnish(self) -> None:
        passage = VerticalScroll(Static("", markup=False), can_focus=False, classes="passage")
        await self.mount(ListView(), passage)

    async def show(self, places: list[Place], title: str, index: int = 0) -> None:
        entries = self.query_one(ListView)
        if places != self._places:
            self._places = places
            self.query_one(".pane-title", Static).update(Content(title))
            await entries.clear()
            await entries.extend(ListItem(Label(_entry(place, self._colour), markup=False)) for place in places)
        entries.index = index if places else None
        await self._look(index)

    def focus_list(self) -> None:
        self.query_one(ListView).focus()

    async def _look(self, index: int) -> None:
        passage = self.query_one(".passage Static", Static)
        self._looking += 1
        looking = self._looking
        if index >= len(self._places):
            passage.update(Content(""))
            return
        place = self._places[index]
        try:
            # Not on the event loop: a book takes a moment, and the keyboard must not wait for it.
            document = await asyncio.to_thread(self._read, place.document)
        except AssistantError as error:
            passage.update(Content(inert(str(error))))
            return
        if looking == self._looking and passage.is_attached:
            before, rest = _in_place(place, document, self._colour)
            passage.update(Content.assemble(before, rest))
            pane = self.query_one(".passage", VerticalScroll)
            line = len(before.wrap(max(1, passage.size.width))) - 1
            # The quote in sight, with what stands before it as far as there is room.
            self.call_after_refresh(pane.scroll_to, y=max(0, line - pane.size.height // 2), animate=False)

    @on(ListView.Highlighted)
    async def look_at_entry(self, event: ListView.Highlighted) -> None:
        event.stop()
        if event.list_view.index is not None:
            await self._look(event.list_view.index)

    @on(ListView.Selected)
    def follow(self, event: ListView.Selected) -> None:
        event.stop()
        if (at := self._at) is not None:
            self.post_message(OpenPlace(self._places, at))

    @property
    def _at(self) -> int | None:
        index = self.query_one(ListView).index
        return index if index is not None and index < len(self._places) else None

    def action_walk(self, by: int) -> None:
        if (at := self._at) is not None:
            self.query_one(ListView).index = (at + by) % len(self._places)

    def action_url(self) -> None:
        if (at := self._at) is not None:
            self.post_message(OpenUrl(self._places[at]))

    def action_copy_quote(self) -> None:
        if (at := self._at) is not None:
            self.post_message(CopyPlace(self._places[at]))


def _entry(place: Place, colour: Colour) -> Content:
    return Content.assemble(
        (f"[{place.number}] {one_line(place.reference)}", "bold"), "\n    ", (one_line(place.voice), colour(place.speaker))
    )


def _in_place(place: Place, document: Document, colour: Colour) -> tuple[Content, Content]:
    """Where the cited words stand and what stands before them; the words, and what follows."""
    text, start, end = document.text, place.start, place.end
    stands = text[start:end] == place.quote
    found = document.text.find(place.quote) if not stands else start
    head: list[str | Content | tuple[str, str]] = [(one_line(document.title), "bold"), "\n"]
    if not stands:
        head += [(f"! {CHANGED_ELSEWHERE if found >= 0 else CHANGED}", "bold $text-warning"), "\n"]
    elif place.digest is not None and place.digest != document.digest:
        head += [("! The source has changed since this answer; these words stand where they stood.", "$text-warning"), "\n"]
    label = document.locator_at(start).label if stands else ""
    head += [(one_line(place.voice), colour(place.speaker)), f" · {one_line(label)}" if label else "", "\n"]
    if place.found:
        head += [(one_line(place.found), "dim"), "\n"]
    if found < 0:
        return Content.assemble(*head, "\n"), Content(f"It said: {shortened(inert(place.quote), _LONGEST)}").stylize("italic")
    start, end = found, found + len(place.quote)
    before, after = text[max(0, start - _AROUND) : start], text[end : end + _AROUND]
    if start > _AROUND:
        # Whole words.
        before = before[before.find(" ") + 1 :] if " " in before else before
    if end + _AROUND < len(text):
        after = after[: after.rfind(" ") + 1] or after
    quote = shortened(inert(text[start:end]), _LONGEST)
    after = inert(after) + ("…" if end + _AROUND < len(text) else "")
    before = ("…" if start > _AROUND else "") + inert(before)
    return Content.assemble(*head, "\n", (before, "dim")), Content.assemble((quote, CITED), (after, "dim"))
