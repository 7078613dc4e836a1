"""T in the library: title, authors, date and so on of a document, written beside its file."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Static

from assistant.inert import one_line
from index.errors import AssistantError

if TYPE_CHECKING:
    from index.documents import Document
    from index.settings import IndexSettings

_FIELDS = (
    ("title", "Title"),
    ("authors", "Authors, a semicolon between several"),
    ("published", "Date (1999, 1999-05 or 1999-05-01)"),
    ("publisher", "Publisher or journal"),
    ("url", "Address on the web"),
    ("kind", "Kind (note, transcript, document …)"),
    ("cite_as", "Short form in citations"),
)
_BETWEEN = "; "


class DescribeScreen(ModalScreen[bool | None]):
    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Close"), Binding("ctrl+s", "save", "Save")]

    def __init__(self, document: Document, settings: IndexSettings) -> None:
        super().__init__()
        self._document = document
        self._settings = settings
        self._before = {name: self._now(name) for name, _ in _FIELDS}

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide-dialog"):
            yield Static(Content.assemble(("About this document", "bold"), f"  {one_line(self._document.id)}"), markup=False)
            with VerticalScroll(classes="fields", can_focus=False):
                for name, words in _FIELDS:
                    with Horizontal(classes="field"):
                        yield Label(words)
                        yield Input(self._before[name], id=name, compact=True)
            with Horizontal(classes="buttons"):
                yield Button("Save (Ctrl+S)", compact=True, variant="primary")
            yield Static(
                "It is written beside the file, which stays as it is; an empty line leaves it to the file. Esc changes nothing.",
                markup=False,
                classes="note",
            )

    def on_mount(self) -> None:
        self.query_one("#title").focus()

    @on(Button.Pressed)
    @on(Input.Submitted)
    def action_save(self) -> None:
        from assistant.adding import describe_source

        told = {name: " ".join(self.query_one(f"#{name}", Input).value.split()) for name, _ in _FIELDS}
        changed: dict[str, str | list[str]] = {name: value for name, value in told.items() if value != self._before[name]}
        if not changed:
            self.dismiss()
            return
        if isinstance(names := changed.get("authors"), str):
            changed["authors"] = [name.strip() for name in names.split(_BETWEEN.strip()) if name.strip()]
        try:
            describe_source(self._document.id, self._settings, changed)
        except AssistantError as error:
            self.query_one(".note", Static).update(Content(f"✗ {one_line(str(error))}"))
            return
        self.dismiss(True)

    def _now(self, name: str) -> str:
        value = getattr(self._document, name)
        return one_line(_BETWEEN.join(value) if isinstance(value, tuple) else value or "")
