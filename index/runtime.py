"""OpenVINO, as this program uses it."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

_NICE = 10
_THREADS = Path("/proc/self/task")


def runtime() -> Any:
    """The openvino package without its conversion tools, which report to their maker when they are imported."""
    sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def give_way() -> None:
    """Lowers the priority of the threads that compute, so that those that listen to a person come first.

    These are the ones that Python does not know: OpenVINO's and other libraries'. A thread that computes while others wait for
    nothing is as fast as before. Only Linux gives a thread a priority of its own; elsewhere nothing is done.
    """
    if not _THREADS.is_dir():
        return
    known = {thread.native_id for thread in threading.enumerate()}
    for number in (int(entry.name) for entry in _THREADS.iterdir()):
        # One may have ended by now.
        with suppress(OSError):
            if number not in known and os.getpriority(os.PRIO_PROCESS, number) < _NICE:
                os.setpriority(os.PRIO_PROCESS, number, _NICE)
