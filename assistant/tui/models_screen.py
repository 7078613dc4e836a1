"""F2: who writes the answers. Servers are asked for their models only when the person wants to see them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from assistant.inert import one_line
from assistant.servers import Server
from assistant.tui.mode_screen import trouble

_LOOK = "look"
_ESC = "Esc changes nothing. What was said so far goes along with the next question; Ctrl+N begins anew."
_NOTHING_FOUND = (
    "No server of language models answers on this machine, and none is configured; docs/models.md shows how to start one."
)


class Writer(NamedTuple):
    """Who is to write the answers: settings of these names."""

    generator: str
    chat_model: str
    base_url: str | None


QUOTING = Writer("extractive", "", None)


class ModelsScreen(ModalScreen[Writer | None]):
    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f2,q", "dismiss", "Close")]

    def __init__(self, now: str, servers: Callable[[], Sequence[Server]]) -> None:
        """now: who writes them at present. servers: asks for what is at hand."""
        super().__init__()
        self._now = now
        self._servers = servers
        self._choices: list[Writer] = [QUOTING]

    def compose(self) -> ComposeResult:
        with Vertical(id="models"):
            yield Static(Content.assemble(("Who writes the answers", "bold"), f"\n\nNow: {one_line(self._now)}\n"), markup=False)
            yield OptionList(
                Option(Content("The sources' own words; no language model"), id="0"),
                Option(Content("Look for language models, on this machine and at the configured address"), id=_LOOK),
            )
            yield Static(_ESC, markup=False, classes="note")

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option_id == _LOOK:
            self.query_one(".note", Static).update(Content("Looking …"))
            self._look()
        elif event.option_id is not None:
            self.dismiss(self._choices[int(event.option_id)])

    @work(thread=True, exclusive=True, group="look")
    def _look(self) -> None:
        try:
            found = self._servers()
        except Exception as error:  # noqa: BLE001 - shown to the person; it must not end the chat
            self.app.call_from_thread(self._note, trouble(error))
            return
        self.app.call_from_thread(self._show, found)

    def _show(self, found: Sequence[Server]) -> None:
        if not self.is_attached:
            return
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_option(Option(Content("The sources' own words; no language model"), id="0"))
        self._choices = [QUOTING]
        troubles = []
        for server in found:
            if server.trouble:
                troubles.append(f"{server.address}: {server.trouble}")
            for model in server.models:
                self._choices.append(Writer(server.generator, model, server.address))
                words = f"{one_line(model)} · {server.place}"
                options.add_option(Option(Content(words), id=str(len(self._choices) - 1)))
        options.add_option(Option(Content("Look again"), id=_LOOK))
        options.highlighted = min(1, len(self._choices) - 1)
        self._note(" ".join(troubles) or (_ESC if len(self._choices) > 1 else _NOTHING_FOUND))

    def _note(self, words: str) -> None:
        if self.is_attached:
            self.query_one(".note", Static).update(Content(one_line(words)))
