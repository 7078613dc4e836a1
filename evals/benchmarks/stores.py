"""One suite on two stores of the same corpus: whether both find the same passages and give the same answers, and how fast.

    python -m evals.benchmarks.stores .index milvus://127.0.0.1:19530/alliance --suite alliance --part dev

Both are asked in turns. Passages are the same when the best ten are, those of one score in any order.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from statistics import median

from assistant.answering.answers import Finished
from assistant.answering.contract import answer_as_json
from assistant.assembly import Assistant
from assistant.settings import load_settings
from evals.cases import GoldCase
from evals.runner import SEED, chosen_cases
from evals.suites import load_suite

_DEPTH = 10
_MODES = ("words", "dense", "fused", "reranked")
# Scores that differ by less tie: sums of the same numbers in another order.
_TIE = 2e-6


def same(one: Sequence[tuple[str, float]], other: Sequence[tuple[str, float]]) -> bool:
    """(chunk, score) from the best on: the same but for the order of ties, and for which of several that tie is the last."""
    if len(one) != len(other) or any(abs(a[1] - b[1]) > _TIE for a, b in zip(one, other, strict=True)):
        return False
    last = one[-1][1] if one else 0.0
    return all(
        {name for name, score in a if score > last + _TIE} <= {name for name, _ in b} for a, b in ((one, other), (other, one))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", nargs=2, metavar="STORE", help="a folder or an address")
    parser.add_argument("--suite", default="alliance")
    parser.add_argument("--part")
    parser.add_argument("--limit", type=int, help="so many of its questions, drawn")
    parser.add_argument("--no-answers", action="store_true", help="compare passages only")
    told = parser.parse_args()
    suite = load_suite(told.suite, part=told.part)
    cases = chosen_cases(suite, limit=told.limit, seed=SEED)
    differing = 0
    for mode in _MODES:
        opened = []
        for store in told.stores:
            settings = load_settings({"corpus": suite.corpus, "store": store, "retrieval": mode, **suite.settings})
            opened.append(Assistant(settings.model_copy(update={"retrieval": mode, "reader": _reader(settings.reader, mode)})))
            opened[-1].warm()
        seconds: tuple[list[float], list[float]] = ([], [])
        equal = 0
        for case in cases:
            found = []
            for assistant, taken in zip(opened, seconds, strict=True):
                begun = time.perf_counter()
                passages = assistant.search([assistant.wordings(case.question, case.history)], _DEPTH)[0]
                taken.append(time.perf_counter() - begun)
                found.append([(passage.chunk.id, passage.score) for passage in passages])
            if same(*found):
                equal += 1
            else:
                sys.stdout.write(f"{mode}: {case.id} differs\n")
        differing += len(cases) - equal
        one, other = (1000 * median(taken) for taken in seconds)
        sys.stdout.write(
            f"{mode:9} the same best {_DEPTH} for {equal} of {len(cases)} questions; median {one:.1f} and {other:.1f} ms, "
            f"ratio {other / one:.1f}\n"
        )
        sys.stdout.flush()
        if mode == "reranked" and not told.no_answers:
            equal = 0
            for case in cases:
                answers = [_answered(case, assistant) for assistant in opened]
                equal += answers[0] == answers[1]
                if answers[0] != answers[1]:
                    sys.stdout.write(f"answers: {case.id} differs\n")
            differing += len(cases) - equal
            sys.stdout.write(f"answers   the same words, citations and confidence for {equal} of {len(cases)} questions\n")
        for assistant in opened:
            assistant.close()
    sys.exit(differing > 0)


def _answered(case: GoldCase, assistant: Assistant) -> tuple[object, ...]:
    """All of the answer that a person sees."""
    events = assistant.converse(case.history).ask(case.question)
    told = answer_as_json(next(event.answer for event in events if isinstance(event, Finished)))
    return told["short"], told["abstained"], told["reason"], round(told["confidence"], 3), told["sentences"], told["citations"]


def _reader(reader: str, mode: str) -> str:
    """A reader that only ranks has nothing to do where nothing is ranked."""
    from assistant.settings import READER

    return reader if mode == "reranked" else READER


if __name__ == "__main__":
    main()
