"""Who speaks in a place of a document: as the document marks it, else as its words report it, else its author."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import dropwhile

from index.documents import TRANSCRIPT, Document, Locator, Voice
from index.sentences import sentence_spans

_REPORTED = re.compile(r"^(?P<speaker>.+?),\s+(?:as\s+)?(?:reported|quoted)\s+by\s+(?P<reporter>.+)$")


def parse_voice(words: str) -> Voice:
    """Reads "Ngo Di Lan, as reported by Khang Vu" or "Khang Vu"."""
    words = words.strip()
    match = _REPORTED.match(words)
    return Voice(match["speaker"].strip(), match["reporter"].strip()) if match else Voice(words)


def voice_at(document: Document, locator: Locator) -> Voice:
    """The voice that the locator names, else the document's authors, else its publisher, else its title.

    A document without authors (a note, a map) only passes on what others say: its publisher is then the reporter. A
    transcript holds the speakers' own words.
    """
    house = ", ".join(document.authors) or document.publisher or document.title
    if locator.voice is None:
        return Voice(house)
    if document.kind == TRANSCRIPT or document.authors or locator.voice.reported_by or locator.voice.speaker == house:
        return locator.voice
    return Voice(locator.voice.speaker, house)


# -- reported speech -------------------------------------------------------------------------------------------------------

_WORD = r"[^\W\d_a-zß-ÿ](?:[\w-]|['’](?!s\b))*"
_NAME = rf"(?:{_WORD}|[A-Z]\.)(?:\s+(?:(?:de|di|da|van|von|der|bin|al)\s+)?(?:[A-Z]\.|{_WORD})){{0,3}}"
_WHO = rf"(?P<who>(?:[Tt]he\s+)?{_NAME})(?:\s+\([^()]*\))?(?:['’]s\s+\w+(?:\s+\w+)?)?"
_OTHER_WHO = _WHO.replace("who", "other")
_WHOSE = rf"(?P<whose>{_NAME})"
_SAYS = (
    "argu(?:es|ed)|sa(?:ys|id)|claim(?:s|ed)|writes|wrote|not(?:es|ed)|maintain(?:s|ed)|contend(?:s|ed)|believe[sd]|thinks|thought|"
    "insist(?:s|ed)|repl(?:ies|ied)|answer(?:s|ed)|object(?:s|ed)|counter(?:s|ed)|conclude[sd]|suggest(?:s|ed)|point(?:s|ed) out|"
    "report(?:s|ed)|state[sd]|observe[sd]|warn(?:s|ed)|add(?:s|ed)|explain(?:s|ed)|assert(?:s|ed)|concede[sd]|grant(?:s|ed)|"
    r"admit(?:s|ted)|declare[sd]|testifie[sd]|predict(?:s|ed)|propose[sd]|recall(?:s|ed)|told \w+"
)
# These report whatever follows them.
_DOES = "doubt(?:s|ed)|den(?:ies|ied)|reject(?:s|ed)|disagree[sd]|agree[sd]"
_ADVERBS = r"(?:\s+(?:also|however|then|thus|further|again|now|later|\w+ly))?"
_VERB = rf"(?:(?:{_SAYS})(?=\s+that\b|\s*[,:“\"]|\s+(?:why|how|whether)\b)|(?:{_DOES})\b)"
_REPORTS = re.compile(
    rf"^(?:(?:But|And|Yet|However|Still|Then|Later|Moreover|Also|Here|In \d{{4}}),?\s+)?{_WHO}{_ADVERBS}\s+{_VERB}"
)
_NESTED = re.compile(rf"\bthat\s+{_WHO}{_ADVERBS}\s+{_VERB}")
_ACCORDING = re.compile(
    rf"\b[Aa]ccording\s+to\s+{_WHO}|\b[Aa]s\s+{_OTHER_WHO}\s+(?:(?:puts|sees|has)\s+it|{_SAYS})\b"
    rf"|\b[Ii]n\s+{_WHOSE}['’]s?\s+(?:view|words|account|opinion|telling|reading)\b"
)
_TRAILING = re.compile(rf"[”\"],?\s+(?:(?:{_SAYS})\s+{_WHO}|{_OTHER_WHO}{_ADVERBS}\s+(?:{_SAYS}))")
_GOES_ON = re.compile(r"(?:He|She|They|His|Her|Their|Moreover|Furthermore|Secondly|Thirdly|Finally)\b")
# Not across a blank line: what stands there is a heading.
_FORENAMES = re.compile(rf"\b(?:{_WORD}(?:[^\S\n]+|[^\S\n]*\n(?!\s*\n)[^\S\n]*)){{1,3}}\Z")
_GOES_ON_WORD = re.compile(r"[\w-]")
_LONGEST_FORENAMES = 60
# Characters: no paragraph of prose is longer, and there are texts without any paragraph.
_LONGEST_LOOK_BACK = 2_000
_NO_NAMES = frozenset(
    "This That These Those He She They It We I You In On At But And Or So If When While As For From Some Many Most Others "
    "Critics What Which Who Whether Why How There Here Then However Yet One Both Neither Either".split()
)
_NO_FORENAMES = _NO_NAMES | frozenset("The Unlike Like Even Later Only Mr Mrs Ms Dr Professor President Minister".split())


def sentences_with_voices(document: Document, start: int, end: int) -> Iterator[tuple[int, int, Voice]]:
    """(start, end, who says it) of each sentence of `document.text[start:end]`.

    Where the document marks no voices, the words are looked at: "Lan argues that …", "according to Lan", a quotation with its
    speaker, once nested ("Vu writes that Lan doubts …"). A voice lasts over the following sentences of a paragraph that go on
    with it ("He adds …"); a quotation is one sentence.
    """
    text = document.text
    # What stands before in the paragraph may have begun a voice that lasts.
    place = document.locator_at(start)
    paragraph = text.rfind("\n\n", max(0, start - _LONGEST_LOOK_BACK), start)
    begin = min(start, max(paragraph + 1, place.start + place.heading, start - _LONGEST_LOOK_BACK))
    voice: Voice | None = None
    before = begin
    for first, last in (*sentence_spans(text, begin, start), *sentence_spans(text, start, end)):
        locator = document.locator_at(first)
        house = voice_at(document, locator)
        if locator.voice is not None or document.kind == TRANSCRIPT:
            voice = house
        elif told := _reported(text[first:last], house, document):
            voice = told
        elif voice is None or "\n\n" in text[before:first] or not _GOES_ON.match(text, first):
            voice = house
        before = last
        if first >= start:
            yield first, last, voice


def _reported(sentence: str, house: Voice, document: Document) -> Voice | None:
    text = document.text
    outer = _speaker(_REPORTS.match(sentence) or _ACCORDING.search(sentence) or _TRAILING.search(sentence), text)
    if outer is None:
        return None
    nested = _speaker(_NESTED.search(sentence), text)
    if nested is not None and nested != outer:
        return Voice(nested, outer)
    # Authors who write of themselves by name; of several it is the one who is named.
    own = next((author for author in document.authors or (house.speaker,) if _is(outer, author)), None)
    if own is not None and len(document.authors) > 1:
        return Voice(own)
    return house if own is not None else Voice(outer, house.speaker)


def _speaker(match: re.Match[str] | None, text: str) -> str | None:
    """The full name, where the text gives it somewhere."""
    name = re.sub(r"['’]s$", "", next((each for each in match.groupdict().values() if each), "")) if match else ""
    words = name.split()
    if words and words[0] in ("The", "the"):
        return f"The {' '.join(words[1:])}"
    if not words or words[0] in _NO_NAMES:
        return None
    if len(words) == 1:
        return _whole_name(name, text)
    return name


@lru_cache(maxsize=64)
def _whole_name(name: str, text: str) -> str:
    """As the text gives it most often."""
    whole = list(_whole_names(name, text))
    return max(whole, key=whole.count) if whole else name


def _whole_names(name: str, text: str) -> Iterator[str]:
    """The names in the text that end in this one: "Ngo Di Lan" for "Lan"."""
    # Found as it is written first: a pattern that looks for names in all of a long text takes a second.
    end = text.find(name)
    while end >= 0:
        begin = max(0, end - _LONGEST_FORENAMES)
        match = _FORENAMES.search(text[begin:end]) if not _GOES_ON_WORD.match(text, end + len(name)) else None
        # "When Ngo Di Lan": the first of them is no name.
        forenames = list(dropwhile(_NO_FORENAMES.__contains__, match[0].split())) if match else []
        if forenames:
            yield " ".join([*forenames, name])
        end = text.find(name, end + len(name))


def _is(told: str, author: str) -> bool:
    """Whether a name may be the author's: the last word of it, and forenames that agree, were it by their first letters."""
    *forenames, family = told.split()
    *own, last = author.split()
    return family == last and all(
        any(name == each or (name.endswith(".") and each.startswith(name[:-1])) for each in own) for name in forenames
    )
