"""A real Milvus server for the tests: milvus-lite's, in a process of its own, on this machine only."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from importlib.util import find_spec
from pathlib import Path

import pytest

from index.settings import MilvusAddress

REQUIRED = "ASSISTANT_DISTRIBUTED"
"""Set where the extras must be there: without them the tests that need them fail, and are not passed over."""


def needs(module: str) -> None:
    """Passes a test over where an extra is not installed."""
    if find_spec(module) is None and not os.environ.get(REQUIRED):
        pytest.skip(f"{module} is not installed (make test-distributed)")


class MilvusLite:
    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [str(Path(sys.executable).with_name("milvus-lite")), "server", "--data-dir", str(self.folder)]
        # Without it milvus-lite listens to the whole network.
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        with self.folder.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + 60
        while time.monotonic() < until and self._process.poll() is None:
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError(self.folder.with_suffix(".log").read_text(errors="replace")[-2_000:])

    def kill(self) -> None:
        """At once, whatever it is doing."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def address(self, name: str | None = None) -> MilvusAddress:
        """Of an index; one that nobody has used unless a name is given."""
        return MilvusAddress("127.0.0.1", self.port, name or f"i{uuid.uuid4().hex}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
