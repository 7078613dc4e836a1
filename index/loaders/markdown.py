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

from index.documents import Document, Locator, Voice, citation_name
from index.errors import CorpusError
from index.loaders.text import paragraph_locators, title_from_path
from index.voices import parse_voice

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(?P<yaml>.*?)^---[ \t]*(?:\n|\Z)\n*", re.DOTALL | re.MULTILINE)
_KEY = re.compile(r"\s*(?:#.*\s+)*[\w-]+\s*:", re.ASCII)
_PARAGRAPH_HEADING = re.compile(r"^¶\s*(\d+)\b")
_VOICE_MARK = " · "
_TEXT_KEYS = ("title", "publisher", "url", "kind", "digest_of", "cite_as", "published")
_LIST_KEYS = ("authors", "sources")


def load_markdown(document_id: str, text: str, digest: str) -> Document:
    """Raises CorpusError when the front matter is not what it should be."""
    meta, body = _front_matter(document_id, text)
    blocks = list(_blocks(body))
    first_heading = next((title for _, level, title in blocks if level == 1), None)
    title = meta.get("title") or first_heading or title_from_path(document_id)
    authors = tuple(meta.get("authors", ()))
    published = meta.get("published")
    return Document(
        id=document_id,
        title=title,
        text=body,
        digest=digest,
        locators=_locators(body, blocks, names_voices="digest_of" in meta),
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
    meta: dict[str, Any] = {}
    for key in _TEXT_KEYS:
        value = loaded.get(key)
        if value is None:
            continue
        if isinstance(value, (dict, list)):
            raise CorpusError(f"{document_id}: {key} in the front matter must be a single value.")
        meta[key] = str(value)
    for key in _LIST_KEYS:
        value = loaded.get(key)
        if value is None:
            continue
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(item, (str, int, float)) for item in items):
            raise CorpusError(f"{document_id}: {key} in the front matter must be a list of words.")
        meta[key] = [str(item) for item in items]
    return meta, text[match.end() :]


def _blocks(body: str) -> Iterator[tuple[int, int, str]]:
    """(offset, heading level or 0, heading text) of each top-level block, in order."""
    offsets = [0]
    for line in body.split("\n"):
        offsets.append(offsets[-1] + len(line) + 1)
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    for position, token in enumerate(tokens):
        if token.level != 0 or token.nesting < 0 or token.map is None:
            continue
        if token.type == "heading_open":
            yield offsets[token.map[0]], int(token.tag[1]), tokens[position + 1].content
        elif token.type != "hr":
            yield offsets[token.map[0]], 0, ""


def _locators(body: str, blocks: list[tuple[int, int, str]], *, names_voices: bool) -> tuple[Locator, ...]:
    if not body:
        return ()
    if not any(level for _, level, _ in blocks):
        return paragraph_locators(body, 0, len(body))
    places: list[tuple[int, str, int, tuple[str, ...], Voice | None]] = []
    stack: list[tuple[int, str]] = []
    label, voice, count, opened_at = "", None, 0, None
    for offset, level, words in blocks:
        if level:
            name, _, voice_words = words.partition(_VOICE_MARK) if names_voices else (words, "", "")
            stack = [*[entry for entry in stack if entry[0] < level], (level, words)]
            numbered = _PARAGRAPH_HEADING.match(name)
            label = f"¶{numbered[1]}" if numbered else f"§ {name.strip()}"
            voice = parse_voice(voice_words) if voice_words.strip() else None
            count = 0
            # Headings that stand in a row belong to the block below them.
            opened_at = offset if opened_at is None else opened_at
        else:
            count += 1
            begin = offset if opened_at is None else opened_at
            opened_at = None
            places.append((begin, label, count, tuple(title for _, title in stack), voice))
    if opened_at is not None:
        places.append((opened_at, label, 1, tuple(title for _, title in stack), voice))
    locators = []
    for index, (begin, name, number, headings, speaker) in enumerate(places):
        last = index + 1 == len(places)
        stop = len(body) if last else places[index + 1][0]
        alone = number == 1 and (last or places[index + 1][2] == 1)
        if not name:
            shown = f"¶{number}"
        elif alone or name.startswith("¶"):
            shown = name
        else:
            shown = f"{name}, ¶{number}"
        locators.append(Locator(0 if index == 0 else begin, stop, shown, headings, speaker))
    return tuple(locators)
