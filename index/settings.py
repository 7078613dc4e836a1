"""What the index must be told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from index.errors import SettingsError
from index.exported import Precision
from index.models import BUNDLED

_MILVUS = re.compile(
    r"milvus(?P<encrypted>\+tls)?://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?/(?P<name>[A-Za-z_][A-Za-z0-9_]{0,62})"
)


@dataclass(frozen=True, slots=True)
class MilvusAddress:
    """An index that a Milvus server keeps. The key to it, if it asks for one, is never part of its address."""

    host: str
    port: int
    name: str
    """Of the index among those of the server: its collections are called after it."""
    is_encrypted: bool = False

    @staticmethod
    def is_meant(told: object) -> bool:
        """Whether that is to be an address, and not the path of a folder."""
        return isinstance(told, str) and told.startswith(("milvus:", "milvus+"))

    @classmethod
    def parse(cls, told: str) -> MilvusAddress:
        """Raises SettingsError for what is no address."""
        found = _MILVUS.fullmatch(told)
        port = int(found["port"] or 19530) if found else 0
        if found is None or not 0 < port < 65536 or "__" in found["name"]:
            shown = re.sub(r":.*@", "://…@", told)[:200]
            raise SettingsError(
                f"{shown} is no address of an index on a Milvus server; write milvus://HOST:19530/NAME, or milvus+tls://… "
                "where the server asks for TLS, with letters, digits and single _ in the name."
            )
        return cls(found["host"], port, found["name"], found["encrypted"] is not None)

    @property
    def url(self) -> str:
        return f"{'https' if self.is_encrypted else 'http'}://{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"milvus{'+tls' if self.is_encrypted else ''}://{self.host}:{self.port}/{self.name}"


@dataclass(frozen=True, slots=True)
class IndexSettings:
    corpus: Path
    """Folder of sources, or one file of JSON Lines (.jsonl, .jsonl.gz), each line a document."""
    added: Path
    """Folder that `assistant add` copies sources to; their ids begin with "added/"."""
    store: Path
    """Folder of built files."""
    engine: MilvusAddress | None = None
    """The server that keeps the index instead of that folder."""
    model: str = BUNDLED
    """"all-MiniLM-L6-v2", or the path of a sentence-transformers model folder."""
    precision: Precision = "exact"
    """"exact", or "fast" for 8-bit computing."""
    device: str = "cpu"
    """Where the model computes: "cpu", or what torch calls the device."""
    exports: Path | None = None
    """Folder of exported models; the user's cache unless told otherwise."""
    chunk_tokens: int = 200
    """Size of a chunk to aim at, in tokens of the embedder."""
    max_file_bytes: int = 20_000_000
    """Larger files are refused, with a message."""
