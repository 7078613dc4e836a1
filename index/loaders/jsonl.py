"""A corpus in one file of JSON Lines: each line a document with id, title and text. ".gz" may follow ".jsonl"."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from index.documents import TRANSCRIPT, Document, Locator, Voice, citation_name
from index.errors import CorpusError
from index.loaders.text import paragraph_locators

_NO_LETTERS = re.compile("[\0\ud800-\udfff]")
_SUFFIXES = (".jsonl", ".jsonl.gz")


def is_jsonl(path: Path) -> bool:
    return path.name.lower().endswith(_SUFFIXES)


def read_lines(path: Path, *, max_bytes: int) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line) of the lines that are not blank. Raises CorpusError for what cannot be read."""
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
            number = 0
            while line := file.readline(max_bytes + 1):
                number += 1
                if len(line) > max_bytes:
                    raise CorpusError(f"{path}, line {number}: longer than the limit of {max_bytes // 1_000_000} MB.")
                if line.strip():
                    yield number, line
    except (OSError, EOFError, zlib.error) as error:
        raise CorpusError(f"{path} cannot be read ({error}); check the file and its permissions.") from error


def parse_line(path: Path, number: int, line: bytes) -> dict[str, Any]:
    """The line's object. Raises CorpusError when it is none, or has no id or text."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{path}, line {number}: not JSON ({error}).") from error
    if not isinstance(told, dict):
        raise CorpusError(f"{path}, line {number}: not a JSON object.")
    for key in ("id", "text"):
        if not isinstance(told.get(key), str) or (key == "id" and not told[key].strip()):
            raise CorpusError(f"{path}, line {number}: {key} is missing or no text.")
    if _NO_LETTERS.search(told["id"]):
        raise CorpusError(f"{path}, line {number}: the id holds characters that are no text.")
    # One for one, so that offsets stay true: half a character can neither be stored nor shown.
    told["text"] = _NO_LETTERS.sub("\ufffd", told["text"])
    return told


def line_stamp(line: bytes) -> tuple[int, int]:
    """Tells a changed line: its length and the beginning of its SHA-256."""
    return len(line), int.from_bytes(hashlib.sha256(line).digest()[:7])


def load_line(path: Path, number: int, line: bytes) -> Document:
    """Keys besides id and text: title, authors, published, publisher, url, and speakers.

    speakers: names of whom a line "Name: words" of the text makes the speaker, as transcripts are written.
    Keys that are not known are passed over: data sets carry their own.
    """
    told = parse_line(path, number, line)
    # As long as before, so that offsets that others counted in it stay true.
    text = told["text"].replace("\r\n", " \n").replace("\r", "\n")
    title = _text(told.get("title")) or told["id"]
    authors = _names(told.get("authors"))
    speakers = _names(told.get("speakers"))
    published, publisher, url = (_text(told.get(key)) or None for key in ("published", "publisher", "url"))
    return Document(
        id=told["id"],
        title=title,
        text=text,
        digest=hashlib.sha256(line).hexdigest(),
        locators=_turns(text, speakers) if speakers else paragraph_locators(text, 0, len(text)),
        authors=authors,
        kind=TRANSCRIPT if speakers else "document",
        published=published,
        publisher=publisher,
        url=url,
        cite_as=citation_name(authors, published, title),
    )


def _text(told: object) -> str:
    return _NO_LETTERS.sub("\ufffd", str(told)) if told else ""


def _names(told: object) -> tuple[str, ...]:
    items: Sequence[object] = told if isinstance(told, list) else [] if told is None else [told]
    return tuple(" ".join(_text(item).split()) for item in items if str(item).strip())


def _turns(text: str, speakers: Sequence[str]) -> tuple[Locator, ...]:
    """A locator for each turn; its heading is the speaker's name."""
    longest_first = sorted(set(speakers), key=lambda name: (-len(name), name))
    starts = list(re.finditer(rf"^({'|'.join(map(re.escape, longest_first))}):[ \t]*", text, re.MULTILINE))
    if not starts:
        return paragraph_locators(text, 0, len(text))
    before = paragraph_locators(text, 0, starts[0].start())
    turns = []
    for number, (begin, stop) in enumerate(
        zip(starts, [*(each.start() for each in starts[1:]), len(text)], strict=True), start=len(before) + 1
    ):
        name = begin[1]
        turns.append(Locator(begin.start(), stop, f"¶{number}", (name,), Voice(name), begin.end() - begin.start()))
    return tuple(replace(place, label=f"¶{number}") for number, place in enumerate(before, start=1)) + tuple(turns)
