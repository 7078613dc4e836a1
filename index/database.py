"""One SQLite database: how it is opened, read and written, and what a person is told when that fails."""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock

from index.errors import StoreDamaged, StoreError, StoreMissing, StoreOutdated
from index.schema import FORMAT, create

FILE_NAME = "ledger.db"


class Database:
    """One SQLite connection, safe to share between threads.

    Raises StoreMissing where there is none, StoreError where it cannot be opened or is damaged.
    """

    def __init__(self, folder: Path, *, writable: bool) -> None:
        self._path = folder / FILE_NAME
        self._lock = RLock()
        self._writable = writable
        self._immutable = False
        if not writable and not self._path.is_file():
            raise StoreMissing(f"there is no index in {folder} yet; build it with: assistant index")
        try:
            if writable:
                folder.mkdir(parents=True, exist_ok=True)
            self._connection = self._connect(writable)
            self._opened = self._stamp()
            try:
                self._check(writable)
            except BaseException:
                self._connection.close()
                raise
        except (sqlite3.OperationalError, OSError) as error:
            raise StoreError(
                f"the index in {folder} cannot be {'written' if writable else 'opened'} ({error}); check the folder's "
                "permissions and space, or choose another with --store."
            ) from error
        except sqlite3.DatabaseError as error:
            raise self.damaged(error) from error

    def damaged(self, reason: object) -> StoreDamaged:
        return StoreDamaged(f"the index in {self._path.parent} is damaged ({reason}); rebuild it with: assistant index --rebuild")

    def _connect(self, writable: bool) -> sqlite3.Connection:
        location = self._path.resolve().as_uri()
        if writable:
            connection = sqlite3.connect(location, uri=True, check_same_thread=False, isolation_level=None, timeout=30)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            return connection
        try:
            connection = sqlite3.connect(
                f"{location}?mode=ro", uri=True, check_same_thread=False, isolation_level=None, timeout=30
            )
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            log = Path(f"{self._path}-wal")
            if os.access(self._path.parent, os.W_OK) or (log.exists() and log.stat().st_size):
                raise
            # A read-only folder, where SQLite can make no shared memory; the log is empty, so nothing is overlooked.
            self._immutable = True
            connection = sqlite3.connect(
                f"{location}?mode=ro&immutable=1", uri=True, check_same_thread=False, isolation_level=None
            )
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return connection

    def _check(self, writable: bool) -> None:
        tables = {row[0] for row in self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "meta" not in tables:
            if tables:
                raise StoreError(f"{self._path} is not an index of this program; choose another folder with --store.")
            if not writable:
                raise StoreMissing(f"there is no index in {self._path.parent} yet; build it with: assistant index")
            with self._transaction():
                create(self._connection)
                self._set({"format": FORMAT, "version": "0", "identity": uuid.uuid4().hex})
        elif self.meta("format") == "1":
            raise StoreOutdated(
                f"the index in {self._path.parent} was made by an earlier release; bring it up to date with: assistant index"
            )
        elif self.meta("format") != FORMAT:
            raise StoreDamaged(
                f"the index in {self._path.parent} has format {self.meta('format')}, this program reads {FORMAT}; "
                "rebuild it with: assistant index --rebuild"
            )

    def _stamp(self) -> tuple[int, ...]:
        """Tells this file, and in a read-only folder its state, from any other."""
        try:
            status = self._path.stat()
        except OSError:
            return ()
        return (status.st_dev, status.st_ino, *((status.st_size, status.st_mtime_ns) if self._immutable else ()))

    def is_replaced(self) -> bool:
        """Whether another file lies where this one was opened: it was set aside, migrated or deleted meanwhile."""
        return self._stamp()[:2] != self._opened[:2]

    def _follow_file(self) -> None:
        """Without shared memory SQLite takes the file for unchangeable: what another user changed is opened anew."""
        if self._immutable and not self._connection.in_transaction and self._stamp() != self._opened and not self.is_replaced():
            self._connection.close()
            self._connection = self._connect(writable=False)
            self._opened = self._stamp()

    def close(self) -> None:
        with self._lock:
            # The log would else stay as large as the longest build made it. Where a reader holds it, the next one does it.
            if self._writable:
                with suppress(sqlite3.Error):
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.close()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Several statements that see one version."""
        with self._lock:
            outermost = not self._connection.in_transaction
            if outermost:
                self._rows("BEGIN")
            try:
                yield
            finally:
                if outermost and self._connection.in_transaction:
                    self._connection.execute("COMMIT")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    self._connection.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):
                        self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.OperationalError as error:
                raise StoreError(
                    f"the index in {self._path.parent} cannot be written ({error}); check free space and permissions. "
                    "What was written before is whole."
                ) from error
            except sqlite3.DatabaseError as error:
                raise self.damaged(error) from error

    def _rows(self, statement: str, arguments: Sequence[object] = ()) -> list[tuple[object, ...]]:
        with self._lock:
            try:
                self._follow_file()
                return self._connection.execute(statement, arguments).fetchall()
            except sqlite3.OperationalError as error:
                if "decode" in str(error):
                    raise self.damaged("a text is not UTF-8") from error
                raise StoreError(f"the index in {self._path.parent} cannot be read now ({error}); try again.") from error
            except sqlite3.DatabaseError as error:
                raise self.damaged(error) from error

    def _each(self, statement: str) -> Iterator[tuple[object, ...]]:
        """Row by row, for tables that do not fit into memory."""
        with self._lock:
            try:
                yield from self._connection.execute(statement)
            except sqlite3.DatabaseError as error:
                raise self.damaged(error) from error

    def meta(self, key: str) -> str | None:
        rows = self._rows("SELECT value FROM meta WHERE key = ?", (key,))
        return str(rows[0][0]) if rows else None

    def set_meta(self, values: Mapping[str, str]) -> None:
        with self._transaction():
            self._set(values)

    def _set(self, values: Mapping[str, str]) -> None:
        self._connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(values.items()))

    def integrity(self) -> str:
        """ "ok", or what SQLite found wrong."""
        return str(self._rows("PRAGMA quick_check")[0][0])
