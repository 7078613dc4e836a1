"""One file of JSON Lines as corpus."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from index.build import corpus_sources
from index.documents import Voice
from index.embedders import LocalEmbedder
from index.errors import CorpusError
from index.settings import IndexSettings
from index.voices import voice_at
from tests.conftest import run_build


def jsonl_settings(tmp_path: Path, *lines: object) -> IndexSettings:
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), encoding="utf-8")
    return IndexSettings(corpus=path, added=tmp_path / "added", store=tmp_path / "store")


def test_each_line_of_a_corpus_file_is_a_document(tmp_path: Path) -> None:
    settings = jsonl_settings(
        tmp_path,
        {
            "id": "b/1",
            "title": "Rivers",
            "text": "Water runs.\r\n\r\nIt is wet.",
            "authors": ["Ada Moreno"],
            "published": "1999-05",
        },
        {"id": "../a", "text": "Bread.", "unknown": 3},
    )
    sources = corpus_sources(settings).by_id
    assert list(sources) == ["../a", "b/1"]
    rivers, bread = (sources[name].load().document for name in ("b/1", "../a"))
    # As long as in the file: offsets that others counted stay true.
    assert rivers.text == "Water runs. \n \nIt is wet." and [place.label for place in rivers.locators] == ["¶1", "¶2"]
    assert (rivers.title, rivers.authors, rivers.cite_as) == ("Rivers", ("Ada Moreno",), "Moreno 1999")
    assert bread.title == "../a" and bread.kind == "document"


def test_a_packed_corpus_file_is_read_as_well(tmp_path: Path) -> None:
    plain = jsonl_settings(tmp_path, {"id": "a", "text": "Bread."})
    packed = tmp_path / "packed.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.corpus.read_bytes()))
    other = corpus_sources(replace(plain, corpus=packed))
    assert other.by_id["a"].stamp == corpus_sources(plain).by_id["a"].stamp
    packed.write_bytes(packed.read_bytes()[:-12])
    with pytest.raises(CorpusError, match=r"packed.jsonl.gz cannot be read"):
        corpus_sources(replace(plain, corpus=packed))


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (['{"id": "a"'], "line 1: not JSON"),
        (["[]"], "line 1: not a JSON object"),
        ([{"id": "a\ud800", "text": "x"}], "line 1: the id holds characters that are no text"),
        ([{"id": "a\0b", "text": "x"}], "line 1: the id holds characters that are no text"),
        ([{"id": "a", "text": "x"}, {"text": "x"}], "line 2: id is missing"),
        ([{"id": 7, "text": "x"}], "line 1: id is missing or no text"),
        ([{"id": "a", "text": "x"}, "", {"id": "a", "text": "y"}], "line 3: the id a stands already in line 1"),
    ],
)
def test_a_line_that_is_no_document_is_told(tmp_path: Path, lines: list[object], complaint: str) -> None:
    with pytest.raises(CorpusError, match=complaint):
        corpus_sources(jsonl_settings(tmp_path, *lines))


def test_the_turns_of_a_transcript_have_their_speakers_voices(tmp_path: Path) -> None:
    text = "The meeting began late.\nAda Moreno: We agree.\nJonas (North): Do we? Ada Moreno: said so.\nNobody: I listen."
    settings = jsonl_settings(tmp_path, {"id": "m", "text": text, "speakers": ["Ada Moreno", "Jonas (North)"]})
    document = corpus_sources(settings).by_id["m"].load().document
    told = [
        (place.label, place.voice and place.voice.speaker, text[place.start + place.heading : place.end])
        for place in document.locators
    ]
    assert told == [
        ("¶1", None, "The meeting began late.\n"),
        ("¶2", "Ada Moreno", "We agree.\n"),
        ("¶3", "Jonas (North)", "Do we? Ada Moreno: said so.\nNobody: I listen."),
    ]
    assert voice_at(document, document.locators[1]) == Voice("Ada Moreno")


def test_only_changed_lines_of_a_corpus_file_are_read_again(tmp_path: Path, embedder: LocalEmbedder) -> None:
    lines = [{"id": str(number), "text": f"The number {number} is here."} for number in range(5)]
    settings = jsonl_settings(tmp_path, *lines)
    assert len(run_build(settings, embedder).added) == 5
    jsonl_settings(tmp_path, *lines[:3], {"id": "3", "text": "Another number."}, {"id": "9", "text": "A new one."})
    report = run_build(settings, embedder)
    assert (report.added, report.changed, report.removed, report.embedded) == (("9",), ("3",), ("4",), 2)
    assert len(report.unchanged) == 3


def test_half_a_character_in_a_text_is_shown_as_such_and_moves_nothing(tmp_path: Path) -> None:
    settings = jsonl_settings(tmp_path, {"id": "a", "title": "T\ud83d", "text": "Bread \ud83d is good.", "authors": ["B\udc00"]})
    document = corpus_sources(settings).by_id["a"].load().document
    assert document.text == "Bread \ufffd is good." and document.title == "T\ufffd" and document.authors == ("B\ufffd",)
