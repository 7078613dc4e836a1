"""Small files of many formats, written by hand or by a library, for the tests."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from typing import NamedTuple

import docx


class Line(NamedTuple):
    x: float
    y: float
    text: str
    size: float = 10
    font: str = "F1"
    """F1 is plain, F2 bold."""


def pdf(pages: Sequence[Sequence[Line]], info: str = "", labels: str = "") -> bytes:
    """info: pairs of the information dictionary. labels: a /PageLabels entry of the catalogue."""
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R {labels} >>",
        f"<< /Type /Pages /Kids [{' '.join(f'{5 + 2 * n} 0 R' for n in range(len(pages)))}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>",
    ]
    for number, lines in enumerate(pages):
        drawn = "".join(f"BT /{line.font} {line.size} Tf {line.x} {line.y} Td ({_escaped(line.text)}) Tj ET\n" for line in lines)
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {6 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R /F2 4 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(drawn.encode('cp1252'))} >>\nstream\n{drawn}endstream")
    objects.append(f"<< {info} >>")
    out = io.BytesIO(b"%PDF-1.4\n")
    out.seek(0, io.SEEK_END)
    places = []
    for number, written in enumerate(objects, start=1):
        places.append(out.tell())
        out.write(f"{number} 0 obj\n{written}\nendobj\n".encode("cp1252"))
    table = out.tell()
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    for place in places:
        out.write(f"{place:010} 00000 n \n".encode())
    out.write(
        f"trailer << /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R >>\nstartxref\n{table}\n%%EOF\n".encode()
    )
    return out.getvalue()


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def column(x: float, y: float, lines: Sequence[str], size: float = 10) -> list[Line]:
    return [Line(x, y - number * size * 1.2, text, size) for number, text in enumerate(lines)]


def zipped(files: dict[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            # Always the same bytes.
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


_CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile full-path="OEBPS/book.opf"/>'
    "</rootfiles></container>"
)


def epub(chapters: dict[str, str], *, head: str = "", contents: dict[str, str] | None = None) -> bytes:
    """chapters: file name -> body. head: metadata. contents: file name -> title in the table of contents."""
    items = "".join(f'<item id="c{n}" href="{name}" media-type="application/xhtml+xml"/>' for n, name in enumerate(chapters))
    spine = "".join(f'<itemref idref="c{n}"/>' for n, _ in enumerate(chapters))
    links = "".join(f'<li><a href="{name}">{title}</a></li>' for name, title in (contents or {}).items())
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": _CONTAINER,
            "OEBPS/book.opf": (
                '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
                f'{head}</metadata><manifest>{items}<item id="nav" href="nav.xhtml" properties="nav" '
                f'media-type="application/xhtml+xml"/></manifest><spine>{spine}</spine></package>'
            ),
            "OEBPS/nav.xhtml": f'<html xmlns="http://www.w3.org/1999/xhtml"><body><nav><ol>{links}</ol></nav></body></html>',
            **{f"OEBPS/{name}": f"<html><body>{body}</body></html>" for name, body in chapters.items()},
        }
    )


_ODT = (
    'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" '
    'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" xmlns:meta="urn:oasis:names:tc:opendocument:xmlns:meta:1.0" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/"'
)


def odt(body: str, meta: str = "", manifest: str = "<manifest/>") -> bytes:
    return zipped(
        {
            "META-INF/manifest.xml": manifest,
            "content.xml": f"<office:document-content {_ODT}><office:body><office:text>{body}</office:text></office:body>"
            "</office:document-content>",
            "meta.xml": f"<office:document-meta {_ODT}><office:meta>{meta}</office:meta></office:document-meta>",
        }
    )


def word(pieces: Sequence[tuple[str, str]], *, title: str = "", author: str = "", rows: Sequence[Sequence[str]] = ()) -> bytes:
    """pieces: (style, words)."""
    document = docx.Document()
    document.core_properties.title, document.core_properties.author = title, author
    for style, words in pieces:
        document.add_paragraph(words, style=style)
    if rows:
        table = document.add_table(len(rows), len(rows[0]))
        for number, row in enumerate(rows):
            for place, words in enumerate(row):
                table.cell(number, place).text = words
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()
