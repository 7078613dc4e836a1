"""The command `assistant`: whatever goes wrong, a person reads one sentence."""

from __future__ import annotations

import errno
import gc
import io
import os
import sys
import traceback
from typing import NoReturn

from assistant.leaving import READER_GONE, leave

_STOPPED = 130


def main() -> None:
    # Imports make many objects and no garbage: looking for it would take a tenth of the start.
    gc.disable()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from index.errors import AssistantError

    for stream in (sys.stdout, sys.stderr):
        # A terminal of another encoding shows a question mark rather than a failure.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    verbose = bool(os.environ.get("ASSISTANT_DEBUG"))
    try:
        if len(sys.argv) == 1:
            # The chat as it is: reading the command line would cost a tenth of its start.
            from assistant.chat import open_chat

            open_chat({})
        from assistant.cli import app

        app()
    except AssistantError as error:
        _tell(f"assistant: {error}", verbose)
    except (KeyboardInterrupt, SystemExit) as stop:
        # Typer turns Ctrl+C into an exit with this code.
        if isinstance(stop, SystemExit) and stop.code != _STOPPED:
            leave(stop.code if isinstance(stop.code, int) else int(stop.code is not None))
        sys.stderr.write(
            "assistant: stopped. Nothing is lost: an index that was being built goes on from here with the same command.\n"
        )
        leave(_STOPPED)
    except BrokenPipeError:
        leave(READER_GONE)
    except MemoryError:
        _tell("assistant: not enough memory; close other programs or use a smaller corpus.", verbose)
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback reaches a person
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            _tell("assistant: no space is left where it writes; free some and run the same command again.", verbose)
        _tell(
            f"assistant: a fault of the program stopped it ({type(error).__name__}: {str(error)[:200]}); nothing in the index "
            "is lost. Run it again with ASSISTANT_DEBUG=1 for the details to report.",
            verbose,
        )


def _tell(sentence: str, verbose: bool) -> NoReturn:
    from assistant.inert import inert

    sys.stderr.write(f"{inert(sentence)}\n")
    if verbose:
        traceback.print_exc()
    leave(1)


if __name__ == "__main__":
    main()
