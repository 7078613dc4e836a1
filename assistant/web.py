"""`assistant web`: the terminal chat in a browser of this machine, through textual-serve.

By itself that library serves whoever asks, from any page. Here the server listens on loopback alone, and a request needs the
right Host, an Origin of its own where a browser names one, and a secret that the printed link holds.
"""

from __future__ import annotations

import hmac
import secrets
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import textual_serve
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from textual_serve.server import Server

from assistant.loopback import HOST, foreign, usable_port

_STATIC = Path(textual_serve.__file__).parent / "static"
# Each is a program with models of its own, 300 to 450 MB of memory (seen with this corpus).
MOST_SESSIONS = 4
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Alliance Assistant</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/static/css/xterm.css">
<style>
html, body { margin: 0; height: 100%; background: #121212; color: #e0e0e0; font: 16px/1.5 monospace; overflow: hidden; }
#terminal { width: 100vw; height: 100vh; }
.told { position: absolute; inset: 0; z-index: 10; background: #121212; }
.told { display: flex; align-items: center; justify-content: center; }
.ended, body.-first-byte .starting { display: none; }
body.-closed .ended { display: flex; }
a { color: #ffc473; }
</style>
<script src="/static/js/textual.js"></script>
<script src="/focus.js"></script>
</head>
<body>
<div class="told starting">starting …</div>
<div class="told ended"><p>The chat has ended. <a href="/">Start again</a></p></div>
<div id="start"></div>
<div id="terminal" class="textual-terminal" data-session-websocket-url="SOCKET" data-font-size="16"></div>
</body>
</html>
"""
# Keys go to the chat at once, and come back to it with the window.
_FOCUS = """"use strict";
const focus = () => { const line = document.querySelector(".xterm-helper-textarea"); if (line) line.focus(); };
new MutationObserver(focus).observe(document.documentElement, { attributeFilter: ["class"], subtree: true });
addEventListener("focus", focus);
"""


class WebChat(Server):
    """Serves the command, one program for each browser tab."""

    def __init__(self, command: str, port: int, *, most_sessions: int = MOST_SESSIONS) -> None:
        super().__init__(command, host=HOST, port=port, title="Alliance Assistant")
        self.token = secrets.token_urlsafe(24)
        self.link = f"http://{HOST}:{port}/?token={self.token}"
        self._cookie = f"assistant-{port}"
        self._most = most_sessions
        self._sessions = 0

    async def _make_app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard()])
        app.add_routes(
            [
                web.get("/", self.page),
                web.get("/focus.js", self.focus),
                web.get("/ws", self.handle_websocket),
                web.get("/download/{key}", self.handle_download),
                web.static("/static", _STATIC, show_index=False, follow_symlinks=False),
            ]
        )
        app.on_shutdown.append(self.on_shutdown)
        return app

    def _guard(self) -> Middleware:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            refusal = self._refusal(request)
            if refusal:
                return web.Response(status=403, text=refusal)
            response = await handler(request)
            if not response.prepared:
                response.headers["Content-Security-Policy"] = _POLICY
                response.headers["X-Content-Type-Options"] = "nosniff"
                response.headers["Referrer-Policy"] = "no-referrer"
                response.headers["Cache-Control"] = "no-store"
            return response

        return guard

    def _refusal(self, request: web.Request) -> str:
        """Why a request is not served; empty where it is."""
        if refusal := foreign(request, self.port, needs_origin=request.path == "/ws"):
            return refusal
        told = request.query.get("token", "") if request.path == "/" else ""
        known = any(
            hmac.compare_digest(given.encode(), self.token.encode())
            for given in (told, request.cookies.get(self._cookie, ""))
            if given
        )
        return "" if known else "Open the link that `assistant web` printed: it holds the secret of this server."

    async def page(self, request: web.Request) -> web.Response:
        if "token" in request.query:
            # The secret goes into a cookie, and out of the address bar and the history.
            response = web.Response(status=303, headers={"Location": "/"})
            response.set_cookie(self._cookie, self.token, httponly=True, samesite="Strict", path="/")
            return response
        socket_url = f"ws://{request.headers['Host']}/ws"
        return web.Response(text=_PAGE.replace("SOCKET", socket_url), content_type="text/html")

    async def focus(self, request: web.Request) -> web.Response:
        return web.Response(text=_FOCUS, content_type="text/javascript")

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        if self._sessions >= self._most:
            raise web.HTTPServiceUnavailable(text=f"{self._most} chats are open already; close one first.")
        self._sessions += 1
        try:
            return await super().handle_websocket(request)
        finally:
            self._sessions -= 1

    def initialize_logging(self) -> None:
        """None: what is asked is nobody else's."""


def serve_chat(arguments: Sequence[str], port: int) -> None:
    """arguments: of `assistant`, for the chat. port: 0 for a free one. Raises AssistantError where the port is taken."""
    port = usable_port(port)
    server = WebChat(shlex.join([sys.executable, "-m", "assistant", *arguments]), port)
    sys.stdout.write(f"The chat is at {server.link}\nAnybody with this link can use it from this machine. Ctrl+C ends it.\n")
    sys.stdout.flush()
    server.serve()
