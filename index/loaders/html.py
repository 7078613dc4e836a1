"""HTML and saved web pages: the article without what surrounds it, its headings as locators.

trafilatura finds the article; where it finds none, all words of the page are taken and that is told.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence

import trafilatura
from lxml import etree
from lxml import html as lxml_html

from index.documents import Document, names_in
from index.errors import CorpusError
from index.loaders.blocks import Piece, document_of, written

logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
logging.getLogger("htmldate").setLevel(logging.CRITICAL)

_HEADING = re.compile(r"h([1-6])\Z")
_BREAKS = frozenset(
    "address article aside blockquote body br caption center code dd details div dl dt figcaption figure footer form header hr "
    "item lb li list main nav ol p pre quote row section summary table tbody td tfoot th thead tr ul cell".split()
)
_SKIPPED = frozenset("head script style noscript template svg math iframe object nav button select textarea".split())
_WITHIN_A_LINE = frozenset("br lb td th cell".split())
# Letters of a block that stand in the article by no chance, and how much of it must be found in the page.
_SURE = 20
_MOST_OF_IT = 0.7
_ENDS_A_SENTENCE = frozenset('.,;:!?”"’»')
_ISO_DATE = re.compile(r"\d{4}(?:-\d\d){0,2}\Z")


def load_html(document_id: str, data: bytes, digest: str) -> tuple[Document, str | None]:
    """Raises CorpusError for a page without words."""
    found = trafilatura.bare_extraction(
        parsed(data, document_id), with_metadata=True, include_comments=False, include_tables=True
    )
    pieces = list(pieces_of(parsed(data, document_id)))
    article = list(_of_article(getattr(found, "body", None)))
    warning = None
    if article:
        # The page's own blocks, for the article as it is found may have lost its headings.
        kept = _within(pieces, _bare(" ".join(piece.words for piece in article)))
        pieces = kept if _size(kept) > _MOST_OF_IT * _size(article) else article
    elif _size(pieces):
        warning = f"{document_id}: no article was found in the page; all of its words were taken."
    text, blocks = written(pieces)
    if not text:
        raise CorpusError(
            f"{document_id}: no words were found in the page; it may need a browser to show them. Print it to PDF there."
        )
    published = _told(found, "date")
    document = document_of(
        document_id,
        digest,
        text,
        blocks,
        title=_told(found, "title"),
        authors=names_in(_told(found, "author")),
        published=published if _ISO_DATE.match(published) else None,
        publisher=_told(found, "sitename") or None,
        url=_told(found, "url") or None,
    )
    return document, warning


def parsed(data: bytes, document_id: str) -> lxml_html.HtmlElement:
    """Raises CorpusError for what is no page at all."""
    from charset_normalizer import from_bytes

    encoding = None
    declared = re.search(rb"charset\s*=\s*[\"']?\s*([\w-]+)", data[:4096])
    if data.startswith(b"\xef\xbb\xbf"):
        encoding = "utf-8"
    elif declared is None:
        try:
            data.decode("utf-8")
            encoding = "utf-8"
        except UnicodeDecodeError:
            best = from_bytes(data[:200_000]).best()
            encoding = best.encoding if best else None
    try:
        tree = lxml_html.document_fromstring(
            data, parser=lxml_html.HTMLParser(encoding=encoding, no_network=True, huge_tree=True)
        )
    except (etree.LxmlError, ValueError, LookupError) as error:
        raise CorpusError(f"{document_id}: holds no page that can be read ({error}).") from error
    assert isinstance(tree, lxml_html.HtmlElement)
    return tree


def pieces_of(root: etree._Element) -> Iterator[Piece]:
    """The words of any HTML, block by block, in their order; what no reader sees is left out."""
    return _walk(root, lambda tag, element: int(match[1]) if (match := _HEADING.match(tag)) else 0)


def _within(pieces: Sequence[Piece], article: str) -> list[Piece]:
    """Those that stand in the article, and the headings above them."""
    bare = [_bare(piece.words) for piece in pieces]
    sure = [number for number, words in enumerate(bare) if len(words) >= _SURE and words in article and not pieces[number].level]
    if not sure:
        return []
    kept = {number for number in range(sure[0], sure[-1] + 1) if bare[number] in article and not pieces[number].level}
    below = 7
    for number in range(sure[-1], -1, -1):
        level = pieces[number].level
        if number in kept:
            below = 7
        elif level and level < below:
            # Of the headings above what is kept, the nearest of each level.
            kept.add(number)
            below = level
    return [piece for number, piece in enumerate(pieces) if number in kept]


def _bare(words: str) -> str:
    return re.sub(r"[\W_]+", "", words)


def _size(pieces: Sequence[Piece]) -> int:
    return sum(len(_bare(piece.words)) for piece in pieces if not piece.level)


def _of_article(body: etree._Element | None) -> Iterator[Piece]:
    """Of what trafilatura found: its headings are called "head", their level is told beside."""
    if body is None:
        return

    def level(tag: str, element: etree._Element) -> int:
        if tag != "head":
            return 0
        match = _HEADING.match(element.get("rend") or "h2")
        return int(match[1]) if match else 2

    yield from _walk(body, level, skipped=_SKIPPED - {"head"})


def _walk(
    root: etree._Element, level_of: Callable[[str, etree._Element], int], skipped: frozenset[str] = _SKIPPED
) -> Iterator[Piece]:
    words: list[str] = []
    heading = 0
    preformatted = 0

    def flushed() -> Iterator[Piece]:
        told = "".join(words)
        words.clear()
        told = told.strip("\n") if preformatted else " ".join(told.split())
        if told.strip():
            yield Piece(told, heading)

    walk = etree.iterwalk(root, events=("start", "end", "comment", "pi"))
    for event, element in walk:
        tag = element.tag.rsplit("}", 1)[-1].lower() if isinstance(element.tag, str) else ""
        if event in ("comment", "pi"):
            words.append(element.tail or "")
            continue
        level = level_of(tag, element)
        breaks = bool(level) or tag in _BREAKS
        if event == "start":
            if tag in skipped and element is not root:
                walk.skip_subtree()
                continue
            if (tag == "sup" or _points_to_a_note(tag, element)) and (mark := _note_mark(element, words)):
                words.append(mark)
                walk.skip_subtree()
                continue
            if tag in _WITHIN_A_LINE:
                words.append(" ")
            elif breaks:
                yield from flushed()
                heading = level or heading
                preformatted += tag == "pre"
            words.append(element.text or "")
            continue
        if tag not in skipped or element is root:
            if tag in _WITHIN_A_LINE:
                words.append(" | " if tag in ("td", "th", "cell") and element.getnext() is not None else " ")
            elif breaks:
                yield from flushed()
                heading = 0 if level else heading
                preformatted -= tag == "pre"
        if element is not root:
            words.append(element.tail or "")
    yield from flushed()


def _points_to_a_note(tag: str, element: etree._Element) -> bool:
    return tag == "a" and any("noteref" in str(value) or "footnote-ref" in str(value) for value in element.attrib.values())


def _note_mark(raised: etree._Element, before: Sequence[str]) -> str:
    """ " [1]" for a raised number that points to a note: it must not run into the word before it."""
    told = "".join(map(str, raised.itertext())).strip().strip("[]")
    parent = raised.getparent()
    # A link that holds more than the number is no mark, and the number in it a power.
    whole = parent is not None and "".join(map(str, parent.itertext())).strip() == "".join(map(str, raised.itertext())).strip()
    near = [each for each in (raised, *raised, *([parent] if whole else [])) if each is not None and isinstance(each.tag, str)]
    links = any(each.tag.rsplit("}", 1)[-1] == "a" for each in near)
    after = next((each.rstrip()[-1:] for each in reversed(before) if each.strip()), "")
    return f" [{told}]" if re.fullmatch(r"\d{1,3}|[*†‡]", told) and (links or after in _ENDS_A_SENTENCE) else ""


def _told(found: object, key: str) -> str:
    value = getattr(found, key, None)
    return " ".join(str(value).split()) if value else ""
