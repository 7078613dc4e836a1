"""Which loader reads which file, and the limits that hold for all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from index.documents import Document
from index.errors import CorpusError
from index.loaders.metadata import read_metadata, with_metadata

# Long files are judged by their beginning: detection costs seconds per megabyte.
_JUDGED = 200_000
# The encodings that people's files are in; rare ones only make short texts look like something they are not.
_ENCODINGS = [
    "utf_16", "utf_32", "cp1252", "cp1250", "cp1251", "cp1258", "gb18030", "big5", "shift_jis", "euc_jp", "euc_kr", "koi8_r"
]  # fmt: skip

TextLoader = Callable[[str, str, str], Document]
"""(document id, decoded text with \\n line ends, digest) -> Document."""
FileLoader = Callable[[str, bytes, str], tuple[Document, str | None]]
"""(document id, bytes, digest) -> Document, and what a person should know about how it was read."""


class _Kind(NamedTuple):
    module: str
    loader: str
    decoded: bool = True
    """Whether the loader takes text; else bytes, and it is read in a process apart: its format can hold anything."""


# A loader and what it needs are imported when the first file of its kind is read: most starts read none.
_KINDS = {
    ".md": (_MARKDOWN := _Kind("markdown", "load_markdown")),
    ".markdown": _MARKDOWN,
    ".txt": (_TEXT := _Kind("text", "load_text")),
    ".text": _TEXT,
    ".rst": _Kind("rst", "load_rst"),
    ".srt": (_SUBTITLES := _Kind("subtitles", "load_subtitles")),
    ".vtt": _SUBTITLES,
    ".csv": (_CSV := _Kind("tables", "load_csv")),
    ".tsv": _CSV,
    ".jsonl": _Kind("tables", "load_json_lines"),
    ".pdf": _Kind("pdf", "load_pdf", decoded=False),
    ".html": (_HTML := _Kind("html", "load_html", decoded=False)),
    ".htm": _HTML,
    ".xhtml": _HTML,
    ".docx": _Kind("docx", "load_docx", decoded=False),
    ".odt": _Kind("odt", "load_odt", decoded=False),
    ".epub": _Kind("epub", "load_epub", decoded=False),
    ".rtf": _Kind("rtf", "load_rtf", decoded=False),
    ".eml": _Kind("mail", "load_mail", decoded=False),
}


@dataclass(frozen=True, slots=True)
class Loaded:
    document: Document
    warning: str | None
    """What a person should know about how the file was read."""


def is_supported(path: Path) -> bool:
    return path.suffix.lower() in _KINDS


def supported_suffixes() -> str:
    return ", ".join(_KINDS)


def load(path: Path, document_id: str, *, max_bytes: int) -> Loaded:
    """Reads one file, and what is told of it beside it. Raises CorpusError with the reason and the remedy when it cannot."""
    kind = _kind(path, document_id)
    told, told_bytes = read_metadata(path, document_id)
    if kind.decoded:
        loaded = load_here(path, document_id, max_bytes=max_bytes)
    else:
        from index.loaders.apart import load_apart

        loaded = load_apart(path, document_id, max_bytes=max_bytes)
    if told_bytes is None:
        return loaded
    document = with_metadata(loaded.document, told)
    return Loaded(replace(document, digest=digest_of(loaded.document.digest.encode() + told_bytes)), loaded.warning)


def load_here(path: Path, document_id: str, *, max_bytes: int, step: Callable[[int], None] = lambda _: None) -> Loaded:
    """In this very process, whatever the format. step: told the number of each page. Raises CorpusError."""
    kind = _kind(path, document_id)
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise CorpusError(f"{document_id}: cannot be read ({error.strerror}); check the file and its permissions.") from error
    if len(data) > max_bytes:
        raise CorpusError(
            f"{document_id}: larger than the limit of {max_bytes // 1_000_000} MB; "
            "split it, or raise max_file_mb in assistant.toml."
        )
    loader = getattr(import_module(f"index.loaders.{kind.module}"), kind.loader)
    if kind.decoded:
        text, warning = _decode(data, document_id)
        return Loaded(loader(document_id, text.replace("\r\n", "\n").replace("\r", "\n"), digest_of(data)), warning)
    if not data:
        raise CorpusError(f"{document_id}: is empty; download or save it again.")
    document, warning = loader(document_id, data, digest_of(data), **({"step": step} if kind.module == "pdf" else {}))
    return Loaded(document, warning)


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _kind(path: Path, document_id: str) -> _Kind:
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise CorpusError(f"{document_id}: no loader for {path.suffix or 'a file without suffix'}; use {supported_suffixes()}.")
    return kind


def _decode(data: bytes, document_id: str) -> tuple[str, str | None]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        from charset_normalizer import from_bytes

        beginning = data[: data.rfind(b"\n", 0, _JUDGED) + 1] or data[:_JUDGED] if len(data) > _JUDGED else data
        best = from_bytes(beginning, cp_isolation=_ENCODINGS).best()
        if best is None:
            raise CorpusError(f"{document_id}: not UTF-8 and no other encoding fits; save it as UTF-8.") from error
        try:
            text = data.decode(best.encoding)
        except (UnicodeDecodeError, LookupError):
            raise CorpusError(f"{document_id}: not UTF-8 and no other encoding fits; save it as UTF-8.") from error
        if "\0" not in text:
            return text, f"{document_id}: not UTF-8; read as {best.encoding}. Save it as UTF-8 if letters look wrong."
    if "\0" in text:
        raise CorpusError(f"{document_id}: holds binary data, not text; remove it or save it as text.")
    return text, None
