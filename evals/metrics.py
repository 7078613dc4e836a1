"""Measures of one answer or one ranking: pure functions. "Not applicable" is None, never 0."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import log2
from statistics import fmean

import ir_measures
from ir_measures import RR, R, Success, nDCG

_ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
_PUNCTUATION = frozenset(string.punctuation)


# -- rankings ----------------------------------------------------------------------------------------------------------------


def ranking_measures(
    rankings: Mapping[str, Sequence[str]], relevant: Mapping[str, Mapping[str, int]], depths: Iterable[int]
) -> dict[str, dict[str, float]]:
    """Question -> measure -> value, through ir-measures (MacAvaney, Macdonald and Ounis, ECIR 2022; trec_eval beneath).

    rankings: question -> documents, best first, each once. relevant: question -> document -> grade; questions without any
    are left out, those without a ranking count 0. Measures: nDCG@10 (Järvelin and Kekäläinen 2002), RR (Voorhees, TREC-8),
    and for each depth R@k (share of the relevant in the first k) and Success@k (whether any is).
    """
    measures = [nDCG @ 10, RR, *(measure @ depth for depth in depths for measure in (R, Success))]
    graded = {question: {name: grade for name, grade in told.items() if grade > 0} for question, told in relevant.items()}
    questions = [question for question in relevant if graded[question]]
    # Numbers for names: what an id may hold does not matter to the C code beneath.
    numbers: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    run: dict[str, dict[str, float]] = {}
    for number, question in enumerate(questions):
        for name in (*graded[question], *rankings.get(question, ())):
            numbers.setdefault(name, str(len(numbers)))
        qrels[str(number)] = {numbers[name]: grade for name, grade in graded[question].items()}
        run[str(number)] = {numbers[name]: float(-place) for place, name in enumerate(rankings.get(question, ()))}
    values: dict[str, dict[str, float]] = {question: {str(measure): 0.0 for measure in measures} for question in questions}
    if any(run.values()):
        for told in ir_measures.iter_calc(measures, qrels, run):
            values[questions[int(told.query_id)]][str(told.measure)] = float(told.value)
    return values


def need_measures(needs_met: Sequence[Sequence[bool]], depths: Iterable[int]) -> dict[str, float]:
    """The measures of a ranking of passages against needs, any of which several passages may meet.

    needs_met[need][rank]: whether the passage at that rank (from 0) meets the need. R@k is the share of the needs that one
    of the first k passages meets (subtopic recall, Zhai, Cohen and Lafferty, SIGIR 2003); RR and Success@k look at the first
    passage that meets any. nDCG@10: each need gains by the rank of the first passage that meets it; ideally one need is met
    after the other, and meeting two at once counts no more than that. {} without needs.
    """
    if not needs_met:
        return {}
    first_met = [next((rank for rank, met in enumerate(ranks) if met), None) for ranks in needs_met]
    ranks = [rank for rank in first_met if rank is not None]
    ideal = sum(1 / log2(2 + place) for place in range(min(len(needs_met), 10)))
    values = {
        "nDCG@10": min(1.0, sum(1 / log2(2 + rank) for rank in ranks if rank < 10) / ideal),
        "RR": 1 / (1 + min(ranks)) if ranks else 0.0,
    }
    for depth in depths:
        values[f"R@{depth}"] = fmean(rank is not None and rank < depth for rank in first_met)
        values[f"Success@{depth}"] = float(any(rank < depth for rank in ranks))
    return values


def sides_found(ranking: Sequence[str], sides: Mapping[str, Sequence[Sequence[str]]], depth: int) -> float | None:
    """1 when the first `depth` documents hold an argument of each side, else 0. None for fewer than two sides."""
    if len(sides) < 2:
        return None
    top = set(ranking[:depth])
    return float(all(any(top & set(argument) for argument in arguments) for arguments in sides.values()))


def argument_recall(ranking: Sequence[str], sides: Mapping[str, Sequence[Sequence[str]]], depth: int) -> float | None:
    """Mean over the sides of the share of their arguments that the first `depth` documents make, so that a side with many
    arguments does not outweigh one with few.
    """
    top = set(ranking[:depth])
    shares = [fmean(bool(top & set(argument)) for argument in arguments) for arguments in sides.values() if arguments]
    return fmean(shares) if shares else None


# -- answers -----------------------------------------------------------------------------------------------------------------


def squad_normalised(text: str) -> str:
    """Lower case, without punctuation and articles, with single spaces (Rajpurkar et al., EMNLP 2016)."""
    kept = "".join(character for character in text.lower() if character not in _PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", kept).split())


def exact_match(answer: str, golds: Sequence[str]) -> float:
    """1 when the answer is one of the golds after normalisation. No gold: the question has no answer, and silence is right."""
    return float(squad_normalised(answer) in _squad_golds(golds))


def token_f1(answer: str, golds: Sequence[str]) -> float:
    """The best token F1 with any gold, after SQuAD's normalisation. Without a gold only silence is right (Rajpurkar, Jia
    and Liang, ACL 2018).
    """
    said = squad_normalised(answer).split()
    return max(_overlap(said, gold.split()) for gold in _squad_golds(golds))


def _squad_golds(golds: Sequence[str]) -> list[str]:
    """Normalised; a gold of which nothing is left does not count, and none at all asks for silence."""
    return [gold for gold in map(squad_normalised, golds) if gold] or [""]


def _overlap(said: list[str], gold: list[str]) -> float:
    if not said or not gold:
        return float(said == gold)
    same = sum((Counter(said) & Counter(gold)).values())
    return 2 * same / (len(said) + len(gold))


def rouge_l(answer: str, golds: Sequence[str]) -> float | None:
    """The best ROUGE-L F1 with any gold: longest common subsequence of lower-case words without stemming (Lin 2004)."""
    said = _words(answer)
    scores = []
    for gold in map(_words, golds):
        common = _longest_common_subsequence(said, gold)
        scores.append(2 * common / (len(said) + len(gold)) if said and gold else 0.0)
    return max(scores, default=None)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def _longest_common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    row = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for position, candidate in enumerate(other, start=1):
            before, row[position] = row[position], before + 1 if word == candidate else max(row[position], row[position - 1])
    return row[-1]


def key_fact_recall(answer: str, facts: Sequence[Sequence[str]]) -> float | None:
    """Share of the facts of which one wording stands in the answer (strict nugget recall, as in TREC RAG).

    A wording may be the beginning of a word ("ideolog"), never its middle or end; with a space behind it ("lan ") it is a
    whole word. The digits of a larger number ("3.5 million") do not hold a smaller one ("5 million").
    """
    if not facts:
        return None
    said = " ".join(answer.lower().split())
    return fmean(any(re.search(_wording(each), said) for each in fact) for fact in facts)


def _wording(wording: str) -> str:
    words = " ".join(map(re.escape, wording.split()))
    end = r"(?!\w)" if wording[-1:].isspace() else ""
    return rf"(?<!\w)(?<!\d[.,]){words}{end}"


def precision(relevant: Sequence[bool]) -> float | None:
    """Share of what was given that is right."""
    return fmean(relevant) if relevant else None
