"""What a person tells of a file beside it: "name.pdf.meta.toml" overrules what the file itself tells."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from index.documents import Document, citation_name
from index.errors import CorpusError

SUFFIX = ".meta.toml"
_WORDS = ("title", "published", "publisher", "url", "kind", "cite_as")
_LISTS = ("authors", "sources")
_MOST_BYTES = 100_000


def metadata_path(path: Path) -> Path:
    """Where what a person tells of the file stands."""
    return path.with_name(path.name + SUFFIX)


def read_metadata(path: Path, document_id: str) -> tuple[dict[str, Any], bytes | None]:
    """What is told, and the bytes that tell it; nothing and None where nothing is told. Raises CorpusError."""
    place = metadata_path(path)
    try:
        data = place.read_bytes() if place.is_file() and place.stat().st_size <= _MOST_BYTES else None
    except OSError as error:
        raise CorpusError(f"{document_id}: {place.name} beside it cannot be read ({error.strerror}).") from error
    if data is None:
        return {}, None
    try:
        told = tomllib.loads(data.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CorpusError(f"{document_id}: {place.name} beside it is not valid TOML ({error}); mend or remove it.") from error
    unknown = sorted(set(told) - set(_WORDS) - set(_LISTS))
    if unknown:
        raise CorpusError(
            f"{document_id}: {place.name} beside it has {unknown[0]!r}, which is none of {', '.join((*_WORDS, *_LISTS))}."
        )
    for key, value in told.items():
        if isinstance(value, (dict, bool)) or (key in _WORDS and isinstance(value, list)):
            raise CorpusError(f"{document_id}: {key} in {place.name} must be {'a list of ' if key in _LISTS else ''}words.")
    return told, data


def write_metadata(path: Path, told: Mapping[str, str | Sequence[str]]) -> Path:
    """Puts what is told of the file beside it, and gives the place; what stands there else, comments too, stays. Empty words take
    a key out: what the file itself tells counts again.

    Raises OSError, and ValueError where what stands there is not valid TOML.
    """
    import tomlkit

    place = metadata_path(path)
    document = tomlkit.parse(place.read_text(encoding="utf-8-sig")) if place.is_file() else tomlkit.document()
    for key, value in told.items():
        if value:
            document[key] = value if isinstance(value, str) else list(value)
        else:
            document.pop(key, None)
    written = tomlkit.dumps(document).encode()
    if not written.strip():
        place.unlink(missing_ok=True)
        return place
    temporary = place.with_name(f".{place.name}.new")
    temporary.write_bytes(written)
    temporary.replace(place)
    return place


def with_metadata(document: Document, told: dict[str, Any]) -> Document:
    """The document with what is told of it."""
    words: dict[str, Any] = {key: " ".join(str(told[key]).split()) for key in _WORDS if key in told and str(told[key]).strip()}
    lists: dict[str, Any] = {key: _items(told[key]) for key in _LISTS if key in told}
    changed = replace(document, **words, **lists)
    if "cite_as" in words or not {"title", "authors", "published"} & {*words, *lists}:
        return changed
    return replace(changed, cite_as=citation_name(changed.authors, changed.published, changed.title))


def _items(told: object) -> tuple[str, ...]:
    each = told if isinstance(told, list) else re.split(r"\s*;\s*", str(told))
    return tuple(" ".join(str(item).split()) for item in each if str(item).strip())
