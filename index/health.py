"""What `assistant doctor` tells of an index: versions, counts, drift, damage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from index.build import compare, corpus_sources, known_failures
from index.embedders import embedder_for
from index.errors import AssistantError, StoreMissing, StoreOutdated
from index.models import find_model
from index.settings import IndexSettings
from index.store import Store
from index.writing import open_store

_PACKAGES = (
    "alliance-assistant", "torch", "sentence-transformers", "openvino", "faiss-cpu", "tantivy", "tiktoken", "textual",
)  # fmt: skip

_EXTRAS = ("pymilvus", "milvus-lite", "ray")
_ABSENT = "not installed"


@dataclass(frozen=True, slots=True)
class Finding:
    state: Literal["ok", "look", "bad"]
    """look: works, but a person should know. bad: does not work."""
    subject: str
    words: str


def remedy(findings: Iterable[Finding]) -> Literal["none", "build", "rebuild"]:
    """What mends what was found: nothing to do, a build that takes in what changed, or one that reads everything again.

    A missing model or corpus is mended by a person.
    """
    wrong = {finding.subject: finding.state for finding in findings if finding.state != "ok"}
    if wrong.get("model") == "bad" or wrong.get("corpus") == "bad":
        return "none"
    if "bad" in (wrong.get("ledger"), wrong.get("built with"), wrong.get("store")):
        return "rebuild"
    return "build" if wrong.keys() & {"store", "drift", "embedded", "vectors", "words"} else "none"


def examine(settings: IndexSettings) -> Iterator[Finding]:
    """One finding after the other; never raises for what it is there to find."""
    extras = [name for name in _EXTRAS if _version(name) != _ABSENT]
    yield Finding("ok", "versions", ", ".join(f"{name} {_version(name)}" for name in (*_PACKAGES, *extras)))
    fingerprint = None
    try:
        find_model(settings.model).digest()
        embedder = embedder_for(settings)
        fingerprint = embedder.fingerprint
        yield Finding("ok", "model", f"{fingerprint}, weights verified")
        yield Finding("look" if embedder.is_refused else "ok", "embedding", embedder.described())
    except AssistantError as error:
        yield Finding("bad", "model", str(error))
    sources = None
    try:
        sources = corpus_sources(settings)
        yield Finding(
            "ok" if sources.by_id else "look",
            "corpus",
            f"{len(sources.by_id)} documents in {settings.corpus}; added ones go to {settings.added}",
        )
    except AssistantError as error:
        yield Finding("bad", "corpus", str(error))
    try:
        store = open_store(settings)
    except (StoreMissing, StoreOutdated) as error:
        yield Finding("look", "store", str(error))
        return
    except AssistantError as error:
        yield Finding("bad", "store", str(error))
        return
    try:
        yield from _examine_store(store, settings, fingerprint)
        if sources is not None:
            plan = compare(sources, store.documents(), known_failures(store))
            if plan.is_empty:
                yield Finding("ok", "drift", "the index shows the corpus as it is")
            else:
                yield Finding(
                    "look",
                    "drift",
                    f"{len(plan.new)} new, {len(plan.touched)} changed, {len(plan.removed)} removed since the index was built; "
                    "bring it up to date with: assistant index",
                )
    except AssistantError as error:
        yield Finding("bad", "store", str(error))
    finally:
        store.close()


def _examine_store(store: Store, settings: IndexSettings, fingerprint: str | None) -> Iterator[Finding]:
    counts = store.counts()
    yield Finding(
        "ok",
        "store",
        f"{counts['documents']} documents, {counts['chunks']} chunks, {counts['vectors']} vectors, version {store.version}, "
        f"in {store.place}",
    )
    damage = store.damage()
    if damage is None:
        yield Finding("ok", "ledger", "sound, every row as it was written")
    else:
        yield Finding("bad", "ledger", f"damaged ({damage}); rebuild it with: assistant index --rebuild")
    if fingerprint is not None:
        try:
            store.check(fingerprint=fingerprint, chunk_tokens=settings.chunk_tokens)
        except AssistantError as error:
            yield Finding("bad", "built with", str(error))
    lost = counts["chunks"] - store.embedded()
    if lost:
        yield Finding("look", "embedded", f"{lost} chunks have no vector of this model; bring the index up to date")
    for name, state in store.derived_state().items():
        if state.startswith("current"):
            yield Finding("ok", name, state)
        else:
            yield Finding("look", name, f"{state}; remade in memory at each start until you run: assistant index")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return _ABSENT
