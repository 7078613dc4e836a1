"""Dense search: FAISS, derived from the ledger.

Small stores are searched exactly, vector by vector, as they are read from the ledger at each start. In large ones a product
quantizer (4 bits for each 4 dimensions, "fast scan", André et al., VLDB 2015) finds candidates in a fraction of the time and
space; the store scores them again by the ledger's vectors. It is kept in one file that vouches for itself. What came and
went since the file was written lies beside it: new vectors in a small exact index, removed keys in a set.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

FILE_NAME = "vectors.faiss"
_FORMAT = 2
EXACT_UP_TO = 8_000
"""Chunks up to which every vector is compared, and none kept a second time; docs/performance.md shows why."""
_TRAINED_ON = 65_536
_DIMENSIONS_A_CODE = 4
# How many candidates the quantizer gives for each result: recall against time, measured in docs/performance.md.
_CANDIDATES_A_RESULT = 10
# So many changes of a large index are followed at each start; of a very large one, a fiftieth.
_FEW_CHANGES = 2_000
# So few chunks are scored one by one, whatever the index.
_FEW = 2_000
# Rounding to half precision may swap neighbours at the cut.
_SPARE = 16

Keys = NDArray[np.int64]
Rows = Iterable[tuple[Keys, NDArray[np.float32]]]


class DenseIndex:
    """Candidates by inner product over unit vectors (the cosine), by chunk key."""

    def __init__(self, dimensions: int, *, identity: str, fingerprint: str) -> None:
        self.dimensions = dimensions
        self.version = -1
        """The ledger's version that the index shows; -1 before the first."""
        self.saved_version = -1
        self.top_key = -1
        """The greatest key that it has ever held: what the ledger gives a greater one is new."""
        self._origin = {"format": _FORMAT, "identity": identity, "fingerprint": fingerprint, "dimensions": dimensions}
        self._large: Any = None
        self._large_keys: Keys = np.array([], dtype=np.int64)
        self._exact: Any = self._empty()
        self._gone: set[int] = set()

    def _empty(self) -> Any:
        codes = faiss.IndexScalarQuantizer(self.dimensions, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        return faiss.IndexIDMap2(codes)

    def __len__(self) -> int:
        return int(len(self._large_keys) - len(self._gone) + self._exact.ntotal)

    def suits_quantizer(self, count: int) -> bool:
        """Whether an index of so many vectors is made and kept; a smaller one is read from the ledger at each start."""
        return count > EXACT_UP_TO and self.dimensions % _DIMENSIONS_A_CODE == 0

    @property
    def wants_folding(self) -> bool:
        """Whether so much came and went that the index should be made anew and saved."""
        if self._large is None:
            return self.suits_quantizer(len(self))
        if len(self) <= EXACT_UP_TO:
            return True
        return int(self._exact.ntotal) + len(self._gone) > self.changes_left_unsaved

    @property
    def is_large(self) -> bool:
        """Whether it is one that is kept in a file."""
        return self._large is not None

    @property
    def is_worth_saving(self) -> bool:
        return self.is_large and self.saved_version < 0

    @property
    def changes_left_unsaved(self) -> int:
        """How many changes the next start may follow for itself."""
        return max(_FEW_CHANGES, len(self) // 50)

    def follow(self, removed: Keys, added: Rows, version: int) -> None:
        """Takes in what changed."""
        if len(removed):
            self._exact.remove_ids(removed)
            self._gone.update(np.intersect1d(removed, self._large_keys, assume_unique=True).tolist())
        for keys, vectors in added:
            if len(keys):
                self._exact.add_with_ids(np.ascontiguousarray(vectors, dtype=np.float32), keys)
                self.top_key = max(self.top_key, int(keys.max()))
        self.version = version

    def fold(self, everything: Rows, *, count: int, version: int) -> None:
        """Makes the index anew from the `count` vectors of that version, in the kind that suits their number."""
        self._large, self._large_keys = None, np.array([], dtype=np.int64)
        self._exact, self._gone = self._empty(), set()
        self.saved_version = -1
        if not self.suits_quantizer(count):
            self.follow(self._large_keys, everything, version)
            return
        self._large = faiss.IndexPQFastScan(self.dimensions, self.dimensions // _DIMENSIONS_A_CODE, 4, faiss.METRIC_INNER_PRODUCT)
        waiting: list[NDArray[np.float32]] = []
        kept: list[Keys] = []
        for keys, vectors in everything:
            kept.append(keys)
            waiting.append(vectors)
            # Trained on the first vectors: the rest is never in memory at once.
            if self._large.is_trained or sum(map(len, waiting)) >= _TRAINED_ON:
                self._take(waiting)
                waiting = []
        self._take(waiting)
        self._large_keys = np.concatenate(kept)
        self.top_key = int(self._large_keys.max())
        self.version = version

    def _take(self, waiting: list[NDArray[np.float32]]) -> None:
        if waiting:
            rows = np.concatenate(waiting)
            if not self._large.is_trained:
                self._large.train(rows)
            self._large.add(rows)

    def candidates(self, vector: NDArray[np.float32], count: int, *, among: Keys | None = None) -> Keys:
        """Keys of chunks among which are the `count` nearest, in no order: scored exactly they give them.

        among: ascending keys of the only chunks that count.
        """
        if among is not None and len(among) <= _FEW:
            return among
        query = np.ascontiguousarray(vector.reshape(1, -1), dtype=np.float32)
        found: list[Keys] = []
        if self._exact.ntotal:
            selected = self._only(among) if among is not None else None
            found.append(self._exact.search(query, min(count + _SPARE, self._exact.ntotal), params=selected)[1][0])
        if self._large is not None and len(self._large_keys):
            enough = wanted = count * _CANDIDATES_A_RESULT
            while True:
                reach = min(wanted + len(self._gone), len(self._large_keys))
                places = self._large.search(query, reach)[1][0]
                keys = self._large_keys[places[places >= 0]]
                keys = keys[~np.isin(keys, list(self._gone))] if self._gone else keys
                keys = keys[np.isin(keys, among)] if among is not None else keys
                if among is None or len(keys) >= enough or reach == len(self._large_keys):
                    break
                wanted *= 4
            found.append(keys)
        keys = np.concatenate(found) if found else np.array([], dtype=np.int64)
        return keys[keys >= 0]

    @staticmethod
    def _only(keys: Keys) -> Any:
        parameters: Any = faiss.SearchParameters
        return parameters(sel=faiss.IDSelectorBatch(keys))

    def load(self, folder: Path, tokens: Collection[str]) -> bool:
        """Takes over the saved index, unless it is missing, torn, or not of this ledger; says whether it did.

        tokens: what the ledger says that the saved state may be called.
        """
        try:
            data = np.fromfile(folder / FILE_NAME, dtype=np.uint8)
            digest, header, payload = data[:64], *_split(data[65:])
            if hashlib.sha256(data[65:].data).hexdigest().encode() != digest.tobytes():
                return False
            told = json.loads(header)
            if any(told.get(name) != value for name, value in self._origin.items()) or told["token"] not in tokens:
                return False
            version, top_key, count = int(told["version"]), int(told["top_key"]), int(told["large"])
            if not count:
                return False
            large_keys = np.frombuffer(payload[: 8 * count].tobytes(), dtype=np.int64)
            self._large, self._large_keys = faiss.deserialize_index(payload[8 * count :]), large_keys
        except (OSError, ValueError, KeyError, TypeError, RuntimeError):
            return False
        self.version = self.saved_version = version
        self.top_key = top_key
        return True

    @staticmethod
    def drop(folder: Path) -> None:
        """Removes the file of a store that was large, or that an earlier release kept whatever its size."""
        (folder / FILE_NAME).unlink(missing_ok=True)

    def save(self, folder: Path, *, token: str) -> None:
        """Replaces the file at once: a reader finds the old one or the new one. Only an index just folded."""
        payload = self._large_keys.tobytes() + faiss.serialize_index(self._large).tobytes()
        told = {
            **self._origin,
            "version": self.version,
            "top_key": self.top_key,
            "large": len(self._large_keys),
            "token": token,
        }
        content = json.dumps(told).encode() + b"\n" + payload
        temporary = folder / f"{FILE_NAME}.new"
        with temporary.open("wb") as file:
            file.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / FILE_NAME)
        self.saved_version = self.version


def _split(data: NDArray[np.uint8]) -> tuple[bytes, NDArray[np.uint8]]:
    """(first line, the rest)."""
    end = data[:10_000].tobytes().index(b"\n")
    return data[:end].tobytes(), data[end + 1 :]
