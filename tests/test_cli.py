"""The command line as a person meets it: real processes, real model."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.conftest import ROOT, Command
from tests.scripted_server import scripted_server, spoken

pytestmark = pytest.mark.slow


@pytest.fixture
def where(corpus: Path, tmp_path: Path) -> list[str]:
    return ["--corpus", str(corpus), "--store", str(tmp_path / "store")]


def test_ask_builds_what_is_missing_and_prints_one_json_object(command: Command, where: list[str]) -> None:
    done = command("ask", "Why does Keller doubt that the river treaty is fair?", "--json", *where)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["citations"][0]["quote"].startswith("Keller doubts")
    assert told["citations"][0]["voice"] == {"speaker": "Jonas Keller", "reported_by": "Ada Moreno"}
    assert told["citations"][0]["locator"] == "¶2"


def test_ask_prints_voice_sentence_number_and_source(command: Command, debate_store: Path) -> None:
    done = command("ask", "How many Vietnamese troops were in Laos in the late 1970s?", "--store", debate_store)
    assert done.returncode == 0
    assert "Khang Vu: " in done.stdout and "40,000" in done.stdout
    assert "] Vu 2021, ¶7 (digest) · Why There Is No Gulf" in done.stdout


def test_a_question_from_standard_input_with_history(command: Command, debate_store: Path, tmp_path: Path) -> None:
    history = tmp_path / "history.json"
    history.write_text(
        json.dumps(
            [
                {"role": "user", "content": "Did Taiwan call the United States an ideological enemy?"},
                {"role": "assistant", "content": "No, Vu says."},
            ]
        )
    )
    done = command("ask", "-", "--json", "--history", history, "--store", debate_store, stdin="And Beijing?\n")
    told = json.loads(done.stdout)
    assert told["question"] == "And Beijing?"
    assert "ideological enemy" in told["standalone_question"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_or_closed_output_is_told_in_plain_words(debate_store: Path) -> None:
    command = [sys.executable, "-m", "assistant", "sources", "--store", str(debate_store)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and "no space is left" in done.stderr and "fault" not in done.stderr
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == "" and process.wait() in (1, 141)


def test_index_tells_what_changed(command: Command, where: list[str], corpus: Path) -> None:
    first = command("index", *where)
    assert "2 added, 0 changed, 0 removed, 0 unchanged; 4 chunks embedded" in first.stdout
    (corpus / "bread.txt").write_text("Only this.", encoding="utf-8")
    second = command("index", *where)
    assert "changed  bread.txt" in second.stdout and "0 added, 1 changed, 0 removed, 1 unchanged" in second.stdout
    assert "0 chunks embedded" in command("index", *where).stdout


def test_add_copies_tells_and_indexes(command: Command, where: list[str], tmp_path: Path, corpus: Path) -> None:
    papers = tmp_path / "papers"
    papers.mkdir()
    (papers / "glaciers.txt").write_text("Glaciers feed the river in August.", encoding="utf-8")
    (papers / "photo.jpg").write_bytes(b"\xff\xd8")
    done = command("add", papers, *where)
    assert done.returncode == 0, done.stderr
    assert (corpus / "added/papers/glaciers.txt").exists()
    assert "added    added/papers/glaciers.txt" in done.stdout
    told = json.loads(command("ask", "What feeds the river in August?", "--json", *where).stdout)
    assert told["citations"][0]["document"] == "added/papers/glaciers.txt"
    again = command("add", papers, *where)
    assert "there already" in again.stdout
    (papers / "glaciers.txt").write_text("Glaciers melt in May.", encoding="utf-8")
    refused = command("add", papers / "glaciers.txt", *where)
    assert refused.returncode == 0 and "added/glaciers.txt" in refused.stdout
    refused = command("add", papers, *where)
    assert refused.returncode == 1 and "--replace" in refused.stderr
    assert "changed  added/papers/glaciers.txt" in command("add", "--replace", papers, *where).stdout


def test_a_dry_run_tells_what_would_be_done_and_does_nothing(command: Command, where: list[str], corpus: Path) -> None:
    told = command("index", "--dry-run", *where)
    assert "2 new, 0 changed, 0 gone, 0 unchanged" in told.stdout and "would add  rivers.md" in told.stdout
    assert not (corpus / ".index").exists() and json.loads(command("sources", "--json", *where).stdout)
    (corpus / "new.txt").write_text("Glaciers feed the river.")
    (corpus / "bread.txt").unlink()
    told = command("index", "--dry-run", *where)
    assert "1 new, 0 changed, 1 gone, 1 unchanged, ≈ " in told.stdout
    assert "1 added, 0 changed, 1 removed" in command("index", *where).stdout


def test_a_line_break_or_code_in_a_file_s_name_breaks_no_line(command: Command, where: list[str], corpus: Path) -> None:
    (corpus / "new\nline\x1b[31m.txt").write_text("Glaciers feed the river in August.")
    for told in (command("index", *where), command("sources", *where), command("search", "glaciers", "-n", "1", *where)):
        assert told.returncode == 0 and "\x1b" not in told.stdout and "new line" in told.stdout


def test_a_conversation_is_exported_with_the_corpus_it_was_had_over(command: Command, corpus: Path, tmp_path: Path) -> None:
    history = {"ASSISTANT_HISTORY": str(tmp_path / "kept.db")}
    said = command("ask", "-i", "--corpus", corpus, stdin="Where was the river treaty signed?\n", environment=history)
    assert "Basel" in said.stdout
    done = command("export", tmp_path / "a.md", environment=history)
    assert done.returncode == 0, done.stderr
    told = (tmp_path / "a.md").read_text()
    assert "Basel" in told and "Moreno 1999" in told and "gone" not in told
    # Nothing of the corpus in use was needed.
    assert not (tmp_path / "home/.local/share/alliance-assistant/index").exists()


def test_a_document_is_described_and_its_file_stays(command: Command, where: list[str], corpus: Path) -> None:
    before = (corpus / "bread.txt").read_bytes()
    done = command("describe", "bread.txt", "--author", "Ada Moreno", "--author", "Jonas Keller", "--date", "1999-05", *where)
    assert done.returncode == 0 and "1 changed" in done.stdout and "0 chunks embedded" in done.stdout
    assert "Ada Moreno, Jonas Keller · 1999-05" in command("sources", *where).stdout
    assert (corpus / "bread.txt").read_bytes() == before
    for wrong, what in ((["--date", "soon"], "soon is no date"), (["--title", "x"], "names no document")):
        name = "nothing.txt" if "document" in what else "bread.txt"
        refused = command("describe", name, *wrong, *where)
        assert refused.returncode == 1 and what in refused.stderr
    assert command("describe", "bread.txt", *where).returncode == 2
    assert command("describe", "bread.txt", "--date", "", *where).returncode == 0
    assert "1999" not in (corpus / "bread.txt.meta.toml").read_text()


def test_an_added_source_is_removed_and_its_file_is_kept(
    command: Command, where: list[str], tmp_path: Path, corpus: Path
) -> None:
    (tmp_path / "glaciers.txt").write_text("Glaciers feed the river in August, and melt in May.")
    (tmp_path / "glaciers.txt.meta.toml").write_text('title = "Ice"')
    assert command("add", tmp_path / "glaciers.txt", *where).returncode == 0
    assert "Ice" in command("sources", *where).stdout
    refused = command("remove", "rivers.md", *where)
    assert refused.returncode == 1 and "delete its file there" in refused.stderr
    assert "names no document" in command("remove", "nothing.txt", *where).stderr
    done = command("remove", "glaciers.txt", *where)
    assert done.returncode == 0 and "1 removed" in done.stdout
    kept = Path(done.stdout.split("its file lies in ")[1].splitlines()[0])
    assert kept.read_text().startswith("Glaciers") and kept.with_name("glaciers.txt.meta.toml").exists()
    assert not (corpus / "added" / "glaciers.txt").exists()


def test_a_copy_of_what_is_there_is_told_and_kept(command: Command, where: list[str], tmp_path: Path) -> None:
    text = "Glaciers feed the river in August, when the snow of the high valleys is gone, and melt most in July."
    for name in ("one.txt", "two.md"):
        (tmp_path / name).write_text(text)
    done = command("add", tmp_path / "one.txt", tmp_path / "two.md", *where)
    assert "says word for word the same as" in done.stderr and "2 added" not in done.stderr
    assert {"added/one.txt", "added/two.md"} <= {
        each["document"] for each in json.loads(command("sources", "--json", *where).stdout)
    }


def test_patterns_are_unfolded_and_what_is_to_be_ignored_is_left_out(command: Command, where: list[str], tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "draft.txt", "c.md"):
        (tmp_path / name).write_text(f"The {name[0]} dams were built in {1900 + ord(name[0])}.")
    done = command("add", f"{tmp_path}/*.txt", "--ignore", "draft*", *where)
    added = {line.split()[-1] for line in done.stdout.splitlines() if line.startswith("  added")}
    assert {"added/a.txt", "added/b.txt"} <= added and not {"added/draft.txt", "added/c.md"} & added


def test_files_that_change_are_taken_in_while_the_folder_is_watched(where: list[str], corpus: Path, tmp_path: Path) -> None:
    told = subprocess.Popen(
        [sys.executable, "-m", "assistant", "watch", *where],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    assert told.stderr is not None and told.stdout is not None
    limit = threading.Timer(120, told.kill)
    limit.start()
    try:
        assert any("watching" in line for line in told.stderr)
        # As editors save: the old file goes, another comes under its name.
        (corpus / "bread.txt").unlink()
        (corpus / ".bread.new").write_text("Rye bread needs time.")
        (corpus / ".bread.new").replace(corpus / "bread.txt")
        # The first build added it; the second must not have taken it for gone.
        told_of = (line.split()[0] for line in told.stdout if "bread.txt" in line)
        assert [next(told_of), next(told_of)] == ["added", "changed"]
    finally:
        told.send_signal(signal.SIGINT)
        code = told.wait(30)
        limit.cancel()
        told.stdout.close()
        told.stderr.close()
    assert code in (0, 130)


def test_sources_lists_documents_and_drift(command: Command, where: list[str], corpus: Path) -> None:
    listed = json.loads(command("sources", "--json", *where).stdout)
    assert [(each["document"], each["authors"], each["chunks"]) for each in listed] == [
        ("bread.txt", [], 1),
        ("rivers.md", ["Ada Moreno"], 3),
    ]
    assert all(each["tokens"] > 5 for each in listed)
    (corpus / "later.txt").write_text("Later.", encoding="utf-8")
    shown = command("sources", *where).stdout
    assert "The River Treaty" in shown and "1 new" in shown


def test_doctor_finds_all_well_and_says_when_not(command: Command, where: list[str], tmp_path: Path) -> None:
    command("index", *where)
    well = command("doctor", *where)
    assert well.returncode == 0 and "bad" not in well.stdout and "weights verified" in well.stdout
    (tmp_path / "store/ledger.db").write_bytes(b"x" * 4096)
    ill = command("doctor", *where)
    assert ill.returncode == 1 and "bad" in ill.stdout and "--rebuild" in ill.stdout


def test_eval_prints_its_table_and_writes_its_cases(command: Command, debate_store: Path, tmp_path: Path) -> None:
    out = tmp_path / "run.jsonl"
    done = command("eval", "alliance", "--limit", "3", "--store", debate_store, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "evidence R@5" in done.stdout and "quotes at their offsets" in done.stdout
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert (lines[0]["suite"], lines[0]["part"], lines[0]["limit"]) == ("alliance", "dev", 3) and len(lines) == 4
    answered = [line for line in lines[1:] if not line["abstained"]]
    assert answered and all(line["scores"]["quotes at their offsets"] == 1.0 for line in answered)
    assert all(line["answer"]["citations"] for line in answered)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["ask", ""], "the question is empty"),
        (["ask", "x" * 100_000], "100,000 characters, the limit is 4,000"),
        (["ask", "Who?", "--corpus", "/nowhere/at/all"], "does not exist"),
        (["ask", "Who?", "--history", "/nowhere.json"], "cannot be read"),
        (["add", "/nowhere/at/all.txt"], "does not exist"),
        (["eval", "no-such-suite"], "there is no suite no-such-suite"),
        ([], "the chat needs a terminal"),
    ],
)
def test_a_failure_is_one_sentence_on_stderr_and_exit_1(command: Command, arguments: list[str], complaint: str) -> None:
    done = command(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert complaint in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "arguments", [["ask"], ["no-such-command"], ["eval", "alliance", "--limit", "0"], ["ask", "a", "--nope"]]
)
def test_wrong_usage_exits_2(command: Command, arguments: list[str]) -> None:
    done = command(*arguments)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_a_wrong_setting_is_named(command: Command) -> None:
    done = command("sources", environment={"ASSISTANT_PASSAGES": "none"})
    assert done.returncode == 1 and "ASSISTANT_PASSAGES" in done.stderr


def test_help_teaches_with_examples_and_completion_is_offered(command: Command) -> None:
    done = command("--help")
    assert done.returncode == 0
    for word in ("ask", "index", "add", "sources", "eval", "doctor", "Examples", "--install-completion"):
        assert word in done.stdout
    assert "Examples" in command("ask", "--help").stdout
    shown = command("--show-completion", environment={"SHELL": "/bin/bash", "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    assert shown.returncode in (0, 2) and "Traceback" not in shown.stderr


def test_a_read_only_store_still_answers_and_a_new_one_there_is_refused(
    command: Command, where: list[str], tmp_path: Path, corpus: Path
) -> None:
    command("index", *where)
    store = tmp_path / "store"
    for path in [*store.rglob("*"), store]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    (tmp_path / "locked").mkdir(mode=0o555)
    try:
        done = command("ask", "Who doubts that the river treaty is fair?", "--json", *where, powerless=True)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["citations"]
        (corpus / "more.txt").write_text("More words.", encoding="utf-8")
        done = command("index", *where, powerless=True)
        assert done.returncode == 1 and "cannot be written" in done.stderr and "--store" in done.stderr
        done = command("ask", "Who?", "--corpus", corpus, "--store", tmp_path / "locked/store", powerless=True)
        assert done.returncode == 1 and "cannot be written" in done.stderr and "Traceback" not in done.stderr
    finally:
        for path in [store, *store.rglob("*")]:
            path.chmod(0o755)


def test_an_unreadable_file_is_told_and_the_rest_is_indexed(command: Command, where: list[str], corpus: Path) -> None:
    (corpus / "closed.txt").write_text("Nobody may read this.", encoding="utf-8")
    (corpus / "closed.txt").chmod(0)
    done = command("index", *where, powerless=True)
    assert done.returncode == 0
    assert "closed.txt: cannot be read (Permission denied)" in done.stderr and "2 added" in done.stdout


def test_a_text_file_of_50_megabytes_is_told_and_the_rest_is_indexed(command: Command, where: list[str], corpus: Path) -> None:
    with (corpus / "huge.txt").open("w") as file:
        file.truncate(50_000_000)
    done = command("index", *where)
    assert done.returncode == 0
    assert "huge.txt: larger than the limit of 20 MB" in done.stderr and "2 added" in done.stdout


def test_an_empty_corpus_is_told(command: Command, tmp_path: Path) -> None:
    (tmp_path / "void").mkdir()
    done = command("ask", "Who?", "--corpus", tmp_path / "void", "--store", tmp_path / "s")
    assert done.returncode == 1 and "holds no document" in done.stderr and "assistant add" in done.stderr


def test_escape_codes_in_a_source_do_not_reach_the_terminal(command: Command, tmp_path: Path) -> None:
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil/a.txt").write_text(
        "The \x1b]0;owned\x07 lighthouse \x9b31m of [red]Alexandria[/red] \u202e burns at night."
    )
    done = command("ask", "What burns at night?", "--corpus", tmp_path / "evil", "--store", tmp_path / "s")
    assert "lighthouse" in done.stdout and "[red]Alexandria[/red]" in done.stdout
    assert not set(done.stdout + done.stderr) & {"\x1b", "\x9b", "\x07", "\u202e"}


@pytest.mark.skipif(os.environ.get("CI") != "true", reason="makes an environment of its own; runs in CI")
def test_the_wheel_answers_from_any_folder(tmp_path: Path) -> None:
    import subprocess
    import sys

    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT], check=True, capture_output=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    # The environment sees the installed libraries, but the program itself only from the wheel.
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    site = subprocess.run([sys.executable, "-c", "import numpy, pathlib; print(pathlib.Path(numpy.__file__).parent.parent)"],
                          capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", wheel], check=True, capture_output=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [tmp_path / "venv/bin/assistant", "ask", "Who denied the reports of June 2000?", "--json"],
        capture_output=True, text=True, cwd=elsewhere, check=False,
        env={**os.environ, "HOME": str(elsewhere), "PYTHONPATH": site, "XDG_DATA_HOME": str(elsewhere / "data")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "fabricated" in done.stdout
    assert (elsewhere / "data/alliance-assistant/index/ledger.db").exists()


def test_filters_keep_to_what_they_allow(command: Command, debate_store: Path) -> None:
    done = command("ask", "Is the 1977 treaty an alliance?", "--voice", "lan", "--json", "--store", debate_store)
    told = json.loads(done.stdout)
    assert told["citations"] and {each["voice"]["speaker"] for each in told["citations"]} == {"Ngo Di Lan"}
    done = command("ask", "Is it?", "--kind", "recipe", "--store", debate_store)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no passage is of that source, voice, kind and date together" in done.stderr
    done = command("ask", "Is it?", "--since", "soon", "--store", debate_store)
    assert "--since soon is no date; write 2021, 2021-06 or 2021-06-30." in done.stderr
    done = command("timeline", "--from", "1-2-1975", "--store", debate_store)
    assert "--from 1-2-1975 is no date" in done.stderr
    shown = command("timeline", "--from", "1975-03-01", "--to", "1975-12", "--json", "--store", debate_store)
    dates = [each["date"] for each in json.loads(shown.stdout)["statements"]]
    assert "1975" in dates and all("1975-03" <= date <= "1975-12-31" for date in dates if len(date) > 4)


def test_doctor_mends_drift_damage_another_chunking_and_an_older_format(
    command: Command, where: list[str], corpus: Path, tmp_path: Path
) -> None:
    store = Path(where[where.index("--store") + 1])
    command("index", *where)
    assert "mending" not in command("doctor", "--mend", *where).stdout

    (corpus / "bread.txt").write_text("Bread is baked twice in the north.", encoding="utf-8")
    (store / "words/state.json").write_bytes(b"torn")
    told = command("doctor", "--mend", *where)
    before, after = told.stdout.split("after mending")
    assert "missing or damaged" in before and "1 changed" in before and "bringing the index up to date" in before
    assert told.returncode == 0 and "look" not in after and "bad" not in after

    data = bytearray((store / "ledger.db").read_bytes())
    at = data.index(b"baked twice")
    data[at] ^= 1
    (store / "ledger.db").write_bytes(data)
    assert "does not have its checksum" in command("ask", "How is bread baked?", *where).stderr
    told = command("doctor", "--mend", *where)
    assert told.returncode == 0 and "reading every source again" in told.stdout
    assert list(store.glob("ledger.db.damaged-1"))
    assert "baked twice" in command("ask", "How is bread baked in the north?", *where).stdout

    told = command("doctor", "--mend", *where, environment={"ASSISTANT_CHUNK_TOKENS": "64"})
    assert told.returncode == 0 and "the settings ask for" in told.stdout.split("after mending")[0]

    shutil.rmtree(store)
    with ZipFile(ROOT / "tests/data/store-format-1.zip") as archive:
        archive.extractall(store)
    told = command("doctor", "--mend", *where)
    assert told.returncode == 0 and "made by an earlier release" in told.stdout
    assert "earlier release" not in told.stdout.split("after mending")[1]


def test_an_index_of_the_first_release_is_brought_up_by_asking(command: Command, where: list[str]) -> None:
    with ZipFile(ROOT / "tests/data/store-format-1.zip") as archive:
        archive.extractall(Path(where[where.index("--store") + 1]))
    done = command("ask", "Who inspects the dams?", *where)
    assert done.returncode == 0 and "250 engineers" in done.stdout
    assert "made by an earlier release; it now has this release's format" in done.stderr
    assert "earlier release" not in command("ask", "Who inspects the dams?", *where).stderr


# -- with a language model -------------------------------------------------------------------------------------------------

WHY = "Why does Lan doubt that the 1977 treaty is an alliance?"
WRITTEN = (
    "Lan doubts that the 1977 treaty is an alliance because its duties are unclear [1]. Vietnam kept 90,000 troops there [1]."
)


def test_a_written_answer_is_checked_and_it_is_told_where_words_go(command: Command, debate_store: Path) -> None:
    asking = ("ask", WHY, "--store", debate_store, "--generator", "openai", "--model", "small-model")
    with scripted_server(spoken(WRITTEN)) as (url, _):
        environment = {"ASSISTANT_BASE_URL": url, "OPENAI_API_KEY": "sk-secret"}
        done = command(*asking, environment=environment)
        told = command(*asking, "--json", environment=environment)
    assert done.returncode == 0 and done.stderr.startswith("answers written on this machine (127.0.0.1")
    assert "unclear. [1]" in done.stdout and "90,000 troops there. (unverified)" in done.stdout
    assert "! 1 of 2 sentences was not found in the sources, and is marked." in done.stdout
    assert "openai, small-model" in done.stdout and "1,000 + 100 tokens" in done.stdout
    answer = json.loads(told.stdout)
    assert [each["support"] for each in answer["sentences"]] == ["verified", "unverified"]
    assert answer["model"] == "small-model" and answer["tokens"] == {"read": 1000, "written": 100}
    assert "secret" not in done.stdout + done.stderr + told.stdout + told.stderr


def test_models_lists_what_answers_and_how_to_ask_it(command: Command) -> None:
    with scripted_server(spoken(WRITTEN)) as (url, script):
        done = command("models", environment={"OPENAI_BASE_URL": url})
        assert script.listed == 1 and not script.asked
    assert done.returncode == 0 and f"configured  {url}" in done.stdout
    assert "  small-model\n  to ask: assistant --generator openai --model small-model\n" in done.stdout


def test_a_run_is_judged_by_a_language_model(command: Command, debate_store: Path, tmp_path: Path) -> None:
    run = tmp_path / "run.jsonl"
    done = command("eval", "alliance", "--limit", "4", "--store", debate_store, "--out", run)
    assert run.exists(), done.stderr
    with scripted_server(spoken("right")) as (url, _):
        judged = command("eval", "judge", run, "--model", "small-model", environment={"ASSISTANT_BASE_URL": url})
    assert "judged right" in judged.stdout and "The judge and key-fact recall say the same of" in judged.stdout, judged.stderr
    header = json.loads((tmp_path / "run-judged.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert header["judge"]["model"] == "small-model" and "Write one word" in header["judge"]["prompt"]


# -- what leaves the program -----------------------------------------------------------------------------------------------


def test_an_answer_is_printed_as_markdown(command: Command, where: list[str]) -> None:
    done = command("ask", "Why does Keller doubt that the river treaty is fair?", "--format", "markdown", *where)
    assert done.stdout.startswith("## Why does Keller doubt that the river treaty is fair?\n")
    assert "**Jonas Keller, as reported by Ada Moreno:** Keller doubts" in done.stdout and "\n   > Keller doubts" in done.stdout
    assert command("ask", "x", "--format", "pdf", *where).returncode == 2


def test_a_conversation_is_listed_and_written(command: Command, where: list[str], tmp_path: Path) -> None:
    assert command("ask", "-i", *where, stdin="When was the river treaty signed?\nAnd where?\n").returncode == 0
    listed = command("export", *where).stdout
    assert "2 questions  When was the river treaty signed?" in listed
    done = command("export", tmp_path / "rivers.md", *where)
    assert done.returncode == 0 and "Basel" in (tmp_path / "rivers.md").read_text()
    assert "TI  - The River Treaty" in (command("export", tmp_path / "r.ris", *where), (tmp_path / "r.ris").read_text())[1]
    again = command("export", tmp_path / "rivers.md", *where)
    assert again.returncode == 1 and "is there already" in again.stderr
    assert "no conversation 99" in command("export", tmp_path / "x.md", "-c", "99", *where).stderr
    assert "must end with" in command("export", tmp_path / "x.pdf", *where).stderr
