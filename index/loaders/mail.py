"""E-mail (.eml): paragraphs are the locators, the sender speaks, and what is quoted is its writer's."""

from __future__ import annotations

import re
from dataclasses import replace
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
# "> ", "> > ", ">> ".
_MARKS = re.compile(r"(?:>[ \t]?)+")


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
    text, places = _placed(text)
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
        locators=places,
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


def _placed(told: str) -> tuple[str, tuple[Locator, ...]]:
    """The words without the marks of quotation, and the paragraphs. What is quoted, at any depth, belongs to whom the line above
    it names.
    """
    runs: list[tuple[int, list[str]]] = []
    for line in told.split("\n"):
        marks = _MARKS.match(line)
        depth = marks[0].count(">") if marks else 0
        words = line[marks.end() :] if marks else line
        if runs and (runs[-1][0] == depth or not line.strip()):
            runs[-1][1].append(words)
        else:
            runs.append((depth, [words]))
    text, found = "", list[Locator]()
    # Who is quoted at each depth, as the words one less deep say.
    quoted: dict[int, Voice] = {}
    for depth, lines in runs:
        run = "\n".join(lines).strip("\n")
        if not run.strip():
            continue
        start = len(text) + 2 * bool(text)
        text = f"{text}\n\n{run}" if text else run
        wrote = list(_WROTE.finditer(text, start))
        for deeper in [each for each in quoted if each > depth]:
            del quoted[deeper]
        if wrote and not text[wrote[-1].end() :].strip():
            quoted[depth + 1] = Voice(wrote[-1]["who"].strip(" \"'"))
        if found:
            # Places leave no gap.
            found[-1] = replace(found[-1], end=start)
        for place in paragraph_locators(text, start, len(text)):
            found.append(
                Locator(place.start, place.end, f"¶{len(found) + 1}", (), quoted.get(depth, _UNKNOWN) if depth else None)
            )
    return text, tuple(found)
