"""A document, opened at the cited words, which are highlighted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, Static

from assistant.inert import inert, one_line
from assistant.tui.evidence_pane import CHANGED, CITED
from assistant.tui.messages import CopyPlace, OpenUrl, Place
from index.documents import Document, Locator
from index.errors import AssistantError

# Places shown at once around the cited one: a book of 10,000 paragraphs opens as fast as a page.
_AROUND = 60
_STEP = 120
# A paragraph of a megabyte is shown around the quote only.
_LONGEST_PARAGRAPH = 20_000


class SourceScreen(Screen[None]):
    CSS_PATH = "document.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "Back"),
        Binding("n,right_square_bracket", "step(1)", "Next citation"),
        Binding("p,left_square_bracket", "step(-1)", "Previous"),
        Binding("m", "more", "More of the document"),
        Binding("o", "url", "Original"),
        Binding("c", "copy_quote", "Copy the quote"),
    ]

    def __init__(self, places: list[Place], index: int, read: Callable[[str], Document]) -> None:
        """read: document id -> document; raises AssistantError when it is gone."""
        super().__init__()
        self._places = places
        self._at = index
        self._read = read
        self._around = _AROUND

    def compose(self) -> ComposeResult:
        yield Static("", markup=False, id="source-title")
        yield VerticalScroll(id="source-text")
        yield Footer()

    async def on_mount(self) -> None:
        await self._show()

    def action_close(self) -> None:
        self.dismiss()

    async def action_step(self, by: int) -> None:
        self._at = (self._at + by) % len(self._places)
        self._around = _AROUND
        await self._show()

    async def action_more(self) -> None:
        self._around += _STEP
        await self._show()

    def action_url(self) -> None:
        self.post_message(OpenUrl(self._places[self._at]))

    def action_copy_quote(self) -> None:
        self.post_message(CopyPlace(self._places[self._at]))

    async def _show(self) -> None:
        place = self._places[self._at]
        title = self.query_one("#source-title", Static)
        body = self.query_one("#source-text", VerticalScroll)
        await body.remove_children()
        try:
            # Not on the event loop: a book takes a moment, and the keyboard must not wait for it.
            document = await asyncio.to_thread(self._read, place.document)
        except AssistantError as error:
            title.update(Content(inert(str(error))))
            return
        in_place = document.text[place.start : place.end] == place.quote
        title.update(_heading(document, place, self._at, len(self._places), in_place))
        here = [number for number, each in enumerate(document.locators) if each.start < place.end and place.start < each.end]
        first = max(0, (here[0] if here else 0) - self._around)
        last = min(len(document.locators), (here[-1] if here else 0) + self._around + 1)
        rows = [_row(document, document.locators[number], place if in_place else None) for number in range(first, last)]
        if first:
            rows.insert(0, Static(f"… {first} places above; m shows more", markup=False, classes="elided"))
        if last < len(document.locators):
            rows.append(Static(f"… {len(document.locators) - last} places below; m shows more", markup=False, classes="elided"))
        await body.mount_all(rows)
        body.focus()
        if in_place and here:
            self.call_after_refresh(self._scroll_to_words, place, document.locators[here[0]])

    def _scroll_to_words(self, place: Place, locator: Locator) -> None:
        """Brings the cited words to the middle of the screen, also within a paragraph taller than the screen."""
        body = self.query_one("#source-text", VerticalScroll)
        for row in body.query(".cited"):
            share = (place.start - locator.start) / max(1, min(locator.end - locator.start, _LONGEST_PARAGRAPH))
            line = row.virtual_region.y + int(row.virtual_region.height * min(share, 1.0))
            body.scroll_to(y=max(0, line - body.size.height // 2), animate=False)
            return


def _heading(document: Document, place: Place, at: int, total: int, in_place: bool) -> Content:
    who = ", ".join(part for part in (", ".join(document.authors), document.publisher or "", document.published or "") if part)
    lines: list[str | tuple[str, str]] = [
        (f"[{place.number}] {one_line(place.reference)}", "bold"),
        f"  {one_line(place.voice)}  ({at + 1} of {total})\n",
        one_line(document.title),
        f"\n{one_line(who)}" if who else "",
        f"\n{one_line(document.url)}" if document.url else "",
        f"\n{one_line(document.digest_of)}" if document.digest_of else "",
    ]
    if not in_place:
        lines.append((f"\n! {CHANGED}", "bold $text-warning"))
    return Content.assemble(*[line for line in lines if line])


def _row(document: Document, locator: Locator, place: Place | None) -> Static | Horizontal:
    start, end = locator.start, locator.end
    cited = place is not None and start < place.end and place.start < end
    if end - start > _LONGEST_PARAGRAPH:
        middle = max(start, min(place.start, end)) if cited and place else start
        start = max(start, middle - _LONGEST_PARAGRAPH // 2)
        end = min(end, start + _LONGEST_PARAGRAPH)
    text = Content(inert(document.text[start:end]).rstrip("\n"))
    # A heading repeats the label beside it.
    text = text.stylize("dim", 0, max(0, locator.start + locator.heading - start)) if locator.heading else text
    if cited and place:
        text = text.stylize(CITED, max(0, place.start - start), min(len(text), place.end - start))
    words = Static(text, markup=False, classes="words")
    label = Static(Content(one_line(locator.label)), markup=False, classes="locator")
    return Horizontal(label, words, classes="place cited" if cited else "place")
