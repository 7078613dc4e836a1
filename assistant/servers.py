"""Which language models are at hand."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from assistant.answering.chat_api import place_of
from assistant.answering.served_chat import WELL_KNOWN, AnthropicChat, OpenAIChat
from assistant.settings import Settings
from index.errors import GeneratorError


class Server(NamedTuple):
    """An address, and what answers there."""

    name: str
    """"configured", or the program that usually listens there."""
    address: str
    generator: str
    models: tuple[str, ...]
    trouble: str
    """Why there are none; empty where there are."""

    @property
    def place(self) -> str:
        """Its host, and whether that is this machine."""
        return str(place_of(self.address))


def servers(settings: Settings) -> list[Server]:
    """The configured server first, where there is one, then the well-known ones of this machine that answer.

    Sends nothing but the request for a list of models.
    """
    asked: list[tuple[str, str, str | None]] = []
    if settings.generator == "anthropic":
        asked.append(("configured", "anthropic", settings.base_url))
    elif settings.generator == "openai" or settings.base_url or os.environ.get("OPENAI_BASE_URL"):
        asked.append(("configured", "openai", settings.base_url))
    configured = settings.base_url or os.environ.get("OPENAI_BASE_URL") or ""
    asked += [(name, "openai", address) for name, address in WELL_KNOWN.items() if not _is_same(address, configured)]
    with ThreadPoolExecutor(len(asked)) as pool:
        found = list(pool.map(lambda each: _server(*each), asked))
    return [each for each in found if each.name == "configured" or not each.trouble]


def _is_same(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/").replace("127.0.0.1", "localhost")


def _server(name: str, generator: str, base_url: str | None) -> Server:
    kind = AnthropicChat if generator == "anthropic" else OpenAIChat
    try:
        # The key is for the server that was configured, and not for whoever listens where another usually does.
        chat = kind("", base_url=base_url, window=None, timeout=5, sends_key=name == "configured")
    except GeneratorError as error:
        return Server(name, base_url or "", generator, (), str(error))
    try:
        return Server(name, chat.address, generator, tuple(chat.models()), "")
    except GeneratorError as error:
        return Server(name, chat.address, generator, (), str(error))
    finally:
        chat.close()
