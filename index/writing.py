"""How a store is opened: for reading, or to be built by one builder at a time.

Older formats are brought up, damaged ledgers are set aside.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from index.database import FILE_NAME as LEDGER_FILE
from index.errors import StoreBusy, StoreDamaged, StoreError, StoreOutdated
from index.schema import migrate
from index.settings import IndexSettings, MilvusAddress
from index.store import BUILDER, LocalStore, Store, WritableStore


def index_at(place: str) -> IndexSettings:
    """What opens the index at a folder or an address, whatever it was built from. Raises SettingsError for what is no address."""
    engine = MilvusAddress.parse(place) if MilvusAddress.is_meant(place) else None
    folder = Path() if engine else Path(place).expanduser()
    return IndexSettings(corpus=folder, added=folder, store=folder, engine=engine)


def open_store(settings: IndexSettings) -> Store:
    """For reading. Raises StoreMissing, StoreMismatch, StoreOutdated or StoreError."""
    if settings.engine is None:
        return LocalStore(settings.store)
    from index.milvus import MilvusStore

    return MilvusStore(settings.engine)


@contextmanager
def building(settings: IndexSettings, *, rebuild: bool = False) -> Iterator[WritableStore]:
    """For one builder, who holds it until the end. rebuild: a damaged ledger is set aside.

    Raises StoreBusy, StoreMismatch or StoreError.
    """
    if settings.engine is not None:
        from index.milvus_builder import MilvusBuilder
        from index.milvus_server import MilvusServer, lease

        with lease(MilvusServer(settings.engine)) as held:
            store = MilvusBuilder(settings.engine, held, rebuild=rebuild)
            try:
                yield store
            finally:
                store.close()
        return
    with build_lock(settings.store):
        if rebuild:
            set_aside_if_damaged(settings.store)
        local = open_for_writing(settings.store)
        try:
            yield local
        finally:
            local.close()


@contextmanager
def build_lock(store: Path) -> Iterator[None]:
    """One builder at a time. The lock dies with its process. Raises StoreBusy or StoreError."""
    from filelock import FileLock, Timeout

    holder = store / BUILDER
    try:
        store.mkdir(parents=True, exist_ok=True)
        lock = FileLock(store / "lock", timeout=0)
        lock.acquire()
        with suppress(OSError):
            holder.write_text(f"process {os.getpid()} on {platform.node()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
    except Timeout as error:
        try:
            who = holder.read_text(encoding="utf-8")[:200]
        except (OSError, ValueError):
            who = "another process"
        raise StoreBusy(f"{who} is building the index in {store}; wait until it is done.") from error
    except OSError as error:
        raise StoreError(
            f"the index folder {store} cannot be written ({error.strerror or error}); choose another with --store."
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):
            holder.unlink()
        lock.release()


def upgrade(folder: Path) -> None:
    """Brings a store of an earlier release to this one's format. Nothing is embedded. Raises StoreError."""
    with build_lock(folder):
        store = open_for_writing(folder)
        try:
            store.derive()
        finally:
            store.close()


def open_for_writing(folder: Path) -> LocalStore:
    """Under the build lock."""
    try:
        return LocalStore(folder, writable=True)
    except StoreOutdated:
        try:
            migrate(folder / LEDGER_FILE)
        except (sqlite3.OperationalError, OSError) as error:
            raise StoreError(
                f"the index in {folder} was made by an earlier release and cannot be brought to this one's format ({error}); "
                "close other programs that use it and check free space and permissions, then run: assistant index"
            ) from error
        except (sqlite3.DatabaseError, ValueError, KeyError, IndexError, TypeError) as error:
            raise StoreDamaged(
                f"the index in {folder} was made by an earlier release and is damaged ({type(error).__name__}: {error}); rebuild "
                "it with: assistant index --rebuild"
            ) from error
        return LocalStore(folder, writable=True)


def set_aside_if_damaged(folder: Path) -> None:
    """A rebuild of a damaged ledger starts afresh; the damaged file is set aside, not deleted."""
    try:
        store = open_for_writing(folder)
    except StoreDamaged:
        sound = False
    else:
        sound = store.ledger.damage() is None
        store.close()
    if sound:
        return
    free = next(number for number in count(1) if not (folder / f"{LEDGER_FILE}.damaged-{number}").exists())
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            (folder / f"{LEDGER_FILE}{suffix}").replace(folder / f"{LEDGER_FILE}.damaged-{free}{suffix}")
