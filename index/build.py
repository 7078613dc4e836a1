"""Compares the corpus with the store, embeds what is new, applies it document by document."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from index.embedders import Embedder
from index.errors import CorpusError
from index.ledger import DocumentRow
from index.loaders.jsonl import is_jsonl, line_stamp, parse_line, read_lines
from index.loaders.metadata import metadata_path
from index.loaders.registry import is_supported
from index.reading import Read, Source, read
from index.settings import IndexSettings
from index.store import Store, WritableStore, built_with
from index.writing import building

ADDED = "added"
# Chunks that wait to be embedded together: texts of like length share a batch. And how many are embedded between two saves.
_WAITING, _EMBED_AT_ONCE = 768, 384
_VECTORS_SPARED = 10_000
_DERIVED_EVERY = 1_000
"""Documents."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a build would do, by document id."""

    new: tuple[str, ...]
    touched: tuple[str, ...]
    """The file changed; only reading it tells whether its words did."""
    removed: tuple[str, ...]
    unchanged: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        return not (self.new or self.touched or self.removed)


@dataclass(frozen=True, slots=True)
class Progress:
    """A step of a build, for a progress bar."""

    stage: str
    """"reading", "preparing" (a model is made ready for this machine, once) or "embedding"."""
    done: int
    total: int
    """Documents when reading; chunks known so far when embedding."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a build did, by document id."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: tuple[str, ...]
    failed: tuple[str, ...]
    """One sentence for each file that could not be read."""
    warnings: tuple[str, ...]
    embedded: int
    """Chunks that the model had to embed."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Sources:
    """What a corpus holds."""

    by_id: dict[str, Source]
    unreadable: tuple[str, ...]
    """Ids of folders and files that could not be looked at; what was indexed of them stays."""

    def hides(self, document_id: str) -> bool:
        """Whether a document of that id may be there and could not be looked at."""
        return any(document_id == each or document_id.startswith(f"{each}/") or each == "." for each in self.unreadable)


def corpus_sources(settings: IndexSettings) -> Sources:
    """The files of a corpus folder, or the lines of a corpus in one JSON Lines file, and what was added to either.

    Hidden files and folders are passed over, and links are not followed out of the corpus. Raises CorpusError when the
    corpus is missing, or is a file that cannot be read.
    """
    by_id: dict[str, Source] = {}
    unreadable: list[str] = []
    roots = [(settings.corpus, ""), (settings.added, f"{ADDED}/")]
    if is_jsonl(settings.corpus) and settings.corpus.is_file():
        by_id.update(_lines(settings.corpus, settings.max_file_bytes))
        del roots[0]
    elif not settings.corpus.is_dir():
        raise CorpusError(
            f"the corpus {settings.corpus} does not exist, or is neither a folder nor a .jsonl file; choose one with --corpus."
        )
    for root, prefix in roots:
        skipped = {path.resolve() for path in {settings.added, settings.store} - {root}}

        def note(error: OSError, root: Path = root, prefix: str = prefix) -> None:
            if Path(error.filename) != root or root == settings.corpus:
                unreadable.append(prefix + Path(error.filename).relative_to(root).as_posix())

        for folder, folders, names in os.walk(root, onerror=note):
            here = Path(folder)
            folders[:] = sorted(name for name in folders if not name.startswith(".") and (here / name).resolve() not in skipped)
            for name in sorted(names):
                path = here / name
                document_id = prefix + path.relative_to(root).as_posix()
                if name.startswith(".") or not is_supported(path):
                    continue
                try:
                    if path.resolve(strict=True).is_relative_to(root.resolve()) and path.is_file():
                        by_id[document_id] = Source(document_id, _stamp(path), path, settings.max_file_bytes)
                except (OSError, RuntimeError):
                    unreadable.append(document_id)
    return Sources(dict(sorted(by_id.items())), tuple(unreadable))


def _lines(path: Path, max_bytes: int) -> Iterator[tuple[str, Source]]:
    """Raises CorpusError for a line that is no document, and for an id that stands twice."""
    seen: dict[str, int] = {}
    for number, line in read_lines(path, max_bytes=max_bytes):
        document_id = parse_line(path, number, line)["id"]
        if document_id in seen:
            raise CorpusError(f"{path}, line {number}: the id {document_id} stands already in line {seen[document_id]}.")
        seen[document_id] = number
        yield document_id, Source(document_id, line_stamp(line), path, max_bytes, (number, line))


def compare(sources: Sources, rows: list[DocumentRow], failed: Mapping[str, Sequence[int]] | None = None) -> Plan:
    """Compares by stamp; no file of a folder is read.

    failed: id -> stamp of files that a build could not read; while they are the same they count as no change.
    """
    known = {row.id: row for row in rows}
    new, touched, unchanged = [], [], []
    for document_id, source in sources.by_id.items():
        row = known.pop(document_id, None)
        stamp = source.stamp
        if failed and tuple(failed.get(document_id, ())) == stamp:
            unchanged.append(document_id)
        elif row is None:
            new.append(document_id)
        elif stamp != (row.size, row.modified):
            touched.append(document_id)
        else:
            unchanged.append(document_id)
    hidden = [name for name in known if sources.hides(name)]
    removed = [name for name in known if name not in hidden]
    return Plan(tuple(new), tuple(touched), tuple(removed), tuple(sorted((*unchanged, *hidden))))


def known_failures(store: Store) -> dict[str, list[int]]:
    """The files that the last build could not read, with their stamps."""
    try:
        told: dict[str, list[int]] = json.loads(store.meta("failed") or "{}")
    except ValueError as error:
        raise store.damaged(f"its list of unreadable files cannot be read ({error})") from error
    return told


def _stamp(path: Path) -> tuple[int, int]:
    """Of a file together with what is told of it beside it."""
    try:
        status = path.stat()
    except OSError:
        return -1, -1
    with suppress(OSError):
        beside = metadata_path(path).stat()
        return status.st_size + beside.st_size, status.st_mtime_ns + beside.st_mtime_ns
    return status.st_size, status.st_mtime_ns


class Cluster(AbstractContextManager["Cluster"], Protocol):
    """Machines that read, chunk and embed documents together. Entered when there is something to do. Raises BuildError."""

    def read(
        self, sources: Sequence[tuple[Source, str | None]], store: WritableStore, settings: IndexSettings, embedder: Embedder
    ) -> Generator[list[Read]]:
        """sources: each with its digest in the store. Gives them in any order, with the vectors that were made."""


def build(
    settings: IndexSettings, embedder: Embedder, *, rebuild: bool = False, cluster: Cluster | None = None
) -> Iterator[Plan | Progress | Report]:
    """Brings the store up to the corpus: yields a Plan, then Progress, last a Report.

    Stopped at any moment (closing the iterator, Ctrl+C, kill), the store holds whole documents only, and the vectors
    made so far are kept. rebuild: read and chunk every file again, also for another model or chunk size; texts that
    this model embedded before are not embedded again. A file that cannot be read keeps its former state in the store
    and is reported.
    """
    started = time.perf_counter()
    sources = corpus_sources(settings)
    with building(settings, rebuild=rebuild) as store:
        if not rebuild:
            store.check(fingerprint=embedder.fingerprint, chunk_tokens=settings.chunk_tokens)
        rows = store.documents()
        plan = compare(sources, rows)
        shown = store.shown() if settings.engine is not None else frozenset()
        if shown and shown.isdisjoint(sources.by_id) and not any(map(sources.hides, shown)):
            raise CorpusError(
                f"the corpus {settings.corpus} holds none of the {len(shown):,} documents of {store.place}, and building would "
                "remove them all; name the right corpus with --corpus, or another index with --store."
            )
        yield plan
        if rebuild:
            # What cannot be looked at now stays as it is.
            there = [name for name in plan.unchanged if name in sources.by_id]
            hidden = tuple(name for name in plan.unchanged if name not in sources.by_id)
            plan = Plan(plan.new, tuple(sorted((*plan.touched, *there))), plan.removed, hidden)
        known = {row.id: row for row in rows}
        yield from _Build(settings, embedder, store, sources, known, rebuild, cluster=cluster).run(plan, started)


@dataclass(slots=True)
class _Build:
    settings: IndexSettings
    embedder: Embedder
    store: WritableStore
    sources: Sources
    known: dict[str, DocumentRow]
    rebuild: bool
    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    stamps: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of the files that could not be read."""
    warnings: list[str] = field(default_factory=list)
    embedded: int = 0
    expected: int = 0
    read: int = 0
    total: int = 0
    """Documents to read."""
    limit: int = 0
    """Tokens that the model reads."""
    cluster: Cluster | None = None
    """Reads and embeds the documents in place of this process."""
    stopped: bool = False
    """Tells the thread that reads to end."""

    def run(self, plan: Plan, started: float) -> Iterator[Progress | Report]:
        self.unchanged.extend(plan.unchanged)
        self.failed.extend(f"{name}: cannot be looked at; check its permissions." for name in self.sources.unreadable)
        if self.store.meta("fingerprint") is None or self.rebuild:
            self.store.begin_anew(built_with(self.embedder.fingerprint, self.embedder.dimensions, self.settings.chunk_tokens))
        self.store.apply(remove=plan.removed)
        todo = (*plan.new, *plan.touched)
        self.total = len(todo)
        if todo:
            # Here, for it may make a model ready first: what reads ahead must be able to stop at once.
            self.limit = self.embedder.max_tokens
        derived = 0
        batches = self._batches(todo)
        entered = self.cluster if self.cluster is not None and todo else nullcontext()
        # The cluster is left first: what is still waited for of it ends with that.
        with ThreadPoolExecutor(1, thread_name_prefix="reading") as reader, entered:
            # One batch is read while another is embedded, and no more: memory stays bounded.
            ahead = reader.submit(next, batches, None)
            try:
                while True:
                    yield Progress("reading", self.read, self.total)
                    while not wait([ahead], timeout=0.1).done:
                        yield Progress("reading", self.read, self.total)
                    batch = ahead.result()
                    if batch is None:
                        break
                    ahead = reader.submit(next, batches, None)
                    yield from self._finish(batch)
                    if len(self.added) + len(self.changed) - derived >= _DERIVED_EVERY:
                        # Readers follow what is new by themselves; so much of it costs them more than it costs here.
                        self.store.derive()
                        derived = len(self.added) + len(self.changed)
            finally:
                self.stopped = True
        yield Progress("reading", len(todo), len(todo))
        if plan.removed or self.changed or self.rebuild:
            # What was dropped last stays for a while: a rename or a revert finds its vectors again.
            self.store.collect_garbage(spare=_VECTORS_SPARED)
        self.store.derive()
        if self.embedded and self.embedder.notice:
            self.warnings.append(self.embedder.notice)
        self.store.finish(json.dumps(self.stamps), keeps=self._keeps)
        yield Report(
            added=tuple(self.added),
            changed=tuple(self.changed),
            removed=plan.removed,
            unchanged=tuple(sorted(self.unchanged)),
            failed=tuple(self.failed),
            warnings=tuple(self.warnings),
            embedded=self.embedded,
            seconds=time.perf_counter() - started,
        )

    def _keeps(self, document_id: str) -> bool:
        """Whether it could not be read or looked at this time: then its former state stays."""
        return document_id in self.stamps or self.sources.hides(document_id)

    def _batches(self, todo: Sequence[str]) -> Iterator[list[Read]]:
        """The documents, read and chunked, some hundred chunks at a time. Runs in a thread; writes nothing."""
        batch: list[Read] = []
        if self.cluster is not None and todo:
            yield from self._batches_of(self.cluster, todo)
            return
        for document_id in todo:
            if self.stopped:
                return
            batch.append(self._read(document_id))
            self.read += 1
            if sum(len(each.entry.chunks) if each.entry else 1 for each in batch) >= _WAITING:
                yield batch
                batch = []
        yield batch

    def _batches_of(self, cluster: Cluster, todo: Sequence[str]) -> Iterator[list[Read]]:
        digests = {} if self.rebuild else {name: row.digest for name, row in self.known.items()}
        sources = [(self.sources.by_id[name], digests.get(name)) for name in todo]
        with closing(cluster.read(sources, self.store, self.settings, self.embedder)) as batches:
            for batch in batches:
                if self.stopped:
                    return
                self.read += len(batch)
                yield batch

    def _read(self, document_id: str) -> Read:
        row = self.known.get(document_id)
        return read(
            self.sources.by_id[document_id],
            row.digest if row is not None and not self.rebuild else None,
            self._count,
            chunk_tokens=self.settings.chunk_tokens,
            limit=self.limit,
        )

    def _count(self, texts: Sequence[str]) -> list[int]:
        if self.stopped:
            raise _Stopped
        # Most of what one changed file costs is the start of model and token counter: they load beside each other.
        self.embedder.preload()
        return self.embedder.count_tokens(texts)

    def _finish(self, batch: Sequence[Read]) -> Iterator[Progress]:
        fingerprint = self.embedder.fingerprint
        for each in batch:
            if each.vectors:
                self.store.put_vectors(fingerprint, each.vectors)
                self.embedded += len(each.vectors)
                self.expected += len(each.vectors)
                yield Progress("embedding", self.embedded, self.expected)
        entries = [each.entry for each in batch if each.entry]
        texts = {key: chunk.text for entry in entries for key, chunk in zip(entry.vector_keys, entry.chunks, strict=True)}
        missing = sorted(self.store.missing_vectors(fingerprint, texts), key=lambda key: len(texts[key]))
        self.expected += len(missing)
        for begin in range(0, len(missing), _EMBED_AT_ONCE):
            keys = missing[begin : begin + _EMBED_AT_ONCE]
            if not self.embedder.is_prepared:
                yield Progress("preparing", 0, 1)
            else:
                yield Progress("embedding", self.embedded, self.expected)
            vectors = self.embedder.embed([texts[key] for key in keys])
            self.store.put_vectors(fingerprint, dict(zip(keys, vectors, strict=True)))
            self.embedded += len(keys)
            yield Progress("embedding", self.embedded, self.expected)
        self.store.apply(put=entries)
        for each in batch:
            self.warnings.extend(each.warnings)
            if each.failed is not None:
                self.failed.append(each.failed)
                self.stamps[each.id] = each.stamp
            elif each.entry is None:
                self.store.touch(each.id, size=each.stamp[0], modified=each.stamp[1])
                self.unchanged.append(each.id)
            else:
                (self.changed if each.id in self.known else self.added).append(each.id)
            yield Progress("reading", self.read, self.total)


class _Stopped(Exception):
    """The build was stopped while a document was being chunked."""
