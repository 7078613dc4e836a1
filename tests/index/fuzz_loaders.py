"""Damaged files of every format, for as long as one likes: `python -m tests.index.fuzz_loaders --minutes 10 [SUFFIX …]`.

Whatever the bytes, a loader gives a document whose locators tile its text, or refuses in one sentence; within a minute.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from index.errors import CorpusError
from index.loaders.apart import MOST_MEMORY
from index.loaders.registry import load_here
from tests.index.writing_files import Line, column, epub, odt, pdf, word, zipped

_LONGEST_SECONDS = 60
_BATCH = 200
_MOST_BYTES = 20_000_000

_PAGE = (
    "<html><head><title>Rivers</title><meta name=author content='Ada Moreno'></head><body><h1>Rivers</h1><h2>Signing</h2>"
    "<p>It was signed in <b>Basel</b>.</p><h2>Doubts</h2><ul><li>Keller doubts it.<table><tr><td>dam<td>1961</table></ul>"
)
_RST = """Rivers
======

:Author: Ada Moreno

Signing
-------

It was *signed* in Basel [1]_.

==== ====
dam  1961
==== ====

.. [1] Moreno 1999.
"""
_MAIL = (
    b"From: Ada Moreno <am@example.org>\nSubject: =?utf-8?q?The_dams?=\nDate: Sat, 01 May 1999 10:00:00 +0000\n"
    b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="x"\n\n--x\nContent-Type: text/plain; charset=utf-8\n'
    b"Content-Transfer-Encoding: quoted-printable\n\nI do not agree.\n\nOn 30 April 1999, Jonas Keller <jk@example.org> wrote:\n"
    b"> The dams are=20unsafe.\n\nThey are safe.\n--x\nContent-Type: text/html\n\n<p>They are</p>\n--x--\n"
)
SOUND: dict[str, bytes] = {
    "r.md": b"---\ntitle: Rivers\nauthors: [Ada Moreno]\n---\n\n## \xc2\xb61 \xc2\xb7 Ada Moreno\n\nIt was signed.\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
    "r.txt": b"It was signed in Basel.\n\nKeller doubts it.\n",
    "r.rst": _RST.encode(),
    "r.srt": b"1\n00:00:01,000 --> 00:00:03,000\nMORENO: The treaty was\n\n2\n00:00:03,000 --> 00:00:05,500\nsigned in <i>Basel</i>.\n",
    "r.vtt": b"WEBVTT\n\n00:01.000 --> 00:02.000 align:start\n<v Ada Moreno>It was signed.</v>\n",
    "r.csv": b'author,title,text\nAda Moreno,Signing,"It was signed, in Basel."\n',
    "r.tsv": b"author\ttitle\ttext\nAda Moreno\tSigning\tIt was signed.\n",
    "r.jsonl": b'{"text": "It was signed.", "speaker": "Ada Moreno", "n": 3}\n',
    "r.pdf": pdf(
        [
            [Line(60, 760, "Rivers", 20), *column(60, 700, ["It was signed in", "Basel, and a commis-"]), *column(320, 700, ["sion"])],
            column(60, 700, ["Keller doubts it."]),
        ],
        "/Author (Ada Moreno)",
        "/PageLabels << /Nums [0 << /S /r /St 4 >>] >>",
    ),
    "r.html": _PAGE.encode(),
    "r.docx": word([("Heading 1", "Signing"), ("Normal", "It was signed.")], title="Rivers", rows=[("dam", "1961")]),
    "r.odt": odt(
        '<text:h text:outline-level="1">Signing</text:h><text:p>It was<text:s text:c="2"/>signed<text:note><text:note-citation>1'
        "</text:note-citation><text:note-body><text:p>Moreno.</text:p></text:note-body></text:note>.</text:p><text:list>"
        "<text:list-item><text:p>one</text:p></text:list-item></text:list>",
        "<dc:title>Rivers</dc:title>",
    ),
    "r.epub": epub({"one.xhtml": _PAGE, "two.xhtml": "<p>Keller doubts it.</p>"}, contents={"two.xhtml": "Doubts"}),
    "r.rtf": rb"{\rtf1\ansi\ansicpg1252{\info{\title Rivers}}It was {\b signed}.\par M\'fcller \u8212?doubts it.\par}",
    "r.eml": _MAIL,
}  # fmt: skip
"""A small sound file of each format, by a name that ends as its files do."""

# What formats give a meaning to, and what upsets programs.
_TOKENS = [
    each.encode("latin-1")
    for each in (
        "\0 \r \n\n \xef\xbb\xbf \xff\xfe \x1b[31m \xe2\x80\xae < > </p> <p> <!-- --> <![CDATA[ ]]> <!DOCTYPE &lt; &#0; &#x110000; &a; <?xml "
        "<table> <td> <h1> <pre> <svg> { } \\ \\par \\bin9999 \\u-1? \\'zz \\ansicpg99999 \\uc9 ( ) << >> [ ] obj endobj stream endstream "
        "BT ET Tj TJ Tf Td Tm Do q Q cm /Length /Filter /FlateDecode /Kids /Parent /Count -1 99999999999 0.0000001 1e999 NaN --> "
        "00:00:99,999 99:99:99.999 <v > | --- === :: .. .. include:: :x: `x`_ |x| --x-- =?utf-8?b? =?x?q?x?= Content-Type: "
        'base64 charset=x " "" \t , ; null true [[[[[[[[ {"a": \\ud800 # > * ---\n ```'
    ).split(" ")
]


@st.composite
def damaged(draw: st.DrawFn, name: str) -> bytes:
    """The sound file of this name, with bytes changed, moved and put in; of an archive also in its unpacked parts."""
    sound = SOUND[name]
    if sound.startswith(b"PK") and draw(st.booleans()):
        with zipfile.ZipFile(io.BytesIO(sound)) as archive:
            parts: dict[str, str | bytes] = {each: archive.read(each) for each in archive.namelist()}
        for part in draw(st.lists(st.sampled_from(sorted(parts)), min_size=1, max_size=3, unique=True)):
            if draw(st.integers(0, 9)) == 0:
                del parts[part]
            else:
                told = parts[part]
                assert isinstance(told, bytes)
                parts[part] = draw(_changed(told))
        return zipped(parts)
    return draw(_changed(sound))


@st.composite
def _changed(draw: st.DrawFn, sound: bytes) -> bytes:
    data = bytearray(sound)
    for _ in range(draw(st.integers(0, 8))):
        at = draw(st.integers(0, len(data)))
        cut = draw(st.integers(0, 20))
        if draw(st.booleans()):
            put = draw(st.sampled_from(_TOKENS)) * draw(st.sampled_from([1, 1, 1, 2, 500]))
        elif draw(st.booleans()):
            start = draw(st.integers(0, len(data)))
            put = bytes(data[start : start + draw(st.integers(0, 200))]) * draw(st.sampled_from([1, 1, 2, 50]))
        else:
            put = draw(st.binary(max_size=20))
        data[at : at + cut] = put
    return bytes(data)


def reads_or_refuses(path: Path, data: bytes) -> str:
    """ "read" or "refused". Raises AssertionError, or whatever the loader raises that it must not."""
    path.write_bytes(data)
    try:
        document = load_here(path, path.name, max_bytes=_MOST_BYTES).document
    except CorpusError as error:
        assert str(error).startswith(path.name) and "\n" not in str(error), str(error)
        return "refused"
    except (MemoryError, RecursionError):
        # The process apart tells these in one sentence.
        assert path.suffix not in (".md", ".txt", ".rst", ".srt", ".vtt", ".csv", ".tsv", ".jsonl")
        return "too deep"
    assert "".join(document.text[each.start : each.end] for each in document.locators) == document.text
    assert all(0 <= each.heading <= each.end - each.start and each.label for each in document.locators)
    assert "\0" not in document.text
    document.text.encode()
    document.title.encode()
    return "read"


def _fuzz(name: str, seconds: float, folder: Path) -> None:
    told: Counter[str] = Counter()
    longest = 0.0
    until = time.monotonic() + seconds

    @settings(
        max_examples=_BATCH,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(data=damaged(name))
    def batch(data: bytes) -> None:
        nonlocal longest
        faulthandler.dump_traceback_later(_LONGEST_SECONDS, exit=True)
        began = time.monotonic()
        told[reads_or_refuses(folder / name, data)] += 1
        longest = max(longest, time.monotonic() - began)
        faulthandler.cancel_dump_traceback_later()

    try:
        while time.monotonic() < until:
            batch()
    finally:
        counted = ", ".join(f"{count:,} {how}" for how, count in sorted(told.items()))
        sys.stdout.write(f"{Path(name).suffix:6} {sum(told.values()):9,} files: {counted}; the slowest took {longest:.2f} s\n")
        sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suffixes", nargs="*", metavar="SUFFIX", help="such as .pdf; all of them unless told otherwise")
    parser.add_argument("--minutes", type=float, default=10, help="for each")
    told = parser.parse_args()
    suffixes = told.suffixes or [Path(each).suffix for each in SOUND]
    if len(suffixes) > 1:
        # Each in a process of its own: a loader that hangs ends it.
        one = [sys.executable, "-m", "tests.index.fuzz_loaders", "--minutes", str(told.minutes)]
        sys.exit(max([subprocess.run([*one, suffix]).returncode for suffix in suffixes]))
    resource.setrlimit(resource.RLIMIT_AS, (2 * MOST_MEMORY, 2 * MOST_MEMORY))
    with tempfile.TemporaryDirectory() as folder:
        _fuzz(f"r{suffixes[0]}", 60 * told.minutes, Path(folder))


if __name__ == "__main__":
    main()
