"""tiktoken, offline: counts tokens with the vocabulary that the mistral-common package ships."""

from __future__ import annotations

from functools import cache

import tiktoken

ENCODING = "alliance_assistant_tekken"


@cache
def encoding() -> tiktoken.Encoding:
    """The encoding that index/tiktoken_plugin.py registers; loads in a fraction of a second, once."""
    return tiktoken.get_encoding(ENCODING)


def count_tokens(text: str) -> int:
    """Tokens in `text`. Names of special tokens in it are plain text, never obeyed."""
    return len(encoding().encode(text, disallowed_special=()))
