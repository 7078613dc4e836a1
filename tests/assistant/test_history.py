"""Conversations that are kept: nothing said is lost, and what was said is found again."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from assistant.answering.answers import Answer, Citation, Sentence
from assistant.history import History
from assistant.retrieval.passages import Passage
from index.chunks import Chunk
from index.documents import Voice
from index.errors import HistoryError

VOICE = Voice("Jonas Keller", "Ada Moreno")
CITATION = Citation(
    1,
    "rivers.md",
    "The River Treaty",
    ("Ada Moreno",),
    "1999-05-01",
    "Moreno 1999",
    "digest",
    "¶2",
    "It is unfair.",
    10,
    23,
    "d",
    VOICE,
)
CHUNK = Chunk("rivers.md#0", "rivers.md", ("¶2",), "It is unfair.", 10, 23, 4, VOICE)
ANSWER = Answer(
    question="Who doubts it?",
    standalone_question="Who doubts the treaty?",
    short="Jonas Keller",
    abstained=False,
    reason="",
    confidence=0.9,
    sentences=(Sentence("It is unfair.", (1,), "verified", 1.5),),
    citations=(CITATION,),
    passages=(Passage(CHUNK, 0.5, {"words": 2, "dense": 1}, 0.7),),
    locators=("¶2",),
    references=("Moreno 1999, ¶2",),
    generator="extractive",
    seconds={"total": 0.25},
)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "deep" / "conversations.db")


def test_what_was_asked_and_answered_comes_back_as_it_was(history: History) -> None:
    number = history.begin("Who doubts it?", "/corpus")
    turn = history.ask(number, "Who doubts it?")
    history.answered(turn, ANSWER, "Jonas Keller: It is unfair.")
    history.answered_again(turn, "5 passages", replace(ANSWER, confidence=0.4))
    history.remember_place(number, 0)
    again = History(history.path)
    (kept,) = again.conversations()
    assert (kept.title, kept.corpus, kept.turns, kept.is_pinned) == ("Who doubts it?", "/corpus", 1, False)
    (told,) = again.turns(number)
    assert told.answer == ANSWER and told.said == "Jonas Keller: It is unfair." and told.failure is None
    assert told.again == (("5 passages", replace(ANSWER, confidence=0.4)),)
    assert again.place(number) == 0 and again.questions(5) == ["Who doubts it?"]


def test_a_question_is_kept_before_its_answer_comes(history: History) -> None:
    number = history.begin("Who?", "/corpus")
    history.ask(number, "Who?")
    (told,) = History(history.path).turns(number)
    assert told.answer is None and told.failure is None and told.question == "Who?"
    history.failed(told.number, "the server is gone")
    assert history.turns(number)[0].failure == "the server is gone"


@pytest.mark.parametrize("words", ["dang viet", "ĐẶNG", "trung quoc", "UNFAIR việt", "中国", "越"])
def test_words_are_found_without_accents_and_in_any_script(history: History, words: str) -> None:
    number = history.begin("Đặng nói gì về Việt Nam?", "/corpus")
    turn = history.ask(number, "Đặng nói gì về Việt Nam?")
    history.answered(turn, ANSWER, "Jonas: it is unfair to Trung Quốc. 中国 越南")
    history.ask(history.begin("Something else", "/corpus"), "Something else")
    assert [kept.number for kept in history.conversations(words)] == [number]
    assert history.conversations("no such words") == []


def test_the_pinned_come_first_then_the_latest_and_a_new_name_is_found(history: History) -> None:
    numbers = [history.begin(title, "/corpus") for title in ("one", "two", "three")]
    history.ask(numbers[0], "again")
    assert [kept.number for kept in history.conversations()] == [numbers[0], numbers[2], numbers[1]]
    history.pin(numbers[1], pinned=True)
    assert history.conversations()[0].number == numbers[1]
    history.rename(numbers[1], "  The treaty\nof 1961 ")
    assert [kept.title for kept in history.conversations("treaty")] == ["The treaty of 1961"]
    with pytest.raises(HistoryError, match="needs a name"):
        history.rename(numbers[1], " \n ")


def test_what_is_deleted_comes_back_until_it_is_forgotten(history: History) -> None:
    number = history.begin("one", "/corpus")
    history.ask(number, "one")
    assert history.holds(number)
    history.delete(number)
    assert history.conversations() == [] and not history.holds(number)
    history.forget(before=time.time() - 60)
    history.restore(number)
    assert [kept.number for kept in history.conversations()] == [number] and len(history.turns(number)) == 1
    history.delete(number)
    history.forget(before=time.time() + 60)
    history.restore(number)
    assert history.conversations() == [] and history.turns(number) == []


def test_an_answer_of_another_release_keeps_its_words(history: History) -> None:
    number = history.begin("one", "/corpus")
    turn = history.ask(number, "one")
    history.answered(turn, ANSWER, "It is unfair.")
    with sqlite3.connect(history.path) as database:
        database.execute("UPDATE turns SET answer = '{\"unknown\": 1}'")
    (told,) = history.turns(number)
    assert told.answer is None and told.said == "It is unfair."


def test_threads_and_a_second_program_write_at_once(history: History) -> None:
    other = History(history.path)
    number = history.begin("one", "/corpus")

    def write(store: History, count: int) -> None:
        for at in range(count):
            store.answered(store.ask(number, f"question {at}"), ANSWER, "said")

    threads = [Thread(target=write, args=(store, 15)) for store in (history, history, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    turns = history.turns(number)
    assert len(turns) == 45 and all(turn.answer == ANSWER for turn in turns)


WRITER = """
import sys
from pathlib import Path
from assistant.history import History
from tests.assistant.test_history import ANSWER
history = History(Path(sys.argv[1]))
number = history.begin("killed", "/corpus")
for at in range(10_000):
    history.answered(history.ask(number, f"question {at}"), ANSWER, "said")
    print(at, flush=True)
"""


@pytest.mark.slow
def test_nothing_that_was_told_kept_is_lost_when_the_program_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
        )
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 20:
                break
        os.kill(process.pid, signal.SIGKILL)
        rest = process.stdout.read()
        process.wait()
        process.stdout.close()
        told = max([20, *(int(word) for word in rest.split() if word.isdigit())])
        history = History(path)
        newest = max(kept.number for kept in history.conversations())
        turns = history.turns(newest)
        assert len([turn for turn in turns if turn.answer == ANSWER]) >= told + 1
        assert [turn.question for turn in turns] == [f"question {at}" for at in range(len(turns))]
        history.close()


def test_a_file_that_is_no_history_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    path.write_bytes(b"these are no conversations, but somebody's file" * 100)
    before = path.read_bytes()
    with pytest.raises(HistoryError, match="cannot be used"):
        History(path)
    assert path.read_bytes() == before


def test_a_file_of_a_later_release_is_told_and_left_alone(history: History) -> None:
    with sqlite3.connect(history.path) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(HistoryError, match="later release"):
        History(history.path)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(HistoryError, match="set history to another"):
        History(tmp_path / "file" / "conversations.db")


def test_nobody_else_may_read_it(history: History) -> None:
    assert history.path.stat().st_mode & 0o077 == 0
