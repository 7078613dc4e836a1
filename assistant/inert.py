"""Text from documents, models and the network is data: before it meets a terminal it is made inert."""

from __future__ import annotations

import re
from typing import Final

# C0 and C1 controls (escape sequences begin with one), and the controls that turn the direction of writing.
_CONTROLS: Final = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
    **dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD),
    **dict.fromkeys([0x2028, 0x2029], 0x20),
    **dict.fromkeys(range(0xD800, 0xE000), 0xFFFD),
}
_MARKDOWN = re.compile(r"([!-/:-@\[-`{-~])")


def inert(text: str) -> str:
    """The same text with each control character replaced by one visible character: offsets stay what they were."""
    return text.translate(_CONTROLS)


def one_line(text: str) -> str:
    return " ".join(inert(text).split())


def markdown_literal(text: str) -> str:
    """One line of Markdown that shows the text letter by letter: every ASCII punctuation mark may be escaped."""
    return _MARKDOWN.sub(r"\\\1", one_line(text))


def shortened(words: str, longest: int) -> str:
    """At most `longest` characters, with an ellipsis for what is left out."""
    return words if len(words) <= longest else f"{words[: longest - 1]}…"
