"""What people write who know what they look for: "exact words", -without, author:, voice:, kind:, source:, date:>=2020."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, timedelta

from index.errors import QuestionError
from index.filters import check_date
from index.lexical import analyse

_PART = re.compile(
    r"""(?P<minus>-)?(?:(?P<field>author|voice|kind|source|date):(?P<sign>>=|<=|>|<|=)?)?(?:"(?P<quoted>[^"]*)"|(?P<plain>\S+))"""
)


@dataclass(frozen=True, slots=True)
class Query:
    words: str
    """What is searched for, exact words included."""
    phrases: tuple[str, ...] = ()
    """Stand in each passage, whatever their case and accents."""
    without: tuple[str, ...] = ()
    """Words or phrases that stand in none."""
    authors: tuple[str, ...] = ()
    voices: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    exact: tuple[str, ...] = field(default=())
    """Words with accents: passages that write them so come first."""

    def allows(self, text: str) -> bool:
        """Whether a passage holds the phrases and nothing of what it must not."""
        words = _spaced(text)
        return all(_spaced(each) in words for each in self.phrases) and not any(_spaced(each) in words for each in self.without)


def parse(told: str) -> Query:
    """Raises QuestionError for a date that is none, and where nothing is searched for."""
    words: list[str] = []
    lists: dict[str, list[str]] = {name: [] for name in ("phrases", "without", "author", "voice", "kind", "source")}
    since = until = None
    # A quotation mark that is not closed is a letter like others.
    for part in _PART.finditer(told):
        value = (part["quoted"] if part["quoted"] is not None else part["plain"]).strip()
        name = part["field"]
        if not value or (name and part["minus"]):
            raise QuestionError(f"{part[0]!r} in the search says nothing; write a word after it, as in voice:Lan.")
        if name == "date":
            value = check_date(value, "date:") or ""
            sign = part["sign"]
            if sign in (">=", ">", "=", None):
                since = _shifted(value, 1) if sign == ">" else value
            if sign in ("<=", "<", "=", None):
                until = _shifted(value, -1) if sign == "<" else value
        elif name:
            lists[name].append(value)
        elif part["minus"]:
            lists["without"].append(value)
        else:
            words.append(value)
            lists["phrases"] += [value] if part["quoted"] is not None else []
    if not any(map(str.isalnum, "".join(words))):
        raise QuestionError("nothing is searched for; write words besides what narrows the search.")
    return Query(
        " ".join(words),
        tuple(lists["phrases"]),
        tuple(lists["without"]),
        tuple(lists["author"]),
        tuple(lists["voice"]),
        tuple(lists["kind"]),
        tuple(lists["source"]),
        since,
        until,
        tuple(word for word in re.findall(r"\w+", " ".join(words)) if not word.isascii()),
    )


def _shifted(told: str, by: int) -> str:
    """The year, month or day after (1) or before (-1) the one told. Raises QuestionError for a day that there is not."""
    parts = [int(each) for each in told.split("-")]
    try:
        if len(parts) == 3:
            return (date(*parts) + timedelta(days=by)).isoformat()
        if len(parts) == 2:
            month = parts[0] * 12 + parts[1] - 1 + by
            return f"{month // 12:04}-{month % 12 + 1:02}"
        return f"{max(0, parts[0] + by):04}"
    except (ValueError, OverflowError) as error:
        raise QuestionError(f"date: {told} is no date; write 2021, 2021-06 or 2021-06-30.") from error


def _spaced(text: str) -> str:
    return f" {' '.join(analyse(text))} "
