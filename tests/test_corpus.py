"""The corpus that ships is complete and says who says what."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from index.documents import Document, Voice
from index.loaders.registry import load
from index.voices import voice_at
from tests.conftest import ROOT

CORPUS = ROOT / "corpus"
FILES = sorted(path for path in CORPUS.rglob("*.md") if "added" not in path.parts)
LAN = Voice("Ngo Di Lan", "Khang Vu")
VU = Voice("Khang Vu")


def document(path: Path) -> Document:
    return load(path, path.relative_to(CORPUS).as_posix(), max_bytes=1_000_000).document


REPLY = document(CORPUS / "debate/vu-2021-06-reply.md")


def said(label: str, voice: Voice | None = None) -> str:
    """All that stands in the reply's paragraph, in that voice if one is given."""
    return " ".join(
        REPLY.text[place.start : place.end]
        for place in REPLY.locators
        if place.label == label and (voice is None or voice_at(REPLY, place) == voice)
    )


def test_the_reply_has_all_fifteen_paragraphs_and_its_heading_block_in_order() -> None:
    assert list(dict.fromkeys(place.label for place in REPLY.locators)) == [f"¶{number}" for number in range(16)]


@pytest.mark.parametrize("number", [2, 3, 8, 10, 11, 14])
def test_lan_is_heard_by_report_where_vu_reports_him(number: int) -> None:
    assert "Lan" in said(f"¶{number}", LAN)


# One row for each claim: where it stands, in whose voice, and the figures, names and short quotations it must keep.
CLAIMS = [
    ("¶0", Voice("The Diplomat"), ["3 June 2021", "guest author", "doctoral student", "Boston College", "gulf"]),
    ("¶1", VU, ["two ways", "universal ideology", "balance of power", "civil-military", "contribution"]),
    ("¶2", VU, ["take certain actions in the event of war", "define", "earlier piece"]),
    ("¶2", LAN, ["military assistance to its partner(s)", "1977", "unclear", "attacked"]),
    ("¶3", VU, ["fair", "second clause", "does not specify"]),
    ("¶3", Voice("The 1977 Vietnam–Laos treaty", "Khang Vu"), ["imperialism and foreign reactionary forces", "independence"]),
    ("¶3", LAN, ["open to interpretation", "1978"]),
    ("¶3", Voice("The 1978 Vietnam–Soviet treaty", "Khang Vu"), ["Article 6", "immediately consult", "effective measures"]),
    ("¶4", VU, ["overlooks", "declassified", "three protocols", "border", "economic", "22 September 1977", "Ministry of Defense"]),
    ("¶5", VU, ["unknown", "still in effect", "US intelligence sources", "foreign scholars"]),
    ("¶5", Voice("Sisana Sisane", "Khang Vu"), ["military alliance", "special", "Central Committee", "propaganda and culture"]),
    ("¶6", Voice("Siang Pasason", "Khang Vu"), ["official organ", "send troops", "as soon as the Lao government requests it"]),
    ("¶6", Voice("People's Army Newspaper", "Khang Vu"), ["volunteers and experts", "reactionary forces"]),
    ("¶6", Voice("William H. Sullivan", "Khang Vu"), ["1981", "Congressional", "the right to call upon military assistance from its ally"]),
    ("¶6", VU, ["American sources confirm"]),
    ("¶6", Voice("Scholars and officials of the 1980s", "Khang Vu"), ["militant solidarity", "special relationship", "clear obligation"]),
    ("¶7", VU, ["40,000", "late 1970s", "Pathet Lao", "sovereignty", "requested", "2000", "10,000", "train", "deviant case"]),
    ("¶8", LAN, ["formal", "Israel", "Taiwan", "1980s"]),
    ("¶8", VU, ["only with states", "misleading", "Taipei and Beijing"]),
    ("¶9", VU, ["democratic values", "imperialist", "ideological enemy", "non-alignment", "non-US", "only so much"]),
    ("¶10", LAN, ["not convincing", "leverage", "autonomy", "control junior partners", "hedge"]),
    ("¶11", VU, ["contestable", "gain security", "control", "unclear", "buffer", "undermines"]),
    ("¶11", LAN, ["does not need alliances"]),
    ("¶12", VU, ["at home", "Mao Zedong", "mid-1960s", "revisionist", "Sino-Soviet", "national interests"]),
    ("¶13", Voice("Scholars whom Vu does not name", "Khang Vu"), ["exercise tight control", "party, government and army"]),
    ("¶13", VU, ["great powers", "difficult"]),
    ("¶13", Voice("China", "Khang Vu"), ["imperialist terms", "subdue Vientiane"]),
    ("¶14", LAN, ["wariness of alliances", "independent foreign policy"]),
    ("¶14", VU, ["open", "unclear", "broken"]),
    ("¶15", VU, ["resilience", "North Korea", "national power"]),
    ("¶15", Voice("Vietnamese Consulate in Luang Prabang", "Khang Vu"), ["a common enemy and a shared ideology", "Luong Prabang"]),
]  # fmt: skip


@pytest.mark.parametrize(("label", "voice", "words"), CLAIMS)
def test_each_claim_of_the_reply_stands_in_its_paragraph_and_voice(label: str, voice: Voice, words: list[str]) -> None:
    text = said(label, voice)
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_document_has_title_publisher_kind_and_says_what_it_is_a_digest_of(path: Path) -> None:
    loaded = document(path)
    assert loaded.title and loaded.publisher and loaded.digest_of
    assert loaded.kind in {"digest", "note", "map", "timeline", "caution", "gaps"}
    if loaded.kind == "digest":
        assert loaded.authors and loaded.published and loaded.url


@pytest.mark.parametrize("path", [path for path in FILES if path.parent.name == "background"], ids=lambda path: path.name)
def test_background_facts_carry_their_certainty_and_sources(path: Path) -> None:
    loaded = document(path)
    assert loaded.sources
    assert re.search(r"certainty [ABC]", loaded.text)
    assert "certainty D" not in loaded.text


def test_treaties_and_themes_all_have_a_note() -> None:
    text = " ".join(document(path).title for path in FILES)
    for theme in ["1950", "1954", "1961", "1977", "1978", "Taiwan Relations Act", "non-alignment", "white papers", "troops", "theory",
                  "civil-military", "Issue map", "Timeline", "People", "care", "do not say"]:  # fmt: skip
        assert theme in text
