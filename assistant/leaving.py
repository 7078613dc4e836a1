"""How the program ends."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """Ends the process at once, its words said: nothing open can be lost.

    Taking down a model would hold the shell, and a thread that is still loading one must not meet an interpreter that goes.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
