"""The evidence beside the answer: one entry for each citation."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Label, ListItem, ListView, Static

from assistant.inert import one_line, shortened
from assistant.tui.messages import OpenPlace, Place


class SourcesPane(Vertical):
    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._places: list[Place] = []

    def compose(self) -> ComposeResult:
        yield Static("Sources", markup=False, classes="pane-title")
        yield ListView()

    async def show(self, places: list[Place], title: str) -> None:
        self._places = places
        self.query_one(".pane-title", Static).update(Content(title))
        entries = self.query_one(ListView)
        await entries.clear()
        await entries.extend(ListItem(Label(_entry(place), markup=False)) for place in places)
        if places:
            entries.index = 0

    def focus_list(self) -> None:
        self.query_one(ListView).focus()

    @on(ListView.Selected)
    def follow(self, event: ListView.Selected) -> None:
        event.stop()
        index = event.list_view.index
        if index is not None and index < len(self._places):
            self.post_message(OpenPlace(self._places, index))


def _entry(place: Place) -> Content:
    return Content.assemble(
        (f"[{place.number}] {one_line(place.reference)}", "bold"),
        "\n",
        (one_line(place.voice), "italic"),
        "\n",
        shortened(one_line(place.quote), 280),
    )
