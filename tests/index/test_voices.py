"""Who says a sentence in a text that marks no voices."""

from __future__ import annotations

import pytest

from index.documents import TRANSCRIPT, Document, Locator, Voice
from index.voices import sentences_with_voices

HOUSE = "Ada Moreno"


def voices(text: str, **told: str) -> list[str]:
    document = Document("x", "X", text, "0", (Locator(0, len(text), "¶1"),), authors=(HOUSE,), **told)  # type: ignore[arg-type]
    return spoken(document)


def spoken(document: Document) -> list[str]:
    return [str(voice) for _, _, voice in sentences_with_voices(document, 0, len(document.text))]


@pytest.mark.parametrize(
    ("sentence", "speaker"),
    [
        ("Lan argues that power matters.", "Lan"),
        ("However, John K. Ravenhill also notes that it holds.", "John K. Ravenhill"),
        ("According to Khang Vu, the treaty binds.", "Khang Vu"),
        ("The treaty binds, according to Khang Vu.", "Khang Vu"),
        ("As Vu puts it, ideology counts.", "Vu"),
        ("In Vu's view, nothing changed.", "Vu"),
        ("“It is plain,” said Keller.", "Keller"),
        ("“It is plain,” Keller replied.", "Keller"),
        ("The Post reported that troops came.", "The Post"),
        ("Lan's article says that it began in 1977.", "Lan"),
        ("Keller (1988) doubts the treaty.", "Keller"),
        ("In 1988 Keller wrote: the treaty is void.", "Keller"),
    ],
)
def test_reported_words_are_credited_to_whom_they_are_reported_of(sentence: str, speaker: str) -> None:
    assert voices(sentence) == [f"{speaker}, as reported by {HOUSE}"]


@pytest.mark.parametrize(
    "sentence",
    [
        "The war was long.",
        "This suggests that nothing is known.",
        "Critics say that it failed.",
        "It said that in 1977.",
        "Moreno (2001) claims that it works.",
        "Vietnam and Laos signed a treaty that Lan knows.",
        "The treaty says that both banks share the water.",
    ],
)
def test_other_words_are_the_author_s_own(sentence: str) -> None:
    assert voices(sentence) == [HOUSE]


def test_a_voice_lasts_while_the_words_go_on_with_it() -> None:
    text = "Ngo Di Lan wrote last spring. Lan argues that power matters. He adds that small states hedge. The war was long.\n\nHe is old."
    assert voices(text) == [HOUSE, *["Ngo Di Lan, as reported by Ada Moreno"] * 2, HOUSE, HOUSE]
    quoted = "Keller said: “The dams are old. The banks are weak. Nobody looks.” The dams broke in spring."
    assert voices(quoted) == ["Keller, as reported by Ada Moreno", HOUSE]


def test_a_report_within_a_report_names_both() -> None:
    assert voices("Vu writes that Lan doubts the treaty.") == ["Lan, as reported by Vu"]


def test_what_the_document_marks_itself_counts() -> None:
    text = "Lan argues that power matters."
    marked = Document("x", "X", text, "0", (Locator(0, len(text), "¶1", (), Voice("Keller", "Moreno")),), authors=(HOUSE,))
    assert spoken(marked) == ["Keller, as reported by Moreno"]
    assert voices(text, kind=TRANSCRIPT) == [HOUSE]


def test_a_voice_begun_before_the_part_lasts_into_it_and_only_within_its_paragraph() -> None:
    text = "Lan argues that power matters. He adds that small states hedge.\n\nHe is old."
    document = Document("x", "X", text, "0", (Locator(0, len(text), "¶1"),), authors=(HOUSE,))
    (part,) = sentences_with_voices(document, text.index("He adds"), text.index("\n\n"))
    assert str(part[2]) == f"Lan, as reported by {HOUSE}"
    (other,) = sentences_with_voices(document, text.index("He is"), len(text))
    assert str(other[2]) == HOUSE


def test_a_heading_or_an_article_is_no_forename() -> None:
    assert voices("Background\n\nLan argues that power matters. Later Ngo Di Lan left. Unlike Lan, Vu doubts it.")[1] == (
        f"Ngo Di Lan, as reported by {HOUSE}"
    )
    assert voices("Lan argues that power matters. The Lan-Smith thesis is old.")[0] == f"Lan, as reported by {HOUSE}"
