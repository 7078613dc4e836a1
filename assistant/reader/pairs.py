"""Question and passage as the reader's network sees them: one row of word pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_TOKENS = 384
_MOST_OF_THE_QUESTION = 96
_SPECIAL = 3


@dataclass(frozen=True, slots=True)
class Pair:
    """[CLS] question [SEP] place, text [SEP]."""

    ids: list[int]
    types: list[int]
    """0 for the question, 1 for the passage."""
    spans: list[tuple[int, int] | None]
    """For each token where it stands in the passage's text; None outside it."""

    def tokens(self, start: int, end: int) -> tuple[int, int] | None:
        """(first token, last token) of text[start:end]; None when none of it was read."""
        inside = [number for number, span in enumerate(self.spans) if span and span[0] < end and start < span[1]]
        return (inside[0], inside[-1]) if inside else None


class PairEncoder:
    """Long questions and passages are cut at their ends: 96 tokens of a question, 384 of both."""

    def __init__(self, tokenizer: Path) -> None:
        """tokenizer: the embedding model's tokenizer.json."""
        from tokenizers import Tokenizer

        self._tokenizer: Any = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._begin: Any
        self._end: Any
        self._begin, self._end = self._tokenizer.token_to_id("[CLS]"), self._tokenizer.token_to_id("[SEP]")

    def encode(self, question: str, passages: Sequence[tuple[str, str]]) -> list[Pair]:
        """passages: (place, text) of each; the place (title, headings) is read before the text."""
        asked = self._tokenizer.encode(question, add_special_tokens=False).ids[:_MOST_OF_THE_QUESTION]
        room = MOST_TOKENS - _SPECIAL - len(asked)
        before = [f"{place}\n" if place else "" for place, _ in passages]
        encoded = self._tokenizer.encode_batch(
            [first + text for first, (_, text) in zip(before, passages, strict=True)], add_special_tokens=False
        )
        made = []
        for first, each in zip(before, encoded, strict=True):
            ids = each.ids[:room]
            spans = [
                (begin - len(first), end - len(first)) if begin >= len(first) and begin < end else None
                for begin, end in each.offsets[:room]
            ]
            made.append(
                Pair(
                    ids=[self._begin, *asked, self._end, *ids, self._end],
                    types=[0] * (len(asked) + 2) + [1] * (len(ids) + 1),
                    spans=[None] * (len(asked) + 2) + spans + [None],
                )
            )
        return made
