"""EPUB: chapters in their reading order; headings are the locators, below the chapter's title in the table of contents."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from urllib.parse import unquote, urldefrag
from zipfile import ZipFile

from lxml import etree

from index.documents import Document
from index.errors import CorpusError
from index.loaders.blocks import Piece, document_of, written
from index.loaders.html import parsed, pieces_of
from index.loaders.zipped import opened, part, text_of, xml

_DC = "{http://purl.org/dc/elements/1.1/}"


def load_epub(document_id: str, data: bytes, digest: str) -> tuple[Document, str | None]:
    """Raises CorpusError for a damaged book, one without words, and one whose chapters are locked."""
    archive = opened(document_id, data)
    container = xml(part(archive, "META-INF/container.xml", document_id), document_id, "container.xml")
    place = next((each.get("full-path") for each in container.iter("{*}rootfile") if each.get("full-path")), None)
    if place is None:
        raise CorpusError(f"{document_id}: does not tell where its book begins; save or download it again.")
    package = xml(part(archive, place, document_id), document_id, place)
    if "META-INF/encryption.xml" in archive.namelist() and b"EncryptedKey" in part(
        archive, "META-INF/encryption.xml", document_id
    ):
        raise CorpusError(f"{document_id}: is locked by its seller (DRM) and cannot be read.")
    items = {each.get("id"): each for each in package.iter("{*}item")}
    folder = posixpath.dirname(place)
    titles = _contents(archive, package, items, folder, document_id)
    pieces: list[Piece] = []
    missing = 0
    for reference in package.iter("{*}itemref"):
        item = items.get(reference.get("idref"))
        if item is None or "html" not in (item.get("media-type") or "html") or "nav" in (item.get("properties") or "").split():
            continue
        name = _place(folder, item.get("href") or "")
        try:
            chapter = list(pieces_of(parsed(part(archive, name, document_id), document_id)))
        except CorpusError:
            missing += 1
            continue
        if name in titles and chapter and not chapter[0].level:
            pieces.append(Piece(titles[name], 1))
        pieces += chapter
    text, blocks = written(pieces)
    if not text:
        raise CorpusError(f"{document_id}: holds no chapter with words.")
    date = re.match(r"\d{4}(?:-\d\d){0,2}", _first(package, "date"))
    warning = f"{document_id}: {missing} of its chapters are missing or damaged." if missing else None
    document = document_of(
        document_id,
        digest,
        text,
        blocks,
        title=_first(package, "title"),
        authors=[name for each in package.iter(f"{_DC}creator") if (name := text_of(each))],
        published=date[0] if date else None,
        publisher=_first(package, "publisher") or None,
    )
    return document, warning


def _contents(
    archive: ZipFile, package: etree._Element, items: dict[str | None, etree._Element], folder: str, document_id: str
) -> dict[str, str]:
    """Chapter -> its title in the table of contents."""
    titles: dict[str, str] = {}
    for target, title in _entries(archive, items, folder, document_id):
        if title:
            titles.setdefault(target, title)
    return titles


def _entries(
    archive: ZipFile, items: dict[str | None, etree._Element], folder: str, document_id: str
) -> Iterator[tuple[str, str]]:
    for item in items.values():
        is_nav = "nav" in (item.get("properties") or "").split()
        if not is_nav and item.get("media-type") != "application/x-dtbncx+xml":
            continue
        name = _place(folder, item.get("href") or "")
        here = posixpath.dirname(name)
        try:
            tree = xml(part(archive, name, document_id), document_id, name)
        except CorpusError:
            # Headings stand in the chapters as well.
            continue
        for link in tree.iter("{*}a") if is_nav else ():
            yield _place(here, link.get("href") or ""), text_of(link)
        for point in tree.iter("{*}navPoint"):
            content = point.find("{*}content")
            if content is not None:
                yield _place(here, content.get("src") or ""), text_of(point.find("{*}navLabel"))


def _place(folder: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(folder, unquote(urldefrag(link)[0])))


def _first(package: etree._Element, name: str) -> str:
    return next((told for each in package.iter(f"{_DC}{name}") if (told := text_of(each))), "")
