from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.answering.answers import Answer, Delta, Finished, Found, Rewritten
from assistant.answering.citations import CitationMismatch, cite, holds
from assistant.answering.contract import answer_as_json
from assistant.answering.conversation import LONGEST_QUESTION, spoken
from assistant.answering.extractive import DO_NOT_SAY, compose, trimmed
from assistant.assembly import Assistant
from assistant.reader.readings import Evidence, Reading, ShortAnswer
from assistant.retrieval.followups import Turn, stand_alone, wordings
from assistant.retrieval.fusion import reciprocal_rank_fusion
from assistant.retrieval.passages import Passage
from index.chunks import Chunk
from index.documents import Voice
from index.errors import QuestionError
from index.loaders.markdown import load_markdown
from index.loaders.text import load_text
from tests.conftest import RIVERS


def answer(assistant: Assistant, question: str, history: Sequence[Turn] = ()) -> Answer:
    *_, last = assistant.converse(history).ask(question)
    assert isinstance(last, Finished)
    return last.answer


# -- fusion --------------------------------------------------------------------------------------------------------------


def test_fusion_is_the_sum_of_reciprocal_ranks() -> None:
    fused = reciprocal_rank_fusion({"dense": [7, 3], "words": [3, 9]})
    assert [(each.key, dict(each.ranks)) for each in fused] == [
        (3, {"dense": 2, "words": 1}),
        (7, {"dense": 1}),
        (9, {"words": 2}),
    ]
    assert [each.score for each in fused] == pytest.approx([1 / 62 + 1 / 61, 1 / 61, 1 / 62])


@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(0, 9), unique=True), max_size=3))
def test_fusion_keeps_every_key_once_best_first_and_repeats(rankings: dict[str, list[int]]) -> None:
    fused = reciprocal_rank_fusion(rankings)
    assert sorted(each.key for each in fused) == sorted({key for keys in rankings.values() for key in keys})
    assert [(-each.score, each.key) for each in fused] == sorted((-each.score, each.key) for each in fused)
    assert fused == reciprocal_rank_fusion(dict(reversed(rankings.items()))) or len(rankings) < 2


# -- citations -----------------------------------------------------------------------------------------------------------


def test_a_citation_is_the_exact_words_with_place_and_voice() -> None:
    document = load_markdown("rivers.md", RIVERS, "digest")
    start = document.text.index("Keller doubts")
    end = document.text.index("all the dams.") + len("all the dams.")
    made = cite(1, document, start, end, Voice("Jonas Keller", "Ada Moreno"))
    assert made.quote == "Keller doubts that the river treaty is fair, because the upper bank holds all the dams."
    assert made.reference == "Moreno 1999, ¶2 (digest)"
    assert holds(made, document)
    assert not holds(made, load_markdown("rivers.md", RIVERS.replace("Keller doubts", "Keller denies"), "other"))


@pytest.mark.parametrize(("start", "end"), [(5, 5), (-1, 3), (0, 10**6), (9, 3)])
def test_a_citation_of_no_words_cannot_be_made(start: int, end: int) -> None:
    with pytest.raises(CitationMismatch):
        cite(1, load_markdown("rivers.md", RIVERS, "d"), start, end, Voice("A"))


# -- follow-ups ----------------------------------------------------------------------------------------------------------

LAST = [Turn("user", "When was the river treaty signed?"), Turn("assistant", "Moreno says it was signed in Basel in 1961.")]


@pytest.mark.parametrize(
    "question", ["And where?", "Who signed it?", "Why?", "What did they say?", "And does Basel keep it?", "What about Keller?"]
)
def test_a_question_that_leans_is_completed(question: str) -> None:
    completed = stand_alone(question, LAST)
    assert completed.startswith(f"{question} (")
    assert "When was the river treaty signed?" in completed


@pytest.mark.parametrize(
    "question",
    [
        "How many engineers inspect the dams?",
        "Does Moreno say that the treaty is fair?",
        "Why does Keller doubt his own figures about the dams?",
    ],
)
def test_a_question_that_stands_alone_stays_as_it_is(question: str) -> None:
    assert stand_alone(question, LAST) == question


def test_without_a_conversation_nothing_is_completed() -> None:
    assert stand_alone("And where?", []) == "And where?"
    assert wordings("And where?", []) == ("And where?", ("And where?",), ("And where?",), "And where?")


def test_within_a_conversation_a_question_is_searched_for_beside_what_came_before() -> None:
    question = "How many engineers inspect the dams?"
    standalone, searched, names, ranked = wordings(question, LAST)
    assert names == (question,)
    assert standalone == question == searched[0]
    assert [turn.content in searched[number] for number, turn in enumerate(LAST, start=1)] == [True, True]
    # Ranked beside the last question; whether they answer is read for the question alone.
    assert ranked == f"{question} ({LAST[0].content})"


def test_he_is_whom_the_last_question_asked_or_else_who_answered_it() -> None:
    history = [Turn("user", "Who says that the dams are safe?"), Turn("assistant", "Ada Moreno, as reported by Ivo Keller: Yes.")]
    asked = wordings("Why does she think so?", history)
    assert asked.standalone == "Why does Ada Moreno think so?"
    assert asked.names[1:] == (asked.standalone, "Who says that the dams are safe?", "Ada Moreno")
    assert wordings("Why does she think so?", history[:1]).names[1:] == ("Who says that the dams are safe?",)


SPOKEN = [
    Turn("user", "What does Keller say about the dams of Basel in 1961?"),
    Turn("assistant", "Ivo Keller: They are unsafe. Ivo Keller: Nobody looked after them."),
]


@pytest.mark.parametrize(
    ("question", "in_full"),
    [
        ("Why does he say so?", "Why does Ivo Keller say so?"),
        ("What are his reasons?", "What are Ivo Keller’s reasons?"),
        ("And in 1980?", "What does Keller say about the dams of Basel in 1980?"),
        ("And in the Rhine Valley?", ""),
        ("And of the Rhine Valley?", "What does Keller say about the dams of the Rhine Valley in 1961?"),
        # Two names stand in the question: which of them is meant is not plain.
        ("And Moreno?", ""),
    ],
)
def test_a_follow_up_is_put_in_full_where_that_is_beyond_doubt(question: str, in_full: str) -> None:
    completed = stand_alone(question, SPOKEN)
    assert completed == in_full if in_full else completed.startswith(f"{question} (")


def test_he_is_nobody_where_two_have_spoken() -> None:
    history = [Turn("user", "Are the dams safe?"), Turn("assistant", "Ivo Keller: No, they are not. Ada Moreno: Yes, they are.")]
    assert stand_alone("Why does he say so?", history).startswith("Why does he say so? (")
    history[0] = Turn("user", "Does Moreno think that the dams are safe?")
    assert stand_alone("Why does she say so?", history) == "Why does Ada Moreno say so?"


def test_another_year_is_put_into_the_question_that_was_put_in_full_before() -> None:
    history = [
        Turn("user", "How many dams were there in Basel in 1961?"), Turn("assistant", "Two."),
        Turn("user", "And in Bern?"), Turn("assistant", "Three."),
    ]  # fmt: skip
    assert stand_alone("and in 1980?", history) == "How many dams were there in Bern in 1980?"


def test_neither_speakers_nor_first_words_are_what_a_follow_up_leans_on() -> None:
    history = [
        Turn("user", "Who signed the treaty?"),
        Turn("assistant", "Ivo Keller: War was near. Ivo Keller: Then Basel signed."),
    ]
    assert stand_alone("And then?", history) == "And then? (Basel; Who signed the treaty?)"


def test_a_chain_of_follow_ups_reaches_back_to_the_question_that_stood_alone() -> None:
    history = [*LAST, Turn("user", "And where?"), Turn("assistant", "In Basel.")]
    assert "When was the river treaty signed?" in stand_alone("Who was there?", history)


# -- the short answer ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "short"),
    [
        ("the Treaty of Amity (1977)", "the Treaty of Amity (1977)"),
        ("Amity (1977", "Amity"),
        ("in 1977).", "in 1977"),
        ("“amity”", "“amity”"),
        ("amity”,", "amity"),
        ("the U.S.", "the U.S."),
        ("40,000 troops.", "40,000 troops"),
        ('say "no"', 'say "no"'),
        ('"no', "no"),
    ],
)
def test_few_words_keep_the_punctuation_that_is_theirs(words: str, short: str) -> None:
    assert trimmed(words) == short


@pytest.mark.parametrize(
    ("passage", "carries", "score", "is_told"),
    [(0, True, 0.6, True), (0, False, 0.6, False), (0, False, 0.95, True), (1, True, 0.6, False), (0, True, 0.4, False)],
)
def test_a_sentence_that_carries_the_answer_with_the_best_one_is_told_though_it_resembles_the_question_less(
    passage: int, carries: bool, score: float, is_told: bool
) -> None:
    text = "Dams silt up. Then they are dredged. Towns pay for it."
    document = load_text("dams.txt", text, "digest")
    best = Evidence(0, 0, 13, text[:13], Voice("Ada Moreno"), 1.0, carries=True)
    other = Evidence(passage, 14, 36, text[14:36], Voice("Ada Moreno"), score, carries=carries)
    chunk = Chunk("dams.txt#0", "dams.txt", (), text, 0, len(text), 12, Voice("Ada Moreno"))
    passages = [Passage(chunk, 1.0, {})] * 2
    composed = compose(Reading((best, other), 0.9, ((1.0, 0.0), (0.0, 1.0))), passages, [document] * 2, threshold=0.5)
    assert [sentence.text for sentence in composed.sentences] == [text[:13], text[14:36]][: 1 + is_told]


def test_who_says_is_the_speaker_of_the_best_sentence_though_another_is_quoted_first() -> None:
    text = "Vu writes that dams fail. But Lan argues that dams protect towns."
    document = load_text("dams.txt", text, "digest")
    spans = [(0, 25), (26, len(text))]
    said = [
        Evidence(0, start, end, text[start:end], Voice(name), score)
        for (start, end), name, score in zip(spans, ("Vu", "Lan"), (0.95, 1.0), strict=True)
    ]
    chunk = Chunk("dams.txt#0", "dams.txt", (), text, 0, len(text), 12, Voice("Ada Moreno"))
    reading = Reading((said[1], said[0]), 0.9, ((1.0, 0.0), (0.0, 1.0)), asks_who_says=True)
    composed = compose(reading, [Passage(chunk, 1.0, {})], [document], threshold=0.5)
    assert [sentence.text for sentence in composed.sentences] == [text[:25], text[26:]]
    assert composed.short == "Lan"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Dams silt up. Towns pay for dams.", ["Towns pay for dams.", "Dams silt up."]),
        ("Dams silt up. But towns pay for dams.", ["Dams silt up.", "But towns pay for dams."]),
        ("Dams cost two things: Towns pay for dams.", ["Dams cost two things:", "Towns pay for dams."]),
        ("Dams silt up. \n\nBut towns pay for dams.", ["Dams silt up.", "But towns pay for dams."]),
        ("Dams silt up. They fail. But towns pay for dams.", ["But towns pay for dams.", "Dams silt up."]),
    ],
)
def test_the_best_sentence_is_told_first_unless_it_is_not_understood_without_the_one_before_it(
    text: str, told: list[str]
) -> None:
    document = load_text("dams.txt", text, "digest")
    said = [
        Evidence(
            0, text.index(words), text.index(words) + len(words), words, Voice("Ada Moreno"), 1.0 if "owns pay" in words else 0.95
        )
        for words in told
    ]
    said.sort(key=lambda evidence: -evidence.score)
    chunk = Chunk("dams.txt#0", "dams.txt", (), text, 0, len(text), 12, Voice("Ada Moreno"))
    composed = compose(Reading(tuple(said), 0.9, ((1.0, 0.0), (0.0, 1.0))), [Passage(chunk, 1.0, {})], [document], threshold=0.5)
    assert [sentence.text for sentence in composed.sentences] == told


@pytest.mark.parametrize(("told_first", "short"), [(True, "in 1961"), (False, "")])
def test_few_words_are_those_of_the_sentence_that_is_told_first(told_first: bool, short: str) -> None:
    text = "Dams were built in 1961. Towns pay for dams."
    document = load_text("dams.txt", text, "digest")
    scores = (1.0, 0.95) if told_first else (0.95, 1.0)
    said = [
        Evidence(0, start, end, text[start:end], Voice("Ada Moreno"), score)
        for (start, end), score in zip([(0, 24), (25, 44)], scores, strict=True)
    ]
    said.sort(key=lambda evidence: -evidence.score)
    chunk = Chunk("dams.txt#0", "dams.txt", (), text, 0, len(text), 12, Voice("Ada Moreno"))
    reading = Reading(
        tuple(said), 0.9, ((1.0, 0.0), (0.0, 1.0)), few_words=re.compile(r"\w"), answers=(ShortAnswer(0, 16, 23, 5.0),)
    )  # fmt: skip
    composed = compose(reading, [Passage(chunk, 1.0, {})], [document], threshold=0.5)
    assert len(composed.sentences) == 2 and composed.short == short


@pytest.mark.parametrize(
    ("question", "short"),
    [
        ("Up to how many soldiers does Vu say Hanoi sent in 2000?", "10,000"),
        ("On what date was the Mutual Defense Treaty between Vietnam and Laos signed?", "22 September 1977"),
        ("Until when was Taiwan under martial law?", "15 July 1987"),
        ("Who led the Vietnamese delegation that signed the 1977 treaty with Laos?", "Le Duan and Pham Van Dong"),
        ("Is Vietnam allied with Laos?", ""),
        (
            "Why does Lan doubt that the 1977 treaty is an alliance treaty?",
            "it is unclear what Vietnam and Laos must do if one of them is attacked",
        ),
        ("What is hedging?", ""),
        ("How does Vu define an alliance?", ""),
        ("What does Vu concede to Lan?", ""),
        ("Compare Vu and Lan on Taiwan.", ""),
    ],
)
def test_few_words_answer_where_few_words_are_asked_for(debate: Assistant, question: str, short: str) -> None:
    given_ = answer(debate, question)
    assert (given_.short, given_.headline, given_.abstained) == (short, short, False)


# -- the conversation, on the corpus that ships ---------------------------------------------------------------------------


def test_an_answer_cites_the_words_and_the_voice(debate: Assistant) -> None:
    given_ = answer(debate, "Why does Lan doubt that the 1977 treaty is an alliance treaty?")
    assert not given_.abstained
    first = given_.citation(given_.sentences[0].citations[0])
    assert (first.document, first.locator) == ("debate/vu-2021-06-reply.md", "¶2")
    assert first.voice == Voice("Ngo Di Lan", "Khang Vu")
    for citation in given_.citations:
        assert debate.store.document(citation.document).text[citation.start : citation.end] == citation.quote
    assert all(sentence.support == "verified" for sentence in given_.sentences)
    assert "unclear" in given_.sentences[0].text


@pytest.mark.parametrize(
    ("question", "is_spoken"),
    [
        ("What does Vu concede to Lan?", True),
        ("How does Lan define a formal alliance?", True),
        ("When was the Mutual Defense Treaty between Vietnam and Laos signed?", False),
    ],
)
def test_who_is_asked_to_speak_and_does_adds_to_confidence(debate: Assistant, question: str, is_spoken: bool) -> None:
    *_, held, spoken = answer(debate, question).signals
    assert held > 0 and spoken == (held if is_spoken else 0.0)


def test_events_come_in_order_and_add_up_to_the_answer(debate: Assistant) -> None:
    events = list(debate.converse(LAST).ask("And how many Vietnamese troops were in Laos then?"))
    assert isinstance(events[0], Rewritten) and isinstance(events[1], Found) and isinstance(events[-1], Finished)
    told = [event.sentence for event in events if isinstance(event, Delta)]
    assert tuple(told) == events[-1].answer.sentences


@pytest.mark.parametrize(
    "question", ["What is the capital of Mongolia?", "How do I bake sourdough bread?", "¿Cuántos habitantes tiene Perú?"]
)
def test_what_the_sources_do_not_say_is_said_plainly_with_the_nearest_passages(debate: Assistant, question: str) -> None:
    given_ = answer(debate, question)
    assert (given_.abstained, given_.short, given_.sentences, given_.citations) == (True, DO_NOT_SAY, (), ())
    assert given_.passages and given_.confidence < 0.35
    # What was looked for in vain, and the words that came nearest, which stand where it says.
    missing, nearest = given_.reason.split("Nearest, but not near enough", 1)
    assert all(word in question for word in re.findall("“(.+?)”", missing)) and "None of the passages looked at holds" in missing
    quoted = nearest.split("“", 1)[1].rsplit("”", 1)[0].removesuffix(" …")
    assert any(quoted in " ".join(passage.chunk.text.split()) for passage in given_.passages)


def test_a_known_gap_is_quoted_from_the_list_of_gaps(debate: Assistant) -> None:
    given_ = answer(debate, "Which Congressional committee heard William H. Sullivan?")
    assert given_.abstained and given_.short == DO_NOT_SAY
    assert given_.citations[0].document == "debate/gaps.md"
    assert "Congressional committee" in given_.sentences[0].text


def test_a_follow_up_leans_on_the_turn_before(debate: Assistant) -> None:
    conversation = debate.converse()
    list(conversation.ask("Does Taiwan call the United States an ideological enemy?"))
    *_, last = conversation.ask("And Beijing?")
    assert isinstance(last, Finished)
    assert last.answer.standalone_question != "And Beijing?"
    assert "ideological enemy" in spoken(last.answer)


def test_an_unanswerable_question_gains_nothing_from_an_answered_one_before_it(debate: Assistant) -> None:
    conversation = debate.converse()
    list(conversation.ask("How many Vietnamese troops were in Laos?"))
    *_, last = conversation.ask("How many people live in Vientiane today?")
    assert isinstance(last, Finished)
    assert last.answer.abstained
    assert last.answer.confidence == pytest.approx(answer(debate, "How many people live in Vientiane today?").confidence, abs=0.1)


def test_who_says_something_is_answered_with_the_speaker(debate: Assistant) -> None:
    given_ = answer(debate, 'Who says the alliance was born of "a common enemy and a shared ideology"?')
    assert given_.short == "Vietnamese Consulate in Luang Prabang, as reported by Khang Vu"
    assert given_.citation(1).voice.speaker == "Vietnamese Consulate in Luang Prabang"


def test_who_says_something_is_a_person_and_he_is_who_said_it(debate: Assistant) -> None:
    conversation = debate.converse()
    *_, who = conversation.ask("Who says that China and Vietnam are alike?")
    *_, he = conversation.ask("And what does he say about control of the military?")
    assert isinstance(who, Finished) and isinstance(he, Finished)
    assert who.answer.short == "Khang Vu"
    assert he.answer.citation(1).voice.speaker == "Khang Vu"


def test_who_is_asked_to_speak_is_heard_first(debate: Assistant) -> None:
    given_ = answer(debate, "What does Lan say about comparing a small state with a great power?")
    assert given_.citation(1).voice.speaker == "Ngo Di Lan"
    assert any("voice 1" in name for passage in given_.passages for name in passage.ranks)
    conversation = debate.converse()
    list(conversation.ask("What does Lan say about comparing a small state with a great power?"))
    *_, he = conversation.ask("And what does he say about formal alliances?")
    *_, other = conversation.ask("And what does Vu say to that?")
    assert isinstance(he, Finished) and isinstance(other, Finished)
    assert he.answer.citation(1).voice.speaker == "Ngo Di Lan"
    assert other.answer.citation(1).voice.speaker == "Khang Vu"


def test_the_sentences_that_one_announces_come_with_it(debate: Assistant) -> None:
    words = spoken(answer(debate, "In Khang Vu's view, what two things make alliance politics among communist states special?"))
    assert "universal ideology" in words and "civil-military" in words


@pytest.mark.parametrize("question", ["", "   \n", "?!…", "\x1b[2J"[:1]])
def test_an_empty_question_is_refused(debate: Assistant, question: str) -> None:
    with pytest.raises(QuestionError, match="empty"):
        list(debate.converse().ask(question))


def test_a_question_of_100_kilobytes_is_refused_with_the_limit(debate: Assistant) -> None:
    with pytest.raises(QuestionError, match=r"102,400 characters, the limit is 4,000"):
        list(debate.converse().ask("x" * 102_400))


@pytest.mark.parametrize(
    "question", ["越南和老挝是盟友吗？", "Việt Nam có đồng minh quân sự không?", "베트남 동맹?", "a" * LONGEST_QUESTION]
)
def test_other_scripts_and_odd_questions_get_an_answer_or_a_plain_refusal(debate: Assistant, question: str) -> None:
    given_ = answer(debate, question)
    assert given_.abstained or given_.citations


def test_the_same_question_gets_the_same_answer(debate: Assistant) -> None:
    first, second = (answer_as_json(answer(debate, "What does Walt think of ideology?")) for _ in range(2))
    first.pop("seconds"), second.pop("seconds")
    assert first == second


def test_the_json_is_the_contract(debate: Assistant) -> None:
    told = json.loads(json.dumps(answer_as_json(answer(debate, "How many Vietnamese troops were in Laos in the late 1970s?"))))
    assert list(told) == [
        "question", "standalone_question", "short", "abstained", "reason", "confidence", "signals", "sentences", "citations", "passages",
        "generator", "model", "notices", "tokens", "cost", "seconds",
    ]  # fmt: skip
    assert [set(each) for each in told["sentences"]] == [{"text", "support", "citations"}] * len(told["sentences"])
    assert list(told["citations"][0]) == [
        "marker", "document", "title", "authors", "published", "locator", "quote", "start", "end", "voice",
    ]  # fmt: skip
    assert set(told["citations"][0]["voice"]) == {"speaker", "reported_by"}
    assert list(told["passages"][0]) == ["document", "locator", "start", "end", "score", "ranks", "voice", "text"]
    assert {"total"} <= set(told["seconds"]) and told["generator"] == "extractive"
    assert {marker for sentence in told["sentences"] for marker in sentence["citations"]} == {
        each["marker"] for each in told["citations"]
    }
