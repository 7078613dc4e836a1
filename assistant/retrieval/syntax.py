"""What people write who know what they look for: "exact words", -without, author:, voice:, kind:, source:, date:>=2020."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

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
            if part["sign"] in (">=", ">", "=", None):
                since = value
            if part["sign"] in ("<=", "<", "=", None):
                until = value
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


def _spaced(text: str) -> str:
    return f" {' '.join(analyse(text))} "
