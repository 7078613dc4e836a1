"""Files of many formats: their words, where they stand, who says them; and files that are not what they should be."""

from __future__ import annotations

import os
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from index.documents import Document, Voice
from index.errors import CorpusError
from index.loaders import apart
from index.loaders.registry import Loaded, load
from index.voices import sentences_with_voices, voice_at
from tests.conftest import ROOT
from tests.index.fuzz_loaders import SOUND, damaged, reads_or_refuses
from tests.index.writing_files import Line, column, epub, odt, pdf, word, zipped

LIMIT = 20_000_000


def loaded(tmp_path: Path, name: str, data: bytes | str) -> Loaded:
    """As a build reads it."""
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return load(path, name, max_bytes=LIMIT)


def places(document: Document) -> list[tuple[str, str]]:
    """(label, words below the heading)."""
    assert "".join(document.text[each.start : each.end] for each in document.locators) == document.text
    return [(each.label, document.text[each.start + each.heading : each.end].strip()) for each in document.locators]


def refusal(tmp_path: Path, name: str, data: bytes | str) -> str:
    with pytest.raises(CorpusError) as caught:
        loaded(tmp_path, name, data)
    told = str(caught.value)
    assert told.startswith(name) and "\n" not in told
    return told


# -- PDF -------------------------------------------------------------------------------------------------------------------

LEFT = ["The river treaty was signed in", "Basel in 1961. It binds both", "banks to share the water, and a", "commis-"]
RIGHT = ["sion of ten engineers looks after", "it every spring."]


def test_a_pdf_is_cited_by_its_pages(tmp_path: Path) -> None:
    pages = [
        [Line(60, 760, "The River Treaty", 20), *column(60, 700, ["It was signed in Basel."])],
        column(60, 700, ["Keller doubts it."]),
    ]
    document = loaded(tmp_path, "r.pdf", pdf(pages, "/Author (Ada Moreno)")).document
    assert places(document) == [("p. 1", "It was signed in Basel."), ("p. 2", "Keller doubts it.")]
    assert (document.title, document.authors) == ("The River Treaty", ("Ada Moreno",))
    assert document.locators[1].headings == ("The River Treaty",)


def test_columns_are_read_one_after_the_other_and_words_are_whole_again(tmp_path: Path) -> None:
    page = [Line(60, 780, "The River Treaty", 20), *column(60, 700, LEFT), *column(320, 700, RIGHT)]
    document = loaded(tmp_path, "r.pdf", pdf([page])).document
    assert "and a commission of ten engineers looks after it every spring." in document.text


def test_a_word_that_the_document_writes_with_a_hyphen_keeps_it(tmp_path: Path) -> None:
    lines = ["The well-known treaty is old. A well-", "known treaty binds."]
    assert "A well-known treaty binds." in loaded(tmp_path, "r.pdf", pdf([column(60, 700, lines)])).document.text


def test_a_sentence_that_goes_on_overleaf_is_whole_and_stands_where_it_begins(tmp_path: Path) -> None:
    note = Line(60, 100, "1 See Moreno 1999, p. 4, on the dams.", 7)
    pages = [
        [*column(60, 700, ["It binds both banks. The commission of engineers looks", "after the dams and the"]), note],
        column(60, 700, ["locks in every spring of the year. Keller doubts that", "this is enough."]),
    ]
    document = loaded(tmp_path, "r.pdf", pdf(pages)).document
    whole = "The commission of engineers looks after the dams and the locks in every spring of the year."
    assert whole in document.text
    assert document.locator_at(document.text.index(whole)).label == "p. 1"
    assert document.locator_at(document.text.index("Keller doubts")).label == "p. 2"
    assert document.locator_at(document.text.index("See Moreno")).label == "p. 1"


def test_running_heads_feet_and_page_numbers_are_no_words_of_the_text(tmp_path: Path) -> None:
    pages = [
        [
            Line(60, 810, f"Journal of Rivers {number}"),
            *column(60, 700, [f"Dam number {number} is safe."]),
            Line(290, 30, str(number)),
        ]
        for number in range(1, 5)
    ]
    document = loaded(tmp_path, "r.pdf", pdf(pages)).document
    assert [words for _, words in places(document)] == [f"Dam number {number} is safe." for number in range(1, 5)]


def test_headings_are_told_by_size_and_the_numbers_of_pages_are_those_printed(tmp_path: Path) -> None:
    page = [
        Line(60, 760, "Signing", 16),
        *column(60, 730, ["It was signed in Basel in 1961 by both banks of the river."]),
        Line(60, 680, "Doubts", 16),
        *column(60, 650, ["Keller doubts that it is fair to those who live below."]),
    ]
    document = loaded(tmp_path, "r.pdf", pdf([page], labels="/PageLabels << /Nums [0 << /S /r /St 4 >>] >>")).document
    assert [(each.label, each.headings[-1]) for each in document.locators] == [("p. iv", "Signing"), ("p. iv", "Doubts")]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ((ROOT / "tests/data/locked.pdf").read_bytes(), "password"),
        (b"%PDF-1.4\nnothing of the kind", "damaged"),
        (pdf([column(60, 700, ["It was signed."])])[:400], "damaged"),
        (b"no PDF at all", "damaged"),
        (b"", "empty"),
        (pdf([]), "no pages"),
        (pdf([[]]), "no text"),
    ],
    ids=lambda told: told if isinstance(told, str) else "data",
)
def test_a_pdf_that_cannot_be_read_is_told(data: bytes, what: str, tmp_path: Path) -> None:
    assert what in refusal(tmp_path, "r.pdf", data)


# -- documents with headings -----------------------------------------------------------------------------------------------

TWO_PLACES = [("§ Signing", "It was signed in Basel."), ("§ Doubts", "Keller doubts it.")]
BODY = "<h1>Rivers</h1><h2>Signing</h2><p>It was signed in <b>Basel</b>.</p><h2>Doubts</h2><p>Keller doubts it.</p>"


def test_a_word_document_is_cited_by_its_headings(tmp_path: Path) -> None:
    pieces = [
        ("Heading 1", "Signing"), ("Normal", "It was signed in Basel."), ("Heading 1", "Doubts"), ("Normal", "Keller doubts it.")
    ]  # fmt: skip
    document = loaded(tmp_path, "r.docx", word(pieces, title="Rivers", author="Ada Moreno", rows=[("dam", "1961")])).document
    assert places(document) == [*TWO_PLACES[:1], ("§ Doubts, ¶1", "Keller doubts it."), ("§ Doubts, ¶2", "dam | 1961")]
    assert (document.title, document.authors) == ("Rivers", ("Ada Moreno",))


def test_an_open_document_is_cited_by_its_headings_and_its_notes_stand_in_their_paragraph(tmp_path: Path) -> None:
    body = (
        '<text:h text:outline-level="1">Signing</text:h><text:p>It was signed in Basel<text:note><text:note-citation>1'
        "</text:note-citation><text:note-body><text:p>Moreno 1999.</text:p></text:note-body></text:note>.</text:p>"
        '<text:tracked-changes><text:p>Deleted.</text:p></text:tracked-changes><text:h text:outline-level="1">Doubts</text:h>'
        "<text:p>Keller<text:s/>doubts it.</text:p>"
    )
    meta = "<dc:title>Rivers</dc:title><meta:initial-creator>Ada Moreno</meta:initial-creator>"
    document = loaded(tmp_path, "r.odt", odt(body, meta)).document
    assert places(document) == [("§ Signing", "It was signed in Basel. [1: Moreno 1999.]"), TWO_PLACES[1]]
    assert (document.title, document.authors) == ("Rivers", ("Ada Moreno",))


def test_a_book_is_cited_by_chapter_and_heading(tmp_path: Path) -> None:
    chapters = {"one.xhtml": "<h1>Signing</h1><p>It was signed in Basel.</p>", "two.xhtml": "<p>Keller doubts it.</p>"}
    head = "<dc:title>Rivers</dc:title><dc:creator>Ada Moreno</dc:creator><dc:date>1999-05-01T00:00:00</dc:date>"
    document = loaded(tmp_path, "r.epub", epub(chapters, head=head, contents={"two.xhtml": "Doubts"})).document
    assert places(document) == TWO_PLACES
    assert (document.title, document.authors, document.published) == ("Rivers", ("Ada Moreno",), "1999-05-01")


def test_of_a_web_page_the_article_is_taken(tmp_path: Path) -> None:
    words = "It was signed in Basel in 1961 by the envoys of both banks, after years of talks that nobody thought would end. " * 4
    page = f"""<html><head><title>Rivers</title><meta name="author" content="Ada Moreno">
    <meta property="article:published_time" content="1999-05-01"></head><body><nav><a href="/">Home</a><a href="/x">Buy now</a></nav>
    <article><h1>Rivers</h1><h2>Signing</h2><p>{words}</p><h2>Doubts</h2><p>Keller doubts it, {words}</p></article>
    <script>var secret = 1</script><footer>All rights reserved</footer></body></html>"""
    document = loaded(tmp_path, "r.html", page).document
    assert (document.title, document.authors, document.published) == ("Rivers", ("Ada Moreno",), "1999-05-01")
    assert [label for label, _ in places(document)][-2:] == ["§ Signing", "§ Doubts"]
    assert not any(word in document.text for word in ("Buy now", "secret", "All rights"))


def test_a_page_without_an_article_gives_all_its_words_and_says_so(tmp_path: Path) -> None:
    told = loaded(tmp_path, "r.html", "<p>Keller</p><div>doubts<br>it <span>all</span></div><style>p {}</style>")
    assert places(told.document) == [("¶1", "Keller"), ("¶2", "doubts it all")] or "doubts it all" in told.document.text
    assert "style" not in told.document.text and "{}" not in told.document.text


@pytest.mark.parametrize(
    ("encoding", "declared"), [("utf-8", ""), ("cp1252", '<meta charset="windows-1252">'), ("utf-8-sig", "")]
)
def test_letters_of_a_page_are_those_meant(encoding: str, declared: str, tmp_path: Path) -> None:
    page = f"<html><head>{declared}</head><body><p>Müller doubts that the café is “open” today, as every day.</p></body></html>"
    assert "Müller doubts that the café is “open” today" in loaded(tmp_path, "r.html", page.encode(encoding)).document.text


def test_restructured_text_is_cited_by_its_sections_and_reads_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    text = "Rivers\n======\n\n:Author: Ada Moreno\n\nSigning\n-------\n\nIt was *signed* in Basel.\n\n.. include:: secret.txt\n\n.. comment\n\nDoubts\n------\n\nKeller doubts it.\n"
    document = loaded(tmp_path, "r.rst", text).document
    assert places(document) == TWO_PLACES
    assert (document.title, document.authors) == ("Rivers", ("Ada Moreno",))


def test_rich_text_is_cited_by_its_paragraphs(tmp_path: Path) -> None:
    text = r"{\rtf1\ansi{\info{\title Rivers}{\author Ada Moreno}}It was signed in {\b Basel}.\par M\'fcller doubts it.\par}"
    document = loaded(tmp_path, "r.rtf", text).document
    assert places(document) == [("¶1", "It was signed in Basel."), ("¶2", "Müller doubts it.")]
    assert (document.title, document.authors) == ("Rivers", ("Ada Moreno",))


def test_rtf_whose_title_never_ends_is_read_at_once(tmp_path: Path) -> None:
    """It can be cut in more ways than there are atoms: a pattern that tried them all would hang."""
    text = r"{\rtf1{\info{\title " + r"\u1234 \u-9? " * 500 + r"}It was signed.\par}"
    assert loaded(tmp_path, "r.rtf", text.replace("}It", "}}It")).document.text == "It was signed."
    with pytest.raises(CorpusError, match="holds no words"):
        loaded(tmp_path, "r.rtf", text.replace("}It", "It"))


# -- who speaks ------------------------------------------------------------------------------------------------------------


def test_what_a_mail_quotes_is_credited_to_whom_it_quotes(tmp_path: Path) -> None:
    mail = (
        "From: Ada Moreno <am@example.org>\nSubject: The dams\nDate: Sat, 01 May 1999 10:00:00 +0000\n\n"
        "I do not agree.\n\nOn 30 April 1999, Jonas Keller <jk@example.org> wrote:\n> The dams are unsafe.\n\nThey are safe.\n"
    )
    document = loaded(tmp_path, "m.eml", mail).document
    said = {document.text[start:end]: str(voice) for start, end, voice in sentences_with_voices(document, 0, len(document.text))}
    assert said["I do not agree."] == said["They are safe."] == "Ada Moreno"
    assert next(voice for words, voice in said.items() if "unsafe" in words) == "Jonas Keller"
    assert (document.title, document.published) == ("The dams", "1999-05-01")


def test_what_a_quoted_mail_quotes_is_credited_to_whom_that_names(tmp_path: Path) -> None:
    mail = (
        "From: Bo Lind <b@example.org>\nSubject: piers\n\nI agree.\n\nOn 4 March 2019, Cy Moor <cy@example.org> wrote:\n"
        "> The pier is of oak, and was painted in the year of\n> the great storm.\n>\n> On 3 March 2019, Di Penn wrote:\n"
        ">> The pier is of elm.\n>\n> That is wrong.\n\nYours, Bo\n"
    )
    document = loaded(tmp_path, "m.eml", mail).document
    assert [(str(each.voice), words) for each, (_, words) in zip(document.locators, places(document), strict=True)] == [
        ("None", "I agree."),
        ("None", "On 4 March 2019, Cy Moor <cy@example.org> wrote:"),
        ("Cy Moor", "The pier is of oak, and was painted in the year of\nthe great storm."),
        ("Cy Moor", "On 3 March 2019, Di Penn wrote:"),
        ("Di Penn", "The pier is of elm."),
        ("Cy Moor", "That is wrong."),
        ("None", "Yours, Bo"),
    ]


def test_headings_that_are_years_stay_and_powers_are_no_notes(tmp_path: Path) -> None:
    pages = [
        [Line(60, 500, str(year), 28), *column(60, 460, [f"In {year} the dams were safe, as they are each year."])]
        for year in (2019, 2020, 2021)
    ]
    assert "2020" in loaded(tmp_path, "r.pdf", pdf(pages)).document.text.split("In 2020")[0]
    page = "<p>An area of <a href='x'>536 km<sup>2</sup> of land</a>, and (a+b)<sup>2</sup>.<sup><a href='#1'>3</a></sup></p>"
    text = loaded(tmp_path, "r.html", page).document.text
    assert "536 km2 of land" in text and "(a+b)2. [3]" in text


@pytest.mark.parametrize(
    ("sentence", "speaker"),
    [
        ("Hong Vu argues that the treaty is fair.", "Hong Vu, as reported by Khang Vu, Ngo Di Lan"),
        ("Vu argues that the treaty is fair.", "Khang Vu"),
        ("K. Vu argues that the treaty is fair.", "Khang Vu"),
        ("Le Thi Lan doubts the treaty.", "Le Thi Lan, as reported by Khang Vu, Ngo Di Lan"),
    ],
)
def test_of_several_authors_the_one_who_is_named_speaks(sentence: str, speaker: str, tmp_path: Path) -> None:
    document = loaded(tmp_path, "r.md", f"---\nauthors: [Khang Vu, Ngo Di Lan]\n---\n\n{sentence}\n").document
    assert [str(voice) for *_, voice in sentences_with_voices(document, 0, len(document.text))] == [speaker]


def test_front_matter_may_call_author_and_date_so(tmp_path: Path) -> None:
    document = loaded(tmp_path, "r.md", "---\nauthor: Ada Moreno\ndate: 2018-04-12\n---\n\nIt was signed.\n").document
    assert (document.authors, document.published) == (("Ada Moreno",), "2018-04-12")


def test_attachments_of_a_mail_are_told(tmp_path: Path) -> None:
    mail = (
        'From: a@example.org\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="x"\n\n--x\nContent-Type: text/plain\n\n'
        "See below.\n--x\nContent-Type: application/pdf\nContent-Disposition: attachment; filename=../../a.pdf\n\nnone\n--x--\n"
    )
    told = loaded(tmp_path, "m.eml", mail)
    assert told.document.text.strip() == "See below." and "1 attached files were not read" in str(told.warning)


SRT = """1
00:00:01,000 --> 00:00:03,000
MORENO: The treaty was

2
00:00:03,000 --> 00:00:05,500
signed in <i>Basel</i>.

3
00:01:10,000 --> 00:01:12,000
KELLER: I doubt it.
"""


def test_subtitles_are_cited_by_the_time_at_which_a_sentence_begins(tmp_path: Path) -> None:
    document = loaded(tmp_path, "r.srt", SRT).document
    assert places(document) == [("0:00:01", "The treaty was signed in Basel."), ("0:01:10", "I doubt it.")]
    assert [voice_at(document, each) for each in document.locators] == [Voice("MORENO"), Voice("KELLER")]


def test_web_subtitles_name_their_speakers(tmp_path: Path) -> None:
    text = "WEBVTT\n\n00:01.000 --> 00:02.000 align:start\n<v Ada Moreno>It was signed.</v>\n\n00:02.000 --> 00:03.000\n<v Ivo Keller>When?\n"
    document = loaded(tmp_path, "r.vtt", text).document
    assert [str(each.voice) for each in document.locators] == ["Ada Moreno", "Ivo Keller"]
    assert places(document) == [("0:00:01", "It was signed."), ("0:00:02", "When?")]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("r.csv", 'author,title,text\nAda Moreno,Signing,"It was signed, in Basel."\nIvo Keller,Doubts,Keller doubts it.\n'),
        ("r.tsv", "author\ttitle\ttext\nAda Moreno\tSigning\tIt was signed, in Basel.\nIvo Keller\tDoubts\tKeller doubts it.\n"),
    ],
)
def test_a_table_is_cited_by_its_rows_and_their_authors_speak(name: str, data: str, tmp_path: Path) -> None:
    document = loaded(tmp_path, name, data).document
    assert places(document) == [("row 2", "It was signed, in Basel."), ("row 3", "Keller doubts it.")]
    assert [each.voice for each in document.locators] == [Voice("Ada Moreno"), Voice("Ivo Keller")]
    assert document.locators[1].headings == ("Doubts",)


@pytest.mark.parametrize("between", [",", ";", "\t", "|"])
def test_columns_of_a_table_are_told_apart_whatever_stands_between_them(between: str, tmp_path: Path) -> None:
    rows = [["n", "text", "speaker"], ["1", f'"It was signed{between} in Basel."', "Moreno"], [], ["2", "When?", "Keller"]]
    document = loaded(tmp_path, "r.csv", "\n".join(between.join(row) for row in rows)).document
    # An empty row counts, as in a program for tables.
    assert places(document) == [("row 2", f"It was signed{between} in Basel."), ("row 4", "When?")]


def test_json_lines_in_a_folder_are_a_table(tmp_path: Path) -> None:
    data = '{"text": "It was signed.", "speaker": "Ada Moreno"}\n\n{"text": "When?", "n": 3}\n'
    document = loaded(tmp_path, "r.jsonl", data).document
    assert places(document) == [("row 1", "It was signed."), ("row 3", "When?")]


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("r.csv", "a,b\n1,2\n", "no column of text"),
        ("r.jsonl", "{}\n[1]\n", "line 2"),
        ("r.jsonl", '{"text": "a"}\n{nonsense\n', "line 2: not JSON"),
        ("r.srt", "no times here\n", "no times"),
        ("r.docx", b"PK nonsense", "damaged"),
        ("r.docx", zipped({"[Content_Types].xml": "<Types/>"}), "damaged or no Word document"),
        ("r.docx", b"\xd0\xcf\x11\xe0 old", "old .doc"),
        ("r.epub", zipped({"mimetype": "application/epub+zip"}), "lacks its part"),
        ("r.epub", epub({"one.xhtml": ""}), "no chapter with words"),
        ("r.odt", odt("<text:p/>"), "no words"),
        ("r.odt", odt("", manifest="<manifest><encryption-data/></manifest>"), "password"),
        ("r.rtf", "plain words", "no RTF"),
        ("r.html", "<script>1</script>", "no words"),
        ("r.eml", "Subject: x\n\n", "no words"),
    ],
    ids=lambda told: told if isinstance(told, str) and told.isprintable() else "data",
)
def test_a_file_that_is_not_what_its_name_says_is_told(name: str, data: bytes | str, what: str, tmp_path: Path) -> None:
    assert what in refusal(tmp_path, name, data)


# -- what is told of a file beside it --------------------------------------------------------------------------------------


def test_what_is_told_beside_a_file_overrules_what_it_tells(tmp_path: Path) -> None:
    path = tmp_path / "rivers.md"
    path.write_text("---\ntitle: Old\nauthors: [Nobody]\n---\n\nIt was signed.\n")
    before = load(path, "rivers.md", max_bytes=LIMIT).document
    beside = tmp_path / "rivers.md.meta.toml"
    beside.write_text('title = "Rivers"\nauthors = ["Ada Moreno"]\npublished = 1999-05-01\n')
    document = load(path, "rivers.md", max_bytes=LIMIT).document
    assert (document.title, document.authors, document.published) == ("Rivers", ("Ada Moreno",), "1999-05-01")
    assert document.cite_as == "Moreno 1999" and document.text == before.text
    # So that a build takes it for changed.
    assert document.digest != before.digest


@pytest.mark.parametrize(
    ("told", "what"), [("title = ", "not valid TOML"), ("colour = 'red'", "colour"), ("title = ['a']", "title")]
)
def test_what_is_told_wrongly_beside_a_file_is_refused(told: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "r.txt.meta.toml").write_text(told)
    assert what in refusal(tmp_path, "r.txt", "It was signed.")


# -- files that want to do harm --------------------------------------------------------------------------------------------

LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY a{n} "{f"&a{n - 1 if n else chr(0)};".replace(chr(0), "") * 10}">' for n in range(9)
) + "]>"  # fmt: skip


def test_an_archive_that_would_fill_the_disk_is_not_unpacked(tmp_path: Path) -> None:
    bomb = zipped({"META-INF/container.xml": b" " * 300_000_000})
    for name in ("r.epub", "r.odt", "r.docx"):
        assert "would unpack to 300 MB" in refusal(tmp_path, name, bomb)


def test_entities_are_neither_unfolded_nor_fetched(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    outside = f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{tmp_path}/secret.txt">]>'
    for head in (outside, LAUGHS):
        data = zipped(
            {
                "META-INF/manifest.xml": "<manifest/>",
                "content.xml": f'{head}<a xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><text:p>Signed &e;&a8;.</text:p></a>',
            }
        )
        try:
            text = loaded(tmp_path, "r.odt", data).document.text
        except CorpusError as error:
            text = str(error)
        assert "secret" not in text.replace("secret.txt", "") and "haha" not in text


def test_a_loader_that_hangs_or_dies_is_told_and_the_next_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = pdf([column(60, 700, ["It was signed in Basel."])])
    assert loaded(tmp_path, "a.pdf", words).document.text == "It was signed in Basel."
    # Nobody ever writes into it: reading waits for ever.
    os.mkfifo(tmp_path / "b.pdf")
    monkeypatch.setattr(apart, "_SILENT_SECONDS", 0.5)
    with pytest.raises(CorpusError, match=r"b\.pdf: was not read within"):
        load(tmp_path / "b.pdf", "b.pdf", max_bytes=LIMIT)
    monkeypatch.undo()
    child = apart._process._running()
    child.kill()
    child.wait()
    assert loaded(tmp_path, "c.pdf", words).document.text == "It was signed in Basel."


def test_a_reference_of_a_pdf_that_leads_to_itself_is_not_followed_for_ever(tmp_path: Path) -> None:
    sound = pdf([column(60, 700, ["It was signed."]), column(60, 700, ["When?"])])
    began = time.monotonic()
    path = tmp_path / "r.pdf"
    path.write_bytes(sound.replace(b"7 0 obj\n<<", b"7 0 obj\n7 0 R%"))
    try:
        assert "It was signed." in load(path, path.name, max_bytes=LIMIT).document.text
    except CorpusError as error:
        assert "damaged" in str(error)
    assert time.monotonic() - began < 30


def test_memory_is_limited(tmp_path: Path) -> None:
    # One string of 4 GB, if it were unpacked: a block of spaces, again and again.
    packed = zlib.compressobj(9)
    first = packed.compress(b" " * 10_000_000) + packed.flush(zlib.Z_FULL_FLUSH)
    again = packed.compress(b" " * 10_000_000) + packed.flush(zlib.Z_FULL_FLUSH)
    data = first + again * 400 + packed.flush()
    made = pdf([[]])
    length = len(data)
    head, _, rest = made.partition(b"<< /Length 0 >>\nstream\nendstream")
    harmful = head + f"<< /Length {length} /Filter /FlateDecode >>\nstream\n".encode() + data + b"\nendstream" + rest
    began = time.monotonic()
    told = refusal(tmp_path, "r.pdf", harmful)
    assert any(each in told for each in ("memory", "damaged", "no text", "no pages"))
    assert time.monotonic() - began < 120
    assert loaded(tmp_path, "c.pdf", pdf([column(60, 700, ["It was signed."])])).document.text == "It was signed."


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_bytes_are_read_or_refused_in_one_sentence(data: st.DataObject, tmp_path: Path) -> None:
    name = data.draw(st.sampled_from(sorted(SOUND)))
    reads_or_refuses(tmp_path / name, data.draw(damaged(name)))
