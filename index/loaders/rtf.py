"""Rich Text Format: paragraphs are the locators."""

from __future__ import annotations

import re

from striprtf.striprtf import rtf_to_text

from index.documents import Document, citation_name, names_in
from index.errors import CorpusError
from index.loaders.text import paragraph_locators, title_from_path

# Possessive: "\u12345…" can be cut in so many ways that trying them all would never end.
_INFO = re.compile(r"\{\\(title|author)\s++((?:[^{}\\]|\\'[0-9a-f]{2}|\\[{}\\]|\\u-?\d++\s?+\??+)*+)\}", re.IGNORECASE)


def load_rtf(document_id: str, data: bytes, digest: str) -> tuple[Document, str | None]:
    """Raises CorpusError for a file that is no RTF or holds no words."""
    source = data.decode("latin-1")
    if not source.lstrip().startswith("{\\rtf"):
        raise CorpusError(f"{document_id}: is no RTF; save it again, or rename it after what it is.")
    try:
        plain = _plain(source)
        told = {
            match[1].lower(): " ".join(_plain("{\\rtf1 " + match[2] + "}").split()) for match in _INFO.finditer(source[:20_000])
        }
    except Exception as error:
        # The parser raises whatever a malformed file leads it into.
        raise CorpusError(f"{document_id}: is damaged ({type(error).__name__}); save it again.") from error
    # A line is a paragraph; a blank line shows it.
    text = "\n\n".join(" ".join(line.split()) for line in plain.replace("\0", "").splitlines() if line.strip())
    if not text:
        raise CorpusError(f"{document_id}: holds no words.")
    title = told.get("title") or title_from_path(document_id)
    authors = names_in(told.get("author", ""))
    return Document(
        id=document_id,
        title=title,
        text=text,
        digest=digest,
        locators=paragraph_locators(text, 0, len(text)),
        authors=authors,
        cite_as=citation_name(authors, None, title),
    ), None


def _plain(source: str) -> str:
    return str(rtf_to_text(source, errors="replace"))  # type: ignore[no-untyped-call]
