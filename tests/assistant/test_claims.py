"""What a model wrote is checked: no marker that points nowhere and no number of its own survives as verified."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from assistant.answering.claims import Checked, Checker, Claims
from assistant.answering.figures import figures
from assistant.assembly import Assistant
from assistant.reader.readings import Asked, Reading
from assistant.reader.similarity import SimilarityReader
from assistant.retrieval.retriever import plain
from index.embedders import LocalEmbedder, RememberingEmbedder

QUESTIONS = (
    "Why does Lan doubt that the 1977 treaty is an alliance?",
    "How many Vietnamese troops were in Laos?",
    "What does Vu say about China and North Korea?",
    "How do Vu and Lan define an alliance?",
    "What did Sisana Sisane call the treaty?",
    "When was the treaty between Vietnam and the Soviet Union signed?",
)
MANY = settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.fixture(scope="module")
def ask(debate: Assistant, embedder: LocalEmbedder):
    """Gives for a question what was read, and what claims are checked against."""
    remembering = RememberingEmbedder(embedder)
    reader = SimilarityReader(remembering, debate.store)

    @cache
    def asked(question: str) -> tuple[Reading, Claims]:
        passages = debate.search([plain(question)], 10)[0]
        documents = [debate.store.document(each.chunk.document_id) for each in passages]
        reading = reader.read(Asked(question, question, (question,)), passages, documents)
        return reading, Checker(remembering, debate.store).over(reading, range(len(passages)), passages, documents)

    return asked


@pytest.fixture(scope="module")
def check(ask):
    def checked(written: str) -> Checked:
        return ask(QUESTIONS[0])[1].check(written)

    return checked


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("40,000 men, 40 000 men, forty thousand men", {"40000"}),
        ("In the 1970s, from 1979–1989", {"1970s", "1979", "1989"}),
        ("two hundred and five, a dozen, twenty-five", {"205", "12", "25"}),
        ("3.5 million or 3,500,000 or 3500k", {"3500000"}),
        ("18 July 1977; July 18th, 1977; 2021-06-03", {"18", "1977", "2021", "6", "3"}),
        ("two, three", {"2", "3"}),
        ("one of them, none", set()),
    ],
)
def test_a_number_is_the_same_in_words_and_in_digits(text: str, found: set[str]) -> None:
    assert figures(text) == found


@pytest.mark.parametrize(
    ("written", "verdict"),
    [
        ("Lan doubts the treaty is an alliance because its duties are unclear [1].", "verified"),
        ("Lan doubts the treaty is an alliance because its duties are unclear.", "verified"),
        ("According to Vu, Lan thinks the duties in the treaty are unclear [1].", "verified"),
        ("Vu concludes that Lan's denial does not fit the evidence [3].", "verified"),
        ("Vu concludes that Lan's denial fits the evidence [3].", "unverified"),
        ("Lan says that the 1977 treaty is an alliance treaty [2].", "unverified"),
        ("Vu doubts the treaty is an alliance because its duties are unclear [1].", "unverified"),
        ("Lan argues that Vietnam and Laos are allies in practice [3].", "unverified"),
        (
            "Lan doubts it is an alliance, its duties being unclear, while Vu concludes that his denial does not fit the evidence.",
            "verified",
        ),
        (
            "Vu doubts it is an alliance, its duties being unclear, while Lan concludes that his denial does not fit the evidence.",
            "unverified",
        ),
        ("Vu finds the duties in the treaty unclear [1].", "unverified"),
        ("Vu, however, holds that the duties in the treaty are unclear [1].", "unverified"),
        ("Thailand doubts that the treaty is an alliance treaty [2].", "unverified"),
        ("Lan doubts that the treaty signed in 1978 is an alliance [2].", "unverified"),
        ("Lan doubts that the treaty with Thailand is an alliance treaty [2].", "unverified"),
        ("The price of rice rose in Hanoi [2].", "unverified"),
        ("Here is what they say:", "none"),
        ("The sources do not say.", "none"),
        ("Is the treaty an alliance?", "none"),
        ("", "none"),
    ],
)
def test_a_sentence_is_verified_where_the_sources_say_it_in_that_voice(check, written: str, verdict: str) -> None:
    assert check(written).verdict == verdict


def test_a_wrong_marker_is_put_right_and_the_words_are_those_that_carry_it(check) -> None:
    checked = check("Lan doubts the treaty is an alliance, since what Laos and Vietnam must do when attacked is unclear [7].")
    assert checked.verdict == "verified" and checked.is_moved
    assert "unclear" in checked.quotes[0].text and checked.quotes[0].voice.speaker == "Ngo Di Lan"


@pytest.mark.parametrize(
    ("marker", "unknown"),
    [("[99]", 1), ("[0]", 1), ("[12, 13]", 2), ("【99†source】", 1), ("[passage 40]", 1), ("[^31]", 1), ("[2]", 0), ("[1-3]", 0)],
)
def test_markers_are_taken_out_and_those_that_point_nowhere_are_counted(check, marker: str, unknown: int) -> None:
    checked = check(f"Lan doubts that the treaty is an alliance {marker}.")
    assert checked.text == "Lan doubts that the treaty is an alliance." and checked.unknown_markers == unknown


@MANY
@given(st.data())
def test_a_number_that_stands_nowhere_is_never_verified(ask, data: st.DataObject) -> None:
    reading, claims = ask(data.draw(st.sampled_from(QUESTIONS)))
    known = set().union(*(figures(each.text) for each in reading.evidence))
    sentence = data.draw(st.sampled_from([each.text for each in reading.evidence]))
    number = data.draw(st.integers(2, 3_000_000).filter(lambda value: str(value) not in known))
    words = sentence.split()
    at = data.draw(st.integers(0, len(words)))
    form = data.draw(st.sampled_from(["{}", "{:,}", "about {}", "({})"]))
    cites = "".join(f"[{each}]" for each in data.draw(st.lists(st.integers(0, 12), max_size=3)))
    written = " ".join([*words[:at], form.format(number), *words[at:]]) + cites
    assert str(number) in figures(written.split("[")[0])
    checked = claims.check(written)
    assert checked.verdict != "verified" and not checked.quotes


@MANY
@given(st.data())
def test_a_foreign_name_in_place_of_the_first_word_is_never_verified(ask, data: st.DataObject) -> None:
    reading, claims = ask(data.draw(st.sampled_from(QUESTIONS)))
    said = data.draw(st.sampled_from([each.text for each in reading.evidence]))
    first, _, rest = said.partition(" ")
    assume(first.isalpha() and first[:1].isupper() and rest[:1].islower())
    foreign = data.draw(st.sampled_from(["Indonesia", "Mongolia", "Gorbachev", "Brazil"]))
    assert claims.check(f"{foreign} {rest}").verdict != "verified"


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_sources_own_sentences_are_verified(ask, question: str) -> None:
    reading, claims = ask(question)
    told = [claims.check(each.text).verdict for each in reading.evidence]
    assert "unverified" not in told


@MANY
@given(st.data())
def test_what_is_verified_rests_on_passages_that_were_found_and_keeps_no_marker(ask, data: st.DataObject) -> None:
    reading, claims = ask(data.draw(st.sampled_from(QUESTIONS)))
    sentence = data.draw(st.sampled_from([each.text for each in reading.evidence]))
    markers = data.draw(st.lists(st.integers(0, 10**6), min_size=1, max_size=4))
    form = data.draw(st.sampled_from(["[{}]", " [{}]", "【{}】", "[^{}]", "[passage {}]", "[{}, {}]"]))
    checked = claims.check(sentence + "".join(form.format(each, each) for each in markers))
    assert "[" not in checked.text.removeprefix(sentence) and "【" not in checked.text
    assert set(checked.quotes) <= set(reading.evidence)
    assert checked.unknown_markers == len({each for each in markers if not 0 < each <= 10})


@MANY
@given(st.data())
def test_nobody_is_credited_with_the_other_ones_words(ask, data: st.DataObject) -> None:
    reading, claims = ask(data.draw(st.sampled_from(QUESTIONS)))
    who = data.draw(st.sampled_from(["Vu", "Lan", "Khang Vu", "Ngo Di Lan"]))
    verb = data.draw(
        st.sampled_from(
            [
                "argues that",
                "says that",
                "finds that",
                "acknowledges that",
                "has written that",
                ", by contrast, says that",
                "writes that",
            ]
        )
    )
    # "Vu argues that Lan doubts it" gives the words to both.
    other = "Lan" if who.endswith("Vu") else "Vu"
    said = data.draw(st.sampled_from([each.text for each in reading.evidence]))
    assume(other not in said)
    checked = claims.check(f"{who} {verb} {said[:1].lower()}{said[1:]}".replace(" ,", ","))
    # Who gathered the sources may tell it too: "Vu's reply does not say …".
    assert all(who.split()[-1] in f"{each.voice.speaker} {each.voice.reported_by} {each.text}" for each in checked.quotes)
