"""A small server on loopback that speaks OpenAI's chat completions, and Anthropic's messages, and streams what it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(slots=True)
class Script:
    """What the next requests get; the last stays for all that follow."""

    replies: list[Reply]
    asked: list[dict[str, Any]] = field(default_factory=list)
    """The requests, as they came."""
    headers: list[dict[str, str]] = field(default_factory=list)
    """Of every request, lists of models included; names in lower case."""
    listed: int = 0
    """How often the list of models was asked for."""
    first_word_at: list[float] = field(default_factory=list)
    """Of each stream, by time.perf_counter()."""

    def next(self) -> Reply:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@dataclass(slots=True)
class Reply:
    words: tuple[str, ...] = ()
    status: int = 200
    reason: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    seconds_before: float = 0.0
    """Before the first word."""
    seconds_between: float = 0.0
    finish: str | None = "stop"
    """None: the stream ends in the middle."""
    raw: bytes | None = None
    """Sent instead of a stream."""
    usage: tuple[int, int] | None = (1_000, 100)
    is_endless: bool = False


def spoken(text: str, size: int = 7) -> Reply:
    """The text in small pieces, as models send it."""
    return Reply(tuple(text[start : start + size] for start in range(0, len(text), size)))


@contextmanager
def scripted_server(*replies: Reply) -> Iterator[tuple[str, Script]]:
    """Yields the base URL and the script."""
    script = Script(list(replies))

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None: ...

        def do_GET(self) -> None:
            script.listed += 1
            script.headers.append({name.lower(): value for name, value in self.headers.items()})
            self._json(200, {"object": "list", "data": [{"id": "small-model", "object": "model"}]})

        def do_POST(self) -> None:
            script.headers.append({name.lower(): value for name, value in self.headers.items()})
            script.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            reply = script.next()
            if reply.status != 200:
                self._json(reply.status, {"error": {"message": reply.reason}}, reply.headers)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):
                if self.path.endswith("/messages"):
                    self._stream_messages(reply)
                else:
                    self._stream(reply)

        def _stream(self, reply: Reply) -> None:
            if reply.raw is not None:
                self.wfile.write(reply.raw)
                return
            self._wait(reply.seconds_before)
            first = True
            while first or reply.is_endless:
                for words in reply.words:
                    if first:
                        script.first_word_at.append(time.perf_counter())
                    self._event({"choices": [{"index": 0, "delta": {"content": words}, "finish_reason": None}]})
                    first = False
                    self._wait(reply.seconds_between)
                if not reply.words:
                    break
            if reply.finish is None:
                return
            self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": reply.finish}]})
            if reply.usage:
                read, written = reply.usage
                counted = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
                self._event({"choices": [], "usage": counted})
            self.wfile.write(b"data: [DONE]\n\n")

        def _stream_messages(self, reply: Reply) -> None:
            read, written = reply.usage or (0, 0)
            message = {"id": "1", "type": "message", "role": "assistant", "model": "small-model", "content": []}
            self._named("message_start", message={**message, "usage": {"input_tokens": read, "output_tokens": 1}})
            self._named("content_block_start", index=0, content_block={"type": "text", "text": ""})
            for words in reply.words:
                self._named("content_block_delta", index=0, delta={"type": "text_delta", "text": words})
            if reply.finish is None:
                return
            self._named("content_block_stop", index=0)
            reason = {"stop": "end_turn", "length": "max_tokens"}[reply.finish]
            self._named("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage={"output_tokens": written})
            self._named("message_stop")

        def _named(self, name: str, **told: Any) -> None:
            self.wfile.write(f"event: {name}\ndata: {json.dumps({'type': name, **told})}\n\n".encode())
            self.wfile.flush()

        def _wait(self, seconds: float) -> None:
            if seconds and closing.wait(seconds):
                raise BrokenPipeError

        def _event(self, told: dict[str, Any]) -> None:
            whole = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "small-model", **told}
            self.wfile.write(f"data: {json.dumps(whole)}\n\n".encode())
            self.wfile.flush()

        def _json(self, status: int, told: Any, headers: dict[str, str] | None = None) -> None:
            body = json.dumps(told).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    closing = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", script
    finally:
        closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
