"""`assistant eval …` as a person runs it. Word search alone, so that no model is loaded."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from evals.records import read_record
from index.embedders import LocalEmbedder
from index.settings import IndexSettings
from tests.conftest import Command, run_build
from tests.evals.suites import QUESTIONS, plain_folder

pytestmark = pytest.mark.slow
WORDS = ("--retrieval", "--set", "retrieval=words")


@pytest.fixture(scope="module")
def rivers(tmp_path_factory: pytest.TempPathFactory, embedder: LocalEmbedder) -> Path:
    folder = plain_folder(
        tmp_path_factory.mktemp("suites") / "rivers",
        [
            {**QUESTIONS[0], "id": f"p{number}", "question": f"Where was the river treaty signed, {number}?"}
            for number in range(300)
        ],
    )
    run_build(IndexSettings(corpus=folder / "corpus.jsonl.gz", added=folder / "added", store=folder / "store"), embedder)
    return folder


def test_a_run_is_printed_kept_listed_shown_compared_and_reported(command: Command, rivers: Path, tmp_path: Path) -> None:
    asked = ("eval", rivers, *WORDS, "--store", rivers / "store", "--limit", "20")
    environment = {"ASSISTANT_EVALS": str(tmp_path / "evals")}
    done = command(*asked, "--json", environment=environment)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["measures"]["nDCG@10"] == {"mean": 1.0, "low": 1.0, "high": 1.0, "n": 20}
    assert {"R@5", "RR", "Success@5", "evidence R@5"} <= set(told["measures"]) and told["cases"] == 20
    printed = command(*asked, "--seed", "5", environment=environment)
    assert "20 questions retrieved for, drawn with seed 5, retrieval=words" in printed.stdout
    assert "nDCG@10" in printed.stdout and "1.000 – 1.000" in printed.stdout
    listed = command("eval", "list", environment=environment)
    assert "alliance" in listed.stdout and "no run yet" in listed.stdout and "nDCG@10 1.000" in listed.stdout
    run = Path(told["run"])
    assert run.parent == tmp_path / "evals" / "runs"
    shown = command("eval", "show", run.stem, run, environment=environment)
    assert "1.000 (1.000–1.000)" in shown.stdout and shown.stdout.count("20 questions") == 2
    compared = command("eval", "compare", run.stem, run.stem, environment=environment)
    assert compared.returncode == 0 and "0 won by evidence R@5" in compared.stdout
    page = command("eval", "report", run, "--html", tmp_path / "page.html", environment=environment)
    assert page.returncode == 0 and "page.html written" in page.stdout
    assert "How it was run" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_run_that_is_cut_short_goes_on_without_repeating_a_question(command: Command, rivers: Path, tmp_path: Path) -> None:
    out = tmp_path / "run.jsonl"
    arguments = ["eval", str(rivers), *WORDS, "--store", str(rivers / "store"), "--out", str(out)]
    # The file may not grow beyond 60,000 bytes, as on a disk that is full: the run ends somewhere in its middle.
    cut = subprocess.run(
        [sys.executable, "-m", "assistant", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY)),
    )
    assert cut.returncode == 1 and "cannot be written" in cut.stderr and "Traceback" not in cut.stderr
    before = [result.id for result in read_record(out).results]
    assert 0 < len(before) < 300
    kept = out.read_bytes().splitlines(keepends=True)[: len(before) + 1]
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes().splitlines(keepends=True)[1 : len(before) + 1] == kept[1:]
    ids = [result.id for result in read_record(out).results]
    assert len(ids) == len(set(ids)) == 300 and ids[: len(before)] == before
    changed = out.read_bytes()
    again = command(*arguments)
    assert "300 questions" in again.stdout and out.read_bytes().splitlines()[1:] == changed.splitlines()[1:]
    other = command(*arguments, "--set", "passages=5", "--seed", "9")
    assert other.returncode == 1 and out.read_bytes().splitlines()[1:] == changed.splitlines()[1:]
    for difference in ("settings.passages: 10 in the file, 5 now", "seed: 20210603 in the file, 9 now", "--fresh"):
        assert difference in other.stderr
    fresh = command(*arguments, "--seed", "9", "--fresh", "--limit", "5")
    assert fresh.returncode == 0 and len(read_record(out).results) == 5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no-such-suite"], "there is no suite no-such-suite"),
        (["alliance", "--part", "final"], "has no part final; it has: dev, test"),
        (["alliance", "--set", "passages"], "write it as KEY=VALUE"),
        (["alliance", "--set", "pasages=5"], "--set: there is no setting pasages"),
        (["alliance", "--set", "retrieval=magic"], "--set: retrieval is not usable"),
        (["alliance", "--set", "corpus=/x"], "use --corpus and --store"),
        (["show", "~nosuchuser/x"], "cannot be read"),
        (["show", "no-run"], "the run no-run cannot be read"),
        (["compare", "a.jsonl", "b.jsonl"], "the run a.jsonl cannot be read"),
        (["report", "no-run", "--html", "page.html"], "the run no-run cannot be read"),
        (["accept", "no-run", "alliance"], "the run no-run cannot be read"),
    ],
)
def test_what_goes_wrong_is_told_in_one_sentence(command: Command, arguments: list[str], sentence: str) -> None:
    done = command("eval", *arguments)
    assert done.returncode == 1 and sentence in done.stderr and done.stderr.count("\n") == 1


def test_settings_told_by_the_environment_are_not_passed_off_as_the_suites(
    command: Command, rivers: Path, tmp_path: Path
) -> None:
    environment = {"ASSISTANT_RETRIEVAL": "words", "ASSISTANT_EVALS": str(tmp_path / "evals")}
    out = tmp_path / "run.jsonl"
    done = command(
        "eval", rivers, "--retrieval", "--store", rivers / "store", "--limit", "3", "--out", out, environment=environment
    )
    assert done.returncode == 0 and "retrieval=words" in done.stdout
    assert read_record(out).run.changed == {"retrieval": "words"}
    refused = command("eval", "accept", out, rivers)
    assert refused.returncode == 1 and "not a whole run with the suite's own settings" in refused.stderr and not refused.stdout


def test_names_of_measures_in_a_run_file_are_text(command: Command, rivers: Path, tmp_path: Path) -> None:
    out = tmp_path / "run.jsonl"
    command("eval", rivers, *WORDS, "--store", rivers / "store", "--limit", "3", "--out", out)
    out.write_text(out.read_text().replace("RR", "[/bold]\\u001b[31m"))
    told = command("eval", "show", out)
    assert told.returncode == 0 and "[/bold]␛[31m" in told.stdout and "\x1b" not in told.stdout


def test_gold_and_corpus_that_do_not_fit_are_told_with_the_line(command: Command, rivers: Path, tmp_path: Path) -> None:
    folder = plain_folder(tmp_path / "odd", [{**QUESTIONS[0], "relevant": {"r9": 1}, "evidence": {}}])
    done = command("eval", folder, *WORDS, "--store", rivers / "store")
    assert done.returncode == 1 and "line 1: the corpus has no document r9" in done.stderr


def test_the_store_of_another_corpus_is_not_taken_for_the_suites(command: Command, rivers: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "assistant.toml").write_text(f'corpus = "/somewhere/else"\nstore = "{tmp_path / "others"}"\n')
    done = command("eval", rivers, *WORDS, "--limit", "2", "--json", environment={"ASSISTANT_EVALS": str(tmp_path / "evals")})
    assert done.returncode == 0 and json.loads(done.stdout)["cases"] == 2, done.stderr
    assert not (tmp_path / "others").exists() and not (rivers / "corpus.jsonl.gz.index").exists()
    assert [path.name[:7] for path in (tmp_path / "evals" / "stores").iterdir()] == ["rivers-"]


def test_help_shows_examples(command: Command) -> None:
    for arguments in (["eval", "--help"], ["eval", "run", "--help"], ["eval"]):
        told = command(*arguments)
        assert "Examples" in told.stdout + told.stderr, arguments
