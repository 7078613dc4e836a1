"""Speakers by name: which of them a question names, and whether it asks what they say."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

_BRACKETS = re.compile(r"\s*\([^()]*(?:\([^()]*\)[^()]*)*\)\s*$")
_HONORIFICS = re.compile(
    r"^(?:(?:the\s+)?(?:rt\.?|right)\s+hon(?:ou?rable|\.)?|(?:the\s+)?hon(?:ou?rable|\.)?|mr|mrs|ms|miss|dr|prof|professor|sir|"
    r"dame|lord|lady|senator|minister|president|general|ambassador)\.?\s+(?=\S)",
    re.IGNORECASE,
)
# "Kirsty Williams AM", "Martin Luther King Jr."
_AFTER_NAMES = re.compile(r"(?<=\S)[,\s]+(?:[A-Z]{2,4}|[JS]r\.?|I{2,3}|PhD)$")
_WORD = re.compile(r"[^\W_](?:[\w-]|['’](?!s\b)(?=\w))*")
_SPEAKS = (
    r"(?:say|said|answer|repl(?:y|ied)|respond|argu|claim|think|thought|believe|hold|held|object|conced|grant|admit|counter|rebut|"
    r"conclu|defin|explain|describ|call|mean|report|writ|wrote|not(?:e|ed|es)\b|see|saw|view|treat|use|ask|suggest|propos|"
    r"mention|agree|disagree|want|comment|react|emphasi|recommend|stress|plan|promis|discuss|point|tell|told|express|maintain|"
    r"insist|recall|assert|consider|feel|felt|doubt|den(?:y|ied)|reject|criticis|criticiz|warn|add|put)\w*"
)
_SPOKEN = (
    r"(?:view|opinion|argument|answer|reply|response|position|claim|words|account|case|objection|critique|criticism|point|thesis|"
    r"explanation|definition|attitude|perspective|stance|reason|concern|question|idea|thought|comment|remark|suggestion)s?"
)

_WHO_SAYS = re.compile(rf"^\W*[Ww]ho(?:\s+(?:else|also|first))?\s+{_SPEAKS}(?:\s+(?:that|whether|how|why))?\s+(?=\S)")


def plain_name(speaker: str) -> str:
    """Without titles, letters after names, and what transcripts put behind them in brackets: "Jonas Keller" for
    "Hon. Jonas Keller (North, NDP)".
    """
    told = _BRACKETS.sub("", speaker).strip()
    while (shorter := _HONORIFICS.sub("", told)) != told:
        told = shorter
    while (shorter := _AFTER_NAMES.sub("", told)) != told:
        told = shorter
    return told or speaker


def family_name(speaker: str) -> str:
    """The last word of the plain name."""
    return plain_name(speaker).rpartition(" ")[2]


class Speakers:
    """Everyone who speaks in a corpus."""

    def __init__(self, names: Iterable[str]) -> None:
        self._by_family: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for name in names:
            self._by_family[family_name(name)][plain_name(name)].append(name)

    def named_in(self, text: str) -> list[str]:
        """Those whose whole name, or else family name, stands in the text, in the order of the text."""
        found: dict[str, None] = {}
        for word in _WORD.finditer(text):
            people = self._by_family.get(word[0]) if not word[0].islower() else None
            if people:
                whole = [person for person in people if re.search(rf"\b{re.escape(person)}\b", text)] or people
                found |= dict.fromkeys(name for person in whole for name in people[person])
        return list(found)

    def asked_in(self, question: str) -> list[str]:
        """Those of the named whom the question asks to speak, or calls by more than one name."""
        return [
            name
            for name in self.named_in(question)
            if is_asked_to_speak(name, question) or (" " in plain_name(name) and plain_name(name) in question)
        ]


def asks_who_says(question: str) -> bool:
    """Whether the answer is a speaker: "Who argues that …?"."""
    return bool(_WHO_SAYS.match(question))


def matter(question: str, speakers: Iterable[str]) -> str:
    """What the question is about, without "who says that" and without those who are asked: their own words hardly hold that."""
    question = _WHO_SAYS.sub("", question)
    for speaker in speakers:
        names = "|".join(re.escape(name) for name in (speaker, plain_name(speaker), family_name(speaker)))
        titled = rf"(?:\b(?:Mr|Mrs|Ms|Dr|Hon|Prof)\.?\s+)*\b(?:{names})(?:\s+[A-Z]{{2,4}})?(?!\w)(?:['’]s?)?"
        question = re.sub(titled, "", question)
    return " ".join(question.split())


def is_asked_to_speak(speaker: str, question: str) -> bool:
    """Whether the question asks what this speaker says: "does Vu argue", "according to Vu", "compare Vu and …"."""
    name = re.escape(family_name(speaker))
    return bool(
        re.search(
            rf"\b(?:do|does|did|would|has|have)\s+(?:[\w.'’-]+\s+){{0,3}}{name}\b(?:\s+[A-Z]{{2,4}}\b)?\s+(?:\w+\s+){{0,2}}{_SPEAKS}\b"
            rf"|\b{name}\b(?:\s+[A-Z]{{2,4}}\b)?\s+(?:\w+ly\s+)?{_SPEAKS}\b"
            rf"|\b[Aa]ccording\s+to\s+(?:[\w.'’-]+\s+){{0,5}}{name}\b"
            rf"|\b{name}(?:\s+[A-Z]{{2,4}}\b)?['’]s?\s+(?:\w+\s+){{0,3}}{_SPOKEN}\b"
            rf"|\b{_SPOKEN}\s+(?:of|from|by)\s+(?:[\w.'’-]+\s+){{0,5}}{name}\b"
            rf"|\b(?:[Cc]ompare|[Cc]ontrast|differ\w*|agree\w*|disagree\w*)\b.*\b{name}\b|\b{name}\b.*\b(?:differ|agree|disagree)",
            question,
        )
    )
