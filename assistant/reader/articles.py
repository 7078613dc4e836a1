"""Which articles the reader is never trained on, so that it can be measured on them."""

from __future__ import annotations

import hashlib


def is_kept_out(group: str) -> bool:
    """One in five, by the SHA-256 of the title, underscores read as spaces."""
    return hashlib.sha256(group.replace("_", " ").encode()).digest()[0] % 5 == 0
