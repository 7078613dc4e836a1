"""Whether citations of files in many formats point to the right place, by other programs' reading of the same files.

    python -m evals.benchmarks.places FOLDER [--sample 100] [--seed 1]

Sentences are drawn by chance from every file of the folder, evenly over the formats. Of a PDF, poppler's pdftotext must find the
sentence on the page that is cited; of the others, pandoc must find it below the heading that is cited; LibreOffice must find what
stands in an RTF file, which has no headings. What none of them reads is left out, and named. Needs all three.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from index.documents import Document
from index.errors import CorpusError
from index.loaders.registry import is_supported, load
from index.sentences import sentence_spans

_PANDOC = {".docx": "docx", ".odt": "odt", ".epub": "epub", ".html": "html", ".htm": "html", ".rst": "rst", ".rtf": ""}
_SHORTEST = 25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sample", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    told = parser.parse_args()
    drawn = random.Random(told.seed)
    by_format: dict[str, list[tuple[Path, Document, int, int]]] = defaultdict(list)
    files = failed = 0
    for path in sorted(told.folder.rglob("*")):
        if not path.is_file() or not is_supported(path):
            continue
        files += 1
        try:
            document = load(path, path.name, max_bytes=100_000_000).document
        except CorpusError as error:
            failed += 1
            sys.stdout.write(f"{error}" + "\n")
            continue
        for locator in document.locators:
            for start, end in sentence_spans(document.text, locator.start + locator.heading, locator.end):
                if end - start >= _SHORTEST:
                    by_format[path.suffix.lower()].append((path, document, start, end))
    right: dict[str, list[int]] = defaultdict(list)
    formats = sorted(each for each in by_format if each == ".pdf" or each in _PANDOC)
    for number in range(told.sample):
        suffix = formats[number % len(formats)]
        path, document, start, end = drawn.choice(by_format[suffix])
        sentence, place = document.text[start:end], document.locator_at(start)
        holds = _on_page(path, sentence, place.label) if suffix == ".pdf" else _below(path, sentence, place.headings)
        right[suffix].append(holds)
        if not holds:
            sys.stdout.write(f"not there: {path.name}, {place.label}: {sentence[:150]!r}" + "\n")
    sys.stdout.write(
        f"{files} files, {failed} not read; without another reader: {sorted(set(by_format) - set(formats)) or 'none'}" + "\n"
    )
    for suffix in formats:
        sys.stdout.write(f"{suffix:6} {sum(right[suffix]):3} of {len(right[suffix]):3} at the place that is cited" + "\n")
    sys.stdout.write(f"all    {sum(map(sum, right.values())):3} of {sum(map(len, right.values())):3}" + "\n")


def _bare(words: str) -> str:
    """Letters and digits alone: programs differ in spaces, quotation marks and hyphens."""
    return re.sub(r"[\W_]+", "", words.lower())


def _on_page(path: Path, sentence: str, label: str) -> bool:
    return any(_stands(_pages(path, order), sentence, label) for order in ("-raw", "-nopgbrk"))


def _stands(pages: list[str], sentence: str, label: str) -> bool:
    number = int(re.sub(r"\D", "", label) or 0)
    here = pages[number - 1] if 0 < number <= len(pages) else ""
    if _bare(sentence) in _bare(here):
        return True
    # A sentence that goes on overleaf stands where it begins, and what runs along the page's foot stands between.
    half = max(_SHORTEST, len(sentence) // 3)
    following = pages[number] if number < len(pages) else ""
    return _bare(sentence[:half]) in _bare(here) and _bare(sentence[-12:]) in _bare(following)


@cache
def _pages(path: Path, order: str) -> list[str]:
    """As the file draws the words, or as the program orders them: neither is right for all columns."""
    told = subprocess.run(
        ["pdftotext", *(["-raw"] if order == "-raw" else []), str(path), "-"], check=True, capture_output=True, timeout=300
    ).stdout
    return told.decode("utf-8", "replace").split("\f")


def _below(path: Path, sentence: str, headings: tuple[str, ...]) -> bool:
    heading = _bare(headings[-1]) if headings else ""
    return any(_bare(sentence) in words and (not heading or below == heading) for below, words in _blocks(path))


@cache
def _blocks(path: Path) -> list[tuple[str, str]]:
    """(the heading above, all words below it), bare."""
    if path.suffix.lower() == ".rtf":
        with tempfile.TemporaryDirectory() as folder:
            command = ["soffice", "--headless", "--convert-to", "txt:Text (encoded):UTF8", "--outdir", folder, str(path)]
            subprocess.run(command, check=True, capture_output=True, timeout=300)
            return [("", _bare((Path(folder) / f"{path.stem}.txt").read_text(encoding="utf-8-sig")))]
    command = ["pandoc", "-f", _PANDOC[path.suffix.lower()], "-t", "json", str(path)]
    tree = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=300).stdout)
    found: list[tuple[str, list[str]]] = [("", [])]
    for block in tree["blocks"]:
        for each in _flat(block):
            if each["t"] == "Header":
                found.append((_bare(_words(each["c"][2])), []))
            else:
                found[-1][1].append(_bare(_words(each)))
    return [(heading, "".join(words)) for heading, words in found]


def _flat(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if block["t"] == "Div":
        for each in block["c"][1]:
            yield from _flat(each)
    else:
        yield block


def _words(told: Any) -> str:
    if isinstance(told, list):
        return "".join(map(_words, told))
    if isinstance(told, dict):
        if told.get("t") == "Str":
            return str(told["c"])
        if told.get("t") in ("Space", "SoftBreak", "LineBreak"):
            return " "
        if told.get("t") in ("Code", "CodeBlock"):
            return str(told["c"][1])
        return _words(told.get("c", ""))
    return ""


if __name__ == "__main__":
    main()
