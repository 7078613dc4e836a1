"""The seam to language models: messages go in, words come out as they are written."""

from __future__ import annotations

import ipaddress
import queue
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from threading import Event as Flag
from threading import Thread
from typing import Literal, NamedTuple, Protocol
from urllib.parse import urlsplit

from assistant.answering.answers import Usage, Waiting
from assistant.inert import one_line
from index.errors import BrokenStream, GeneratorError

# How often a person who waits is asked whether to go on waiting.
_TICK = 0.05


class Message(NamedTuple):
    role: Literal["system", "user", "assistant"]
    content: str


class Ended(NamedTuple):
    """The model wrote no more. A stream without it was stopped."""

    reason: str
    """"whole", "length" where it reached its most tokens, or what else the server says."""


WHOLE, LENGTH = Ended("whole"), Ended("length")
Step = str | Usage | Waiting | Ended
"""Words may be empty: a sign of life."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where words go."""

    host: str
    """Host, and port where it is not the usual one: "localhost:11434"; "this process" for a model in the program itself."""
    is_local: bool
    """Whether they stay on this machine."""

    def __str__(self) -> str:
        return f"this machine ({self.host})" if self.is_local else f"{self.host}, off this machine"


class ChatModel(Protocol):
    name: str
    place: Place
    window: int
    """Tokens that it reads and writes together."""

    def stream(self, messages: Sequence[Message], *, most_tokens: int, stopped: Flag) -> Iterator[Step]:
        """Yields words as they come, what was counted, how long the server asks to wait, and why it ended. Without the last it
        was ended by `stopped`; nothing is sent where that is set already.

        Raises GeneratorError: ContextOverflow where the messages are too long, BrokenStream where the answer broke off.
        """

    def prepare(self) -> None:
        """Loads what the first question needs; sends nothing. Raises GeneratorError."""

    def close(self) -> None: ...


def place_of(address: str) -> Place:
    """Raises GeneratorError for what is no address of a web server, or holds more than one: a key has no place in it."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = None, None, None
    if parts is None or parts.scheme not in ("http", "https") or not host:
        raise GeneratorError(f"{one_line(address)} is no address of a server; base_url looks like http://localhost:11434/v1")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise GeneratorError(
            f"base_url of {host} holds a name, a key or a query; give the address alone, and a key in the environment."
        )
    shown = f"[{host}]" if ":" in host else host
    return Place(shown if port is None else f"{shown}:{port}", _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def in_background(steps: Callable[[Flag], Generator[Step]], *, stopped: Flag, timeout: float, place: Place) -> Iterator[Step]:
    """What `steps` yields, read by a thread of its own: stopping never waits for a server. steps: its flag is set when nobody
    listens any more. timeout: seconds without a sign of life.

    Raises what `steps` raises, and GeneratorError for a server that says nothing.
    """
    if stopped.is_set():
        return
    arrived: queue.SimpleQueue[Step | BaseException | None] = queue.SimpleQueue()
    left = Flag()

    def read() -> None:
        try:
            with closing(steps(left)) as written:
                for step in written:
                    if left.is_set():
                        return
                    arrived.put(step)
            arrived.put(None)
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            arrived.put(error)

    Thread(target=read, daemon=True, name="language model").start()
    waited, begun = 0.0, False
    try:
        while not stopped.is_set():
            try:
                step = arrived.get(timeout=_TICK)
            except queue.Empty:
                waited += _TICK
                if waited >= timeout:
                    silent = f"{place.host} has sent nothing for {timeout:.0f} seconds"
                    if begun:
                        raise BrokenStream(f"{silent}: the answer broke off.") from None
                    raise GeneratorError(
                        f"{silent}; is the model still being loaded? Try again, or set timeout to more seconds."
                    ) from None
                continue
            if step is None:
                return
            if isinstance(step, BaseException):
                raise step
            # A server that asks to wait is not silent.
            waited = -step.seconds if isinstance(step, Waiting) else 0.0
            begun = begun or (isinstance(step, str) and bool(step))
            yield step
    finally:
        left.set()
