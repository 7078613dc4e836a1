"""Trains the reader, from question sets to a file of weights.

    python -m assistant.reader.train DATA_FOLDER SETS_FOLDER RUN_FOLDER --minutes 100

Seeded; what it does is written to RUN_FOLDER/log.jsonl. Stopped, the same command goes on where it last saved. The best
weights by the articles that are kept out of training are in RUN_FOLDER/best.safetensors.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from assistant.reader.data import SINGLE_SENTENCES, read_data
from assistant.reader.examples import Data, Example, Posed
from assistant.reader.network import ReaderNetwork
from assistant.reader.pairs import Pair, PairEncoder
from assistant.reader.scoring import Scores, score
from index.embedders import LocalEmbedder
from index.models import find_model, sha256
from index.sentences import sentence_spans

_BLOCK = 512
_LENGTHS = 16
_FORBIDDEN = -1e9
_STEPS_APART = 1_000_003


@dataclass(frozen=True, slots=True)
class Plan:
    epochs: int = 3
    steps: int = 0
    """Ends after so many, where that is before the epochs do; 0 for all."""
    wrong: int = 2
    """Passages that do not answer, for each question; one for those about single sentences."""
    singles: int = 8_000
    """Questions about single sentences in an epoch."""
    cut: float = 0.3
    """How often the passage without the sentences that answer takes the place of a wrong one."""
    tokens: int = 4_096
    """In a batch, padding included."""
    rate: float = 1.2e-4
    warm_up: float = 0.06
    decay: float = 0.01
    averaged: float = 0.998
    """How much of the running mean of the weights stays at each step: the mean is what is kept."""
    evidence: float = 0.5
    ranking: float = 0.5
    bears_out: float = 0.3
    """Weights of these losses; those of relevance and span are 1."""
    seed: int = 1
    start: str = ""
    """SHA-256 of the weights that it starts from; empty for the embedding model's."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A pair, and what is right to say of it."""

    pair: Pair
    answers: bool
    is_judged: bool
    """Whether that is learned."""
    starts: list[int]
    ends: list[int]
    """Tokens that are right; [0] when the passage does not answer; empty when it is not known which are."""
    evidence: list[tuple[int, int, bool]]
    """(first token, last token, whether it carries the answer) of each sentence; empty when it is not known."""
    bears_out: bool | None = None


def labelled(data: Data, asked: Posed, encoder: PairEncoder, wrong: Sequence[int]) -> list[Labelled]:
    """The right passage first, where there is one; then the wrong ones of those numbers."""
    numbers = [*([] if asked.right is None else [asked.right]), *wrong]
    pairs = encoder.encode(asked.question, [(data.texts[number].title, data.texts[number].text) for number in numbers])
    return [
        _right(pair, asked, data.texts[number].text) if number == asked.right else Labelled(pair, False, True, [0], [0], [])
        for number, pair in zip(numbers, pairs, strict=True)
    ]


def _right(pair: Pair, asked: Posed, text: str) -> Labelled:
    found = [place for place in (pair.tokens(*span) for span in asked.spans) if place]
    evidence = []
    for start, end in sentence_spans(text, 0, len(text)) if asked.evidence else ():
        place = pair.tokens(start, end)
        if place:
            evidence.append((*place, any(begin < end and start < stop for begin, stop in asked.evidence)))
    starts, ends = [first for first, _ in found], [last for _, last in found]
    return Labelled(pair, True, asked.is_judged, starts, ends, evidence, asked.bears_out)


def epoch(
    data: Data, examples: Sequence[Example], encoder: PairEncoder, plan: Plan, number: int
) -> Iterator[list[list[Labelled]]]:
    """Batches of whole questions, of like length; the same for the same plan and number."""
    chance = random.Random(f"{plan.seed}/{number}")
    single = [example for example in examples if example.asked.origin in SINGLE_SENTENCES]
    chosen = [example for example in examples if example.asked.origin not in SINGLE_SENTENCES]
    chosen += chance.sample(single, min(plan.singles, len(single)))
    chance.shuffle(chosen)
    for begin in range(0, len(chosen), _BLOCK):
        groups = []
        for example in chosen[begin : begin + _BLOCK]:
            # The more confusing, the more often.
            ranks = sorted(range(len(example.wrong)), key=lambda rank: -(chance.random() ** (1 + rank)))
            count = min(plan.wrong, 1) if example.asked.origin in SINGLE_SENTENCES else plan.wrong
            wrong = [example.wrong[rank] for rank in ranks[:count]]
            if chance.random() < plan.cut and example.cut is not None:
                wrong[-1:] = [example.cut]
            groups.append(labelled(data, example.asked, encoder, wrong))
        groups = sorted((group for group in groups if group), key=_longest)
        batches: list[list[list[Labelled]]] = []
        waiting: list[list[Labelled]] = []
        for group in groups:
            if waiting and (sum(map(len, waiting)) + len(group)) * _longest(group) > plan.tokens:
                batches.append(waiting)
                waiting = []
            waiting.append(group)
        batches.append(waiting)
        chance.shuffle(batches)
        yield from (batch for batch in batches if batch)


def _longest(group: Sequence[Labelled]) -> int:
    return max(len(each.pair.ids) for each in group)


def tensors(pairs: Sequence[Pair], device: str, *, tokens: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """(ids, types, mask), each of shape (pairs, tokens of the longest, padded); with as many empty pairs after them as `tokens`
    have room for.
    """
    # Both to few sizes: a processor's kernels are made, and kept, for each shape, some 16 MB a shape.
    longest = -(-max(len(pair.ids) for pair in pairs) // _LENGTHS) * _LENGTHS
    empty = [[0] * longest] * (tokens // longest - len(pairs))
    rows = [
        [*([*each, *[0] * (longest - len(each))] for each in values), *empty]
        for values in ((pair.ids for pair in pairs), (pair.types for pair in pairs), ([1] * len(pair.ids) for pair in pairs))
    ]
    ids, types, mask = (torch.tensor(each, device=device) for each in rows)
    return ids, types, mask


def losses(network: ReaderNetwork, batch: Sequence[Sequence[Labelled]], plan: Plan, device: str) -> dict[str, Tensor]:
    each = [labelled for group in batch for labelled in group]
    ids, types, mask = tensors([labelled.pair for labelled in each], device, tokens=plan.tokens)
    with torch.autocast(device, dtype=torch.bfloat16):
        relevance, tokens, bears_out = (output.float()[: len(each)] for output in network(ids, types, mask))
    answers = torch.tensor([float(labelled.answers) for labelled in each], device=device)
    judged = torch.tensor([float(labelled.is_judged) for labelled in each], device=device)
    relevant = functional.binary_cross_entropy_with_logits(relevance, answers, judged, reduction="sum")
    found = {"relevance": relevant / judged.sum().clamp(min=1)}
    # The first token, which stands for "no answer", and the passage may hold it; question and padding may not.
    allowed = ((types == 1) & (mask == 1))[: len(each)]
    allowed[:, 0] = judged == 1
    spans = []
    for output, right in ((0, [labelled.starts for labelled in each]), (1, [labelled.ends for labelled in each])):
        logits = tokens[:, :, output].masked_fill(~allowed, _FORBIDDEN)
        hit = torch.zeros_like(allowed)
        for row, places in enumerate(right):
            hit[row, places] = True
        known = hit.any(dim=1)
        kept = logits.masked_fill(~hit, _FORBIDDEN).logsumexp(dim=1)
        spans.append((logits.logsumexp(dim=1) - kept)[known])
    found["span"] = torch.cat(spans).mean()
    told = [(row, *place) for row, labelled in enumerate(each) for place in labelled.evidence]
    if told:
        logits = torch.stack([tokens[row, first : last + 1, 2].mean() for row, first, last, _ in told])
        carries = torch.tensor([float(carry) for *_, carry in told], device=device)
        found["evidence"] = plan.evidence * functional.binary_cross_entropy_with_logits(logits, carries)
    claimed = torch.tensor([float(labelled.bears_out is not None) for labelled in each], device=device)
    truth = torch.tensor([float(labelled.bears_out or False) for labelled in each], device=device)
    verdicts = functional.binary_cross_entropy_with_logits(bears_out, truth, claimed, reduction="sum")
    found["bears_out"] = plan.bears_out * verdicts / claimed.sum().clamp(min=1)
    ranked, at = [], 0
    for group in batch:
        if group[0].answers and len(group) > 1:
            ranked.append(-relevance[at : at + len(group)].log_softmax(dim=0)[0])
        at += len(group)
    if ranked:
        found["ranking"] = plan.ranking * torch.stack(ranked).mean()
    return found


class Run:
    """A training run in a folder: weights, their running mean, the optimizer's moments, the step."""

    def __init__(self, folder: Path, network: ReaderNetwork, plan: Plan, steps: int, device: str, data: str) -> None:
        """data: digest of what it learns from."""
        self.folder, self.network, self.plan, self.steps, self.device, self.data = folder, network, plan, steps, device, data
        self.trained = {name: each for name, each in network.named_parameters() if each.requires_grad}
        decayed = [each for each in self.trained.values() if each.dim() > 1]
        plain = [each for each in self.trained.values() if each.dim() < 2]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": plan.decay}, {"params": plain, "weight_decay": 0.0}], lr=plan.rate, fused=True
        )
        self.mean = {name: each.detach().clone() for name, each in self.trained.items()}
        self.step, self.best = 0, -1.0

    def advance(self, batch: Sequence[Sequence[Labelled]]) -> dict[str, float]:
        part = self.step / self.steps
        rate = self.plan.rate * min(part / self.plan.warm_up, (1 - part) / (1 - self.plan.warm_up))
        for group in self.optimizer.param_groups:
            group["lr"] = max(rate, 1e-7)
        # By the step, so that a run that was stopped goes on as if it had not been.
        torch.manual_seed(self.plan.seed * _STEPS_APART + self.step)
        found = losses(self.network, batch, self.plan, self.device)
        total = torch.stack(list(found.values())).sum()
        if not math.isfinite(float(total.detach())):
            raise ValueError(f"the loss of step {self.step} is not a number")
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.trained.values(), 1.0)
        self.optimizer.step()
        self.step += 1
        kept = min(self.plan.averaged, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_mul_(list(self.mean.values()), kept)
            torch._foreach_add_(list(self.mean.values()), list(self.trained.values()), alpha=1 - kept)
        return {name: float(each.detach()) for name, each in found.items()}

    def averaged(self) -> ReaderNetwork:
        """The network with the running mean of its weights; `back` undoes it."""
        self._own = {name: each.detach().clone() for name, each in self.trained.items()}
        self._fill(self.mean)
        return self.network

    def back(self) -> None:
        self._fill(self._own)

    def _fill(self, values: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, each in self.trained.items():
                each.copy_(values[name])

    def save(self) -> None:
        """At once: a run that is stopped while saving goes on from the save before."""
        kept = {f"own.{name}": each.detach() for name, each in self.trained.items()}
        kept |= {f"mean.{name}": each for name, each in self.mean.items()}
        for name, each in self.trained.items():
            for moment in ("exp_avg", "exp_avg_sq"):
                if moment in self.optimizer.state[each]:
                    kept[f"{moment}.{name}"] = self.optimizer.state[each][moment]
        told = {"step": str(self.step), "best": str(self.best), "plan": json.dumps(asdict(self.plan)), "steps": str(self.steps)}
        told["data"] = self.data
        save_file({name: each.contiguous().cpu() for name, each in kept.items()}, self.folder / "state.new", told)
        (self.folder / "state.new").replace(self.folder / "state.safetensors")

    def load(self) -> bool:
        """Goes on from the last save, if there is one. Raises ValueError for one of another plan or of other data."""
        path = self.folder / "state.safetensors"
        if not path.exists():
            return False
        with safe_open(path, "pt") as file:
            told = file.metadata()
        if (json.loads(told["plan"]), int(told["steps"]), told["data"]) != (asdict(self.plan), self.steps, self.data):
            raise ValueError(f"{path} is of another plan or of other data; choose another folder, or the same plan and data.")
        kept = load_file(path, device=self.device)
        self._fill({name: kept[f"own.{name}"] for name in self.trained})
        for name, each in self.trained.items():
            self.mean[name].copy_(kept[f"mean.{name}"])
            if f"exp_avg.{name}" in kept:
                self.optimizer.state[each] = {
                    "step": torch.tensor(float(told["step"])),
                    "exp_avg": kept[f"exp_avg.{name}"],
                    "exp_avg_sq": kept[f"exp_avg_sq.{name}"],
                }
        self.step, self.best = int(told["step"]), float(told["best"])
        return True


def train(
    data: Data, folder: Path, plan: Plan, *, minutes: float, device: str, start: Path | None = None, check_every: int = 1_200
) -> None:
    """start: the weights that the plan starts from. Raises ValueError where the folder holds another run."""
    torch.manual_seed(plan.seed)
    source = find_model().folder
    encoder = PairEncoder(source / "tokenizer.json")
    network = ReaderNetwork(source, device=device)
    if start:
        network.load_state_dict(load_file(start), strict=False)
    network = network.to(device)
    learned, kept_out = data.split()
    whole = sum(1 for number in range(plan.epochs) for _ in epoch(data, learned, encoder, plan, number))
    steps = min(plan.steps or whole, whole)
    run = Run(folder, network, plan, steps, device, data_digest(data))
    went_on = run.load()
    log(folder, {"steps": steps, "questions": len(learned), "kept_out": len(kept_out), "from_step": run.step, "went_on": went_on})
    if start and not went_on:
        # What is to be bettered; it is no part of the run.
        log(folder, {"started_with": asdict(score(network, data, kept_out, encoder, device))})
    started = saved = time.monotonic()
    pairs, number = 0, 0
    means: dict[str, float] = {}
    for count in range(plan.epochs):
        for batch in epoch(data, learned, encoder, plan, count):
            number += 1
            if run.step >= steps:
                return
            if number <= run.step:
                continue
            network.train()
            found = run.advance(batch)
            pairs += sum(map(len, batch))
            means = {name: 0.98 * means.get(name, value) + 0.02 * value for name, value in found.items()}
            now = time.monotonic()
            if run.step % 50 == 0:
                log(folder, {"step": run.step, "pairs_a_second": pairs / (now - started), **means})
            if run.step % check_every == 0 or run.step == steps:
                check(run, data, kept_out, encoder)
            if now - saved > 300 or run.step == steps:
                run.save()
                saved = now
            if now - started > minutes * 60:
                run.save()
                log(folder, {"stopped": run.step})
                return


def data_digest(data: Data) -> str:
    """Of all that is learned from it, in order."""
    digest = hashlib.sha256()
    for example in data.examples:
        digest.update(repr((example.asked, example.wrong, example.cut)).encode())
    return digest.hexdigest()


def check(run: Run, data: Data, kept_out: Sequence[Example], encoder: PairEncoder) -> None:
    """Scores the running mean on articles that are not trained on, and keeps it when it is the best."""
    scores: Scores = score(run.averaged(), data, kept_out, encoder, run.device)
    if scores.overall > run.best:
        run.best = scores.overall
        told = {"step": str(run.step), "scores": json.dumps(asdict(scores)), "plan": json.dumps(asdict(run.plan))}
        run.network.save(run.folder / "best.safetensors", told)
    run.back()
    log(run.folder, {"step": run.step, "kept_out": asdict(scores), "best": run.best})


def log(folder: Path, line: dict[str, Any]) -> None:
    with (folder / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"at": round(time.time()), **line}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains the reader.")
    parser.add_argument("data", type=Path, help="folder of the training files in SQuAD's format")
    parser.add_argument("sets", type=Path, help="folder of the question sets")
    parser.add_argument("run", type=Path, help="folder of this run")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop, saved, after so long")
    parser.add_argument("--epochs", type=int, default=Plan().epochs)
    parser.add_argument("--steps", type=int, default=Plan().steps, help="most of them")
    parser.add_argument("--singles", type=int, default=Plan().singles)
    parser.add_argument("--wrong", type=int, default=Plan().wrong, help="passages that do not answer, for each question")
    parser.add_argument("--rate", type=float, default=Plan().rate, help="of learning, at its peak")
    parser.add_argument("--seed", type=int, default=Plan().seed)
    parser.add_argument("--start", type=Path, help="weights of an earlier run, to start from")
    parser.add_argument("--written", type=Path, help="a file of more questions, as assistant/reader/written.txt")
    given = parser.parse_args()
    given.run.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        plan = Plan(
            epochs=given.epochs, steps=given.steps, singles=given.singles, wrong=given.wrong, rate=given.rate, seed=given.seed,
            start=sha256(given.start) if given.start else "",
        )  # fmt: skip
        data = read_data(given.data, given.sets, LocalEmbedder(), given.written)
        train(data, given.run, plan, minutes=given.minutes, device=device, start=given.start)
    except (OSError, ValueError) as error:
        sys.exit(f"train: {error}")


if __name__ == "__main__":
    main()
