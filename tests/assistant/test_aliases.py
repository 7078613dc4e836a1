"""Names that are spelt in several ways."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from assistant import open_assistant
from assistant.retrieval.aliases import Aliases, read_aliases
from index.errors import CorpusError
from tests.conftest import ROOT

NAMES = Aliases([["Mao Zedong", "Mao Tse-tung"], ["Luang Prabang", "Luong Prabang", "Louang Phrabang"], ["Le Duan", "Le Zuan"]])


def written(*spellings: str):  # type: ignore[no-untyped-def]
    return lambda spelling, _: spelling in spellings


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ("Did Mao Tse-tung sign?", "Did Mao Zedong sign?"),
        ("did MAO TSETUNG sign", "did Mao Zedong sign"),
        ("mao tse tung's speech", "Mao Zedong's speech"),
        ("Mao Tse‐tung and Mao Tse-Tung", "Mao Zedong and Mao Zedong"),
        ("Louangphrabang", "Luang Prabang"),
        ("Ḷ̣ouáng Phrabang, ﬁrst", "Luang Prabang, ﬁrst"),
        ("Mao Zedong", "Mao Zedong"),
        ("Maos Tse-tungs", "Maos Tse-tungs"),
        ("A Le Zuan?", "A Le Zuan?"),
        ("", ""),
    ],
)
def test_a_name_is_spelt_as_the_sources_do(told: str, found: str) -> None:
    assert NAMES.as_written(told, written("Mao Zedong", "Luang Prabang")) == found


def test_a_spelling_that_the_sources_have_stays_and_the_others_are_looked_for_too() -> None:
    both = written("Luang Prabang", "Luong Prabang")
    assert NAMES.as_written("Luong Prabang", both) == "Luong Prabang"
    assert NAMES.variants("What about Luong Prabang?", both) == ["What about Luang Prabang?"]
    assert NAMES.variants("What about Louangphrabang?", both) == ["What about Luang Prabang?", "What about Luong Prabang?"]
    assert NAMES.variants("Nothing of it", both) == []


@pytest.mark.parametrize(
    "told",
    ["names = ", 'names = ["Mao"]', 'names = [["Mao"]]', 'names = [["Mao", "-"]]', "names = [[1, 2]]", 'other = [["a", "b"]]'],
)
def test_a_file_that_is_not_well_formed_is_named(told: str, tmp_path: Path) -> None:
    path = tmp_path / "aliases.toml"
    path.write_text(told)
    with pytest.raises(CorpusError, match=re.escape(str(path))):
        read_aliases([path])
    assert read_aliases([tmp_path / "none"]).as_written("Mao", written()) == "Mao"


def test_the_aliases_of_the_corpus_are_well_formed() -> None:
    read_aliases([ROOT / "corpus" / "aliases.toml"])


def test_who_spells_a_name_otherwise_is_answered_and_told(tmp_path: Path) -> None:
    corpus = tmp_path / "names"
    corpus.mkdir()
    (corpus / "a.txt").write_text("Mao Tse-tung spoke on war and strategy on 6 November 1938.")
    (corpus / "b.txt").write_text("The talks of Luang Prabang ended in May 1953.")
    (corpus / "c.txt").write_text("Nobody signed anything at Luong Prabang in June 1954.")
    (corpus / "aliases.toml").write_text('names = [["Mao Zedong", "Mao Tse-tung"], ["Luang Prabang", "Luong Prabang"]]')
    with open_assistant(corpus=corpus, store=tmp_path / "store") as assistant:
        answer = assistant.ask("When did Mao Zedong speak on war and strategy?")
        assert not answer.abstained and answer.citations[0].document == "a.txt"
        assert answer.question == "When did Mao Zedong speak on war and strategy?"
        assert answer.standalone_question == "When did Mao Tse-tung speak on war and strategy?"
        found = assistant.search("Luang Prabang", 2)
        assert {each.document.id for each in found} == {"b.txt", "c.txt"}
        # Exact words are exact.
        assert [each.document.id for each in assistant.search('"Luong Prabang"', 2)] == ["c.txt"]
