"""How the program ends."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn

READER_GONE = 141


def leave(code: int) -> NoReturn:
    """Ends the process at once, its words said: nothing open can be lost.

    Taking down a model would hold the shell, and a thread that is still loading one must not meet an interpreter that goes.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of a pipe has gone, and wants no more.
        code = READER_GONE
    except OSError as error:
        code = code or 1
        with suppress(OSError):
            sys.stderr.write(f"assistant: not all could be written ({error.strerror}).\n")
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(code)
