"""How well a reader's network does on questions of articles that it was not trained on, passage by passage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from assistant.reader.data import SINGLE_SENTENCES

if TYPE_CHECKING:
    from assistant.reader.examples import Data, Example
    from assistant.reader.network import ReaderNetwork
    from assistant.reader.pairs import PairEncoder
    from assistant.reader.train import Labelled

_WRONG = 4
_MOST_QUESTIONS = 800
_LONGEST_SPAN = 30


@dataclass(frozen=True, slots=True)
class Scores:
    """Each between 0 and 1, the higher the better; `spans` counts questions."""

    first: float
    """How often the passage that answers is scored above those that do not."""
    told_apart: float
    """AUROC of relevance: passages that answer against passages that do not, unanswerable questions included."""
    span_f1: float
    """Of the short answer, the right passage given."""
    evidence: float
    """How often the sentence scored highest is one that carries the answer."""
    refused: float
    """AUROC of relevance: passages that answer against those that their annotators asked an unanswerable question of."""
    bears_out: float
    """AUROC: claims that the passage bears out against those that it contradicts."""
    spans: int
    claims: int

    @property
    def overall(self) -> float:
        """Without claims, which are few."""
        return (self.first + self.told_apart + self.span_f1 + self.evidence + self.refused) / 5


def score(network: ReaderNetwork, data: Data, examples: Sequence[Example], encoder: PairEncoder, device: str) -> Scores:
    from assistant.reader.train import labelled

    examples = [example for example in examples if example.asked.origin not in SINGLE_SENTENCES]
    claims = [example for example in examples if example.asked.bears_out is not None]
    examples = examples[:: max(1, -(-len(examples) // _MOST_QUESTIONS))]
    answering: list[float] = []
    others: list[float] = []
    near: list[float] = []
    first, f1, carried = [], [], []
    verdicts: dict[bool, list[float]] = {True: [], False: []}
    network.eval()
    for example in examples:
        each = labelled(data, example.asked, encoder, example.wrong[:_WRONG])
        relevance, tokens, _ = _read(network, each, device)
        if example.asked.right is None:
            (near if example.asked.known_wrong else others).extend(relevance.tolist())
            continue
        if example.asked.is_judged:
            answering.append(float(relevance[0]))
        others.extend(relevance[1:].tolist())
        if len(each) > 1 and example.asked.is_judged:
            first.append(float(relevance[0] > relevance[1:].max()))
        if each[0].evidence:
            best = max(each[0].evidence, key=lambda place: float(tokens[0, place[0] : place[1] + 1, 2].mean()))
            carried.append(float(best[2]))
        if each[0].starts:
            begin, end = best_span(each[0].pair.types, tokens[0])
            found = range(begin, end + 1)
            rights = zip(each[0].starts, each[0].ends, strict=True)
            f1.append(max(_f1(found, range(start, last + 1)) for start, last in rights))
    for example in claims:
        *_, bears_out = _read(network, labelled(data, example.asked, encoder, ()), device)
        verdicts[bool(example.asked.bears_out)].append(float(bears_out[0]))
    return Scores(
        first=float(np.mean(first)), told_apart=_auroc(answering, [*others, *near]), refused=_auroc(answering, near),
        span_f1=float(np.mean(f1)),
        evidence=float(np.mean(carried)), spans=len(f1),
        bears_out=_auroc(verdicts[True], verdicts[False]), claims=len(claims),
    )  # fmt: skip


def _read(network: ReaderNetwork, each: Sequence[Labelled], device: str) -> tuple[torch.Tensor, ...]:
    from assistant.reader.train import tensors

    with torch.no_grad(), torch.autocast(device, dtype=torch.bfloat16):
        outputs = network(*tensors([labelled.pair for labelled in each], device))
    return tuple(output.float().cpu() for output in outputs)


def best_span(types: Sequence[int], tokens: torch.Tensor) -> tuple[int, int]:
    """(first, last token) of the likeliest span of the passage."""
    inside = torch.tensor(types) == 1
    count = len(types)
    start, end = (tokens[:count, output].masked_fill(~inside, -1e9) for output in (0, 1))
    sums = start[:, None] + end[None, :]
    near = torch.ones((count, count), dtype=torch.bool).triu() & ~torch.ones((count, count), dtype=torch.bool).triu(_LONGEST_SPAN)
    place = int(sums.masked_fill(~near, -1e9).argmax())
    return place // count, place % count


def _f1(found: range, right: range) -> float:
    """Over tokens by place, which is stricter than over words."""
    shared = len(set(found) & set(right))
    return 2 * shared / (len(found) + len(right))


def _auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """0.5, which is chance, where there is nothing to tell apart."""
    if not positive or not negative:
        return 0.5
    values = np.concatenate([positive, negative])
    order = values.argsort(kind="stable")
    ranks = np.empty(len(values))
    ranks[order] = np.arange(1, len(values) + 1)
    for value in np.unique(values):
        tied = values == value
        ranks[tied] = ranks[tied].mean()
    count = len(positive)
    return float((ranks[:count].sum() - count * (count + 1) / 2) / (count * len(negative)))
