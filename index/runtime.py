"""OpenVINO, as this program uses it."""

from __future__ import annotations

import sys
from threading import Thread
from typing import Any


def runtime() -> Any:
    """The openvino package without its conversion tools, which report to their maker when they are imported."""
    sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def import_ahead() -> None:
    """Begins to import what a model needs, beside whatever the caller does next."""
    Thread(target=runtime, name="importing OpenVINO", daemon=True).start()
