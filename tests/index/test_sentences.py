from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.sentences import sentence_spans


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text, 0, len(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Smith left. He ran.", ["Dr. Smith left.", "He ran."]),
        ('He called it "an alliance." Lan did not.', ['He called it "an alliance."', "Lan did not."]),
        ("See UN Treaty Series no. 6045 for it. Then go.", ["See UN Treaty Series no. 6045 for it.", "Then go."]),
        ("J. D. Morrow found it. Others too.", ["J. D. Morrow found it.", "Others too."]),
        ("- One fact\n- Another fact\n", ["One fact", "Another fact"]),
        ("A line that\nwraps on. Next.", ["A line that\nwraps on.", "Next."]),
        (
            "It was signed in the city of Strelsau in\n1977. It bound both.",
            ["It was signed in the city of Strelsau in\n1977.", "It bound both."],
        ),
        ("The garrison was not\n\nstrengthened. Then it left.", ["The garrison was not\n\nstrengthened.", "Then it left."]),
        ("# A comment in a plain text is text.", ["# A comment in a plain text is text."]),
        ("| a | b |\n|---|---|\n| c | d |", ["| a | b |", "| c | d |"]),
        ("1. First point.\n2. Second point.", ["First point.", "Second point."]),
        ("Points:\n\n3. Third point.\n4. Fourth point.", ["Points:", "Third point.", "Fourth point."]),
        ("---\n***\n", []),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text(alphabet="Ab. \n-#|>?!\"'1é漢…", max_size=300))
def test_spans_are_in_order_trimmed_and_hold_words(text: str) -> None:
    last = 0
    for start, end in sentence_spans(text, 0, len(text)):
        assert last <= start < end <= len(text)
        piece = text[start:end]
        assert piece == piece.strip() and any(character.isalnum() for character in piece)
        last = end


def test_a_line_of_a_megabyte_is_cut_not_hung() -> None:
    text = "word " * 200_000
    spans = sentence_spans(text, 0, len(text))
    assert sum(len(text[start:end].split()) for start, end in spans) == 200_000
