"""Markdown: headings and blocks are the locators; front matter gives the metadata.

`Document.text` is the body as written, so that offsets point into the file's own words. In a digest (front matter
`digest_of`) a heading such as "¶10 · Ngo Di Lan, as reported by Khang Vu" names the paragraph and the voice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from markdown_it import MarkdownIt

from index.documents import Document, citation_name
from index.errors import CorpusError
from index.loaders.blocks import Block, locators
from index.loaders.text import title_from_path

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(?P<yaml>.*?)^---[ \t]*(?:\n|\Z)\n*", re.DOTALL | re.MULTILINE)
_KEY = re.compile(r"(?:\s*#[^\n]*\n)*\s*[\w-]+\s*:", re.ASCII)
_PARAGRAPH_HEADING = re.compile(r"^¶\s*(\d+)\b")
_TEXT_KEYS = ("title", "publisher", "url", "kind", "digest_of", "cite_as", "published")
_LIST_KEYS = ("authors", "sources")


def load_markdown(document_id: str, text: str, digest: str) -> Document:
    """Raises CorpusError when the front matter is not what it should be."""
    meta, body = _front_matter(document_id, text)
    blocks = list(_blocks(body))
    first_heading = next((block.heading for block in blocks if block.level == 1), None)
    title = meta.get("title") or first_heading or title_from_path(document_id)
    authors = tuple(meta.get("authors", ()))
    published = meta.get("published")
    return Document(
        id=document_id,
        title=title,
        text=body,
        digest=digest,
        locators=locators(body, blocks, names_voices="digest_of" in meta, paragraph=_PARAGRAPH_HEADING),
        authors=authors,
        published=published,
        publisher=meta.get("publisher"),
        url=meta.get("url"),
        kind=meta.get("kind", "document"),
        digest_of=meta.get("digest_of"),
        cite_as=meta.get("cite_as") or citation_name(authors, published, title),
        sources=tuple(meta.get("sources", ())),
    )


def _front_matter(document_id: str, text: str) -> tuple[dict[str, Any], str]:
    match = _FRONT_MATTER.match(text)
    if not match or not _KEY.match(match["yaml"]):
        # A text that merely opens with a ruled-off passage has no front matter.
        return {}, text
    try:
        loaded = yaml.safe_load(match["yaml"])
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 2}" if mark else ""
        raise CorpusError(f"{document_id}: the front matter is not valid YAML{where}; mend it or remove it.") from error
    if not isinstance(loaded, dict):
        return {}, text
    # As other programs call them.
    for key, other in (("authors", "author"), ("published", "date")):
        if loaded.get(key) is None and loaded.get(other) is not None:
            loaded[key] = loaded[other]
    meta: dict[str, Any] = {}
    for key in _TEXT_KEYS:
        value = loaded.get(key)
        if value is None:
            continue
        if isinstance(value, (dict, list)):
            raise CorpusError(f"{document_id}: {key} in the front matter must be a single value.")
        if str(value).strip():
            meta[key] = str(value).strip()
    for key in _LIST_KEYS:
        value = loaded.get(key)
        if value is None:
            continue
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(item, (str, int, float)) for item in items):
            raise CorpusError(f"{document_id}: {key} in the front matter must be a list of words.")
        meta[key] = [str(item).strip() for item in items if str(item).strip()]
    return meta, text[match.end() :]


def _blocks(body: str) -> Iterator[Block]:
    """The top-level blocks, in order."""
    offsets = [0]
    for line in body.split("\n"):
        offsets.append(offsets[-1] + len(line) + 1)
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    for position, token in enumerate(tokens):
        if token.level != 0 or token.nesting < 0 or token.map is None or token.type == "hr":
            continue
        start, end = offsets[token.map[0]], min(offsets[token.map[1]], len(body))
        if token.type == "heading_open":
            yield Block(start, end, int(token.tag[1]), " ".join(tokens[position + 1].content.split()))
        else:
            yield Block(start, end, 0, "")
