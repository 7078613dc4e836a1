"""Reading, chunking and embedding on a Ray cluster: a Ray Data pipeline that the one builder feeds and whose results it stores.

The code that reads and embeds is the local one's. A node that is lost costs the documents it was at: others read them again.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np

from index.embedders import Embedder, embedder_for
from index.errors import AssistantError, BuildError
from index.reading import Read, Source, read, read_as_json, read_from_json, source_as_json, source_from_json
from index.settings import IndexSettings
from index.store import VectorLookup, WritableStore

LOCAL = "local"
"""Stands for a cluster of this machine alone, which ends with the build."""
_DOCUMENTS_AT_ONCE, _EMBEDDED_AT_ONCE = 4, 16
_CONNECT_SECONDS = 10.0


class RayCluster:
    """A Cluster. address: "local", "auto", or HOST:PORT of a cluster whose nodes see the corpus at the same path."""

    def __init__(self, address: str = LOCAL) -> None:
        self._address = address
        self._ray: Any = None

    def __enter__(self) -> Self:
        self._ray = _imported(has_key=self._address != LOCAL)
        self._connect(self._ray)
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()

    def read(
        self, sources: Sequence[tuple[Source, str | None]], store: WritableStore, settings: IndexSettings, embedder: Embedder
    ) -> Generator[list[Read]]:
        ray = self._ray
        try:
            yield from self._results(ray, sources, store, settings, embedder)
        except AssistantError:
            raise
        except Exception as error:
            # Ray raises its failures from others, some of which say nothing.
            said = next((each for each in (str(error.__cause__ or ""), str(error)) if each.strip()), type(error).__name__)
            reason = " ".join(said.split())[-300:]
            raise BuildError(
                f"the Ray cluster ({self._address}) failed: {reason}. What was stored so far is whole, and the same "
                "command goes on."
            ) from error

    def _connect(self, ray: Any) -> None:
        options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "configure_logging": False}
        try:
            if ":" in self._address:
                # Ray itself waits for minutes for one that is not there.
                host, _, port = self._address.rpartition(":")
                socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
            with _quiet():
                if self._address == LOCAL:
                    ray.init(include_dashboard=False, **options)
                else:
                    ray.init(address=self._address, **options)
        except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
            raise BuildError(
                f"the Ray cluster at {self._address} cannot be reached ({' '.join(str(error).split())[:200]}); check its "
                "address, and that this machine has its key (RAY_AUTH_TOKEN or ~/.ray/auth_token)."
            ) from error

    def _results(
        self,
        ray: Any,
        sources: Sequence[tuple[Source, str | None]],
        store: WritableStore,
        settings: IndexSettings,
        embedder: Embedder,
    ) -> Generator[list[Read]]:
        import ray.data as data

        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        resources = ray.cluster_resources()
        cores, cards = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
        if cards:
            settings = _on_cards(settings)
        embedders = cards or max(1, cores // 2)
        readers = max(1, cores - (0 if cards else embedders))
        half = 0.5 if cores < 2 else 1
        told = {"settings": settings, "fingerprint": embedder.fingerprint}
        rows = [{"source": source_as_json(source, digest)} for source, digest in sources]
        blocks = max(1, min(len(rows) // _DOCUMENTS_AT_ONCE, 64 * cores))
        pipeline = (
            data.from_items(rows, override_num_blocks=blocks)
            .map_batches(
                _Reader,
                fn_constructor_kwargs=told,
                batch_size=_DOCUMENTS_AT_ONCE,
                compute=data.ActorPoolStrategy(min_size=1, max_size=readers),
                num_cpus=half,
            )
            .map_batches(
                _Embedder,
                fn_constructor_kwargs={**told, "lookup": store.lookup(embedder.fingerprint)},
                batch_size=_EMBEDDED_AT_ONCE,
                compute=data.ActorPoolStrategy(min_size=1, max_size=embedders),
                **({"num_gpus": 1, "num_cpus": 0} if cards else {"num_cpus": half}),
            )
        )
        for batch in pipeline.iter_batches(batch_size=None, batch_format="numpy"):
            found = zip(batch["read"], batch["names"], batch["vectors"], strict=True)
            yield [
                read_from_json(str(text), _unpacked(bytes(names), bytes(vectors), embedder.dimensions))
                for text, names, vectors in found
            ]


class _Reader:
    """On a node: reads and chunks."""

    def __init__(self, settings: IndexSettings, fingerprint: str) -> None:
        self._settings, self._embedder = settings, _embedder_of(settings, fingerprint)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        found = []
        for told in batch["source"]:
            source, digest = source_from_json(str(told))
            found.append(
                read(
                    source,
                    digest,
                    self._embedder.count_tokens,
                    chunk_tokens=self._settings.chunk_tokens,
                    limit=self._embedder.max_tokens,
                )
            )
        return {"read": [read_as_json(each) for each in found]}


class _Embedder:
    """On a node: the one model of its process."""

    def __init__(self, settings: IndexSettings, fingerprint: str, lookup: VectorLookup) -> None:
        self._embedder, self._lookup = _embedder_of(settings, fingerprint), lookup

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        reads = [read_from_json(str(text)) for text in batch["read"]]
        texts = {
            key: chunk.text
            for each in reads
            if each.entry is not None
            for key, chunk in zip(each.entry.vector_keys, each.entry.chunks, strict=True)
        }
        missing = texts.keys() - self._lookup.among(texts)
        # Texts of like length share a batch.
        keys = sorted((key for key in texts if key in missing), key=lambda key: len(texts[key]))
        made = dict(zip(keys, self._embedder.embed([texts[key] for key in keys]), strict=True)) if keys else {}
        names, vectors = [], []
        for each in reads:
            own = list(dict.fromkeys(key for key in (each.entry.vector_keys if each.entry else ()) if key in made))
            names.append(b"".join(own))
            vectors.append(b"".join(made.pop(key).astype(np.float16).tobytes() for key in own))
        return {"read": list(batch["read"]), "names": names, "vectors": vectors}


def _embedder_of(settings: IndexSettings, fingerprint: str) -> Embedder:
    """Raises BuildError where a node has another model than the builder: their vectors must not mix."""
    embedder = embedder_for(settings)
    if embedder.fingerprint != fingerprint:
        raise BuildError(f"a node of the Ray cluster has the model {embedder.fingerprint}, the builder has {fingerprint}.")
    return embedder


def _unpacked(names: bytes, vectors: bytes, dimensions: int) -> dict[bytes, Any]:
    rows = np.frombuffer(vectors, dtype=np.float16).reshape(-1, dimensions).astype(np.float32)
    return {names[16 * at : 16 * at + 16]: row for at, row in enumerate(rows)}


def _on_cards(settings: IndexSettings) -> IndexSettings:
    from dataclasses import replace

    return replace(settings, device="cuda") if settings.device == "cpu" else settings


@contextmanager
def _quiet() -> Iterator[None]:
    """While Ray connects, its engine writes each attempt to the terminal, past Python."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _imported(*, has_key: bool) -> Any:
    """has_key: whether the cluster has a key, which this machine must be told. Raises BuildError where Ray is not installed."""
    # Before the import, which reads it: nothing is reported to its maker, and whoever wants to join must have the key.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    # What goes wrong is told once, by this program.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if not has_key:
        # Of a cluster that begins and ends with this build: nobody else need know it.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise BuildError("--ray needs Ray: pip install 'alliance-assistant[ray]'") from error
    return ray
