"""Files that are zip archives of XML: EPUB and OpenDocument. What a bomb would make of them is refused first."""

from __future__ import annotations

import io
import zipfile
import zlib

from lxml import etree

from index.errors import CorpusError

# Unpacked, of all files of an archive together, in bytes; and how much a byte may become.
_LARGEST = 400_000_000
_MOST_FROM_A_BYTE = 200


def opened(document_id: str, data: bytes) -> zipfile.ZipFile:
    """Raises CorpusError for a damaged archive, and for one that would unpack to more than a document is."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        size = sum(each.file_size for each in archive.infolist())
        locked = any(each.flag_bits & 1 for each in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError) as error:
        raise CorpusError(f"{document_id}: is damaged ({error}); save or download it again.") from error
    if size > max(min(_LARGEST, len(data) * _MOST_FROM_A_BYTE), 1_000_000):
        raise CorpusError(
            f"{document_id}: would unpack to {size / 1e6:,.0f} MB, which no document needs; nothing of it was read."
        )
    if locked:
        raise CorpusError(f"{document_id}: is locked with a password; save a copy without one and add that.")
    return archive


def part(archive: zipfile.ZipFile, name: str, document_id: str) -> bytes:
    """Raises CorpusError when it is missing or damaged."""
    try:
        return archive.read(name)
    except KeyError as error:
        raise CorpusError(f"{document_id}: lacks its part {name!r}; save or download it again.") from error
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise CorpusError(f"{document_id}: is damaged ({error}); save or download it again.") from error


def xml(data: bytes, document_id: str, name: str) -> etree._Element:
    """Without entities, outside or inside, and without the network. Raises CorpusError."""
    try:
        return etree.fromstring(
            data, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=False)
        )
    except (etree.LxmlError, ValueError) as error:
        raise CorpusError(f"{document_id}: its part {name!r} is no sound XML ({' '.join(str(error).split())}).") from error


def text_of(element: etree._Element | None) -> str:
    return " ".join("".join(map(str, element.itertext())).split()) if element is not None else ""
