"""Which loader reads which file, and the limits that hold for all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from index.documents import Document
from index.errors import CorpusError

# Long files are judged by their beginning: detection costs seconds per megabyte.
_JUDGED = 200_000
# The encodings that people's files are in; rare ones only make short texts look like something they are not.
_ENCODINGS = [
    "utf_16", "utf_32", "cp1252", "cp1250", "cp1251", "cp1258", "gb18030", "big5", "shift_jis", "euc_jp", "euc_kr", "koi8_r"
]  # fmt: skip

Loader = Callable[[str, str, str], Document]
"""(document id, decoded text with \\n line ends, digest) -> Document."""


# A loader and what it needs are imported when the first file of its kind is read: most starts read none.
def _markdown() -> Loader:
    from index.loaders.markdown import load_markdown

    return load_markdown


def _text() -> Loader:
    from index.loaders.text import load_text

    return load_text


_LOADERS: dict[str, Callable[[], Loader]] = {".md": _markdown, ".markdown": _markdown, ".txt": _text, ".text": _text}


@dataclass(frozen=True, slots=True)
class Loaded:
    document: Document
    warning: str | None
    """What a person should know about how the file was read."""


def is_supported(path: Path) -> bool:
    return path.suffix.lower() in _LOADERS


def supported_suffixes() -> str:
    return ", ".join(_LOADERS)


def load(path: Path, document_id: str, *, max_bytes: int) -> Loaded:
    """Reads one file. Raises CorpusError with the reason and the remedy when it cannot."""
    loader = _LOADERS.get(path.suffix.lower())
    if loader is None:
        raise CorpusError(f"{document_id}: no loader for {path.suffix or 'a file without suffix'}; use {supported_suffixes()}.")
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
    text, warning = _decode(data, document_id)
    return Loaded(loader()(document_id, text.replace("\r\n", "\n").replace("\r", "\n"), digest_of(data)), warning)


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


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
