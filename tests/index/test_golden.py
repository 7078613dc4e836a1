"""One small file of each format, most of them written by the programs that people use, and what is read of it, beside it.

What is read has changed on purpose: ASSISTANT_GOLDEN=write .venv/bin/python -m pytest tests/index/test_golden.py, and look.
The files: pandoc (.docx, .epub, .rst), LibreOffice (.odt, .rtf), LaTeX in two columns and Chromium (.pdf); the others by hand.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from index.documents import Document
from index.loaders.registry import is_supported, load
from index.voices import sentences_with_voices
from tests.conftest import ROOT

FOLDER = ROOT / "tests/data/golden"
FILES = sorted(path for path in FOLDER.iterdir() if is_supported(path) and not path.name.endswith(".golden.txt"))


def told(document: Document, warning: str | None) -> str:
    """As a person would read it: each place with the headings above it, its sentences, and who says them where that is told."""
    lines = [
        f"title: {document.title}",
        f"authors: {'; '.join(document.authors)}",
        f"published: {document.published or ''}",
        f"cited as: {document.cite_as}",
        *([f"! {warning}"] if warning else []),
    ]
    for place in document.locators:
        lines += ["", f"[{place.label}]  {' > '.join(place.headings)}".rstrip()]
        if place.heading:
            lines.append(f"  heading  {' '.join(document.text[place.start : place.start + place.heading].split())}")
        for start, end, voice in sentences_with_voices(document, place.start + place.heading, place.end):
            lines.append(f"  {voice}: {' '.join(document.text[start:end].split())}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_read_of_a_file_is_what_was_read_before(path: Path) -> None:
    loaded = load(path, path.name, max_bytes=1_000_000)
    golden = path.with_name(f"{path.name}.golden.txt")
    now = told(loaded.document, loaded.warning)
    if os.environ.get("ASSISTANT_GOLDEN") == "write":
        golden.write_text(now, encoding="utf-8")
    assert now == golden.read_text(encoding="utf-8")


def test_there_is_a_file_of_every_format() -> None:
    from index.loaders.registry import supported_suffixes

    known = set(supported_suffixes().split(", ")) - {".markdown", ".text", ".htm", ".xhtml"}
    assert {path.suffix for path in FILES} == known
