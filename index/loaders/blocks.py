"""What most formats come down to: headings, and blocks of words below them. Headings and blocks are the locators."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from index.documents import Document, Locator, Voice, citation_name
from index.loaders.text import paragraph_locators, title_from_path
from index.voices import parse_voice

VOICE_MARK = " · "


class Block(NamedTuple):
    """`text[start:end]` is a heading, or words without a heading in between."""

    start: int
    end: int
    level: int
    """Of a heading, from 1; 0 for anything else."""
    heading: str


class Piece(NamedTuple):
    """A block that is no text yet."""

    words: str
    level: int = 0


def written(pieces: Iterable[Piece]) -> tuple[str, list[Block]]:
    """The pieces one below the other, blank lines between them; pieces without words are left out."""
    text: list[str] = []
    blocks: list[Block] = []
    at = 0
    for words, level in pieces:
        words = words.strip()
        if not words:
            continue
        if level:
            words = " ".join(words.split())
        blocks.append(Block(at, at + len(words), level, words if level else ""))
        text.append(words)
        at += len(words) + 2
    return "\n\n".join(text), blocks


def document_of(
    document_id: str,
    digest: str,
    text: str,
    blocks: Sequence[Block],
    *,
    title: str = "",
    authors: Sequence[str] = (),
    published: str | None = None,
    publisher: str | None = None,
    url: str | None = None,
) -> Document:
    """title: where the file tells none, its first heading, else its name."""
    first = next((block.heading for block in blocks if block.level == 1), "")
    title = title or first or title_from_path(document_id)
    return Document(
        id=document_id,
        title=title,
        text=text,
        digest=digest,
        locators=locators(text, blocks),
        authors=tuple(authors),
        published=published,
        publisher=publisher,
        url=url,
        cite_as=citation_name(tuple(authors), published, title),
    )


@dataclass(slots=True)
class _Section:
    """A heading, or several in a row, and the blocks below."""

    label: str = ""
    headings: tuple[str, ...] = ()
    voice: Voice | None = None
    start: int = 0
    words: int = 0
    """Where the heading ends and the words begin."""
    blocks: list[int] = field(default_factory=list)
    """Starts of the blocks."""


def locators(
    text: str, blocks: Sequence[Block], *, names_voices: bool = False, paragraph: re.Pattern[str] | None = None
) -> tuple[Locator, ...]:
    """They tile the text: "§ Signing" where one block stands below a heading, "§ Signing, ¶2" where several do.

    names_voices: a heading may end with " · " and who speaks below it. paragraph: a pattern with a group for the number of a
    heading that is itself the name of a place.
    """
    if not text:
        return ()
    if not any(block.level for block in blocks):
        return paragraph_locators(text, 0, len(text))
    sections = [_Section()]
    stack: list[tuple[int, str]] = []
    for block in blocks:
        if not block.level:
            sections[-1].blocks.append(block.start)
            continue
        name, _, voice = block.heading.partition(VOICE_MARK) if names_voices else (block.heading, "", "")
        numbered = paragraph.match(name) if paragraph else None
        stack = [*[entry for entry in stack if entry[0] < block.level], (block.level, block.heading)]
        # Headings that stand in a row belong to the block below them.
        start = block.start if sections[-1].blocks else sections.pop().start
        sections.append(
            _Section(
                label=f"¶{numbered[1]}" if numbered else f"§ {name.strip()}",
                headings=tuple(title for _, title in stack),
                voice=parse_voice(voice) if voice.strip() else None,
                start=start,
                words=block.end,
            )
        )
    found = []
    for section, stop in zip(sections, [*(each.start for each in sections[1:]), len(text)], strict=True):
        starts = [section.start, *section.blocks[1:]]
        for number, (begin, end) in enumerate(zip(starts, [*starts[1:], stop], strict=True), start=1):
            if not section.label:
                label = f"¶{number}"
            elif len(starts) == 1 or section.label.startswith("¶"):
                label = section.label
            else:
                label = f"{section.label}, ¶{number}"
            heading = section.words - begin if number == 1 and section.label else 0
            found.append(Locator(begin, end, label, section.headings, section.voice, heading))
    return tuple(found)
