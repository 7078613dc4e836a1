"""Cited answers over a folder of documents. For programs: `from assistant import open_assistant` (assistant/api.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assistant.api import open_assistant

__all__ = ["open_assistant"]


def __getattr__(name: str) -> Any:
    # Not before it is asked for: every part of the program passes through here.
    if name == "open_assistant":
        from assistant.api import open_assistant

        return open_assistant
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
