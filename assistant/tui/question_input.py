"""The lines to ask in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import Key
from textual.message import Message
from textual.widgets import TextArea


class QuestionInput(TextArea):
    """Enter asks and empties it; Ctrl+J begins a new line; Up and Down, from the first and the last line, bring back what was
    asked.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Ask", show=False),
        Binding("ctrl+j,shift+enter", "new_line", "New line", show=False),
        Binding("shift+tab", "screen.last_sentence", "To the sentences", show=False),
        Binding("up", "earlier", "Earlier question", show=False),
        Binding("down", "later", "Later question", show=False),
        Binding("pageup", "app.scroll_transcript(-1)", "Scroll the answers up", show=False),
        Binding("pagedown", "app.scroll_transcript(1)", "Scroll the answers down", show=False),
    ]

    _AT_ONCE: ClassVar[dict[str, str]] = {
        "enter": "submit", "ctrl+j": "new_line", "shift+enter": "new_line", "up": "earlier", "down": "later",
    }  # fmt: skip

    class Asked(Message):
        def __init__(self, question: str) -> None:
            super().__init__()
            self.question = question

    def __init__(self, placeholder: str, *, id: str) -> None:
        super().__init__(
            "", placeholder=placeholder, id=id, soft_wrap=True, show_line_numbers=False, compact=True, tab_behavior="focus"
        )
        self._asked: list[str] = []
        self._at = 0
        self._unsent = ""

    def remember(self, questions: Sequence[str]) -> None:
        """Those asked before, the latest first."""
        self._asked = [*reversed(questions), *self._asked]
        self._at = len(self._asked)

    async def _on_key(self, event: Key) -> None:
        # In its turn: a binding is looked up when the event has bubbled up, after keys that were typed since.
        if action := self._AT_ONCE.get(event.key):
            event.stop()
            event.prevent_default()
            getattr(self, f"action_{action}")()

    def action_submit(self) -> None:
        # Emptied at once: keys that follow belong to the next question.
        question = self.text.strip()
        self.clear()
        if question:
            if question not in self._asked[-1:]:
                self._asked.append(question)
            self._at, self._unsent = len(self._asked), ""
            self.post_message(self.Asked(question))

    def action_new_line(self) -> None:
        self.insert("\n")

    def action_earlier(self) -> None:
        if self.cursor_location[0] > 0 or not self._at:
            self.action_cursor_up()
            return
        if self._at == len(self._asked):
            self._unsent = self.text
        self._bring(self._at - 1)

    def action_later(self) -> None:
        if self.cursor_location[0] < self.document.line_count - 1 or self._at == len(self._asked):
            self.action_cursor_down()
        else:
            self._bring(self._at + 1)

    def _bring(self, at: int) -> None:
        self._at = at
        self.fill(self._unsent if at == len(self._asked) else self._asked[at])

    def fill(self, words: str) -> None:
        """Puts these words in, with the cursor behind them."""
        self.text = words
        self.move_cursor(self.document.end)
