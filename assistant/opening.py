"""Opens the assistant for a command: builds the index where there is none, and tells what a person should know."""

from __future__ import annotations

import sys

from assistant.assembly import Assistant, build_index, store_state, upgrade_store
from assistant.inert import inert
from assistant.listing import drift_lines, show_build
from assistant.reader.model import LazyReaderModel
from assistant.settings import Settings
from index.embedders import Embedder


def open_assistant(
    settings: Settings,
    *,
    up_to_date: bool = False,
    embedder: Embedder | None = None,
    reader_model: LazyReaderModel | None = None,
) -> Assistant:
    """up_to_date: also takes in what changed since the index was built. embedder, reader_model: ones being loaded already.

    Raises AssistantError.
    """
    state = store_state(settings)
    if state == "outdated":
        upgrade_store(settings)
        state = store_state(settings)
        sys.stderr.write("! The index was made by an earlier release; it now has this release's format. Nothing was lost.\n")
    if up_to_date or (state == "unbuilt" and not settings.is_shared):
        bring_up_to_date(settings, quiet=True)
    assistant = Assistant(settings, embedder, reader_model)
    assistant.check_not_empty()
    return assistant


def bring_up_to_date(settings: Settings, *, rebuild: bool = False, quiet: bool, ray: str | None = None) -> None:
    """ray: address of the Ray cluster that reads and embeds; "local" for one of this machine alone."""
    show_build(build_index(settings, rebuild=rebuild, ray=ray), quiet=quiet)


def tell_writer(assistant: Assistant) -> None:
    """On stderr: which language model writes, and where words go."""
    if assistant.writes:
        sys.stderr.write(f"{inert(f'answers {assistant.writes}')}\n")


def tell_drift(assistant: Assistant) -> None:
    """On stderr, so that results stay what they are."""
    for line in (*drift_lines(assistant.drift()), *([f"! {assistant.notice}"] if assistant.notice else [])):
        sys.stderr.write(f"{inert(line)}\n")
