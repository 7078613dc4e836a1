"""What a run of a suite is made with: its settings, its index, the file it is kept in; and the asking itself."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from assistant.assembly import Assistant
from assistant.settings import ASIDE, Settings, load_settings
from evals.cases import GoldCase, Suite, check_gold
from evals.records import Result, Run, recording, write
from evals.runner import run
from index.loaders.jsonl import is_jsonl
from index.settings import MilvusAddress


def settings_for(suite: Suite, changed: Mapping[str, str], store: str | Path | MilvusAddress | None) -> tuple[Settings, bool]:
    """The settings of a run, and whether its index belongs to evals alone.

    A suite that brings its corpus as a file, or that asks for other chunks or another model than the user's, has an index
    of its own: neither the data's folder nor the user's index is touched.
    """
    own = load_settings({"store": store})
    of_corpus = load_settings({"corpus": suite.corpus, "store": store})
    settings = load_settings(
        {"corpus": suite.corpus, "store": store}, layers=[(suite.settings, str(suite.settings_file)), (changed, "--set")]
    )
    if store is not None:
        return settings, False
    same_corpus = settings.corpus.expanduser().resolve() == own.corpus.expanduser().resolve()
    # A store that the user's settings name belongs to the corpus that they name.
    settings = settings if same_corpus else settings.model_copy(update={"store": None})
    asked = (settings.model, settings.chunk_tokens)
    if not is_jsonl(settings.corpus) and asked == (of_corpus.model, of_corpus.chunk_tokens):
        return settings, False
    named = json.dumps([str(settings.corpus.expanduser().resolve()), *asked])
    folder = settings.evals_folder() / "stores" / f"{suite.name}-{hashlib.sha256(named.encode()).hexdigest()[:12]}"
    return settings.model_copy(update={"store": folder}), True


def unusual(settings: Settings, suite: Suite) -> dict[str, Any]:
    """The settings that are neither the program's nor the suite's own, wherever they were told; paths left aside."""
    usual = Settings(**suite.settings).model_dump(mode="json")
    return {key: value for key, value in settings.model_dump(mode="json").items() if key not in ASIDE and value != usual[key]}


def new_file(folder: Path, described: Run) -> Path:
    """Where a run is kept that was given no other place."""
    # Two runs may begin in the same second.
    stamp = described.started.replace(":", "").replace("-", "").replace("+0000", "")
    return folder / f"{described.suite}-{described.part}-{described.mode}-{stamp}-{secrets.token_hex(2)}.jsonl"


def ask_all(
    suite: Suite, assistant: Assistant, cases: Sequence[GoldCase], described: Run, out: Path, *, done: Sequence[Result]
) -> Iterator[Result]:
    """Asks what is not done yet, and adds each case to the file as it ends.

    Raises SuiteError when gold names what is not in the corpus, and when the file cannot be written.
    """
    check_gold(suite, {row.id for row in assistant.store.documents()}, assistant.store.document)
    known = {result.id for result in done}
    todo = [case for case in cases if case.id not in known]
    with recording(out, described, done=done) as file:
        if todo:
            # The model is loaded before the first question, so that its seconds are no question's seconds.
            assistant.warm(reading=described.mode == "answers")
        for result in run(suite, assistant, todo, mode=described.mode):
            write(file, result)
            yield result
