"""F9: the settings that people change, written into assistant.toml, whose comments stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast, get_args

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Select, Static

from assistant.inert import one_line
from assistant.settings import Settings, settings_file, write_settings
from index.errors import AssistantError

if TYPE_CHECKING:
    from assistant.tui.app import ChatApp

_FIELDS = (
    ("theme", "Colours"),
    ("motion", "Motion"),
    ("passages", "Passages read for an answer (1 to 50)"),
    ("abstain_below", "Refuse below this confidence (0 to 1)"),
    ("followups", "How follow-ups are completed"),
    ("retrieval", "How passages are looked for"),
    ("generator", "Who writes the answers"),
    ("chat_model", "The language model's name"),
    ("base_url", "Address of its server"),
    ("answer_tokens", "Most tokens of a written answer"),
    ("timeout", "Seconds to wait for the language model"),
)
"""Setting -> what it is, in the order to show them."""
_AT_ONCE = ("passages", "abstain_below", "followups")
_BASELINES = ("first-sentence", "abstain")


class SettingsScreen(ModalScreen[None]):
    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Close"),
        Binding("ctrl+s", "save", "Save"),
    ]

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._theme_before = ""
        self._is_saved = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide-dialog"):
            yield Static(Content.assemble(("Settings", "bold"), f"  {one_line(str(settings_file()))}"), markup=False)
            with VerticalScroll(classes="fields", can_focus=False):
                for name, words in _FIELDS:
                    value = getattr(self._settings, name)
                    with Horizontal(classes="field"):
                        yield Label(words)
                        choices = self._choices(name)
                        if choices:
                            yield Select(
                                ((each, each) for each in choices), value=value, allow_blank=False, id=name, compact=True
                            )
                        else:
                            yield Input(
                                "" if value is None else f"{value:g}" if isinstance(value, float) else str(value),
                                id=name,
                                compact=True,
                            )
            with Horizontal(classes="buttons"):
                yield Button("Save (Ctrl+S)", compact=True, variant="primary")
            yield Static("Esc changes nothing.", markup=False, classes="note")

    def _choices(self, name: str) -> list[str]:
        if name == "theme":
            return sorted(each for each in self.app.available_themes if each != "ansi")
        told = [each for each in get_args(Settings.model_fields[name].annotation) if isinstance(each, str)]
        now = getattr(self._settings, name)
        return [each for each in told if each not in _BASELINES or each == now]

    def on_mount(self) -> None:
        self._theme_before = self.app.theme
        self.query_one("#theme").focus()

    @on(Select.Changed, "#theme")
    def try_theme(self, event: Select.Changed) -> None:
        if isinstance(event.value, str):
            self.app.theme = event.value

    def on_unmount(self) -> None:
        if not self._is_saved:
            self.app.theme = self._theme_before

    def _told(self, name: str) -> Any:
        widget = self.query_one(f"#{name}")
        value = str(widget.value) if isinstance(widget, Select) else cast(Input, widget).value.strip()
        now = getattr(self._settings, name)
        if value == "" and now is None:
            return None
        if name == "base_url" and not value:
            return None
        if isinstance(now, bool) or not isinstance(now, int | float):
            return value
        try:
            return float(value) if "." in value or isinstance(now, float) else int(value)
        except ValueError:
            return value

    @on(Button.Pressed)
    def action_save(self) -> None:
        told = {name: self._told(name) for name, _ in _FIELDS}
        changed = {name: value for name, value in told.items() if value != getattr(self._settings, name)}
        note = self.query_one(".note", Static)
        if not changed:
            self.dismiss()
            return
        try:
            path = write_settings(changed)
            settings = cast("ChatApp", self.app).settings()
        except AssistantError as error:
            note.update(Content(f"✗ {one_line(str(error))}"))
            return
        self._is_saved = True
        overridden = [name for name, value in changed.items() if value is not None and getattr(settings, name) != value]
        self._apply({name: getattr(settings, name) for name in changed})
        later = [name for name in changed if name not in (*_AT_ONCE, "theme", "motion")]
        words = f"Written to {path}."
        words += f" From the next start on: {', '.join(later)}." if later else ""
        words += (
            f" Told otherwise by the environment or the command line, which win: {', '.join(overridden)}." if overridden else ""
        )
        self.app.notify(one_line(words), markup=False, timeout=12)
        self.dismiss()

    def _apply(self, changed: dict[str, Any]) -> None:
        app = cast("ChatApp", self.app)
        if "motion" in changed:
            app.animation_level = "none" if changed["motion"] == "none" else "full"
        at_once = {name: value for name, value in changed.items() if name in _AT_ONCE}
        if at_once and app.assistant is not None:
            app.assistant.adjust(**at_once)
            app.ask_screen.go_on_with()
