"""Copies sources into the corpus. What is there already is never overwritten unasked."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from index.build import ADDED
from index.errors import CorpusError, QuestionError
from index.filters import check_date
from index.loaders.metadata import metadata_path, write_metadata
from index.loaders.registry import is_supported, supported_suffixes
from index.settings import IndexSettings

if TYPE_CHECKING:
    from assistant.fetching import Fetched


@dataclass(frozen=True, slots=True)
class Adding:
    """What happened, by document id or by path."""

    copied: tuple[str, ...]
    present: tuple[str, ...]
    """The same words were there before."""
    refused: tuple[str, ...]
    """One sentence each."""


def add_sources(paths: Iterable[Path], settings: IndexSettings, *, replace: bool, ignore: Sequence[str] = ()) -> Adding:
    """Copies files, and the readable files of folders, to the folder of added sources.

    ignore: patterns ("draft*", "*.csv") of files and folders that are left out.

    Raises CorpusError when a path does not exist, when nothing at all can be added, or when the folder cannot be written.
    """
    check_corpus(settings)
    refused: list[str] = []
    copied: list[str] = []
    wanted, present = _sorted_out(list(paths), settings, refused, replace=replace, ignore=ignore)
    for source, target, name in wanted:
        try:
            _copy(source, target)
            copied.append(name)
        except OSError as error:
            refused.append(f"{source} could not be copied to {target} ({error.strerror}); check the permissions of both.")
    if not copied and not present and refused:
        raise CorpusError("nothing was added: " + " ".join(refused[:5]))
    return Adding(tuple(copied), tuple(present), tuple(refused))


def add_fetched(fetched: Fetched, settings: IndexSettings, told: Mapping[str, object]) -> tuple[str, bool]:
    """Keeps what was fetched, with its address, the day and what else is told of it beside it.

    (document id, whether it was new or changed.) What came from the same address before is replaced and keeps its id; what a
    person has told beside it stays. Raises CorpusError.
    """
    target = settings.added / fetched.place
    name = f"{ADDED}/{fetched.place}"
    try:
        if target.is_file() and target.read_bytes() == fetched.data:
            return name, False
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = metadata_path(target)
        if not beside.exists():
            today = datetime.now(tz=UTC).date().isoformat()
            lines = {"url": fetched.url, **told, "sources": [f"{fetched.url}, as it was on {today}"]}
            # What JSON writes for words and lists of words is TOML as well.
            _write(beside, "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items()).encode())
        _write(target, fetched.data)
    except OSError as error:
        raise CorpusError(f"{target} could not be written ({error.strerror}); check its folder and the disk.") from error
    return name, True


def is_address(told: str) -> bool:
    """Whether it is the address of something on the web, and no path."""
    return re.match(r"https?://", told, re.IGNORECASE) is not None


def check_corpus(settings: IndexSettings) -> None:
    """Raises CorpusError where there is no such corpus: it would be made where a name was only misspelt."""
    if not settings.corpus.exists():
        raise CorpusError(
            f"there is no corpus {settings.corpus}; make it first: assistant corpus create NAME, or a folder of that name. "
            "Nothing was added."
        )


class Arrival(NamedTuple):
    """What became of a web address."""

    name: str
    """Document id; empty where nothing was added."""
    is_new: bool
    refused: str
    """Why nothing was added, in one sentence; empty otherwise."""


def add_addresses(
    addresses: Iterable[str], settings: IndexSettings, *, primary: bool = False, allow_private: bool = False
) -> Iterator[Arrival]:
    """Fetches one after the other, and keeps what comes. primary: also the primary sources that the corpus lists.

    Raises CorpusError where these are asked for and it lists none.
    """
    from assistant.fetching import fetch

    check_corpus(settings)
    wanted: list[tuple[str, str | None, dict[str, object]]] = [(url, None, {}) for url in addresses]
    wanted += [(each.url, each.place, each.told) for each in (primary_sources(settings) if primary else ())]
    for url, place, told in wanted:
        try:
            found = fetch(url, max_bytes=settings.max_file_bytes, allow_private=allow_private)
            if place is not None:
                found = found._replace(place=f"{place}{Path(found.place).suffix}")
            name, is_new = add_fetched(found, settings, told)
        except CorpusError as error:
            yield Arrival("", False, str(error))
        else:
            yield Arrival(name, is_new, "")


class Primary(NamedTuple):
    """An article that a digest of the corpus is of."""

    url: str
    place: str
    """Where it goes, without its suffix: beside its digest in the list of sources."""
    told: dict[str, object]
    """What is known of it."""


def primary_sources(settings: IndexSettings) -> list[Primary]:
    """Those that the corpus lists in its sources.toml. Raises CorpusError."""
    path = settings.corpus / "sources.toml"
    try:
        listed = tomllib.loads(path.read_text(encoding="utf-8"))["source"]
        return [
            Primary(
                str(each["url"]),
                str(each["digest"]).removesuffix(".md"),
                {key: each[key] for key in ("title", "authors", "published", "publisher") if key in each},
            )
            for each in listed
        ]
    except FileNotFoundError as error:
        raise CorpusError(f"the corpus {settings.corpus} lists no primary sources: it has no sources.toml.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{path} is not well formed ({error}); each [[source]] needs digest and url.") from error


@dataclass(frozen=True, slots=True)
class Wanted:
    """What adding would do; nothing is done yet."""

    copied: tuple[str, ...]
    """Document ids."""
    present: tuple[str, ...]
    refused: tuple[str, ...]
    size: int
    """Bytes that would be copied."""


def plan_adding(paths: Iterable[Path], settings: IndexSettings, *, replace: bool) -> Wanted:
    """Raises CorpusError as `add_sources` does for its paths."""
    refused: list[str] = []
    wanted, present = _sorted_out(list(paths), settings, refused, replace=replace)
    size = sum(source.stat().st_size for source, *_ in wanted if source.exists())
    return Wanted(tuple(name for *_, name in wanted), tuple(present), tuple(refused), size)


def _sorted_out(
    paths: list[Path], settings: IndexSettings, refused: list[str], *, replace: bool, ignore: Sequence[str] = ()
) -> tuple[list[tuple[Path, Path, str]], list[str]]:
    """((file, where it goes, document id) of those to copy, ids of those that are there already)."""
    wanted: list[tuple[Path, Path, str]] = []
    present: list[str] = []
    for path in paths:
        if not path.exists():
            raise CorpusError(f"{path} does not exist; nothing was added.")
        if path.resolve().is_relative_to(settings.corpus.resolve()) or settings.corpus.resolve().is_relative_to(path.resolve()):
            raise CorpusError(f"{path} is in the corpus already, or holds it; bring the index up to date with: assistant index")
    for path in paths:
        for source, relative in _files(path, refused, ignore):
            target = settings.added / relative
            name = f"{ADDED}/{relative.as_posix()}"
            try:
                beside = metadata_path(source), metadata_path(target)
                if target.exists() and _same(source, target) and (not beside[0].exists() or _same(*beside)):
                    present.append(name)
                elif target.exists() and not replace:
                    refused.append(f"{name} is there already with other words; use --replace to put {source} in its place.")
                else:
                    wanted.append((source, target, name))
            except OSError as error:
                refused.append(f"{source} cannot be compared with {target} ({error.strerror}); check the permissions of both.")
    return wanted, present


def describe_source(document: str, settings: IndexSettings, told: Mapping[str, str | Sequence[str]]) -> Path:
    """Writes who wrote a document, when and so on into the file beside it, and gives that; empty words take it out again.

    Raises CorpusError where the document is no file, a date is none, or the file cannot be written.
    """
    root, relative = (
        (settings.added, document.removeprefix(f"{ADDED}/")) if document.startswith(f"{ADDED}/") else (settings.corpus, document)
    )
    place = root / relative
    if not place.is_file() or not place.resolve().is_relative_to(root.resolve()):
        raise CorpusError(f"{document} is no file of its own in the corpus {settings.corpus}; change it where it lies.")
    try:
        check_date(str(told.get("published") or "") or None, "published:")
        return write_metadata(place, told)
    except QuestionError as error:
        raise CorpusError(str(error)) from error
    except UnicodeEncodeError as error:
        raise CorpusError(f"{document}: what is told of it holds letters that cannot be written; nothing was changed.") from error
    except ValueError as error:
        raise CorpusError(f"{metadata_path(place)} is not valid TOML ({error}); mend or remove it.") from error
    except OSError as error:
        raise CorpusError(
            f"{metadata_path(place)} cannot be written ({error.strerror}); check the folder's permissions."
        ) from error


@dataclass(frozen=True, slots=True)
class Removed:
    """A source that was taken out, and can be put back."""

    document: str
    kept: Path
    """Where its file lies now."""
    place: Path
    """Where it lay."""


def remove_source(document: str, settings: IndexSettings) -> Removed:
    """Takes an added source out of the corpus; its file is kept beside the index, and `put_back` undoes it.

    Raises CorpusError for a document that was not added: the files of a corpus folder are its owner's.
    """
    relative = document.removeprefix(f"{ADDED}/")
    place = settings.added / relative
    inside = place.resolve().is_relative_to(settings.added.resolve())
    if relative == document or not inside:
        raise CorpusError(
            f"{document} lies in the folder {settings.corpus} and was not added here; if it is yours, delete its file there."
        )
    kept = settings.store / "removed" / f"{time.time_ns()}" / relative
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(place, kept)
        if metadata_path(place).is_file():
            shutil.move(metadata_path(place), metadata_path(kept))
    except OSError as error:
        raise CorpusError(f"{document} could not be taken out ({error.strerror}); nothing was changed.") from error
    return Removed(document, kept, place)


def put_back(removed: Removed) -> None:
    """Raises CorpusError where something else lies there by now."""
    try:
        if removed.place.exists():
            raise CorpusError(f"{removed.document} is there again; the one that was taken out lies in {removed.kept}.")
        removed.place.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(removed.kept, removed.place)
        if metadata_path(removed.kept).is_file():
            shutil.move(metadata_path(removed.kept), metadata_path(removed.place))
    except OSError as error:
        raise CorpusError(f"{removed.document} could not be put back ({error.strerror}); it lies in {removed.kept}.") from error


def _files(path: Path, refused: list[str], ignore: Sequence[str]) -> Iterator[tuple[Path, Path]]:
    """(file, its path below the folder of added sources)."""
    if path.is_file():
        if _is_ignored(path.name, ignore):
            return
        if is_supported(path):
            yield path, Path(path.name)
        else:
            refused.append(f"{path} has no loader; the program reads {supported_suffixes()}.")
        return
    found = False
    home = path.resolve()
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not _is_ignored(name, ignore))
        for name in sorted(names):
            file = Path(folder) / name
            if (
                _is_ignored(name, ignore)
                or name.startswith(".")
                or not is_supported(file)
                or not file.resolve().is_relative_to(home)
            ):
                continue
            found = True
            yield file, Path(home.name) / file.relative_to(path)
    if not found:
        refused.append(f"{path} holds no file that the program reads ({supported_suffixes()}).")


def _is_ignored(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern.rstrip("/")) for pattern in patterns)


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()


def _write(target: Path, data: bytes) -> None:
    temporary = target.with_name(f".{target.name}.new")
    temporary.write_bytes(data)
    temporary.replace(target)


def _copy(source: Path, target: Path) -> None:
    """At once: a build that runs meanwhile sees the whole file or none. With it goes what is told of it beside it, before it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    pairs = [(metadata_path(source), metadata_path(target)), (source, target)]
    for one, other in pairs if pairs[0][0].is_file() else pairs[1:]:
        temporary = other.with_name(f".{other.name}.new")
        shutil.copyfile(one, temporary)
        temporary.replace(other)
