"""The turns of a conversation, the newest at the end and in view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

if TYPE_CHECKING:
    from assistant.tui.turn import Turn

SHOWN, _MOST_SHOWN = 12, 24
"""Turns that are shown when there are more than the most: laying out a long conversation takes longer than a key may."""


class Earlier(Static):
    """How many turns before those that are shown there are; a click shows some."""

    def __init__(self) -> None:
        super().__init__("", markup=False, classes="earlier")
        self.count = 0
        self.display = False

    def tell(self, count: int) -> None:
        self.count = count
        questions = "1 earlier question" if count == 1 else f"{count} earlier questions"
        self.update(Content(f"… {questions}: Ctrl+B, or a click, shows more of them"))
        self.display = bool(count)

    async def on_click(self) -> None:
        await self.run_action("screen.earlier")


class Transcript(VerticalScroll, can_focus=False):
    """What a turn is made of is loaded with the first question."""

    def __init__(self) -> None:
        super().__init__(id="transcript")
        self.turns: list[Turn] = []
        """Those that are shown."""
        self._earlier = Earlier()

    async def begin(self, turn: Turn, *, is_kept: bool) -> None:
        """is_kept: whether turns that are shown no more can be shown again."""
        self.turns.append(turn)
        await self.mount(turn)
        self.scroll_end(animate=False)
        if is_kept and len(self.turns) > _MOST_SHOWN:
            gone, self.turns = self.turns[:-SHOWN], self.turns[-SHOWN:]
            await self.remove_children(gone)
            await self.tell_earlier(self.earlier + len(gone))

    @property
    def earlier(self) -> int:
        """How many turns before the first that is shown are not."""
        return self._earlier.count

    async def tell_earlier(self, count: int) -> None:
        if not self._earlier.is_attached:
            await self.mount(self._earlier, before=0)
        self._earlier.tell(count)

    async def insert(self, turns: Sequence[Turn]) -> None:
        """Before those that are shown, which stay where they are on the screen."""
        below = self.virtual_size.height - self.scroll_offset.y
        first = self.turns[0] if self.turns else None
        self.turns[:0] = turns
        await self.mount_all(turns, before=first)
        self.call_after_refresh(lambda: self.scroll_to(y=self.virtual_size.height - below, animate=False))

    async def clear(self) -> None:
        self.turns.clear()
        await self.query("Turn").remove()
        self._earlier.tell(0)

    def turn(self, number: int) -> Turn | None:
        return next((turn for turn in reversed(self.turns) if turn.number == number), None)
