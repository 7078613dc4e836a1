"""E-mail (.eml): paragraphs are the locators, the sender speaks, and what is quoted is its writer's."""

from __future__ import annotations

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from email.utils import getaddresses, parsedate_to_datetime

from index.documents import Document, Locator, Voice, citation_name
from index.errors import CorpusError
from index.loaders.blocks import written
from index.loaders.html import parsed, pieces_of
from index.loaders.text import paragraph_locators, title_from_path

# "On 3 June 2021, Khang Vu <kv@example.org> wrote:", over two lines at most.
_WROTE = re.compile(r"^On\b[^\n]*?(?:\n[^\n]*?)??,?\s(?P<who>[^\s,<\d][^,<\n]*?)\s*(?:<[^>\n]*>)?\s+wrote:[ \t]*$", re.MULTILINE)
_UNKNOWN = Voice("an earlier message")


def load_mail(document_id: str, data: bytes, digest: str) -> tuple[Document, str | None]:
    """Attachments are not read, and that is told. Raises CorpusError for a message without words."""
    try:
        message = message_from_bytes(data, policy=default)
        assert isinstance(message, EmailMessage)
        text, attached = _words(message, document_id), sum(1 for _ in message.iter_attachments())
        subject, sender, date = (" ".join(str(message.get(key, "")).split()) for key in ("Subject", "From", "Date"))
    except CorpusError:
        raise
    except Exception as error:
        # The parser raises whatever a malformed message leads it into.
        raise CorpusError(f"{document_id}: is no sound e-mail ({type(error).__name__}); save it again.") from error
    if not text.strip():
        raise CorpusError(f"{document_id}: holds no words outside its attachments; save those and add them.")
    names = [name or address for name, address in getaddresses([sender]) if name or address]
    try:
        published: str | None = parsedate_to_datetime(date).date().isoformat()
    except (ValueError, TypeError):
        published = None
    title = subject or title_from_path(document_id)
    document = Document(
        id=document_id,
        title=title,
        text=text,
        digest=digest,
        locators=_locators(text),
        authors=tuple(names),
        published=published,
        kind="e-mail",
        cite_as=citation_name(tuple(names), published, title),
    )
    return document, f"{document_id}: {attached} attached files were not read; save and add them." if attached else None


def _words(message: EmailMessage, document_id: str) -> str:
    body = message.get_body(preferencelist=("plain", "html"))
    if body is None:
        return ""
    told = body.get_content()
    if not isinstance(told, str):
        return ""
    if body.get_content_type() == "text/html":
        told, _ = written(pieces_of(parsed(told.encode("utf-8", "replace"), document_id)))
    return told.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").strip("\n")


def _locators(text: str) -> tuple[Locator, ...]:
    """Paragraphs, cut where quotation begins and ends; a quotation belongs to whom the line above it names."""
    runs: list[tuple[int, int, bool]] = []
    at = 0
    for line in text.splitlines(keepends=True):
        quoted = line.lstrip().startswith(">")
        if runs and (runs[-1][2] == quoted or not line.strip()):
            runs[-1] = (runs[-1][0], at + len(line), runs[-1][2])
        else:
            runs.append((at, at + len(line), quoted))
        at += len(line)
    found: list[Locator] = []
    who: Voice | None = None
    for start, end, quoted in runs:
        if not quoted:
            wrote = list(_WROTE.finditer(text, start, end))
            who = Voice(wrote[-1]["who"].strip(" \"'")) if wrote and not text[wrote[-1].end() : end].strip() else None
        for place in paragraph_locators(text, start, end):
            voice = (who or _UNKNOWN) if quoted else None
            found.append(Locator(place.start, place.end, f"¶{len(found) + 1}", (), voice))
    return tuple(found)
