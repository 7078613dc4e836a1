"""What the trained reader costs a question: the questions of a suite asked in turns without and with it.

python -m evals.benchmarks.reading [SUITE] [--questions 60]
"""

from __future__ import annotations

import argparse
import sys
import time
from statistics import median, quantiles

from assistant.answering.conversation import check_question
from assistant.assembly import Assistant
from assistant.settings import NO_READER, RANKER, READER, load_settings
from evals.runner import SEED, chosen_cases
from evals.suites import load_suite
from index.errors import AssistantError

_WARM = 5


def main() -> None:
    parser = argparse.ArgumentParser(description="Times questions without and with the trained reader.")
    parser.add_argument("suite", nargs="?", default="alliance")
    parser.add_argument("--questions", type=int, default=60)
    given = parser.parse_args()
    try:
        cases = chosen_cases(load_suite(given.suite), limit=given.questions + _WARM, seed=SEED)
        assistants = {name: Assistant(load_settings({"reader": name})) for name in (NO_READER, RANKER, READER)}
        times: dict[str, list[float]] = {name: [] for name in assistants}
        for number, case in enumerate(cases):
            for name, assistant in assistants.items():
                begin = time.perf_counter()
                list(assistant.converse(case.history).ask(check_question(case.question)))
                if number >= _WARM:
                    times[name].append(time.perf_counter() - begin)
    except AssistantError as error:
        sys.exit(f"reading: {error}")
    for name, taken in times.items():
        added = median(each - plain for each, plain in zip(taken, times[NO_READER], strict=True))
        sys.stdout.write(
            f"{name:8}  median {1000 * median(taken):4.0f} ms   p95 {1000 * quantiles(taken, n=20)[-1]:4.0f} ms"
            f"   added, median {1000 * added:4.0f} ms\n"
        )


if __name__ == "__main__":
    main()
