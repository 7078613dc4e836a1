"""Dense search: FAISS, derived from the ledger, kept in one file that vouches for itself."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

FILE_NAME = "vectors.faiss"
_FORMAT = 1


class DenseIndex:
    """Exact inner product over unit vectors (the cosine), by chunk key."""

    def __init__(self, dimensions: int, *, identity: str, fingerprint: str) -> None:
        self.dimensions = dimensions
        self.version = -1
        """The ledger's version that the index shows; -1 before the first sync."""
        self._origin = {"format": _FORMAT, "identity": identity, "fingerprint": fingerprint, "dimensions": dimensions}
        self._index: Any = faiss.IndexIDMap2(faiss.IndexFlatIP(dimensions))

    def keys(self) -> NDArray[np.int64]:
        return np.asarray(faiss.vector_to_array(self._index.id_map), dtype=np.int64)

    def change(self, remove: NDArray[np.int64], keys: NDArray[np.int64], vectors: NDArray[np.float32], version: int) -> None:
        if len(remove):
            self._index.remove_ids(remove)
        if len(keys):
            self._index.add_with_ids(np.ascontiguousarray(vectors, dtype=np.float32), keys)
        self.version = version

    def search(self, vector: NDArray[np.float32], count: int) -> list[tuple[int, float]]:
        """(key, cosine) of the nearest chunks, best first; ties by key, so that results repeat."""
        if not self._index.ntotal or count < 1:
            return []
        scores, keys = self._index.search(vector.reshape(1, -1).astype(np.float32), min(count, self._index.ntotal))
        found = [(int(key), float(score)) for key, score in zip(keys[0], scores[0], strict=True) if key >= 0]
        return sorted(found, key=lambda hit: (-hit[1], hit[0]))

    def load(self, folder: Path) -> bool:
        """Takes over the saved index, unless it is missing, torn, or another ledger's; says whether it did."""
        try:
            header, _, payload = (folder / FILE_NAME).read_bytes().partition(b"\n")
            told = json.loads(header)
            if not isinstance(told, dict) or any(told.get(name) != value for name, value in self._origin.items()):
                return False
            if told.get("sha256") != hashlib.sha256(payload).hexdigest():
                return False
            version = int(told["version"])
        except (OSError, ValueError, KeyError, TypeError):
            return False
        self._index = faiss.deserialize_index(np.frombuffer(payload, dtype=np.uint8).copy())
        self.version = version
        return True

    def save(self, folder: Path) -> None:
        """Replaces the file at once: a reader finds the old one or the new one."""
        payload = faiss.serialize_index(self._index).tobytes()
        header = json.dumps({**self._origin, "version": self.version, "sha256": hashlib.sha256(payload).hexdigest()}).encode()
        temporary = folder / f"{FILE_NAME}.new"
        with temporary.open("wb") as file:
            file.write(header + b"\n" + payload)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / FILE_NAME)
