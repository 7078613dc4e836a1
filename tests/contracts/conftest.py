"""Every kind of store, empty and filled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import index.lexical
import index.store
import index.vectors
from index.settings import IndexSettings
from index.store import Store, WritableStore, built_with
from index.writing import building, open_store
from tests.contracts.filling import DIMENSIONS, fill
from tests.milvus_lite import MilvusLite, OlderMilvus


@pytest.fixture(scope="module")
def older_milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusLite]:
    if find_spec("milvus") is None or find_spec("pymilvus") is None:
        pytest.skip("milvus==2.3.5, the engine of an older release, is not installed (make test-distributed)")
    server = OlderMilvus(tmp_path_factory.mktemp("older") / "data")
    server.start()
    yield server
    server.kill()


class Stores(NamedTuple):
    """One index: its builder's store, and how a reader opens it."""

    builder: WritableStore
    reader: Callable[[], Store]


def search_as_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a hundred chunks on a folder's store is searched as one of a million is."""
    monkeypatch.setattr(index.vectors, "EXACT_UP_TO", 100)
    monkeypatch.setattr(index.vectors, "_FEW", 10)
    monkeypatch.setattr(index.lexical, "_FEW", 10)
    monkeypatch.setattr(index.store, "ANEW_UP_TO", 100)


def settings_of(kind: str, folder: Path, request: pytest.FixtureRequest) -> IndexSettings:
    settings = IndexSettings(folder / "corpus", folder / "added", folder / "store")
    if not kind.startswith("milvus"):
        return settings
    server: MilvusLite = request.getfixturevalue("milvus" if kind == "milvus" else "older_milvus")
    return IndexSettings(folder / "corpus", folder / "added", folder / "store", engine=server.address())


@pytest.fixture(params=["local", "large", "milvus", "milvus-2.3"])
def stores(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stores]:
    if request.param == "large":
        search_as_large(monkeypatch)
    if request.param == "milvus-2.3" and request.node.get_closest_marker("words"):
        pytest.skip("that engine searches vectors only")
    settings = settings_of(request.param, tmp_path, request)
    with ExitStack() as opened:
        builder = opened.enter_context(building(settings))
        builder.begin_anew(built_with("model:1", DIMENSIONS, 200))
        builder.finish("{}")

        def reader() -> Store:
            store = open_store(settings)
            opened.callback(store.close)
            return store

        yield Stores(builder, reader)


@pytest.fixture
def store(stores: Stores) -> WritableStore:
    return stores.builder


Filled = tuple[WritableStore, dict[str, np.ndarray]]


@pytest.fixture
def filled(store: WritableStore) -> Filled:
    """Five documents of eight chunks each; every chunk's id with its vector."""
    return store, fill(store)
