"""A conversation as a file, read back by what reads such files."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import docx
import pytest
from markdown_it import MarkdownIt

from assistant.answering.answers import Answer
from assistant.exporting import FORMATS, answer_as_markdown, export, format_of, write_export
from assistant.history import Kept, KeptTurn
from index.documents import Document, Locator
from index.errors import HistoryError, StoreError
from tests.assistant.test_history import ANSWER, CITATION

EVIL = "<script>alert(1)</script> *not bold* [link](http://x) } \\ & % \x1b[31m"
TEXT = "0123456789It is unfair. And so on."
DOCUMENT = Document(
    "rivers.md", "The River Treaty", TEXT, "d", (Locator(0, len(TEXT), "¶2"),), authors=("Ada Moreno",),
    published="1999-05-01", publisher="Journal of Rivers", url="https://example.org/rivers?a=1&b=2",
)  # fmt: skip
KEPT = Kept(1, "Rivers", "/somewhere/corpus", 0.0, 0.0, False, 2)


def read(document_id: str) -> Document:
    if document_id != "rivers.md":
        raise StoreError(f"{document_id} is gone")
    return DOCUMENT


def turn(answer: Answer | None, **changed: object) -> KeptTurn:
    told = KeptTurn(1, 0.0, "Who doubts it?", answer, "said" if answer else "", None, ())
    return replace(told, **changed)  # type: ignore[arg-type]


def other(document: str, authors: tuple[str, ...], title: str = "T", published: str | None = "2021") -> Answer:
    citation = replace(CITATION, document=document, authors=authors, title=title, published=published)
    return replace(ANSWER, citations=(citation,))


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    return tags


def text(name: str, kept: Kept, turns: list[KeptTurn], read: Callable[[str], Document]) -> str:
    """As a reader of the file sees it: of a Word document all its words."""
    told = export(name, kept, turns, read)
    if name != "Word":
        return told.decode()
    document = docx.Document(io.BytesIO(told))
    return "\n".join(each.text for each in document.paragraphs)


def test_markdown_tells_voices_numbers_and_quotes() -> None:
    told = text("Markdown", KEPT, [turn(ANSWER)], read)
    words = re.sub(r"\\([^\w\s])", r"\1", told)
    assert "## Who doubts it?" in words and "understood as: Who doubts the treaty?" in words
    assert "**Jonas Keller, as reported by Ada Moreno:** It is unfair. [1]" in words
    assert (
        "1. Moreno 1999, ¶2 (digest). Ada Moreno, The River Treaty, 1999-05-01, https://example.org/rivers?a=1&b=2; rivers.md:"
        in words
    )
    assert "> It is unfair." in words and "rivers.md" in told, "what means nothing in Markdown is not escaped"


def test_html_leads_from_each_number_to_its_quote() -> None:
    tags = parsed(text("HTML", KEPT, [turn(ANSWER, again=(("5 passages", ANSWER),)), turn(ANSWER)], read))
    ids = [attributes["id"] for tag, attributes in tags.tags if tag == "li"]
    links = [attributes["href"] for tag, attributes in tags.tags if tag == "a"]
    assert len(ids) == len(set(ids)) == 3 and [f"#{name}" for name in ids] == links
    assert "Asked again: 5 passages" in tags.text


def test_a_source_that_has_changed_says_so_in_every_form_to_read() -> None:
    moved = replace(ANSWER, citations=(replace(CITATION, start=0, end=13),))
    gone = other("gone.md", ("A B",))
    for name in ("Markdown", "HTML", "Word"):
        told = text(name, KEPT, [turn(moved), turn(gone)], read)
        assert "the source has changed since" in told and "the source is gone from the corpus since" in told
    assert "has changed" not in text("Markdown", KEPT, [turn(ANSWER)], read)


def test_a_question_without_an_answer_is_told_as_such() -> None:
    for name in ("Markdown", "HTML", "Word"):
        told = text(name, KEPT, [turn(None, failure="the server is gone")], read)
        assert "Not answered: the server is gone" in told.replace("\\", "")


def test_text_is_text_in_every_format() -> None:
    evil = replace(
        ANSWER,
        question=EVIL,
        short=EVIL,
        sentences=(replace(ANSWER.sentences[0], text=EVIL, support="unverified", citations=()),),
        notices=(EVIL,),
    )
    citing = other(EVIL, (EVIL,), EVIL)
    turns = [turn(evil, question=EVIL), turn(citing)]
    html = parsed(text("HTML", KEPT, turns, read))
    assert not {tag for tag, _ in html.tags} & {"script", "b-", "em"} and "<script>" in html.text
    rendered = parsed(MarkdownIt("commonmark").render(text("Markdown", KEPT, turns, read)))
    assert not {"script", "a"} & {tag for tag, _ in rendered.tags} and "[link](http://x)" in rendered.text
    for name in FORMATS:
        assert "\x1b" not in text(name, KEPT, turns, read)
    entries = text("BibTeX", KEPT, [turn(citing)], read)
    assert entries.count("{") - entries.count(r"\{") == entries.count("}") - entries.count(r"\}")


def test_json_is_the_contract_of_answers() -> None:
    told = json.loads(text("JSON", KEPT, [turn(ANSWER)], read))
    assert told["turns"][0]["answer"]["citations"][0]["quote"] == "It is unfair." and told["corpus"] == "corpus"


def test_bibliographies_name_each_document_once_with_its_pinpoints() -> None:
    later = replace(
        ANSWER, citations=(CITATION, replace(CITATION, marker=2, locator="¶3"), replace(CITATION, marker=3, document="b.md"))
    )
    turns = [turn(ANSWER), turn(later)]
    bib = text("BibTeX", KEPT, turns, read)
    assert re.findall(r"@misc\{([^,]+),", bib) == ["moreno1999", "moreno1999-2"]
    assert "cited at ¶2, ¶3; rivers.md" in bib and r"a=1\&b=2" in bib and "author = {{Ada Moreno}}" in bib
    first, second = json.loads(text("CSL-JSON", KEPT, turns, read))
    assert first == {
        "id": "moreno1999", "type": "document", "title": "The River Treaty", "author": [{"literal": "Ada Moreno"}],
        "issued": {"date-parts": [[1999, 5, 1]]}, "publisher": "Journal of Rivers", "URL": "https://example.org/rivers?a=1&b=2",
        "note": "cited at ¶2, ¶3; rivers.md",
    }  # fmt: skip
    assert second["id"] == "moreno1999-2" and "URL" not in second


def test_a_word_document_tells_voices_numbers_and_quotes() -> None:
    document = docx.Document(io.BytesIO(export("Word", KEPT, [turn(ANSWER)], read)))
    assert [each.text for each in document.paragraphs if each.style and each.style.name == "Heading 1"] == ["Who doubts it?"]
    told = text("Word", KEPT, [turn(ANSWER)], read)
    assert "Jonas Keller, as reported by Ada Moreno: It is unfair. [1]" in told and "“It is unfair.”" in told
    assert "[1] Moreno 1999, ¶2 (digest). Ada Moreno, The River Treaty, 1999-05-01, https://example.org" in told


def test_ris_names_each_document_once() -> None:
    later = replace(ANSWER, citations=(CITATION, replace(CITATION, marker=2, locator="¶3")))
    lines = text("RIS", KEPT, [turn(ANSWER), turn(later)], read).splitlines()
    assert lines == [
        "TY  - ELEC", "TI  - The River Treaty", "AU  - Ada Moreno", "PY  - 1999", "DA  - 1999/05/01/", "PB  - Journal of Rivers",
        "UR  - https://example.org/rivers?a=1&b=2", "N1  - cited at ¶2, ¶3; rivers.md", "ER  - ",
    ]  # fmt: skip


def test_one_answer_reads_as_it_does_in_its_conversation() -> None:
    assert answer_as_markdown(ANSWER, read).strip() in text("Markdown", KEPT, [turn(ANSWER)], read)


def test_a_file_s_name_tells_the_format() -> None:
    assert [format_of(Path(f"x{end}")) for end in FORMATS.values()] == list(FORMATS)
    with pytest.raises(HistoryError, match=r"must end with one of \.md"):
        format_of(Path("x.pdf"))


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rivers.md"
    write_export(path, "Markdown", KEPT, [turn(ANSWER)], read)
    before = path.read_text(encoding="utf-8")
    with pytest.raises(HistoryError, match="is there already"):
        write_export(path, "JSON", KEPT, [turn(ANSWER)], read)
    assert path.read_text(encoding="utf-8") == before
    with pytest.raises(HistoryError, match="cannot be written"):
        write_export(path / "below", "JSON", KEPT, [turn(ANSWER)], read)


def test_a_citation_without_author_or_date_has_a_key() -> None:
    assert "@misc{source," in text("BibTeX", KEPT, [turn(other("x.md", (), published=None))], read)
