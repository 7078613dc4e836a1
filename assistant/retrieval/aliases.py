"""Names that are spelt in several ways (Mao Zedong, Mao Tse-tung): whoever writes one of them finds all.

What is the same name a person tells, in the corpus's `aliases.toml`. Case, accents, hyphens and spaces never matter.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from index.errors import CorpusError
from index.speakers import folded

FILE = "aliases.toml"
_MOST_VARIANTS = 3
_WORDS = re.compile(r"[^\W_]+")
# What may stand, or not stand, between the parts of a name.
_BETWEEN = r"[\s’'ʼ\-‐]*"
_APART = r"[\s’'ʼ\-‐]+"


IsWritten = Callable[[str, re.Pattern[str]], bool]
"""(spelling, what finds it in folded text) -> whether any passage has it."""


class _Spelling(NamedTuple):
    text: str
    written: re.Pattern[str]
    """Finds it in folded text, its words apart as in it."""
    asked: re.Pattern[str]
    """Finds it in a folded question, which may run its words together."""


class Aliases:
    """Groups of spellings."""

    def __init__(self, groups: Iterable[Sequence[str]] = ()) -> None:
        # Of two spellings one of which holds the other the longer is looked for first.
        self._groups = [[_spelling(each) for each in sorted(group, key=len, reverse=True)] for group in groups]

    def variants(self, text: str, is_written: IsWritten) -> list[str]:
        """The text with a name in it spelt otherwise, as somebody writes it too; a few at most."""
        found: dict[str, None] = {}
        for group in self._groups:
            spelt, places = _found(group, text)
            others = [each for each in group if each is not spelt and is_written(each.text, each.written)] if spelt else []
            found |= dict.fromkeys(_put(text, places, each.text) for each in others)
        return [each for each in found if folded(each) != folded(text)][:_MOST_VARIANTS]

    def as_written(self, text: str, is_written: IsWritten) -> str:
        """The text, where nobody writes a name as it does, with the name as somebody does."""
        for group in self._groups:
            spelt, places = _found(group, text)
            if spelt is None:
                continue
            if is_written(spelt.text, spelt.written):
                # Its words may only be run together.
                text = text if spelt.written.search(folded(text)) else _put(text, places, spelt.text)
                continue
            other = next((each for each in group if each is not spelt and is_written(each.text, each.written)), None)
            text = _put(text, places, other.text) if other is not None else text
        return text


def read_aliases(paths: Iterable[Path]) -> Aliases:
    """Files that are not there tell nothing. Raises CorpusError naming the file."""
    return Aliases(chain.from_iterable(map(_read, paths)))


def _read(path: Path) -> list[list[str]]:
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path} is not valid TOML: {error}.") from error
    names = told.pop("names", [])
    if told or not isinstance(names, list) or not all(map(_is_group, names)):
        raise CorpusError(f'{path}: write names = [["Mao Zedong", "Mao Tse-tung"], …], each group with two spellings or more.')
    return names


def _is_group(told: object) -> bool:
    return isinstance(told, list) and len(told) > 1 and all(isinstance(each, str) and _WORDS.search(each) for each in told)


def _spelling(told: str) -> _Spelling:
    words = [re.escape(word) for word in _WORDS.findall(folded(told))]
    written, asked = (re.compile(rf"(?<!\w){between.join(words)}(?!\w)") for between in (_APART, _BETWEEN))
    return _Spelling(told, written, asked)


def _found(group: Sequence[_Spelling], text: str) -> tuple[_Spelling | None, list[tuple[int, int]]]:
    """The spelling that stands in the text, and where: as it is written, if one is, else with its words run together."""
    plain, origins = _folded_with_places(text)
    for pattern in ("written", "asked"):
        for each in group:
            places = [(origins[match.start()], origins[match.end() - 1] + 1) for match in getattr(each, pattern).finditer(plain)]
            if places:
                return each, places
    return None, []


def _folded_with_places(text: str) -> tuple[str, list[int]]:
    """The folded text, and for each of its characters the one of the text that it comes from."""
    letters = [(letter, number) for number, each in enumerate(text) for letter in folded(each)]
    return "".join(letter for letter, _ in letters), [number for _, number in letters]


def _put(text: str, places: Iterable[tuple[int, int]], spelling: str) -> str:
    for start, end in sorted(places, reverse=True):
        text = f"{text[:start]}{spelling}{text[end:]}"
    return text
