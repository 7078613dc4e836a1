"""A second word search beside our own: BM25 of another library over title and text of whole documents.

    pip install -c constraints.txt -e '.[benchmarks]'
    python -m evals.benchmarks.bm25 FOLDER…

Each folder is a suite in the plain layout. Settings are bm25s's own (k1 1.5, b 0.75), with its English stop words and the
Snowball stemmer. The ranking goes through the measures of `assistant eval`, so that a published figure that is reached here
says that questions, relevance and measures are taken as they are meant.
"""

from __future__ import annotations

import argparse
import sys
from statistics import fmean

import bm25s
import Stemmer

from evals.metrics import ranking_measures
from evals.suites import load_suite
from index.errors import AssistantError
from index.loaders.jsonl import parse_line, read_lines

_DEPTH = 20
_LONGEST_LINE = 100_000_000


def measure(folder: str) -> tuple[str, int, dict[str, float]]:
    """(suite, questions, measure -> mean) of the last turn alone. Raises SuiteError or CorpusError."""
    suite = load_suite(folder)
    if suite.corpus is None:
        raise AssistantError(f"{folder} brings no corpus.")
    documents = [parse_line(suite.corpus, *each) for each in read_lines(suite.corpus, max_bytes=_LONGEST_LINE)]
    cases = [case for case in suite.cases if case.relevant]
    stemmer = Stemmer.Stemmer("english")

    def words(texts: list[str]) -> bm25s.tokenization.Tokenized:
        return bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False)

    engine = bm25s.BM25()
    engine.index(words([f"{each.get('title', '')} {each['text']}" for each in documents]), show_progress=False)
    found, _ = engine.retrieve(words([case.question for case in cases]), k=min(_DEPTH, len(documents)), show_progress=False)
    rankings = {case.id: [documents[number]["id"] for number in row] for case, row in zip(cases, found, strict=True)}
    scores = ranking_measures(rankings, {case.id: case.relevant for case in cases}, (5, 10)).values()
    return suite.name, len(cases), {name: fmean(each[name] for each in scores) for name in ("nDCG@10", "R@5", "R@10")}


def main() -> None:
    parser = argparse.ArgumentParser(description="BM25 over title and text, measured as assistant eval measures.")
    parser.add_argument("folders", nargs="+", metavar="FOLDER")
    for folder in parser.parse_args().folders:
        try:
            name, count, figures = measure(folder)
        except AssistantError as error:
            sys.exit(f"bm25: {error}")
        told = "  ".join(f"{each} {value:.3f}" for each, value in figures.items())
        sys.stdout.write(f"{name:18} n {count:5}  {told}\n")


if __name__ == "__main__":
    main()
