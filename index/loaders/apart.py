"""Files whose format can hold anything are read in a process apart, with limits on its memory and time.

The process is started at the first such file, stays for the next, and ends with the program. What goes in and comes out is
JSON, a line each.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

try:
    import resource
except ImportError:  # There is none on Windows: memory is not limited there.
    resource = None  # type: ignore[assignment]

from index.documents import Document, Locator, Voice
from index.errors import CorpusError
from index.loaders.registry import Loaded, load_here

_SILENT_SECONDS = 90.0
"""A page, or a file without pages, may take so long."""
_LONGEST_SECONDS = 1_800.0
MOST_MEMORY = 2_500_000_000
"""Bytes of address space that reading a file may take, where the system lets one set it."""
# From here on the process is replaced before the next file.
_GROWN = 700_000_000


class _Process:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def load(self, path: Path, document_id: str, max_bytes: int) -> Loaded:
        with self._lock:
            request = json.dumps({"path": os.fspath(path), "id": document_id, "max_bytes": max_bytes})
            told = self._ask(request.encode() + b"\n", document_id)
        if "refused" in told:
            raise CorpusError(told["refused"])
        return Loaded(_document(told["document"]), told["warning"])

    def _ask(self, request: bytes, document_id: str) -> dict[str, Any]:
        child = self._running()
        assert child.stdin is not None
        try:
            child.stdin.write(request)
            child.stdin.flush()
        except OSError:
            # It ended after the file before.
            self.end()
            child = self._running()
            assert child.stdin is not None
            child.stdin.write(request)
            child.stdin.flush()
        left = _LONGEST_SECONDS
        while left > 0:
            try:
                line = self._lines.get(timeout=min(_SILENT_SECONDS, left))
            except queue.Empty:
                break
            if not line:
                self.end()
                raise CorpusError(
                    f"{document_id}: reading it broke the loader, or took more than {MOST_MEMORY / 1e9:.1f} GB of memory; "
                    "save it in another format, or leave it out."
                )
            told: dict[str, Any] = json.loads(line)
            if "page" not in told:
                if told.get("leaving"):
                    self.end()
                return told
            left -= told["seconds"]
        self.end()
        raise CorpusError(f"{document_id}: was not read within {_SILENT_SECONDS:.0f} seconds; split it, or leave it out.")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self.end()
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", "index.loaders.apart"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # Ctrl+C in the terminal is for the program, which then ends this.
                start_new_session=True,
            )
            self._lines = queue.SimpleQueue()
            threading.Thread(target=_forward, args=(self._child, self._lines), daemon=True).start()
        return self._child

    def end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            with suppress(OSError):
                child.kill()
            if child.stdin is not None:
                with suppress(OSError):
                    child.stdin.close()
            child.wait()


def _forward(child: subprocess.Popen[bytes], lines: queue.SimpleQueue[bytes]) -> None:
    assert child.stdout is not None
    with child.stdout:
        for line in child.stdout:
            lines.put(line)
    lines.put(b"")


_process = _Process()
atexit.register(_process.end)


def load_apart(path: Path, document_id: str, *, max_bytes: int) -> Loaded:
    """Raises CorpusError, also when reading takes too long, too much memory, or breaks the process."""
    return _process.load(path, document_id, max_bytes)


def _document(told: dict[str, Any]) -> Document:
    places = tuple(
        Locator(start, end, label, tuple(headings), Voice(*voice) if voice else None, heading)
        for start, end, label, headings, voice, heading in told.pop("locators")
    )
    lists: dict[str, Any] = {key: tuple(told.pop(key)) for key in ("authors", "sources")}
    return Document(**told, **lists, locators=places)


def _told(loaded: Loaded) -> dict[str, Any]:
    document = asdict(loaded.document)
    document["locators"] = [
        (
            each.start,
            each.end,
            each.label,
            each.headings,
            each.voice and (each.voice.speaker, each.voice.reported_by),
            each.heading,
        )
        for each in loaded.document.locators
    ]
    return {"document": document, "warning": loaded.warning}


def _limit_memory() -> None:
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))


def _grown() -> bool:
    # In kilobytes, but on macOS, where too early does no harm.
    return resource is not None and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > _GROWN


def main() -> None:
    """Reads files until the program closes the pipe."""
    with suppress(ValueError, OSError):
        _limit_memory()
    # Libraries that print must not be taken for an answer.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        began = time.monotonic()

        def step(page: int) -> None:
            nonlocal began
            now = time.monotonic()
            if now - began > 1:
                out.write(json.dumps({"page": page, "seconds": now - began}).encode() + b"\n")
                out.flush()
                began = now

        try:
            told = _told(load_here(Path(asked["path"]), asked["id"], max_bytes=asked["max_bytes"], step=step))
        except CorpusError as error:
            told = {"refused": str(error)}
        except (MemoryError, RecursionError):
            told = {"refused": f"{asked['id']}: takes more memory than {MOST_MEMORY / 1e9:.1f} GB to read; split it."}
        except Exception as error:  # noqa: BLE001 - whatever a damaged file leads its loader into
            told = {"refused": f"{asked['id']}: cannot be read ({type(error).__name__}); save it again or in another format."}
        told["leaving"] = _grown()
        out.write(json.dumps(told).encode() + b"\n")
        out.flush()


if __name__ == "__main__":
    main()
