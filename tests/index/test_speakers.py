"""Which speakers a question names, and what it asks of them."""

from __future__ import annotations

import pytest

from index.speakers import Speakers, asks_who_says, family_name, matter, plain_name

MEETING = Speakers(
    [
        "Kirsty Williams AM",
        "Huw Irranca-Davies AM",
        "Mr. Pierre Paul-Hus (Charlesbourg, CPC)",
        "Mr. Pierre Paul-Hus",
        "Dawn Keller",
        "Jonas Keller",
        "Ada Moreno, Ben Okafor",
        "Sean O’Brien",
        "Ngô Đình Diệm",
        "Speaker 1",
        "Speaker 2",
        "The BBC",
        "Acme Inc.",
        "Relations of Vietnam and Laos",
    ]
)


@pytest.mark.parametrize(
    ("speaker", "plain", "family"),
    [
        ("Khang Vu", "Khang Vu", "Vu"),
        ("Hon. Jonas Keller (North, NDP)", "Jonas Keller", "Keller"),
        ("The Acting Chair (Mr. Bruce Stanton)", "The Acting Chair", "Chair"),
        ("The Chair (Hon. Anthony Rota (Nipissing, Lib.))", "The Chair", "Chair"),
        ("Right Hon. Justin Trudeau", "Justin Trudeau", "Trudeau"),
        ("Kirsty Williams AM", "Kirsty Williams", "Williams"),
        ("Mr. Pierre Paul-Hus", "Pierre Paul-Hus", "Paul-Hus"),
        ("China Daily (2010)", "China Daily", "Daily"),
        ("The BBC", "The BBC", "BBC"),
        ("General Motors", "General Motors", "Motors"),
        ("Ngo Dinh DIEM", "Ngo Dinh DIEM", "DIEM"),
        ("Martin King Jr.", "Martin King", "King"),
        ("Speaker 2", "Speaker 2", "Speaker 2"),
        ("VOA", "VOA", "VOA"),
    ],
)
def test_names_without_what_stands_around_them(speaker: str, plain: str, family: str) -> None:
    assert (plain_name(speaker), family_name(speaker)) == (plain, family)


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("What did Kirsty Williams AM say about schools?", ["Kirsty Williams"]),
        ("What was Kirsty Williams' opinion of the plan?", ["Kirsty Williams"]),
        ("Summarize the questions from Irranca-Davies.", ["Huw Irranca-Davies"]),
        ("What did Paul-Hus think of petitions?", ["Pierre Paul-Hus"]),
        ("Did Dawn Keller agree?", ["Dawn Keller"]),
        ("What does Keller say?", ["Dawn Keller", "Jonas Keller"]),
        ("what does moreno say about dams?", ["Ada Moreno"]),
        ("What does Okafor argue?", ["Ben Okafor"]),
        ("According to O'Brien, what is a dam?", ["Sean O’Brien"]),
        ("What did Diem believe?", ["Ngô Đình Diệm"]),
        ("What did Speaker 2 say?", ["Speaker 2"]),
        ("What did the BBC report?", ["The BBC"]),
        ("What did Acme Inc. say?", ["Acme Inc."]),
        ("Compare Irranca-Davies and Jonas Keller on dams.", ["Huw Irranca-Davies", "Jonas Keller"]),
        ("When did Williams leave the house?", []),
        ("How did Laos respond to China?", []),
        ("Where were the relations of Vietnam and Laos settled?", []),
        ("Compare the 2 proposals.", []),
        ("The answer to drought: what is it?", []),
        ("Who says that Keller misreads Moreno?", []),
        ("What do they say about dams?", []),
    ],
)
def test_who_is_asked_to_speak(question: str, asked: list[str]) -> None:
    assert list(MEETING.asked_in(question)) == asked


@pytest.mark.parametrize(
    ("question", "about"),
    [
        ("What did Mr. Pierre Paul-Hus think of petitions?", "What did think of petitions?"),
        ("What is a dam?", "What is a dam?"),
        ("What does Keller say?", "What does say?"),
        ("What, Keller?", "What, Keller?"),
    ],
)
def test_what_a_question_is_about(question: str, about: str) -> None:
    assert matter(question, MEETING.named_in(question)) == about


@pytest.mark.parametrize(
    ("question", "about"),
    [
        ("Who says that control also protects?", "control also protects?"),
        ("Who argued dams protect towns?", "dams protect towns?"),
        ("who has argued that dams protect?", "dams protect?"),
        ("Who called for “a common enemy”?", None),
        ("Who planned the coup?", None),
        ("Who planted the bomb?", None),
        ("Who held power after 1975?", None),
        ("Who wrote the treaty?", None),
        ("Who rejected the treaty?", None),
        ("Who disagrees with Keller?", None),
    ],
)
def test_who_says_that_asks_for_a_speaker(question: str, about: str | None) -> None:
    assert asks_who_says(question) == (about is not None)
    assert matter(question, {}) == (about or question)


def test_spellings_of_one_person_are_one_person() -> None:
    assert MEETING.asked_in("What did Paul-Hus say?") == {
        "Pierre Paul-Hus": ("Mr. Pierre Paul-Hus (Charlesbourg, CPC)", "Mr. Pierre Paul-Hus")
    }
