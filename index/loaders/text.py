"""Plain text: paragraphs between blank lines are the locators ¶1, ¶2, …"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from index.documents import Document, Locator, citation_name
from index.sentences import sentence_goes_on

_GAP = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")


def load_text(document_id: str, text: str, digest: str) -> Document:
    title = title_from_path(document_id)
    return Document(
        id=document_id,
        title=title,
        text=text,
        digest=digest,
        locators=paragraph_locators(text, 0, len(text)),
        cite_as=citation_name((), None, title),
    )


def title_from_path(document_id: str) -> str:
    return PurePosixPath(document_id).stem.replace("_", " ").replace("-", " ").strip() or document_id


def paragraph_locators(text: str, start: int, end: int, headings: tuple[str, ...] = ()) -> tuple[Locator, ...]:
    """¶1, ¶2, … tiling `text[start:end]`; the blank lines belong to the paragraph before them."""
    if end <= start:
        return ()
    starts = [start]
    for gap in _GAP.finditer(text, start, end):
        if text[starts[-1] : gap.start()].strip() and gap.end() < end and not sentence_goes_on(text, gap.start(), gap.end()):
            starts.append(gap.end())
    return tuple(
        Locator(begin, stop, f"¶{number}", headings)
        for number, (begin, stop) in enumerate(zip(starts, [*starts[1:], end], strict=True), start=1)
    )
