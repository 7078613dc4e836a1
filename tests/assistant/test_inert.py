from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from assistant.inert import inert, markdown_literal, one_line

nasty = st.text(
    alphabet=st.sampled_from("\x1b[31m]0;\x07\x9b\x90\u202e\u2066\u2028[link](http://x)`*_#>-<b>&amp;\\|~!1.\n\t é漢\x00\x7f"),
    max_size=80,
)


@given(nasty)
def test_no_control_character_is_left_and_offsets_stay(text: str) -> None:
    shown = inert(text)
    assert len(shown) == len(text)
    assert not [each for each in shown if unicodedata.category(each) in ("Cc", "Cs") and each not in "\n\t"]
    assert not set(shown) & set("\u202e\u2066\u2028\u200f")


@given(st.characters())
def test_letters_of_all_scripts_are_left_alone(letter: str) -> None:
    if letter.isprintable():
        assert inert(letter) == letter


@given(nasty)
def test_markdown_shows_the_text_letter_by_letter(text: str) -> None:
    tokens = MarkdownIt("commonmark").parse(f"x {markdown_literal(text)} x")
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    children = tokens[1].children or []
    assert {child.type for child in children} <= {"text", "text_special"}
    assert " ".join("".join(child.content for child in children).split()) == f"x {one_line(text)} x".replace("x  x", "x x")
