from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.documents import Document, Voice
from index.errors import CorpusError
from index.loaders.markdown import load_markdown
from index.loaders.registry import load
from index.loaders.text import load_text
from index.voices import voice_at
from tests.conftest import RIVERS


def labels(document: Document) -> list[str]:
    return [locator.label for locator in document.locators]


def test_front_matter_gives_metadata_and_stays_out_of_the_text() -> None:
    document = load_markdown("rivers.md", RIVERS, "d")
    assert (document.title, document.authors, document.published) == ("The River Treaty", ("Ada Moreno",), "1999-05-01")
    assert document.cite_as == "Moreno 1999"
    assert document.text.startswith("## ¶1")


def test_a_digest_names_paragraph_and_voice_in_its_headings() -> None:
    document = load_markdown("rivers.md", RIVERS, "d")
    assert labels(document) == ["¶1", "¶2", "¶3"]
    assert [voice_at(document, locator) for locator in document.locators] == [
        Voice("Ada Moreno"),
        Voice("Jonas Keller", "Ada Moreno"),
        Voice("Ada Moreno"),
    ]


def test_a_dot_in_a_heading_is_no_voice_outside_a_digest() -> None:
    document = load_markdown("x.md", "---\nauthors: [Ada Moreno]\n---\n# Cats · Dogs\n\nBoth sleep.", "d")
    assert voice_at(document, document.locators[0]) == Voice("Ada Moreno")
    assert labels(document) == ["§ Cats · Dogs"]


def test_a_note_without_authors_is_the_reporter_of_its_voices() -> None:
    text = "---\npublisher: The Notes\ndigest_of: facts\n---\n## Numbers · The Bureau\n\nIt counts ten.\n\n## Rest\n\nNothing."
    document = load_markdown("n.md", text, "d")
    assert voice_at(document, document.locators[0]) == Voice("The Bureau", "The Notes")
    assert voice_at(document, document.locators[1]) == Voice("The Notes")


def test_blocks_under_one_heading_are_told_apart() -> None:
    document = load_markdown("x.md", "# T\n\nOne.\n\nTwo.\n\n## U\n\nThree.\n", "d")
    assert labels(document) == ["§ T, ¶1", "§ T, ¶2", "§ U"]
    assert document.locators[2].headings == ("T", "U")


def test_plain_text_has_numbered_paragraphs() -> None:
    document = load_text("a.txt", "\n\nOne.\n\nTwo\ngoes on.\n \n\nThree.\n\n", "d")
    assert labels(document) == ["¶1", "¶2", "¶3"]
    assert document.text[document.locators[1].start : document.locators[1].end].strip() == "Two\ngoes on."


def test_a_page_break_inside_a_sentence_parts_no_paragraphs() -> None:
    document = load_text("a.txt", "They hide such\n\ninformation from us.\n\nNext.", "d")
    assert labels(document) == ["¶1", "¶2"]


@pytest.mark.parametrize(
    ("front", "complaint"),
    [
        ("title: [a", "not valid YAML"),
        ("title: {a: b}", "title"),
        ("authors: [{a: b}]", "authors"),
    ],
)
def test_bad_front_matter_is_told_in_one_sentence(front: str, complaint: str) -> None:
    with pytest.raises(CorpusError, match=complaint) as caught:
        load_markdown("bad.md", f"---\n{front}\n---\nText.", "d")
    assert str(caught.value).startswith("bad.md:")


def test_a_heading_is_no_sentence_of_its_section() -> None:
    document = load_markdown("x.md", "Title\n=====\n\nWords.\n\n## Next\nMore.", "d")
    assert [document.text[place.start + place.heading : place.end].strip() for place in document.locators] == ["Words.", "More."]


def test_front_matter_of_many_marks_is_read_at_once() -> None:
    load_markdown("x.md", "---\n" + "# " * 5000 + "x\n---\nText.", "d")


def test_blank_metadata_is_no_metadata() -> None:
    document = load_markdown("a-title.md", '---\ntitle: "  "\nauthors: ["", " "]\npublished: May 2021\n---\nText.', "d")
    assert (document.title, document.authors, document.cite_as) == ("a title", (), "a title")


def test_a_text_between_rules_is_not_front_matter() -> None:
    document = load_markdown("x.md", "---\nJust a ruled line of words\n---\n\nText.", "d")
    assert "ruled" in document.text


markdown_pieces = st.lists(
    st.sampled_from(
        ["# H\n", "## ¶3 · A\n", "Para one.\n\n", "* item\n* item\n\n", "> quote\n\n", "```\ncode\n```\n", "| a |\n|---|\n| b |\n\n", "\n", "Setext\n===\n", "---\n", "é漢字 text", "\t\n"]
    ),
    max_size=12,
)  # fmt: skip


@given(markdown_pieces)
def test_locators_tile_every_markdown_text(pieces: list[str]) -> None:
    check_tiling(load_markdown("x.md", "".join(pieces), "d"))


@given(st.text(alphabet="ab .\n\t\u00a0é漢\x1b", max_size=200))
def test_locators_tile_every_plain_text(text: str) -> None:
    check_tiling(load_text("x.txt", text, "d"))


def check_tiling(document: Document) -> None:
    edges = [0, *(locator.end for locator in document.locators)]
    assert [locator.start for locator in document.locators] == edges[:-1]
    assert edges[-1] == len(document.text)
    assert all(locator.start < locator.end and locator.label for locator in document.locators)
    if document.text:
        assert document.locator_at(len(document.text) - 1) == document.locators[-1]


def test_other_encodings_are_read_and_told(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    text = "Die Brücke über den Fluß wurde im März eröffnet. Später führte sie zu Ärger über die Gebühren. " * 5
    path.write_bytes(text.encode("cp1252"))
    loaded = load(path, "latin.txt", max_bytes=10_000)
    assert loaded.document.text == text
    assert loaded.warning is not None and "not UTF-8" in loaded.warning


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "w.txt"
    path.write_bytes(b"\xef\xbb\xbfOne.\r\n\r\nTwo.\r\n")
    assert load(path, "w.txt", max_bytes=100).document.text == "One.\n\nTwo.\n"


@pytest.mark.parametrize(
    ("name", "data", "complaint"),
    [
        ("a.txt", b"a\0b", "binary"),
        ("a.txt", b"x" * 2_000_001, "limit of 2 MB"),
        ("a.xyz", b"text", "no loader"),
    ],
)
def test_what_cannot_be_read_is_told_with_a_remedy(tmp_path: Path, name: str, data: bytes, complaint: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CorpusError, match=complaint):
        load(tmp_path / name, name, max_bytes=2_000_000)
