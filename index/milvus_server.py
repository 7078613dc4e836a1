"""A Milvus server as this program speaks to it: calls with a limit on their time, what failures mean, and the builder's lease."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

from index.errors import StoreBusy, StoreError
from index.settings import MilvusAddress

TOKEN, CERTIFICATES = "MILVUS_TOKEN", "MILVUS_CA"
"""Environment variables: the key to the server ("user:password", or what its operator gave), and the file of the certificates
that vouch for it, where those of the system do not."""
MOST_ROWS = 16_384
"""What one search or query may give."""
LONGEST_TEXT = 65_535
"""Bytes of a text field."""
LEASE_SECONDS = 45.0
"""A builder that was not heard of for so long has lost the index to the next one. It is renewed four times as often, so the
clocks of two builders must differ by less than three quarters of it."""
_CONNECT_SECONDS, _READ_SECONDS, _WRITE_SECONDS = 10.0, 30.0, 120.0
_PATIENCE_CONNECTING, _PATIENCE_READING, _PATIENCE_WRITING = 1.0, 5.0, 60.0
"""Seconds that a server may be away, as when it is started again, before a person is told."""
_GONE, _NOT_LOADED = 100, 101
_GONE_BEFORE_2_3 = 4
"""What older servers say, and newer ones whose answer comes out of a cache."""
_PING_SECONDS = 330
_ROWS_AT_ONCE = 500
_BYTES_AT_ONCE = 4_000_000

Given = TypeVar("Given")


class CollectionGone(StoreError):
    """A collection that was there is not any more: the index was rebuilt, or dropped."""


class Unreachable(StoreError):
    """The server does not answer."""


class MilvusServer:
    """Calls to one server. All are safe to repeat: what is sent again when it was busy or away doubles nothing."""

    def __init__(self, address: MilvusAddress) -> None:
        """Raises StoreError where pymilvus is not installed, or the server does not answer."""
        self.address = address
        self.guard: Callable[[], float] | None = None
        """Asked before each write how many seconds it may take: of a builder, whose lease runs out. Raises StoreBusy."""
        self.as_of: int | None = None
        """What is read must be at least as new as this time of the server's clock; None for what is written up to now, for
        which some servers wait a while."""
        self._written: set[str] = set()
        self._connecting = threading.Lock()
        self._client = self._connected()

    def _connected(self) -> Any:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        try:
            import pymilvus
        except ModuleNotFoundError as error:
            if error.name != "pymilvus":
                raise
            raise StoreError(
                f"{self.address} is an index on a Milvus server, which needs pymilvus: pip install 'alliance-assistant[milvus]'"
            ) from error
        # It writes each failure with its traceback to the terminal; what went wrong is told once, by this program.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        # pymilvus' own ten seconds are too many pings for some servers, which then hang up on whoever is idle.
        options: dict[str, Any] = {"grpc_options": {"grpc.keepalive_time_ms": _PING_SECONDS * 1_000}}
        if self.address.is_encrypted:
            options["secure"] = True
        if self.address.is_encrypted and (certificates := os.environ.get(CERTIFICATES)):
            options["server_pem_path"] = certificates
        until = time.monotonic() + _PATIENCE_CONNECTING
        while True:
            try:
                return pymilvus.MilvusClient(
                    self.address.url, token=os.environ.get(TOKEN, ""), timeout=_CONNECT_SECONDS, dedicated=True, **options
                )
            except Exception as error:
                failure = self._failure(error)
                if not isinstance(failure, Unreachable) or time.monotonic() > until:
                    raise failure from error
            time.sleep(0.3)

    def _failure(self, error: Exception) -> StoreError:
        """What pymilvus raises, as one sentence."""
        where, told = f"the Milvus server at {self.address.host}:{self.address.port}", _words(error)
        if (
            getattr(error, "code", None) == _GONE
            or getattr(error, "compatible_code", None) == _GONE_BEFORE_2_3
            or any(words in told for words in ("CollectionNotExists", "collection not found", "can't find collection"))
        ):
            return CollectionGone(f"{where} does not have the index {self.address.name} any more; build it with: assistant index")
        lowered = " ".join(_chain(error)).lower()
        if isinstance(error, FileNotFoundError):
            return StoreError(f"{CERTIFICATES} names a file that cannot be read; give the certificates of {where}.")
        if any(word in lowered for word in ("unauthenticated", "auth check", "permission", "privilege")):
            return StoreError(f"{where} refuses the key; set the environment variable {TOKEN} to one that it takes.")
        if any(
            word in lowered for word in ("unavailable", "fail connecting", "deadline", "timeout", "timed out", "connect failed")
        ):
            return Unreachable(
                f"{where} does not answer; check that it runs, and whether it asks for TLS (milvus+tls://…). "
                "Nothing is lost; do the same again when it runs."
            )
        return StoreError(f"{where} refused a request ({told}).")

    def call(self, name: str, *args: Any, writes: bool = False, **options: Any) -> Any:
        """A method of pymilvus' client, and its arguments. Raises StoreError, CollectionGone among them."""

        def ask(client: Any) -> Any:
            timeout = _WRITE_SECONDS if writes else _READ_SECONDS
            if writes and self.guard:
                # What is sent again must not arrive when another may build already.
                timeout = min(timeout, self.guard())
            return _called(client, name, args, {**options, "timeout": timeout})

        told = self._patiently(ask, writes=writes)
        if name in ("upsert", "delete"):
            self._written.add(args[0])
        return told

    def _patiently(self, ask: Callable[[Any], Given], *, writes: bool = False) -> Given:
        """What a client is asked, again for a while where the server is away."""
        # A builder waits; a person who asks is told.
        until = time.monotonic() + (_PATIENCE_WRITING if writes or self.guard else _PATIENCE_READING)
        pause = 0.1
        while True:
            client = self._client
            try:
                return ask(client)
            except StoreError:
                raise
            except Exception as error:
                failure = self._failure(error)
                if not isinstance(failure, Unreachable) or time.monotonic() > until:
                    raise failure from error
            # A client that has once lost its server never finds it again by itself.
            time.sleep(pause)
            pause = min(2 * pause, 2.0)
            with self._connecting, suppress(Unreachable):
                if self._client is client:
                    self._client = self._connected()

    def close(self) -> None:
        with suppress(Exception):
            self._client.close()

    @property
    def version(self) -> str:
        return str(self.call("get_server_version"))

    # -- collections -------------------------------------------------------------------------------------------------

    def create(
        self, name: str, fields: Sequence[dict[str, Any]], indexes: Sequence[dict[str, Any]], words: Sequence[str] = ()
    ) -> None:
        """words: text fields whose words are searched by BM25, each in a field called after it: "text_sparse"."""
        import pymilvus

        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        for field in fields:
            schema.add_field(**field)
        for each in words:
            schema.add_function(pymilvus.Function(f"{each}_bm25", pymilvus.FunctionType.BM25, [each], [f"{each}_sparse"]))
        # A reader finds what a builder has written, at once.
        self.call("create_collection", name, schema=schema, consistency_level="Strong", writes=True)
        self.complete(name, indexes)

    def complete(self, name: str, indexes: Sequence[dict[str, Any]]) -> None:
        """Of a collection that is created, also by a builder that was killed then."""
        params = self._client.prepare_index_params()
        for index in indexes:
            params.add_index(**index)
        self.call("create_index", name, params, writes=True)
        self.call("load_collection", name, writes=True)

    def drop(self, name: str) -> None:
        if name in self.names(name):
            # Sent again after a lost reply it finds none.
            with suppress(CollectionGone):
                self.call("drop_collection", name, writes=True)

    def names(self, prefix: str) -> list[str]:
        """Of the collections whose names begin so."""
        return sorted(name for name in self.call("list_collections") if name.startswith(prefix))

    def described(self, name: str) -> tuple[str, dict[str, str]] | None:
        """The collection that a name or an alias stands for, and what is noted of it. Told at once, where rows come late."""
        try:
            told = self.call("describe_collection", name)
        except CollectionGone:
            return None
        return str(told["collection_name"]), {str(key): str(value) for key, value in told["properties"].items()}

    def note(self, collection: str, properties: Mapping[str, str]) -> None:
        self.call("alter_collection_properties", collection, properties=dict(properties), writes=True)

    @property
    def written(self) -> int | None:
        """When this process wrote last, by the server's clock; None where it has not, or the server does not tell.

        Some servers tell it of what is put, and not of what is deleted.
        """
        from pymilvus.client.ts_utils import get_collection_ts

        # As pymilvus writes it.
        endpoint = f"{urlsplit(self.address.url).hostname}:{self.address.port}"
        return max((get_collection_ts(each, endpoint) for each in self._written), default=0) or None

    def _newness(self, *, strong: bool = False) -> dict[str, Any]:
        """How new must be what is read: of a builder what it wrote itself, since nobody else writes."""
        since = self.written or (None if strong else self.as_of)
        return {"consistency_level": "Customized", "guarantee_timestamp": since} if since else {}

    def upsert(self, collection: str, rows: Iterable[dict[str, Any]], *, most: int = _ROWS_AT_ONCE) -> None:
        """In batches that a server takes; one waits for the other, so a slow server slows what feeds it."""
        batch: list[dict[str, Any]] = []
        size = 0
        for row in rows:
            batch.append(row)
            size += sum(len(value) * 4 if not isinstance(value, int) else 8 for value in row.values())
            if len(batch) == most or size > _BYTES_AT_ONCE:
                self.call("upsert", collection, batch, writes=True)
                batch, size = [], 0
        if batch:
            self.call("upsert", collection, batch, writes=True)

    def rows(self, collection: str, ids: Sequence[Any], fields: Sequence[str], *, strong: bool = False) -> list[dict[str, Any]]:
        """The rows of these primary keys that there are.

        strong: as they are now, whatever `as_of` is; where this process is the one that writes, they always are.
        """
        found: list[dict[str, Any]] = []
        for begin in range(0, len(ids), _ROWS_AT_ONCE):
            some = list(ids[begin : begin + _ROWS_AT_ONCE])
            newness = self._newness(strong=strong)
            found += self.call("query", collection, ids=some, output_fields=list(fields), **newness)
        return found

    def some(
        self, collection: str, where: str, fields: Sequence[str], *, most: int = MOST_ROWS, strong: bool = False
    ) -> list[dict[str, Any]]:
        """Rows that an expression allows, in any order, and no more than `most` of them."""
        newness = self._newness(strong=strong)
        return list(self.call("query", collection, filter=where, output_fields=list(fields), limit=most, **newness))

    def search(self, collection: str, data: list[Any], **options: Any) -> list[dict[str, Any]]:
        """The hits of one query."""
        return list(self.call("search", collection, data=data, **options, **self._newness())[0])

    def each(
        self, collection: str, where: str, fields: Sequence[str], *, key: str = "id", at_once: int = 1_000
    ) -> Iterator[dict[str, Any]]:
        """All rows that an expression allows, in the order of their primary keys; goes on where the server was away meanwhile.

        where: holds numbers only; no text of a document or person ever becomes part of one. key: name of the primary key.
        """
        options = {"output_fields": list(dict.fromkeys([key, *fields])), "batch_size": at_once, "timeout": _READ_SECONDS}
        beyond, walk = where, None

        def following(client: Any) -> list[dict[str, Any]]:
            nonlocal walk
            if walk is None:
                # First, for the walk itself asks this without an end to its patience.
                client.describe_collection(collection, timeout=_READ_SECONDS)
                walk = _called(client, "query_iterator", (collection,), {**options, "filter": beyond})
            try:
                return list(walk.next())
            except Exception:
                walk = None
                raise

        try:
            while batch := self._patiently(following):
                beyond = f"({where}) and {key} > {json.dumps(batch[-1][key])}"
                yield from batch
        finally:
            if walk is not None:
                with suppress(Exception):
                    walk.close()


def _called(client: Any, name: str, args: Sequence[Any], options: dict[str, Any]) -> Any:
    try:
        return getattr(client, name)(*args, **options)
    except Exception as error:
        if not args or getattr(error, "code", None) != _NOT_LOADED:
            raise
        # milvus-lite forgets at its end what was loaded; others do when an operator released it.
        client.load_collection(args[0], timeout=_WRITE_SECONDS)
        return getattr(client, name)(*args, **options)


def _chain(error: BaseException | None) -> Iterator[str]:
    """The words of an error and of those that led to it; pymilvus raises some from themselves."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield str(error)
        error = error.__cause__


def _words(error: Exception) -> str:
    return " ".join(str(getattr(error, "message", None) or error).split())[:300] or type(error).__name__


def number_of(text: str) -> int:
    """A number that stands for a text in expressions: of a million texts two share one as seldom as once in 30 million."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big", signed=True)


def record_fields() -> list[dict[str, Any]]:
    """Of a collection of texts by id. Every collection must have a vector: theirs say nothing."""
    from pymilvus import DataType

    return [
        {"field_name": "id", "datatype": DataType.VARCHAR, "max_length": 512, "is_primary": True},
        {"field_name": "kind", "datatype": DataType.INT64},
        {"field_name": "number", "datatype": DataType.INT64},
        {"field_name": "body", "datatype": DataType.VARCHAR, "max_length": LONGEST_TEXT},
        {"field_name": "unused", "datatype": DataType.FLOAT_VECTOR, "dim": 2},
    ]


RECORD_INDEXES = [{"field_name": "unused", "index_type": "FLAT", "metric_type": "L2"}]


def record(identifier: str, body: str, *, kind: int = 0, number: int = 0) -> dict[str, Any]:
    return {"id": identifier, "kind": kind, "number": number, "body": body, "unused": [0.0, 0.0]}


class Lease:
    """Held by the one builder of an index. Renewed while it is held; lost when that fails for LEASE_SECONDS."""

    def __init__(self, server: MilvusServer, collection: str) -> None:
        self._server, self._collection = server, collection
        self._id = uuid.uuid4().hex
        self._until = self._wall_until = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def left(self) -> float:
        """The seconds until it is lost, if it is not renewed. Raises StoreBusy when it was: from then on another may build."""
        left = min(self._until - time.monotonic(), self._wall_until - time.time())
        if left <= 0:
            raise StoreBusy(
                f"this build of {self._server.address} was cut off from the server for more than {LEASE_SECONDS:.0f} s, and "
                "another may build now; run the same command again. What was built so far is whole."
            )
        return left

    def _write(self) -> None:
        began, wall = time.monotonic(), time.time()
        holder = f"process {os.getpid()} on {platform.node()}"
        self._server.upsert(self._collection, [record(self._id, holder, number=int((wall + LEASE_SECONDS) * 1_000))])
        self._until, self._wall_until = began + LEASE_SECONDS, wall + LEASE_SECONDS

    def _keep(self) -> None:
        while not self._ended.wait(LEASE_SECONDS / 4):
            # What fails now is tried again; the builder notices when it has failed for too long.
            with suppress(StoreError):
                self._write()

    def _others(self) -> list[str]:
        """Who else holds one that has not run out."""
        now = int(time.time() * 1_000)
        rows = self._server.each(self._collection, f"number > {now}", ["id", "body"])
        return [str(row["body"]) for row in rows if row["id"] != self._id]

    def take(self) -> None:
        """Each writes itself down first, then looks for others: of two at once at least one sees the other. Raises StoreBusy."""
        for _ in range(5):
            if others := self._others():
                break
            self._write()
            if not (others := self._others()):
                self._thread.start()
                return
            self._server.call("delete", self._collection, ids=[self._id], writes=True)
            time.sleep(random.uniform(0.2, 1.5))
        raise StoreBusy(
            f"{others[0]} is building {self._server.address}; wait until it is done. If it was killed, its place is free within "
            f"{LEASE_SECONDS:.0f} s."
        )

    def give_back(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=LEASE_SECONDS)
        with suppress(StoreError):
            now = int(time.time() * 1_000)
            self._server.call("delete", self._collection, ids=[self._id], writes=True)
            self._server.call("delete", self._collection, filter=f"number < {now - int(LEASE_SECONDS * 1_000)}", writes=True)


@contextmanager
def lease(server: MilvusServer) -> Iterator[Lease]:
    """One builder at a time. Raises StoreBusy or StoreError."""
    collection = lease_collection(server.address)
    if not server.names(collection):
        try:
            server.create(collection, record_fields(), RECORD_INDEXES)
        except StoreError:
            # Of two builders at once the other one made it.
            if not server.names(collection):
                raise
    held = Lease(server, collection)
    try:
        held.take()
    except (StoreBusy, Unreachable):
        raise
    except StoreError:
        # Made by half, by a builder that was killed then.
        server.complete(collection, RECORD_INDEXES)
        held.take()
    try:
        yield held
    finally:
        held.give_back()
        server.close()


def lease_collection(address: MilvusAddress) -> str:
    return f"{address.name}__leases"
