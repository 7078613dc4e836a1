"""Conversations, kept as they happen: one SQLite file, beside nothing that is built or upgraded."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from assistant.answering.answers import Answer
from assistant.inert import one_line, shortened
from index.errors import HistoryError
from index.speakers import folded

_FORMAT = 1
_BUSY_SECONDS = 10.0
_LONGEST_TITLE = 120
_SCHEMA = """
CREATE TABLE conversations (
    number INTEGER PRIMARY KEY, title TEXT NOT NULL, corpus TEXT NOT NULL, begun REAL NOT NULL, touched REAL NOT NULL,
    pinned INTEGER NOT NULL DEFAULT 0, deleted REAL, place INTEGER
);
CREATE TABLE turns (
    number INTEGER PRIMARY KEY, conversation INTEGER NOT NULL REFERENCES conversations ON DELETE CASCADE, asked REAL NOT NULL,
    question TEXT NOT NULL, said TEXT NOT NULL DEFAULT '', folded TEXT NOT NULL, answer TEXT, failure TEXT
);
CREATE TABLE again (
    number INTEGER PRIMARY KEY, turn INTEGER NOT NULL REFERENCES turns ON DELETE CASCADE, settings TEXT NOT NULL,
    answer TEXT NOT NULL
);
CREATE INDEX turns_of ON turns (conversation);
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A conversation, as it is listed."""

    number: int
    title: str
    corpus: str
    """The corpus that it was had over: its folder or file."""
    begun: float
    """Seconds since 1970."""
    touched: float
    """When it was last asked in."""
    is_pinned: bool
    turns: int


@dataclass(frozen=True, slots=True)
class KeptTurn:
    number: int
    asked: float
    """Seconds since 1970."""
    question: str
    answer: Answer | None
    """None where none came: the program ended before, or it failed."""
    said: str
    """The answer as plain text, which outlives changes of the program; empty where none came."""
    failure: str | None
    """Why there is no answer."""
    again: tuple[tuple[str, Answer], ...]
    """Answers to the same question under other settings, which are told first."""


class History:
    """Safe to share between threads, and between programs that run at once. Every method raises HistoryError."""

    def __init__(self, path: Path) -> None:
        """Makes the file where there is none."""
        self.path = path
        self._lock = Lock()
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True)
            # What a person asked is nobody else's.
            path.touch(mode=0o600, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=_BUSY_SECONDS, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute("PRAGMA foreign_keys = ON")
            with self._transaction():
                (version,) = self._database.execute("PRAGMA user_version").fetchone()
                if version == 0:
                    for statement in filter(str.strip, _SCHEMA.split(";")):
                        self._database.execute(statement)
                    self._database.execute(f"PRAGMA user_version = {_FORMAT}")
        if version > _FORMAT:
            raise HistoryError(f"{path} was written by a later release; update the program, or set history to another file.")

    def close(self) -> None:
        with self._lock:
            self._database.close()

    # -- as it happens ---------------------------------------------------------------------------------------------------

    def begin(self, question: str, corpus: str) -> int:
        """A new conversation, named after its first question; gives its number."""
        now = time.time()
        title = shortened(one_line(question), _LONGEST_TITLE)
        return self._insert(
            "INSERT INTO conversations (title, corpus, begun, touched) VALUES (?, ?, ?, ?)", title, corpus, now, now
        )

    def ask(self, conversation: int, question: str) -> int:
        """Kept before anything is looked for; gives the turn's number."""
        now = time.time()
        with self._told(), self._transaction():
            self._database.execute("UPDATE conversations SET touched = ? WHERE number = ?", (now, conversation))
            told = self._database.execute(
                "INSERT INTO turns (conversation, asked, question, folded) VALUES (?, ?, ?, ?)",
                (conversation, now, question, folded(question)),
            )
            return int(told.lastrowid or 0)

    def answered(self, turn: int, answer: Answer, said: str) -> None:
        """said: the answer as plain text."""
        self._run(
            "UPDATE turns SET answer = ?, said = ?, failure = NULL, folded = ? WHERE number = ?",
            _as_text(answer), said, folded(f"{answer.question}\n{said}"), turn,
        )  # fmt: skip

    def failed(self, turn: int, why: str) -> None:
        self._run("UPDATE turns SET failure = ? WHERE number = ?", why, turn)

    def answered_again(self, turn: int, settings: str, answer: Answer) -> None:
        """settings: those that were others, in words."""
        self._run("INSERT INTO again (turn, settings, answer) VALUES (?, ?, ?)", turn, settings, _as_text(answer))

    def remember_place(self, conversation: int, turn: int) -> None:
        """turn: where the person was, counted from 0."""
        self._run("UPDATE conversations SET place = ? WHERE number = ?", turn, conversation)

    # -- what there is ---------------------------------------------------------------------------------------------------

    def conversations(self, words: str = "") -> list[Kept]:
        """Pinned ones first, then the latest; with words, those that hold each of them, accents and case aside."""
        wanted = folded(words).split()
        held = " AND ".join(
            "(instr(?, ?) OR EXISTS (SELECT 1 FROM turns t WHERE t.conversation = c.number AND instr(t.folded, ?)))"
            for _ in wanted
        ).replace("instr(?, ?)", "instr(fold(c.title), ?)")
        with self._told(), self._lock:
            self._database.create_function("fold", 1, folded, deterministic=True)
            rows = self._database.execute(
                "SELECT number, title, corpus, begun, touched, pinned, "
                "(SELECT count(*) FROM turns t WHERE t.conversation = c.number) FROM conversations c "
                f"WHERE deleted IS NULL {f'AND {held}' if held else ''} ORDER BY pinned DESC, touched DESC, number DESC",
                [word for word in wanted for _ in range(2)],
            ).fetchall()
        return [
            Kept(number, title, corpus, begun, touched, bool(pinned), turns)
            for number, title, corpus, begun, touched, pinned, turns in rows
        ]

    def holds(self, conversation: int) -> bool:
        """Whether it is there and not deleted."""
        with self._told(), self._lock:
            found = self._database.execute(
                "SELECT 1 FROM conversations WHERE number = ? AND deleted IS NULL", (conversation,)
            ).fetchone()  # fmt: skip
        return found is not None

    def turns(self, conversation: int) -> list[KeptTurn]:
        """In the order in which they were asked."""
        with self._told(), self._lock:
            rows = self._database.execute(
                "SELECT number, asked, question, answer, said, failure FROM turns WHERE conversation = ? ORDER BY number",
                (conversation,),
            ).fetchall()
            others = self._database.execute(
                "SELECT turn, settings, answer FROM again WHERE turn IN (SELECT number FROM turns WHERE conversation = ?) "
                "ORDER BY number",
                (conversation,),
            ).fetchall()
        again: dict[int, list[tuple[str, Answer]]] = {}
        for turn, settings, told in others:
            if (answer := _from_text(told)) is not None:
                again.setdefault(turn, []).append((settings, answer))
        return [
            KeptTurn(number, asked, question, _from_text(answer), said, failure, tuple(again.get(number, ())))
            for number, asked, question, answer, said, failure in rows
        ]

    def place(self, conversation: int) -> int | None:
        """The turn where the person was, counted from 0; None where that is not known."""
        with self._told(), self._lock:
            row = self._database.execute("SELECT place FROM conversations WHERE number = ?", (conversation,)).fetchone()
        return row[0] if row else None

    def questions(self, count: int) -> list[str]:
        """What was asked last in any conversation, the latest first, each once."""
        with self._told(), self._lock:
            rows = self._database.execute(
                "SELECT question FROM turns GROUP BY question ORDER BY max(number) DESC LIMIT ?", (count,)
            ).fetchall()
        return [str(question) for (question,) in rows]

    # -- what a person does with them ------------------------------------------------------------------------------------

    def rename(self, conversation: int, title: str) -> None:
        """Raises HistoryError for a title without a word."""
        title = shortened(one_line(title), _LONGEST_TITLE)
        if not title:
            raise HistoryError("a conversation needs a name; write one.")
        self._run("UPDATE conversations SET title = ? WHERE number = ?", title, conversation)

    def pin(self, conversation: int, *, pinned: bool) -> None:
        self._run("UPDATE conversations SET pinned = ? WHERE number = ?", int(pinned), conversation)

    def delete(self, conversation: int) -> None:
        """`restore` undoes it, until `forget`."""
        self._run("UPDATE conversations SET deleted = ? WHERE number = ?", time.time(), conversation)

    def restore(self, conversation: int) -> None:
        self._run("UPDATE conversations SET deleted = NULL WHERE number = ?", conversation)

    def forget(self, *, before: float) -> None:
        """For good: what was deleted before then, in seconds since 1970."""
        self._run("DELETE FROM conversations WHERE deleted < ?", before)

    # -- the file --------------------------------------------------------------------------------------------------------

    def _run(self, statement: str, *values: object) -> None:
        with self._told(), self._lock:
            self._database.execute(statement, values)

    def _insert(self, statement: str, *values: object) -> int:
        with self._told(), self._lock:
            return int(self._database.execute(statement, values).lastrowid or 0)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise HistoryError(
                f"the conversations in {self.path} cannot be used ({error}); move the file away to begin anew, or set history to "
                "another file."
            ) from error
        except OSError as error:
            raise HistoryError(
                f"the conversations in {self.path} cannot be used ({error.strerror}); check its permissions, or set history to "
                "another file."
            ) from error


def _as_text(answer: Answer) -> str:
    from pydantic import TypeAdapter

    return TypeAdapter(Answer).dump_json(answer).decode()


def _from_text(told: str | None) -> Answer | None:
    """None for an answer that this release cannot read: its words are kept beside it."""
    from pydantic import TypeAdapter, ValidationError

    if told is None:
        return None
    try:
        return TypeAdapter(Answer).validate_json(told)
    except ValidationError:
        return None
