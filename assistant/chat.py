"""Opens the chat, from the command line or behind a browser."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from assistant.leaving import leave
from index.errors import AssistantError


def open_chat(given: Mapping[str, Path | str | list[str] | None]) -> NoReturn:
    """given: settings from the command line. Raises AssistantError where there is no terminal."""
    # In a browser the chat talks to its server, not to a terminal.
    if not (sys.stdin.isatty() and sys.stdout.isatty()) and "TEXTUAL_DRIVER" not in os.environ:
        raise AssistantError('the chat needs a terminal; to ask once use: assistant ask "QUESTION"')
    from assistant.tui.app import ChatApp

    app = ChatApp(given)
    # A chat stays: what it throws away is looked for again, but not among what was loaded so far.
    gc.freeze()
    gc.enable()
    app.run()
    leave(app.return_code or 0)
