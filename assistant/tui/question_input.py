"""The line to ask in."""

from __future__ import annotations

from textual.events import Paste
from textual.message import Message
from textual.widgets import Input


class QuestionInput(Input):
    """An Input that is empty as soon as Enter is pressed, and that takes a paste of several lines whole."""

    class Asked(Message):
        def __init__(self, question: str) -> None:
            super().__init__()
            self.question = question

    async def action_submit(self) -> None:
        # Emptied at once: keys that follow belong to the next question.
        question, self.value = self.value.strip(), ""
        if question:
            self.post_message(self.Asked(question))

    def _on_paste(self, event: Paste) -> None:
        if event.text:
            self.insert_text_at_cursor(" ".join(event.text.split()))
        event.prevent_default()
        event.stop()
