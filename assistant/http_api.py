"""`assistant serve`: ask, search, read and list over HTTP, for programs of this machine; docs/http.md tells how to use it.

It listens on loopback and wants a secret with each request; what it can be asked `http_operations.py` tells.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import secrets
import sys
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event as Flag
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from assistant.answering.contract import (
    event_as_json,
)
from assistant.api import OpenAssistant
from assistant.http_operations import EVENTS, JSON, OPERATIONS, PROBLEM, STREAM, TITLES, Operation, Problem, Question, description
from assistant.loopback import HOST, foreign, usable_port
from index.errors import AssistantError, QuestionError, SettingsError

MOST_BYTES = 1_000_000
"""Of what is sent with a request."""
# What is sent must come within this time, and what is made is not silent longer; in seconds.
_SLOWEST = 30.0
_BREATH = 15.0
# An index answers one question after the other; who comes when so many wait is asked to come again.
_MOST_WAITING = 16
_SHORTEST_TOKEN = 20
# A question of the longest, each letter of it written as in addresses.
_LONGEST_ADDRESS = 65_536


class _Refused(Exception):
    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


class Api:
    """The application for aiohttp. The assistant is asked by one thread, one thing after the other."""

    def __init__(self, assistant: OpenAssistant, port: int, token: str) -> None:
        self._assistant = assistant
        self._port = port
        self._token = token.encode()
        self._thread = ThreadPoolExecutor(1, "asking")
        self._waiting = 0

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MOST_BYTES, middlewares=[self._guard])
        app.add_routes([web.get("/openapi.json", self._describe, allow_head=False), web.post(STREAM, self._stream)])
        for operation in OPERATIONS:
            app.router.add_route(operation.method.upper(), operation.path, self._handler(operation))
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self._admit(request)
            response = await handler(request)
        except _Refused as refused:
            response = _problem(refused.status, refused.detail, refused.headers)
        except web.HTTPException as error:
            allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            details = {
                404: f"there is no {request.path[:200]}; /openapi.json describes what there is.",
                405: f"use {allowed.get('Allow', 'another method')}.",
                413: f"more than {MOST_BYTES / 1e6:.0f} MB was sent.",
            }
            response = _problem(error.status, details.get(error.status, error.reason), allowed)
        except QuestionError as error:
            response = _problem(422, str(error))
        except AssistantError as error:
            response = _problem(503, str(error))
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback leaves the program
            response = _problem(500, f"{type(error).__name__}; nothing in the index is lost.")
        if not response.prepared:
            response.headers["Cache-Control"] = "no-store"
            response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    def _admit(self, request: web.Request) -> None:
        if refusal := foreign(request, self._port):
            raise _Refused(403, refusal)
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token):
            raise _Refused(
                401, "Send the header that `assistant serve` printed: Authorization: Bearer …", **{"WWW-Authenticate": "Bearer"}
            )

    def _handler(self, operation: Operation) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            asked = await _asked(request, operation)
            try:
                told = await self._run(lambda stopped: operation.work(self._assistant, asked, stopped))
            except QuestionError as error:
                raise _Refused(404 if operation.missing else 422, str(error)) from error
            return web.Response(body=_dumped(told), content_type=JSON)

        return handle

    async def _run(self, work: Callable[[Flag], Any]) -> Any:
        if self._waiting >= _MOST_WAITING:
            raise _Refused(503, f"{self._waiting} requests are waiting already; come again.", **{"Retry-After": "5"})
        self._waiting += 1
        stopped = Flag()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, stopped)
        finally:
            # Also where the one who asked has gone.
            stopped.set()
            self._waiting -= 1

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        asked = await _asked(request, OPERATIONS[0])
        events = self._events(asked)
        # What cannot be asked is told as everywhere: by the status.
        first = await anext(events)
        response = web.StreamResponse(headers={"Content-Type": EVENTS, "Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        await response.prepare(request)
        try:
            await response.write(first)
            async for told in events:
                await response.write(told)
        finally:
            await events.aclose()
        return response

    async def _events(self, asked: Question) -> AsyncGenerator[bytes, None]:
        loop, told = asyncio.get_running_loop(), asyncio.Queue[bytes | None]()

        def work(stopped: Flag) -> None:
            turns = self._assistant.events(asked.question, asked.turns, only=asked.only, stopped=stopped)
            for event in turns:
                loop.call_soon_threadsafe(told.put_nowait, _sent(*event_as_json(event)))

        running = asyncio.ensure_future(self._run(work))
        running.add_done_callback(lambda _: told.put_nowait(None))
        has_begun = False
        try:
            while True:
                try:
                    event = await asyncio.wait_for(told.get(), _BREATH)
                except TimeoutError:
                    # A comment: it keeps what lies between from giving up.
                    event = b":\n\n"
                if event is None:
                    break
                has_begun = True
                yield event
            try:
                await running
            except Exception as error:
                if not has_begun:
                    raise
                # A second answer in the middle of the first would be read as a part of it.
                known = isinstance(error, (AssistantError, _Refused))
                status, detail = (503, str(error)) if known else (500, f"{type(error).__name__}; nothing in the index is lost.")
                yield _sent("failed", dict(_told(status, detail)))
        finally:
            running.cancel()

    async def _describe(self, request: web.Request) -> web.Response:
        return web.Response(body=_dumped(description(self._port)), content_type=JSON)


async def _asked(request: web.Request, operation: Operation) -> Any:
    """What is sent, as its type. Raises _Refused."""
    if operation.asks is None:
        if request.query:
            raise _Refused(400, f"{next(iter(request.query))}: {operation.path} takes nothing.")
        return None
    try:
        if operation.method == "get":
            if twice := [key for key in request.query if len(request.query.getall(key)) > 1]:
                raise _Refused(400, f"{twice[0]}: given more than once.")
            return operation.asks.model_validate(dict(request.query))
        if request.content_type != JSON:
            raise _Refused(415, f"send {JSON}, not {request.content_type}.")
        async with asyncio.timeout(_SLOWEST):
            body = await request.read()
        return operation.asks.model_validate_json(body, strict=True)
    except TimeoutError as error:
        raise _Refused(408, f"what is sent must come within {_SLOWEST:.0f} seconds.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "what was sent"
        raise _Refused(400, f"{place}: {first['msg']}.") from error


def _told(status: int, detail: str) -> Problem:
    title = TITLES.get(status, "Refused")
    return {"type": "about:blank", "title": title, "status": status, "detail": detail}


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=_dumped(_told(status, detail)), content_type=PROBLEM, headers=headers)


def _dumped(told: Any) -> bytes:
    return json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")


def _sent(name: str, told: dict[str, Any]) -> bytes:
    # JSON has no line breaks of its own, so that no text can pass for an event.
    return b"event: " + name.encode() + b"\ndata: " + _dumped(told) + b"\n\n"


def token_from(file: Path | None) -> str:
    """The secret: of the file, which is made where there is none and readable by no one else; without a file a new one.

    Raises SettingsError.
    """
    if file is None:
        return secrets.token_urlsafe(32)
    try:
        file = file.expanduser()
        if file.exists() and not file.is_file():
            raise SettingsError(f"--token-file: {file} is no file; name one, or one that is not there yet.")
        with suppress(FileExistsError):
            opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(opened, "w", encoding="ascii") as new:
                new.write(f"{secrets.token_urlsafe(32)}\n")
        if os.name == "posix" and file.stat().st_mode & 0o077:
            raise SettingsError(f"--token-file: {file} may be read by others; chmod 600 it, or name another.")
        token = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        why = (
            error.strerror
            if isinstance(error, OSError)
            else "there is no such user"
            if isinstance(error, RuntimeError)
            else "it is no text of plain letters"
        )
        raise SettingsError(f"--token-file: {file} cannot be used ({why}).") from error
    if len(token) < _SHORTEST_TOKEN or not token.isprintable() or " " in token:
        raise SettingsError(f"--token-file: {file} must hold one word of at least {_SHORTEST_TOKEN} letters and digits.")
    return token


def serve(assistant: OpenAssistant, port: int, token: str) -> None:
    """Until Ctrl+C. Raises AssistantError where the port is taken."""
    port = usable_port(port)
    sys.stdout.write(
        f"http://{HOST}:{port}/v1 answers programs of this machine; http://{HOST}:{port}/openapi.json describes it\n"
        f"with each request send    Authorization: Bearer {token}\nCtrl+C ends it.\n"
    )
    sys.stdout.flush()
    with suppress(KeyboardInterrupt, web.GracefulExit):
        asyncio.run(_serving(Api(assistant, port, token).application(), port))


async def _serving(app: web.Application, port: int) -> None:
    # Its records would put what others send on the terminal.
    silent = logging.getLogger("assistant.http_api")
    silent.addHandler(logging.NullHandler())
    silent.propagate = False
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=silent,
        handle_signals=True,
        handler_cancellation=True,
        max_line_size=_LONGEST_ADDRESS,
        shutdown_timeout=2,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
