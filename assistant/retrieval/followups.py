"""A question that leans on the conversation is made to stand alone, by rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from assistant.retrieval.retriever import Wordings, plain


class Turn(NamedTuple):
    role: Literal["user", "assistant"]
    content: str


Rewrite = Callable[[str, Sequence[Turn]], Wordings]
"""(question, turns before it) -> the question as it stands alone, and what to search for."""

_PRONOUN = re.compile(r"\b(it|they|them|he|him|she)\b", re.IGNORECASE)
_PERSON = re.compile(r"\b(?:he|she|they|him|her|them|his|hers|their|theirs)\b", re.IGNORECASE)
_POSSESSIVE = re.compile(r"\b(its|itself|their|theirs|his|her|hers)\b", re.IGNORECASE)
_POINTING = re.compile(
    r"\b(?:that|this|these|those|there|you mean)\s*[?.!]*$|^\s*(?:is|was|are|were|does|did|do)\s+(?:that|this|these|those)\b|"
    r"\b(?:was|were)\s+(?:that|this)\s+\w+|\b(?:the former|the latter|that (?:one|claim|view|point|argument|answer|treaty))\b",
    re.IGNORECASE,
)
_OPENS = re.compile(
    r"^\s*(?:and|but|so|or|also|then|why\s*\?|how\s*\?|when\s*\?|where\s*\?|who\s*\?|what about|how about)\b", re.IGNORECASE
)
# As `spoken` has it: "Ngo Di Lan, as reported by Khang Vu: ".
_SPOKE = re.compile(r"([^:.!?\n]{2,80}?)(?:, as reported by [^:]{2,80})?: ")
_NAME = re.compile(r"\b(?:[A-Z][\w’'.-]*)(?:\s+(?:of|and the|the|di|de)?\s*[A-Z][\w’'.-]*)*")
_NOT_NAMES = frozenset(
    "the a an it he she they this that these those in on at by for from with yes no not and but or so when where who what "
    "why how which according because since under while after before i we you did does do is are was were has have as if "
    "there then now here thus hence still even only also both each all some most many such".split()
)
# "And in 2000?", "What about Lan?": a question that only puts something else in the place of a part of the last one.
_ONLY_ANOTHER = re.compile(
    r"^\s*(?:(?:and|but|so|or|also|then)\b[\s,]*)?(?:(?:what|how)\s+about\s+)?((?:in|on|at|to|for|from|by|with|of|about)\s+)?"
    r"(the\s+)?([^?]{1,60}?)\s*\?*\s*$",
    re.IGNORECASE,
)
_YEAR = re.compile(r"\b(?:1[0-9]|20)\d\d\b")
_HE = re.compile(r"\b(?:he|she|him)\b", re.IGNORECASE)
_HIS = re.compile(r"\b(?:his|her)\b(?=\s+\w)", re.IGNORECASE)
_MONTHS = frozenset("january february march april may june july august september october november december".split())
_SHORTEST_STANDALONE = 2
_MOST_NAMES = 3
_QUESTIONS_BESIDE = 2
_ANSWER_CHARACTERS = 400


def stand_alone(question: str, history: Sequence[Turn]) -> str:
    """The question itself, or in full where that is beyond doubt ("And in 2000?", "Why does he say so?" after one person's
    answer), or else with what it leans on added in brackets.

    What it leans on: the names in the last answer, and the user's last questions back to one that stood alone.
    """
    asked = [turn.content.strip() for turn in history if turn.role == "user" and turn.content.strip()]
    if not asked or not _leans(question):
        return question
    in_full = _another(question, _last_in_full(history))
    if in_full:
        return in_full
    question = _with_person(question, asked[-1], history)
    if not _leans(question):
        return question
    answers = [turn.content for turn in history if turn.role == "assistant"]
    earlier: list[str] = []
    for former in reversed(asked[-2:]):
        earlier.append(former)
        if not _leans(former):
            break
    known = " ".join([question, *earlier]).lower()
    names = [name for name in _told(answers[-1] if answers else "") if name.lower() not in known]
    return f"{question} ({'; '.join([*names[:_MOST_NAMES], *earlier])})"


def _last_in_full(history: Sequence[Turn]) -> str:
    """The user's last question, as it stood alone if that is without brackets."""
    last = max(number for number, turn in enumerate(history) if turn.role == "user" and turn.content.strip())
    asked = history[last].content.strip()
    before = any(turn.role == "user" and turn.content.strip() for turn in history[:last])
    in_full = _another(asked, _last_in_full(history[:last])) if before and _leans(asked) else ""
    return in_full or asked


def _another(question: str, last: str) -> str:
    """The last question with a part of it replaced by what this one names; empty where it is not plain which."""
    match = _ONLY_ANOTHER.match(question)
    if match is None:
        return ""
    preposition, article, part = (match[1] or "").strip(), match[2] or "", match[3].strip()
    years = _YEAR.findall(last)
    if _YEAR.fullmatch(part):
        if len(years) > 1:
            return ""
        return _YEAR.sub(part, last) if years else f"{last.rstrip(' ?')} in {part}?"
    if _names(part) != [part]:
        return ""
    names = [name for name in _names(last) if name != part]
    if preposition:
        names = [name for name in names if re.search(rf"\b{preposition}\s+(?:the\s+)?{re.escape(name)}\b", last, re.IGNORECASE)]
    return re.sub(rf"\b(?:the\s+)?{re.escape(names[0])}(?!\w)", lambda _: article + part, last) if len(names) == 1 else ""


def _with_person(question: str, last: str, history: Sequence[Turn]) -> str:
    """The question with the name for "he" or "she": of the one who spoke in the last answer, if one alone did or is asked for."""
    answer = next((turn.content for turn in reversed(history) if turn.role == "assistant"), "")
    speakers = {match[1].strip() for match in map(_SPOKE.match, _sentences(answer)) if match}
    asked_for = {name for name in speakers if re.search(rf"\b{re.escape(name.split()[-1])}\b", last)}
    who = asked_for if len(asked_for) == 1 else speakers
    match = _HE.search(question) or _HIS.search(question)
    if len(who) != 1 or match is None or _names(question[: match.start()]):
        return question
    name = who.pop()
    return _HIS.sub(lambda _: f"{name}’s", _HE.sub(lambda _: name, question))


def _sentences(answer: str) -> list[str]:
    return re.split(r"(?<=[.!?”])\s+", answer)


def wordings(question: str, history: Sequence[Turn]) -> Wordings:
    """Within a conversation the question is searched for as it is, completed, and beside the last answer. What shows that it
    leans on something weighs most completed. Any other weighs most by itself, so that one that changes the subject is found,
    and is searched for beside the questions before it too: many lean without showing it ("What items should I keep?").
    """
    standalone = stand_alone(question, history)
    asked = [turn.content.strip() for turn in history if turn.role == "user" and turn.content.strip()]
    answers = [turn.content.strip() for turn in history if turn.role == "assistant" and turn.content.strip()]
    searched, names = [question], [question, *([standalone] if not standalone.startswith(question) else [])]
    if standalone != question:
        searched.insert(0, standalone)
    elif asked:
        searched.append(f"{question} ({'; '.join(reversed(asked[-_QUESTIONS_BESIDE:]))})")
    if answers:
        searched.append(f"{question} {answers[-1][:_ANSWER_CHARACTERS]}")
    if asked and _PERSON.search(question):
        # Whom the last question asked, or else who answered it: "Who says so?" names nobody.
        names.append(asked[-1])
        names.extend(match[1] for match in map(_SPOKE.match, answers[-1:]) if match)
    # Beside the last question, and no more, passages are told apart best, whether it leans or not (docs/answers.md); whether
    # they answer is read for the question that stands alone, so that what came before lends it no confidence.
    ranked = f"{question} ({asked[-1]})" if asked else question
    return Wordings(standalone, tuple(searched), tuple(names), ranked)


def as_asked(question: str, history: Sequence[Turn]) -> Wordings:
    """The question alone, whatever came before: what rewriting is compared with."""
    return plain(question)


def _leans(question: str) -> bool:
    if _OPENS.search(question) or len(re.findall(r"\w+", question)) <= _SHORTEST_STANDALONE or _POINTING.search(question):
        return True
    for match in _PRONOUN.finditer(question):
        # A pronoun leans inward where a name stands before it, but hardly as the last word ("Does Hanoi acknowledge it?").
        if not _names(question[: match.start()]) or not question[match.end() :].strip(" ?.!"):
            return True
    for match in _POSSESSIVE.finditer(question):
        before = [word for word in re.findall(r"\w+", question[: match.start()].lower()) if word not in _NOT_NAMES]
        if not before:
            return True
    return False


def _told(answer: str) -> list[str]:
    """The names in an answer, its speakers' own aside, and what has a capital only because a sentence begins with it."""
    text = " ".join(_SPOKE.sub("", sentence, count=1) for sentence in _sentences(answer))
    inside = " ".join(sentence[:1].lower() + sentence[1:] for sentence in _sentences(text))
    return [name for name in _names(text) if " " in name or name in _names(inside)]


def _names(text: str) -> list[str]:
    found: dict[str, None] = {}
    for match in _NAME.finditer(" ".join(text.split())):
        name = re.sub(r"['’]s$", "", match.group().strip(" .'’-"))
        words = name.split()
        while words and words[0].lower() in _NOT_NAMES:
            words.pop(0)
        name = " ".join(words)
        if len(name) > 1 and name.lower() not in _MONTHS:
            found[name] = None
    return list(found)
