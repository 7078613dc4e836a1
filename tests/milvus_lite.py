"""Real Milvus servers for the tests: milvus-lite's, and the engine of an older release; in processes of their own."""

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
    """milvus-lite's server, on this machine only."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        # Without its host it listens to the whole network.
        return ["milvus-lite", "server", "--data-dir", str(self.folder), "--host", "127.0.0.1", "--port", str(self.port)]

    def start(self) -> None:
        program, *arguments = self.command()
        command = [str(Path(sys.executable).with_name(program)), *arguments]
        with self.folder.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        until = time.monotonic() + 60
        while time.monotonic() < until and self._process.poll() is None:
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        self.kill()
        raise AssertionError(self.folder.with_suffix(".log").read_text(errors="replace")[-2_000:])

    def kill(self) -> None:
        """At once, whatever it is doing."""
        if self._process is not None:
            # With what it has started.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def address(self, name: str | None = None) -> MilvusAddress:
        """Of an index; one that nobody has used unless a name is given."""
        return MilvusAddress("127.0.0.1", self.port, name or f"i{uuid.uuid4().hex}")


class OlderMilvus(MilvusLite):
    """Milvus 2.3.5 in one process: the engine itself, which searches vectors and no words."""

    def command(self) -> list[str]:
        ports = [each for name in _ITS_PORTS for each in (f"--{name}-port", str(free_port()))]
        return ["milvus-server", "--data", str(self.folder), "--proxy-port", str(self.port), *ports]

    def start(self) -> None:
        super().start()
        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException

        # It listens before it can answer.
        for _ in range(60):
            try:
                MilvusClient(f"http://127.0.0.1:{self.port}", timeout=5).close()
                return
            except MilvusException:
                time.sleep(1)
        self.kill()
        raise AssertionError("the server never answered")


_ITS_PORTS = (
    "etcd", "root-coord", "proxy-internal", "query-coord", "query-node", "index-coord", "index-node", "data-coord", "data-node"
)  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
