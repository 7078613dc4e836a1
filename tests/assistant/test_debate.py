"""The map of a debate and the timeline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant.answering.citations import holds
from assistant.answering.debate import map_of
from assistant.answering.timeline import first_date, statements
from assistant.assembly import Assistant
from assistant.settings import Settings


@pytest.fixture(scope="module")
def debate(debate_store: Path) -> Iterator[Assistant]:
    assistant = Assistant(Settings(store=debate_store))
    yield assistant
    assistant.close()


@pytest.mark.parametrize(
    ("sentence", "iso", "words"),
    [
        ("The war lasted from 17 February to 16 March 1979.", "1979-02-17", "17 February to 16 March 1979"),
        ("February to April 1965 and March 1966: Mao refuses.", "1965-02", "February to April 1965"),
        ("Late 1970s: more than 40,000 troops.", "1977", "Late 1970s"),
        ("On July 4, 1776, and again in 1812.", "1776-07-04", "July 4, 1776"),
        ("From 1979 to 1991 nothing was said.", "1979", "1979"),
        ("Written down on 2021-06-03, printed in July 2021.", "2021-06-03", "2021-06-03"),
        ("In May of 1955 it began.", "1955-05", "May of 1955"),
        ("It ended (Moreno 1999) in 1961.", "1961", "1961"),
        ("The 1977 treaty was in force from 31 October 1977.", "1977-10-31", "31 October 1977"),
        ("The 1977 treaty has seven articles.", "1977", "1977"),
        ("1950 troops of 1,980 came 2.1975 km.", None, None),
        ("It is said (Moreno 1999) that nothing happened.", None, None),
        ("May I ask in March?", None, None),
    ],
)
def test_the_first_date_of_a_sentence(sentence: str, iso: str | None, words: str | None) -> None:
    date = first_date(sentence)
    assert (date.iso if date else None, date.words if date else None) == (iso, words)


def test_the_timeline_is_in_order_and_cites_words_that_stand_there(debate: Assistant) -> None:
    found = statements(debate.spans(None))
    assert len(found) > 100
    assert [each.date.iso for each in found] == sorted(each.date.iso for each in found)
    for each in found:
        assert holds(each.citation, debate.store.document(each.citation.document))
        assert each.date.words.split()[0] in each.citation.quote
    invasion = next(each for each in found if each.date.iso == "1978-12-25")
    assert "Cambodia" in invasion.citation.quote


def test_the_map_names_each_position_with_its_voice(debate: Assistant) -> None:
    shown = map_of(debate.store.document(row.id) for row in debate.store.documents())
    assert set(shown.speakers[:2]) == {"Khang Vu", "Ngo Di Lan"}
    assert len([issue for issue in shown.issues if len(issue.positions) == 2]) == 9
    control = next(issue for issue in shown.issues if "control or protection" in issue.name)
    voices = {str(each.voice) for each in control.positions}
    assert any(voice.startswith("Khang Vu") for voice in voices)
    assert "Ngo Di Lan, as reported by Khang Vu" in voices
    for issue in shown.issues:
        for each in issue.positions:
            assert holds(each, debate.store.document(each.document))
