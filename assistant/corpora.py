"""Named corpora: a folder of sources, and the settings that hold for it, under a name that `--corpus` takes.

The folder of a name holds `corpus.toml` and, unless that tells another path, the sources themselves.
"""

from __future__ import annotations

import re
import shutil
import time
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from index.errors import CorpusError, SettingsError
from index.loaders.jsonl import is_jsonl

APP = "alliance-assistant"
DEBATE = "debate"
"""The name of the corpus that ships with the program."""
_FILE = "corpus.toml"
_SOURCES = "sources"
_SUITES = "suites"
_DELETED = ".deleted"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class NamedCorpus:
    name: str
    folder: Path
    """Where what is known of it is kept."""
    sources: Path
    """Folder of sources, or one file of JSON Lines."""
    settings: Mapping[str, Any]
    """By their names in assistant.toml; they count more than that file."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether the sources are a folder of the user's own."""
        return self.sources != self.folder / _SOURCES

    @property
    def suites(self) -> Path:
        """Folder of its own evaluation suites."""
        return self.folder / _SUITES

    @property
    def file(self) -> Path:
        return self.folder / _FILE


def corpora_folder() -> Path:
    return platformdirs.user_data_path(APP, appauthor=False) / "corpora"


def corpus_names() -> list[str]:
    """Also of those that cannot be read. Raises SettingsError."""
    try:
        return sorted(path.parent.name for path in corpora_folder().glob(f"*/{_FILE}") if _NAME.fullmatch(path.parent.name))
    except OSError as error:
        raise SettingsError(f"the named corpora in {corpora_folder()} cannot be read ({error.strerror}).") from error


def named_corpora() -> list[NamedCorpus]:
    """By name. One that cannot be read is left out: it is told where it is asked for, and must not stop the others."""
    found = []
    for name in corpus_names():
        with suppress(SettingsError):
            found.append(_read(corpora_folder() / name))
    return found


def is_name(told: str | Path) -> bool:
    """Whether it can be the name of a corpus: a word, and no path."""
    return isinstance(told, str) and _NAME.fullmatch(told) is not None


def corpus_named(name: str | Path) -> NamedCorpus | None:
    """None where there is none of that name. Raises SettingsError where it cannot be read."""
    folder = corpora_folder() / str(name)
    return _read(folder) if is_name(name) and (folder / _FILE).is_file() else None


def corpus_at(sources: Path) -> NamedCorpus | None:
    """The named corpus whose sources these are; the first by name where several are."""
    if not corpora_folder().is_dir():
        return None
    place = sources.expanduser().resolve()
    return next((each for each in named_corpora() if each.sources.expanduser().resolve() == place), None)


def create(name: str, sources: Path | None, settings: Mapping[str, Any]) -> NamedCorpus:
    """sources: a folder or file that is there already. Raises SettingsError, and makes nothing then."""
    import tomlkit

    _check_free(name)
    if sources is not None:
        sources = sources.expanduser().resolve()
        if not sources.is_dir() and not (is_jsonl(sources) and sources.is_file()):
            raise SettingsError(f"{sources} is neither a folder nor a .jsonl file; leave it out to begin with an empty corpus.")
        known = corpus_at(sources)
        if known is not None:
            raise SettingsError(f"{sources} is the corpus {known.name} already; rename that with: assistant corpus rename")
    told = tomlkit.document()
    if sources is not None:
        told["path"] = str(sources)
    if settings:
        told["settings"] = dict(settings)
    folder = corpora_folder() / name
    try:
        (folder / _SOURCES if sources is None else folder).mkdir(parents=True)
        (folder / _FILE).write_text(tomlkit.dumps(told), encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{folder} cannot be written ({error.strerror}); check its permissions.") from error
    return _read(folder)


def rename(name: str, new: str) -> NamedCorpus:
    """Raises SettingsError and CorpusError."""
    _check_known(name)
    _check_free(new)
    folder = corpora_folder() / name
    try:
        folder.rename(folder.with_name(new))
    except OSError as error:
        raise CorpusError(f"{folder} cannot be renamed ({error.strerror}).") from error
    return _read(folder.with_name(new))


def delete(name: str) -> Path:
    """Gives where all that was kept of it lies from now on. Raises SettingsError and CorpusError."""
    _check_known(name)
    folder = corpora_folder() / name
    kept = corpora_folder() / _DELETED / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    try:
        kept.parent.mkdir(exist_ok=True)
        shutil.move(folder, kept)
    except OSError as error:
        raise CorpusError(f"{folder} cannot be moved to {kept} ({error.strerror}).") from error
    return kept


def _check_known(name: str) -> None:
    if name == DEBATE:
        raise SettingsError(f"{DEBATE} is the corpus that ships with the program, and stays as it is.")
    names = corpus_names()
    if name not in names:
        others = f"are {', '.join(names)}" if names else "is none"
        raise SettingsError(f"there is no corpus {name}; there {others} beside {DEBATE}.")


def _check_free(name: str) -> None:
    if not is_name(name):
        raise SettingsError(f"{name!r} cannot name a corpus; take small letters, digits, hyphens and underscores, 64 at most.")
    if name == DEBATE or (corpora_folder() / name).exists():
        raise SettingsError(f"there is a corpus {name} already; take another name, or see: assistant corpus list")


def _read(folder: Path) -> NamedCorpus:
    path = folder / _FILE
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}.") from error
    sources, settings = told.get("path"), told.get("settings", {})
    unknown = sorted(set(told) - {"path", "settings"})
    if unknown or not isinstance(settings, dict) or not isinstance(sources, str | None):
        raise SettingsError(
            f"{path}: {unknown[0] if unknown else 'path or settings'} is not usable; it holds path, and [settings]."
        )
    # A relative path means what it says from where the file lies.
    return NamedCorpus(folder.name, folder, folder / Path(sources).expanduser() if sources else folder / _SOURCES, settings)
