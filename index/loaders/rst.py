"""reStructuredText: sections are the locators. Nothing it includes or points to is read."""

from __future__ import annotations

import io
from collections.abc import Iterator

from docutils import nodes
from docutils.core import publish_doctree

from index.documents import Document, names_in
from index.errors import CorpusError
from index.loaders.blocks import Piece, document_of, written

_SETTINGS = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "_disable_config": True,
    "report_level": 5,
    "halt_level": 5,
    "warning_stream": io.StringIO(),
    "line_length_limit": 1_000_000,
    # A field list at the head is kept as it is, not turned into title pages.
    "doctitle_xform": False,
    "docinfo_xform": False,
    "smart_quotes": False,
}


def load_rst(document_id: str, text: str, digest: str) -> Document:
    """Raises CorpusError for what cannot be parsed."""
    try:
        tree = publish_doctree(text, settings_overrides=_SETTINGS)
        body, blocks = written(_pieces(tree))
    except Exception as error:
        # The parser raises whatever a malformed file leads it into.
        raise CorpusError(f"{document_id}: is no sound reStructuredText ({type(error).__name__}); rename it to .txt.") from error
    fields = list(_fields(tree))
    authors = [name for key, told in fields if key in ("author", "authors") for name in names_in(told)]
    published = next((told for key, told in fields if key == "date" and told), None)
    return document_of(document_id, digest, body, blocks, authors=authors, published=published)


def _pieces(tree: nodes.document) -> Iterator[Piece]:
    waiting: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        if isinstance(node, (nodes.comment, nodes.system_message, nodes.substitution_definition, nodes.field_list, nodes.target)):
            continue
        if isinstance(node, nodes.title):
            yield Piece(node.astext(), max(1, depth))
        elif isinstance(node, nodes.row):
            yield Piece(" | ".join(" ".join(entry.astext().split()) for entry in node.children))
        elif isinstance(node, nodes.FixedTextElement):
            yield Piece(node.astext())
        elif isinstance(node, (nodes.footnote, nodes.citation)):
            label, *rest = node.children
            yield Piece(f"[{label.astext()}] {' '.join(' '.join(each.astext() for each in rest).split())}")
        elif isinstance(node, nodes.TextElement):
            for mark in node.findall(nodes.footnote_reference):
                mark.children = [nodes.Text(f"[{mark.astext()}]")]
            yield Piece(" ".join(node.astext().split()))
        elif isinstance(node, nodes.Element):
            below = depth + isinstance(node, nodes.section)
            waiting.extend((child, below) for child in reversed(node.children))


def _fields(tree: nodes.document) -> Iterator[tuple[str, str]]:
    for field in tree.findall(nodes.field):
        name, body = field.children
        for paragraph in body.findall(nodes.paragraph):
            yield name.astext().lower(), " ".join(paragraph.astext().split())
