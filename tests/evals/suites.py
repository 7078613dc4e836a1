"""Small suites, written for the tests."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

CASE = {"id": "a", "question": "Who?", "answerable": True}

RIVERS = [
    {"id": "r1", "title": "River treaty", "text": "The river treaty was signed in Basel. It binds both banks to share the water.",
     "sents": ["The river treaty was signed in Basel.", "It binds both banks to share the water."]},
    {"id": "r2", "title": "Dams", "text": "Engineers inspect the dams every spring. The upper bank holds all of them.",
     "sents": ["Engineers inspect the dams every spring.", "The upper bank holds all of them."]},
    {"id": "r3", "title": "Bread", "text": "Rye bread needs a sour starter and a hot oven."},
    {"id": "r4", "title": "Hearing", "text": "Ada Moreno: The dams are old.\nJonas Keller (North): The dams are safe, and nobody should worry.",
     "speakers": ["Ada Moreno", "Jonas Keller (North)"]},
]  # fmt: skip

QUESTIONS = [
    {"id": "p1", "question": "Where was the river treaty signed?", "answers": ["Basel"], "answerable": True,
     "relevant": {"r1": 2}, "evidence": {"r1": [[0], [0, 1]]}, "history": []},
    {"id": "p2", "question": "How often do they inspect them?", "answers": ["every spring"], "answerable": True, "relevant": {"r2": 1},
     "history": [{"role": "user", "text": "Who looks after the dams?"}, {"role": "assistant", "text": "Engineers do."}],
     "rewrite": "How often do engineers inspect the dams?"},
    {"id": "p3", "question": "What does Keller think of the dams?", "answers": ["They are safe."], "answerable": True,
     "relevant": {"r4": 1}, "about_speakers": ["Jonas Keller", "Jonas Keller (North)"]},
    {"id": "p4", "question": "How many members has the parliament of Peru?", "answers": [], "answerable": False, "relevant": {}},
    {"id": "p5", "question": "Thank you!", "answers": [], "answerable": False, "relevant": {}, "answerability": "CONVERSATIONAL"},
    {"id": "p6", "question": "The dams should be trusted", "answers": [], "answerable": True, "relevant": {"r2": 1, "r4": 1},
     "clusters": [{"stance": "support", "docs": ["r4"]}, {"stance": "undermine", "docs": ["r2"]}]},
]  # fmt: skip


def gold_folder(folder: Path, *lines: object, toml: str = 'title = "T"', name: str = "gold.jsonl") -> Path:
    (folder / "suite.toml").write_text(toml, encoding="utf-8")
    (folder / name).write_text(json_lines(lines), encoding="utf-8")
    return folder


def plain_folder(folder: Path, questions: Sequence[object] = QUESTIONS, corpus: Sequence[object] = RIVERS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(json_lines(corpus).encode()))
    (folder / "questions.dev.jsonl.gz").write_bytes(gzip.compress(json_lines(questions).encode()))
    return folder


def json_lines(lines: Sequence[object]) -> str:
    return "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
