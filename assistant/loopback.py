"""What holds for every server here: it listens on this machine alone, and answers neither foreign names nor foreign pages."""

from __future__ import annotations

import socket

from aiohttp import web

from index.errors import AssistantError

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost")


def usable_port(port: int) -> int:
    """The same, or for 0 a free one. Raises AssistantError where it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise AssistantError(f"port {port} cannot be used ({error.strerror}); choose another with --port.") from error
        return int(probe.getsockname()[1])


def foreign(request: web.Request, port: int, *, needs_origin: bool = False) -> str:
    """Why a request is not from here; empty where it is. needs_origin: whether one without an Origin counts as foreign."""
    hosts = {f"{name}:{port}" for name in _NAMES}
    if request.headers.get("Host") not in hosts:
        return "This server answers under 127.0.0.1 and localhost alone."
    origin = request.headers.get("Origin")
    if (origin is not None or needs_origin) and origin not in {f"http://{host}" for host in hosts}:
        return "This server answers its own pages alone."
    return ""
