"""Word documents (.docx): headings are the locators, notes stand at the end of their paragraph.

When the file was made says little of when its words were published: that date is left aside.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import docx
from docx.document import Document as WordDocument
from docx.oxml.ns import qn
from docx.table import Table
from docx.text.paragraph import Paragraph
from lxml import etree

from index.documents import Document, names_in
from index.errors import CorpusError
from index.loaders.blocks import Piece, document_of, written
from index.loaders.zipped import opened, xml

_HEADING = re.compile(r"heading\s*(\d)|title\Z", re.IGNORECASE)
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_NOTES = {"footnotes": "footnoteReference", "endnotes": "endnoteReference"}


def load_docx(document_id: str, data: bytes, digest: str) -> tuple[Document, str | None]:
    """Raises CorpusError for a file that is locked, damaged or without words."""
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise CorpusError(f"{document_id}: is locked with a password, or an old .doc; save it as .docx without one and add that.")
    opened(document_id, data)
    try:
        word = docx.Document(io.BytesIO(data))
        text, blocks = written(_pieces(word, document_id))
        told = word.core_properties
        title, author = " ".join((told.title or "").split()), " ".join((told.author or "").split())
    except (MemoryError, CorpusError):
        raise
    except Exception as error:
        # The library raises whatever a damaged file leads it into.
        raise CorpusError(f"{document_id}: is damaged or no Word document ({type(error).__name__}); save it again.") from error
    if not text:
        raise CorpusError(f"{document_id}: holds no words.")
    # What the library and other programs write where nobody gave a name.
    authors = [name for name in names_in(author) if name.lower() != "python-docx"]
    return document_of(document_id, digest, text, blocks, title=title, authors=authors), None


def _pieces(word: WordDocument, document_id: str) -> Iterator[Piece]:
    notes = _notes(word, document_id)
    for block in word.iter_inner_content():
        if isinstance(block, Table):
            for row in block.rows:
                # One that spans several columns is told for each of them.
                cells = {cell._tc: cell for cell in row.cells}.values()
                told = (" ".join(_words(each, notes) for each in cell.paragraphs) for cell in cells)
                yield Piece(" | ".join(filter(None, told)))
        else:
            yield Piece(_words(block, notes), _level(block))


def _level(paragraph: Paragraph) -> int:
    style = paragraph.style
    for _ in range(8):
        if style is None:
            break
        match = _HEADING.match(style.name or "")
        if match:
            return int(match[1] or 1)
        style = style.base_style
    outline = paragraph._p.find(f"{qn('w:pPr')}/{qn('w:outlineLvl')}")
    told = outline.get(qn("w:val"), "9") if outline is not None else "9"
    return int(told) + 1 if told in "01234567" and told else 0


def _words(paragraph: Paragraph, notes: dict[tuple[str, str], str]) -> str:
    words: list[str] = []
    added: list[str] = []
    walk = etree.iterwalk(paragraph._p, events=("start",))
    for _, element in walk:
        if element.tag == _FALLBACK:
            # The same words once more, for old programs.
            walk.skip_subtree()
        elif element.tag == qn("w:t"):
            words.append(element.text or "")
        elif element.tag in (qn("w:tab"), qn("w:br"), qn("w:cr")):
            words.append(" ")
        elif element.tag == qn("w:noBreakHyphen"):
            words.append("-")
        for kind, reference in _NOTES.items():
            if element.tag == qn(f"w:{reference}") and (note := notes.get((kind, element.get(qn("w:id"), "")))):
                added.append(f"[{note}]")
    return " ".join(" ".join(["".join(words), *added]).split())


def _notes(word: WordDocument, document_id: str) -> dict[tuple[str, str], str]:
    """(footnotes or endnotes, id) -> words."""
    found = {}
    for relation in word.part.rels.values():
        kind = relation.reltype.rsplit("/", 1)[-1]
        if kind not in _NOTES or relation.is_external:
            continue
        tree = xml(relation.target_part.blob, document_id, kind)
        for note in tree.iter(qn("w:footnote"), qn("w:endnote")):
            if note.get(qn("w:type")) is None:
                found[kind, note.get(qn("w:id"), "")] = _note_text(note)
    return found


def _note_text(note: etree._Element) -> str:
    return " ".join("".join(each.text or "" for each in note.iter(qn("w:t"))).split())
