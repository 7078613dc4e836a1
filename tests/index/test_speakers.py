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
        "The Cake Debate",
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
        ("VOA", "VOA", "VOA"),
    ],
)
def test_names_without_what_stands_around_them(speaker: str, plain: str, family: str) -> None:
    assert (plain_name(speaker), family_name(speaker)) == (plain, family)


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("What did Kirsty Williams AM say about schools?", ["Kirsty Williams AM"]),
        ("What was Kirsty Williams' opinion of the plan?", ["Kirsty Williams AM"]),
        ("Summarize the questions from Irranca-Davies.", ["Huw Irranca-Davies AM"]),
        ("What did Paul-Hus think of petitions?", ["Mr. Pierre Paul-Hus (Charlesbourg, CPC)", "Mr. Pierre Paul-Hus"]),
        ("Did Dawn Keller agree?", ["Dawn Keller"]),
        ("What does Keller say?", ["Dawn Keller", "Jonas Keller"]),
        ("Compare Irranca-Davies and Jonas Keller on dams.", ["Huw Irranca-Davies AM", "Jonas Keller"]),
        ("When did Williams leave the house?", []),
        ("Can you have your cake and eat it, according to the debate?", []),
        ("What do they say about dams?", []),
    ],
)
def test_who_is_asked_to_speak(question: str, asked: list[str]) -> None:
    assert MEETING.asked_in(question) == asked


@pytest.mark.parametrize(
    ("question", "about"),
    [
        ("What did Mr. Pierre Paul-Hus think of petitions?", "What did think of petitions?"),
        ("Who says that control also protects?", "control also protects?"),
        ("Who argued dams protect?", "dams protect?"),
        ("What is a dam?", "What is a dam?"),
    ],
)
def test_what_a_question_is_about(question: str, about: str) -> None:
    assert matter(question, MEETING.named_in(question)) == about
    assert asks_who_says(question) == question.startswith("Who")
