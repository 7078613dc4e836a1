"""PDF: pages are the locators ("p. 12"), headings are told by their size; what a page break tore is mended.

Running heads, feet and page numbers are left out, words hyphenated at the end of a line are joined, and a sentence that goes on
overleaf is whole and belongs to the page where it begins. Notes at the foot of a page follow its words.
"""

from __future__ import annotations

import io
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

from pdfminer.converter import PDFPageAggregator
from pdfminer.layout import LAParams, LTChar, LTContainer, LTImage, LTTextBox, LTTextLine
from pdfminer.pdfdocument import PDFDocument, PDFNoPageLabels, PDFPasswordIncorrect
from pdfminer.pdfinterp import PDFPageInterpreter, PDFResourceManager
from pdfminer.pdfpage import PDFPage
from pdfminer.pdfparser import PDFParser
from pdfminer.pdftypes import PDFObjRef, resolve1
from pdfminer.utils import decode_text

from index.documents import Document, Locator, citation_name
from index.errors import CorpusError
from index.loaders.text import title_from_path
from index.sentences import sentence_spans

logging.getLogger("pdfminer").setLevel(logging.CRITICAL)

# A line is a heading when its letters are so much larger than those of most words.
_HEADING = 1.13
_LONGEST_HEADING = 200
_NOTE = 0.93
# What goes on overleaf is prose, no date or name that stands alone.
_SHORTEST_PROSE = 40
# A running head stands at the same height, in points, of so many pages.
_SAME_HEIGHT = 4.0
_RUNS = 3
# And of one page less where the next line is so far away, in heights of its letters.
_APART = 2.0
_LINES_AT_THE_EDGE = 3
# Share of the page's height at which heads and feet stand.
_EDGE = 0.12
# Numbers that count the pages may stand further in.
_FAR_EDGE = 0.2
# Points between columns, and by which lines of one below the other may touch.
_GUTTER = 6.0
_TOUCHES = 1.0
# Letters on a page with a picture below which it holds none to speak of.
_FEW_LETTERS = 15
_LIGATURES = str.maketrans(
    {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "ft", "ﬆ": "st", "\0": "", "\xad": "-", "\xa0": " "}
)
# After these a small raised number is the mark of a note, and no power.
_BEFORE_A_MARK = frozenset('.,;:!?”"’»]')
# What follows the mark at the beginning of a note: words. "14C" is none.
_NOTE_BEGINS = re.compile(r"\s|\W|[^\W\d_][^\W\d_A-Z]")
_NO_LETTER = re.compile(r"\(cid:\d+\)")
_ENDS = re.compile(r"[.?!:;…][\"'”’»)\]]*(?:\s*\[?\d{1,3}\]?)?$")
# "Treaties . . . . . . 12", in a table of contents.
_LEADER = re.compile(r"(?:\s*\.){4,}\s*")
_NUMBER = re.compile(r"\d+|\b[ivxlc]+\b")
_PAGE_NUMBER = re.compile(r"^\W*(?:page|p\.|seite)?\W*(?:\d{1,4}|[ivxlc]{1,6})\W*(?:(?:of|/|von)\W*\d{1,4}\W*)?$", re.IGNORECASE)
_NUMBERED = re.compile(r"^(?:\d+(?:\.\d+)*\.?|[IVX]+\.|[A-Z]\.)\s+\S")
_NO_TITLE = re.compile(
    r"^\W*$|^(?:untitled|microsoft word|powerpoint|slide 1\b|document\d*$)|\.(?:docx?|tex|pdf|indd|qxd|rtf|odt)$", re.IGNORECASE
)


class _Line(NamedTuple):
    text: str
    x0: float
    x1: float
    y0: float
    size: float
    bold: bool


@dataclass(slots=True)
class _Page:
    label: str
    height: float
    boxes: list[list[_Line]]
    pictures: bool

    @property
    def lines(self) -> list[_Line]:
        return [line for box in self.boxes for line in box]


@dataclass(slots=True)
class _Paragraph:
    text: str
    page: int
    level: int = 0
    """Of a heading, from 1."""
    note: bool = False
    goes_on: list[tuple[int, int]] = field(default_factory=list)
    """(offset in text, page) where another page's words begin."""


class _Acyclic(PDFDocument):
    """One in which no reference leads back to itself: the parser would follow it for ever."""

    def getobj(self, objid: int) -> object:
        found, seen = super().getobj(objid), {objid}
        while isinstance(found, PDFObjRef):
            if found.objid in seen:
                return None
            seen.add(found.objid)
            found = super().getobj(found.objid)
        return found


def load_pdf(
    document_id: str, data: bytes, digest: str, *, step: Callable[[int], None] = lambda _: None
) -> tuple[Document, str | None]:
    """step: told the number of each page read. Raises CorpusError for a file that is encrypted, damaged, or holds no text."""
    try:
        pdf = _Acyclic(PDFParser(io.BytesIO(data)))
        pages = list(_pages(pdf, step))
    except PDFPasswordIncorrect as error:
        raise CorpusError(f"{document_id}: is locked with a password; save a copy without one and add that.") from error
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:
        # The parser raises whatever a damaged file leads it into.
        raise CorpusError(f"{document_id}: is damaged or no PDF ({type(error).__name__}); save or download it again.") from error
    if not pages:
        raise CorpusError(f"{document_id}: has no pages.")
    _without_heads_and_feet(pages)
    empty = [page.label for page in pages if _letters(page) < (_FEW_LETTERS if page.pictures else 1)]
    if len(empty) == len(pages):
        raise CorpusError(
            f"{document_id}: holds pictures of pages and no text; recognise its text (with ocrmypdf, say) and add that."
        )
    meta = _metadata(pdf)
    authors = _names(meta.get("author", ""))
    found = _paragraphs(pages)
    for paragraph in found:
        # Below the title the names of its authors are in large letters, too.
        paragraph.level *= not set(_names(paragraph.text)).issubset(authors)
    paragraphs = _joined(found)
    text, locators = _located(paragraphs, pages)
    title = meta.get("title") or _largest(paragraphs) or title_from_path(document_id)
    warnings = []
    scanned = [page.label for page in pages if page.label in empty and page.pictures]
    if scanned:
        warnings.append(f"{document_id}: no text on {_listed(scanned)}, only pictures (scanned?).")
    if len(_NO_LETTER.findall(text)) > len(text) / 100:
        warnings.append(f"{document_id}: many of its letters cannot be read; the file does not tell what its fonts mean.")
    document = Document(
        id=document_id,
        title=title,
        text=text,
        digest=digest,
        locators=locators,
        authors=authors,
        cite_as=citation_name(authors, None, title),
    )
    return document, " ".join(warnings) or None


def _pages(pdf: PDFDocument, step: Callable[[int], None]) -> Iterator[_Page]:
    resources = PDFResourceManager()
    device = PDFPageAggregator(resources, laparams=LAParams())
    interpreter = PDFPageInterpreter(resources, device)
    try:
        labels: Iterator[str] | None = pdf.get_page_labels()
    except (PDFNoPageLabels, ValueError, TypeError, KeyError, AttributeError):
        labels = None
    for number, page in enumerate(PDFPage.create_pages(pdf), start=1):
        step(number)
        interpreter.process_page(page)
        layout = device.get_result()
        boxes, pictures = [], False
        texts: list[LTTextBox] = []
        for item in layout:
            if isinstance(item, LTTextBox):
                texts.append(item)
            elif isinstance(item, LTContainer):
                pictures |= any(isinstance(each, LTImage) for each in item)
            pictures |= isinstance(item, LTImage)
        for item in _in_reading_order(texts):
            boxes.append([line for each in item if isinstance(each, LTTextLine) for line in _line(each)])
        try:
            label = next(labels, "") if labels is not None else ""
        except (ValueError, TypeError, KeyError):
            labels, label = None, ""
        yield _Page(label or str(number), layout.height, [box for box in boxes if box], pictures)


def _in_reading_order(boxes: list[LTTextBox]) -> list[LTTextBox]:
    """Columns from the left, each from the top, between what spans them (a recursive cut; Nagy and Seth, 1984)."""
    boxes = sorted(boxes, key=lambda box: -box.y1)
    if len(boxes) < 2:
        return boxes
    gutter = _gutter(boxes)
    if gutter is not None and _side_by_side(boxes, gutter):
        left = [box for box in boxes if box.x1 <= gutter]
        return [*_in_reading_order(left), *_in_reading_order([box for box in boxes if box.x1 > gutter])]
    strips: list[list[LTTextBox]] = []
    lowest = 0.0
    for box in boxes:
        if strips and box.y1 > lowest + _TOUCHES:
            strips[-1].append(box)
        else:
            strips.append([box])
            lowest = box.y0
        lowest = min(lowest, box.y0)
    groups: list[list[LTTextBox]] = []
    for strip in strips:
        together = [*groups[-1], *strip] if groups else strip
        gutter = _gutter(together)
        if groups and gutter is not None and _side_by_side(together, gutter):
            groups[-1] = together
        else:
            groups.append(strip)
    if len(groups) == 1:
        return sorted(boxes, key=lambda box: (-box.y1, box.x0))
    return [box for group in groups for box in _in_reading_order(group)]


def _gutter(boxes: Sequence[LTTextBox]) -> float | None:
    """A place that no box crosses, with boxes on both sides."""
    right = -1.0
    for box in sorted(boxes, key=lambda box: box.x0):
        if 0 <= right <= box.x0 - _GUTTER:
            return float(right)
        right = max(right, box.x1)
    return None


def _side_by_side(boxes: Sequence[LTTextBox], gutter: float) -> bool:
    """Whether words stand at the same height on both sides."""
    left, right = ([box for box in boxes if (box.x1 <= gutter) == side] for side in (True, False))
    return any(one.y0 < other.y1 and other.y0 < one.y1 for one in left for other in right)


def _line(line: LTTextLine) -> Iterator[_Line]:
    characters = [each for each in line if isinstance(each, LTChar) and each.get_text().strip()]
    text = " ".join(_marked(line, characters).translate(_LIGATURES).split())
    if text and characters:
        bold = sum("bold" in each.fontname.lower() or "black" in each.fontname.lower() for each in characters)
        size = median(each.size for each in characters)
        yield _Line(text, line.x0, line.x1, line.y0, round(size, 1), bold > len(characters) * 0.8)


def _marked(line: LTTextLine, characters: Sequence[LTChar]) -> str:
    """The line's words; a small raised number after the end of a sentence or at the line's beginning points to a note: "[1]"."""
    usual = median(each.size for each in characters) if characters else 0.0
    runs: list[tuple[bool, str]] = []
    for each in line:
        told = each.get_text()
        raised = isinstance(each, LTChar) and each.size < 0.85 * usual and each.y0 > line.y0 + 0.1 * usual and told.isdecimal()
        if runs and runs[-1][0] == raised:
            runs[-1] = (raised, runs[-1][1] + told)
        else:
            runs.append((raised, told))
    words = ""
    for number, (raised, told) in enumerate(runs):
        after = runs[number + 1][1] if number + 1 < len(runs) else " "
        marks = _NOTE_BEGINS.match(after) if not words.strip() else words.rstrip()[-1] in _BEFORE_A_MARK
        words += f" [{told}] " if raised and marks else told
    return words


def _letters(page: _Page) -> int:
    return sum(character.isalnum() for line in page.lines for character in line.text)


def _without_heads_and_feet(pages: Sequence[_Page]) -> None:
    """Lines at the edge of a page that stand at the same height of several, numbers aside; and page numbers."""
    places: dict[str, list[tuple[int, float]]] = defaultdict(list)
    edges: list[list[_Line]] = []
    for number, page in enumerate(pages):
        by_height = sorted(page.lines, key=lambda line: line.y0)
        edge = {
            line
            for line in (*by_height[:_LINES_AT_THE_EDGE], *by_height[-_LINES_AT_THE_EDGE:])
            if line.y0 < page.height * _EDGE or line.y0 > page.height * (1 - _EDGE)
        }
        edges.append([*edge])
        for line in edge:
            places[_key(line)].append((number, line.y0))
    counted = _counted(pages)
    for number, page in enumerate(pages):
        drop = set(counted[number])
        for line in edges[number]:
            runs = sum(abs(height - line.y0) < _SAME_HEIGHT for _, height in places[_key(line)])
            apart = all(abs(other.y0 - line.y0) > _APART * line.size for other in page.lines if other.y0 != line.y0)
            if _PAGE_NUMBER.match(line.text) or runs >= (_RUNS - 1 if apart else _RUNS):
                drop.add(line)
        page.boxes = [kept for box in page.boxes if (kept := [line for line in box if line not in drop])]


def _counted(pages: Sequence[_Page]) -> list[list[_Line]]:
    """Of each page the lowest or highest line, where these are numbers that count the pages."""
    found: list[list[_Line]] = [[] for _ in pages]
    for outermost in (min, max):
        lines = [outermost(page.lines, key=lambda line: line.y0, default=None) for page in pages]
        numbers = {
            at: int(line.text) - at
            for at, line in enumerate(lines)
            if line and re.fullmatch(r"\d{1,4}", line.text) and _is_small_at_the_edge(line, pages[at])
        }
        usual, times = Counter(numbers.values()).most_common(1)[0] if numbers else (0, 0)
        for at, line in enumerate(lines):
            if line is not None and times > 1 and numbers.get(at) == usual:
                found[at].append(line)
    return found


def _is_small_at_the_edge(line: _Line, page: _Page) -> bool:
    """A heading that is a year is neither."""
    usual = median(each.size for each in page.lines)
    return line.size <= usual * _HEADING and not page.height * _FAR_EDGE < line.y0 < page.height * (1 - _FAR_EDGE)


def _key(line: _Line) -> str:
    return _NUMBER.sub("#", line.text.lower())


def _paragraphs(pages: Sequence[_Page]) -> list[_Paragraph]:
    letters: Counter[float] = Counter()
    for page in pages:
        for line in page.lines:
            letters[line.size] += len(line.text)
    body = max(letters, key=lambda size: letters[size]) if letters else 1.0
    sizes = sorted({line.size for page in pages for line in page.lines if line.size >= body * _HEADING}, reverse=True)
    words = Counter(re.findall(r"[\w-]+", " ".join(line.text.lower() for page in pages for line in page.lines)))
    found: list[_Paragraph] = []
    for number, page in enumerate(pages):
        for box in page.boxes:
            for lines in _split(box):
                told = _run_together([line.text for line in lines], words)
                text = _LEADER.sub(" … ", told)
                size = median(line.size for line in lines)
                level = 0
                if text == told and any(map(str.isalpha, text)) and len(text) <= _LONGEST_HEADING:
                    if size in sizes:
                        level = 1 + sizes.index(size)
                    elif all(line.bold for line in lines) and len(text.split()) <= 14 and not text.endswith((".", ",", ":")):
                        level = 1 + len(sizes) + bool(re.match(r"\d+\.\d", text))
                note = not level and size < body * _NOTE and lines[0].y0 < page.height / 2
                found.append(_Paragraph(text, number, level, note))
    return found


def _split(box: Sequence[_Line]) -> Iterator[list[_Line]]:
    """The paragraphs of a box: where letters change their size, and where a line is indented after one that ended."""
    left = min(line.x0 for line in box)
    group: list[_Line] = []
    for line in box:
        if group:
            last = group[-1]
            all_bold = all(each.bold for each in group)
            other = abs(line.size - last.size) > 0.08 * last.size or (all_bold and not line.bold)
            indented = line.x0 - left > 0.6 * line.size and abs(last.x0 - left) < 0.6 * line.size and _ENDS.search(last.text)
            if other or indented:
                yield group
                group = []
        group.append(line)
    if group:
        yield group


def _run_together(lines: Sequence[str], words: Counter[str]) -> str:
    text = lines[0]
    for line in lines[1:]:
        text = _run_on(text, line, words)
    return text


def _run_on(text: str, line: str, words: Counter[str]) -> str:
    """A word that was hyphenated at the line's end is whole again, unless the document writes it with a hyphen elsewhere."""
    match = re.search(r"([^\W\d_]+)[-‐]$", text)
    following = re.match(r"[^\W\d_]+", line)
    if match is None or following is None or not following[0][0].islower():
        return f"{text}{'' if match else ' '}{line}"
    whole, hyphened = (match[1] + following[0]).lower(), f"{match[1]}-{following[0]}".lower()
    return text + line if words[hyphened] > words[whole] else text[:-1] + line


def _joined(paragraphs: Sequence[_Paragraph]) -> list[_Paragraph]:
    """Sentences that go on in the next column or overleaf are whole, before the notes that stood between."""
    joined: list[_Paragraph] = []
    body: _Paragraph | None = None
    nothing: Counter[str] = Counter()
    for paragraph in paragraphs:
        if paragraph.level or paragraph.note:
            joined.append(paragraph)
            body = None if paragraph.level else body
            continue
        unfinished = body is not None and not _ENDS.search(body.text) and len(body.text) >= _SHORTEST_PROSE
        if body is not None and unfinished and (paragraph.text[0].islower() or body.text.endswith(("-", ","))):
            spans = sentence_spans(paragraph.text, 0, len(paragraph.text))
            rest = spans[0][1] if spans else len(paragraph.text)
            body.text = _run_on(body.text, paragraph.text[:rest], nothing)
            paragraph = _Paragraph(paragraph.text[rest:].strip(), paragraph.page)
            if not paragraph.text:
                continue
        joined.append(paragraph)
        body = paragraph
    return joined


def _located(paragraphs: Sequence[_Paragraph], pages: Sequence[_Page]) -> tuple[str, tuple[Locator, ...]]:
    """The text, and a locator for each stretch of a page below one heading."""
    text: list[str] = []
    places: list[Locator] = []
    stack: list[tuple[int, str]] = []
    at = start = heading_ends = 0
    below: tuple[str, ...] = ()
    page, opened = paragraphs[0].page, False

    def close(end: int) -> None:
        if end > start:
            places.append(Locator(start, end, f"p. {pages[page].label}", below, None, max(0, heading_ends - start)))

    for paragraph in paragraphs:
        if paragraph.level:
            stack = [*[entry for entry in stack if entry[0] < paragraph.level], (paragraph.level, paragraph.text)]
        if paragraph.page != page or (paragraph.level and opened):
            # Headings that stand in a row belong to the words below them.
            close(at)
            start, page, heading_ends, opened = at, paragraph.page, 0, False
        if paragraph.level:
            heading_ends = at + len(paragraph.text)
            below = tuple(title for _, title in stack)
        else:
            opened = True
        text.append(paragraph.text)
        at += len(paragraph.text) + 2
    at -= 2
    close(at)
    return "\n\n".join(text), tuple(places)


def _names(told: str) -> tuple[str, ...]:
    return tuple(name for name in re.split(r"\s*;\s*|\s+and\s+|,\s+(?=\w+ \w)", told) if name)


def _metadata(pdf: PDFDocument) -> dict[str, str]:
    """Title and author. The date is when the file was made, often long after the words in it: it is left aside."""
    told: dict[str, str] = {}
    for info in pdf.info:
        for key, name in (("Title", "title"), ("Author", "author")):
            value = _text(info.get(key))
            if value:
                told[name] = value
    if _NO_TITLE.search(told.get("title", "")):
        told.pop("title", None)
    return told


def _text(value: Any) -> str:
    try:
        value = resolve1(value)
        told = decode_text(value) if isinstance(value, bytes) else value if isinstance(value, str) else ""
    except Exception:  # noqa: BLE001 - metadata are no reason to refuse a file
        return ""
    return " ".join(told.replace("\0", "").split())


def _largest(paragraphs: Sequence[_Paragraph]) -> str:
    """The heading in the largest letters of the first page."""
    first = [each for each in paragraphs if each.page == paragraphs[0].page and each.level]
    return min(first, key=lambda each: each.level).text if first else ""


def _listed(labels: Sequence[str]) -> str:
    shown = ", ".join(labels[:8])
    return f"p. {shown}" if len(labels) == 1 else f"pp. {shown}{f' and {len(labels) - 8} more' if len(labels) > 8 else ''}"
