"""OpenDocument text (.odt): headings are the locators, notes stand at the end of their paragraph.

When the file was made says little of when its words were published: that date is left aside.
"""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from index.documents import Document, names_in
from index.errors import CorpusError
from index.loaders.blocks import Piece, document_of, written
from index.loaders.zipped import opened, part, text_of, xml

_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
# What was deleted while changes were tracked, comments, and lists that the program makes.
_SKIPPED = frozenset(
    {f"{_TEXT}tracked-changes", f"{_OFFICE}annotation", f"{_TEXT}table-of-content", f"{_TEXT}alphabetical-index"}
)


def load_odt(document_id: str, data: bytes, digest: str) -> tuple[Document, str | None]:
    """Raises CorpusError for a file that is locked, damaged or without words."""
    archive = opened(document_id, data)
    if b"encryption-data" in part(archive, "META-INF/manifest.xml", document_id):
        raise CorpusError(f"{document_id}: is locked with a password; save a copy without one and add that.")
    content = xml(part(archive, "content.xml", document_id), document_id, "content.xml")
    text, blocks = written(_pieces(content))
    if not text:
        raise CorpusError(f"{document_id}: holds no words.")
    try:
        meta: etree._Element | None = xml(part(archive, "meta.xml", document_id), document_id, "meta.xml")
    except CorpusError:
        meta = None
    author = _first(meta, "initial-creator") or _first(meta, "creator")
    title = _first(meta, "title")
    return document_of(document_id, digest, text, blocks, title=title, authors=names_in(author)), None


def _pieces(content: etree._Element) -> Iterator[Piece]:
    walk = etree.iterwalk(content, events=("start",))
    for _, element in walk:
        if element.tag in _SKIPPED:
            walk.skip_subtree()
        elif element.tag == f"{_TABLE}table-row":
            walk.skip_subtree()
            yield Piece(" | ".join(filter(None, (_words(cell) for cell in element.iter(f"{_TABLE}table-cell")))))
        elif element.tag in (f"{_TEXT}h", f"{_TEXT}p"):
            walk.skip_subtree()
            level = element.get(f"{_TEXT}outline-level", "1") if element.tag == f"{_TEXT}h" else "0"
            yield Piece(_words(element), int(level) if level.isdecimal() else 1)


def _words(element: etree._Element) -> str:
    words: list[str] = []
    notes: list[str] = []
    walk = etree.iterwalk(element, events=("start", "end"))
    for event, each in walk:
        if event == "start":
            if each.tag == f"{_TEXT}note":
                walk.skip_subtree()
                cite, body = each.find(f"{_TEXT}note-citation"), each.find(f"{_TEXT}note-body")
                notes.append(f"[{text_of(cite)}: {text_of(body)}]")
            elif each.tag in _SKIPPED:
                walk.skip_subtree()
            else:
                if each.tag in (f"{_TEXT}s", f"{_TEXT}tab", f"{_TEXT}line-break", f"{_TEXT}p"):
                    words.append(" ")
                words.append(each.text or "")
        elif each is not element:
            words.append(each.tail or "")
    return " ".join(" ".join(["".join(words), *notes]).split())


def _first(meta: etree._Element | None, name: str) -> str:
    found = meta.iter(f"{{*}}{name}") if meta is not None else ()
    return next((told for each in found if (told := text_of(each))), "")
