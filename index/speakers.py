"""Speakers by name: which of them a question names, and whether it asks what they say."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping

People = dict[str, tuple[str, ...]]
"""Plain name -> the names under which that person speaks."""

_BRACKETS = re.compile(r"\s*\([^()]*(?:\([^()]*\)[^()]*)*\)\s*$")
_HONORIFICS = re.compile(
    r"^(?:(?:the\s+)?(?:rt\.?\s+|right\s+)?hon(?:\.|ou?rable)?|mr|mrs|ms|miss|dr|prof|professor|sir|dame|lord|lady)\.?\s+(?-i:(?=[^\Wa-z]))",
    re.IGNORECASE,
)
# "Kirsty Williams AM", "Martin Luther King Jr."
_AFTER_NAMES = re.compile(r"(?<=[^\s,]),? (?:AM|MP|MEP|MSP|MS|QC|KC|OBE|MBE|CBE|MD|PhD|Jr\.?|Sr\.?|II|III)$")
_PARTICLES = frozenset("de di da del van von der den bin ibn al el la le du dos".split())
_WORD = re.compile(r"[^\W_](?:[\w-]|['’](?!s\b)(?=\w))*")


def forms(verbs: str) -> set[str]:
    """With their regular forms: "argue" -> argue, argues, argued."""
    found = set()
    for verb in verbs.split():
        stem = verb[:-1] if verb.endswith("e") else verb
        y = verb.endswith("y") and verb[-2] not in "aeou"
        found |= {verb, f"{verb[:-1]}ies" if y else f"{verb}es" if verb.endswith(("ss", "sh", "ch")) else f"{verb}s"}
        found |= {f"{verb[:-1]}ied" if y else f"{stem}ed"}
    return found


REPORTING = forms(
    "argue claim believe maintain contend insist assert state note observe remark conclude suggest reply answer respond object "
    "counter concede explain report mention warn predict deny doubt declare testify recall complain stress emphasise emphasize"
) | set("say says said think thinks thought write writes wrote hold holds held point points pointed".split())
# These ask a person for an opinion where that person's name stands between: "did Vu see", "does Lan use".
OPINING = (
    REPORTING
    | forms("define describe call treat use view want ask propose grant admit rebut accept reject agree disagree comment react")
    | forms("recommend plan promise discuss express consider criticise criticize raise add concern regard rate")
    | set("see saw mean means meant tell tells told feel feels felt put puts understand understood admitted rebutted".split())
)
SPOKEN = (
    r"(?:view|opinion|argument|answer|reply|response|position|claim|words|account|case|objection|critique|criticism|point|thesis|"
    r"explanation|definition|attitude|perspective|stance|reason|concern|question|idea|thought|comment|remark|suggestion)s?"
)
# With a clause behind it: "who planned the coup" asks for no speaker.
_CLAUSE = r"(?=that\b|whether\b|how\b|why\b|[\"“‘'])"
_PLAINLY = "say|says|said|argue|argues|argued|claim|claims|claimed|believe|believes|believed|think|thinks|thought"
_WHO_SAYS = re.compile(
    rf"^\W*who(?:\s+(?:else|also|first))?(?:\s+(?:has|have|had))?\s+(?:(?:{'|'.join(REPORTING)})\s+{_CLAUSE}|(?:{_PLAINLY})\s+(?=\w))"
    r"(?:that\s+)?",
    re.IGNORECASE,
)
_YEAR = re.compile(r"\d")


def plain_name(speaker: str) -> str:
    """Without titles, letters after names, and what transcripts put behind them in brackets: "Jonas Keller" for
    "Hon. Jonas Keller (North, NDP)".
    """
    told = " ".join(_BRACKETS.sub("", speaker).split())
    while (shorter := _HONORIFICS.sub("", told)) != told:
        told = shorter
    while " " in (shorter := _AFTER_NAMES.sub("", told)) and shorter != told:
        told = shorter
    return told or speaker


def family_name(speaker: str) -> str:
    """The last word of the plain name; the whole of "Speaker 2"."""
    told = plain_name(speaker)
    last = told.rpartition(" ")[2]
    return last if any(letter.isalpha() for letter in last) else told


# Letters that Unicode does not take apart, though people write them without their stroke: Đặng, Łódź, Møller.
_STROKES = str.maketrans("’đĐłŁøØ", "'dDlLoO")


def folded(text: str) -> str:
    """Without case, accents and forms of the apostrophe."""
    plain = unicodedata.normalize("NFKD", text.translate(_STROKES))
    return "".join(letter for letter in plain if not unicodedata.combining(letter)).casefold()


class Speakers:
    """Everyone who speaks in a corpus."""

    def __init__(self, names: Iterable[str]) -> None:
        people: defaultdict[str, list[str]] = defaultdict(list)
        for name in names:
            for person in _people(name):
                people[person].append(name)
        self._people: People = {person: tuple(own) for person, own in people.items()}
        self._by_word: defaultdict[str, list[str]] = defaultdict(list)
        for person in self._people:
            # Of a title or a name like "Speaker 2" no single word is enough; the last serves to find it.
            self._by_word[folded(person.rpartition(" ")[2].strip("."))].append(person)

    def named_in(self, text: str) -> People:
        """Those whose whole name, or else family name, stands in the text, in the order of the text."""
        found: dict[str, None] = {}
        told = folded(text)
        for word in dict.fromkeys(match[0] for match in _WORD.finditer(text)):
            people = self._by_word.get(folded(word), ())
            whole = [person for person in people if _stands_in(folded(person), told)]
            # In lower case a name is known by what it is asked.
            alone = [person for person in people if goes_by_family_name(person)]
            if word.islower():
                alone = [person for person in alone if not any(map(str.isupper, text)) and is_asked_to_speak(person, text)]
                whole = [person for person in whole if " " in person]
            found |= dict.fromkeys(whole or alone)
        return {person: self._people[person] for person in found}

    def asked_in(self, question: str) -> People:
        """Those of the named whom the question asks to speak, or calls by more than one name. Nobody where it asks who it is
        that says something.
        """
        if asks_who_says(question):
            return {}
        told = folded(question)
        return {
            person: names
            for person, names in self.named_in(question).items()
            if is_asked_to_speak(person, question)
            or (" " in person and goes_by_family_name(person) and _stands_in(folded(person), told))
        }


def _people(name: str) -> list[str]:
    """The plain names of all who share a name: "Ada Moreno, Jonas Keller"."""
    parts = [part.strip() for part in re.split(r",\s+|\s+and\s+", _BRACKETS.sub("", name))]
    if len(parts) > 1 and all(" " in part and goes_by_family_name(part) for part in parts):
        return [plain_name(part) for part in parts]
    return [plain_name(name)]


def goes_by_family_name(person: str) -> bool:
    """Not a title ("Relations of Vietnam and Laos"), a newspaper ("The Diplomat"), nor a name with numbers."""
    words = person.split()
    return words[0] != "The" and not _YEAR.search(person) and all(not word[0].islower() or word in _PARTICLES for word in words)


def _stands_in(name: str, text: str) -> bool:
    return bool(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text))


def asks_who_says(question: str) -> bool:
    """Whether the answer is a speaker: "Who argues that …?"."""
    return bool(_WHO_SAYS.match(question))


def matter(question: str, people: Mapping[str, Iterable[str]]) -> str:
    """What the question is about, without "who says that" and without those who are asked: their own words hardly hold that.
    The question itself where nothing else is left.
    """
    about = _WHO_SAYS.sub("", question)
    for person, names in people.items():
        told = "|".join(re.escape(name) for name in dict.fromkeys((*names, person, family_name(person))))
        titled = rf"(?:\b(?:Mr|Mrs|Ms|Dr|Hon|Prof)\.?\s+)*(?<!\w)(?:{told})(?:\s+(?:AM|MP|MS|MSP))?(?!\w)(?:['’]s?)?"
        about = re.sub(titled, "", about, flags=re.IGNORECASE)
    about = " ".join(about.split())
    return about if len(re.findall(r"\w{3,}", about)) > 1 else question


def is_asked_to_speak(speaker: str, question: str) -> bool:
    """Whether the question asks what this speaker says: "does Vu argue", "according to Vu", "Vu's reply", "compare Vu and …"."""
    name = rf"{re.escape(folded(family_name(speaker)))}(?:\s+(?:am|mp|ms|msp))?\b"
    opines = "|".join(OPINING)
    return bool(
        re.search(
            rf"\b(?:do|does|did|would|has|have)\s+(?:[\w.'-]+\s+){{0,3}}{name}\s+(?:\w+\s+){{0,2}}(?:{opines})\b"
            rf"|\b{name}\s+(?:\w+ly\s+)?(?:{opines})\b"
            rf"|\baccording\s+to\s+(?:[\w.'-]+\s+){{0,5}}{name}"
            rf"|\b{name}'s?\s+(?:\w+\s+){{0,3}}{SPOKEN}\b"
            rf"|\b{SPOKEN}\s+(?:of|from|by)\s+(?:[\w.'-]+\s+){{0,5}}{name}"
            rf"|\b(?:compare|contrast)\b.*\b{name}|\b{name}.*\b(?:differ|agree|disagree)",
            folded(question),
        )
    )
