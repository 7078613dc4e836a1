"""Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum
from typing import NamedTuple

# The constant of the paper.
_K = 60


class Fused(NamedTuple):
    key: int
    score: float
    ranks: Mapping[str, int]


def reciprocal_rank_fusion(rankings: Mapping[str, Sequence[int]], weights: Mapping[str, float] | None = None) -> list[Fused]:
    """Fuses rankings (stage -> keys, best first) by rank alone, since scores of different engines do not compare.

    score(key) = sum over stages of weight / (60 + rank). Ties are broken by key, so that results repeat.
    """
    ranks: dict[int, dict[str, int]] = {}
    for stage, keys in rankings.items():
        for rank, key in enumerate(keys, start=1):
            ranks.setdefault(key, {}).setdefault(stage, rank)
    fused = [
        Fused(key, fsum((weights or {}).get(stage, 1.0) / (_K + rank) for stage, rank in found.items()), found)
        for key, found in ranks.items()
    ]
    return sorted(fused, key=lambda each: (-each.score, each.key))
