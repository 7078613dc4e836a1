"""OpenVINO, as this program uses it."""

from __future__ import annotations

import sys
from typing import Any


def runtime() -> Any:
    """The openvino package without its conversion tools, which report to their maker when they are imported."""
    sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]
    import openvino

    return openvino
