"""Checks what a language model wrote: each sentence against the words that it cites, or else those that it could have cited.

A sentence counts as verified when words of the sources at hand hold its numbers, its names and most of what else it says, say
it neither the other way round nor in somebody else's voice. Code picks those words; a model's markers are only where it looks
first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assistant.answering.crediting import CREDITING, credited_at, name_pattern
from assistant.answering.figures import figures
from assistant.answering.polarity import is_turned_round
from assistant.reader.readings import Evidence, Reading
from assistant.retrieval.passages import Passage
from index.documents import Document, Voice
from index.embedders import Embedder
from index.lexical import analyse
from index.speakers import family_name, folded, goes_by_family_name, plain_name
from index.store import ChunkStore

# How much of a claim's words, weighed by how rare they are, its quotes must hold, and how near the nearest of them must be.
_COVERAGE = 0.5
_COSINE = 0.5
# One of them must hold so much by itself: words gathered from here and there say nothing together.
_COVERAGE_OF_ONE = 0.35
# Where one of them holds nearly all of it, they may be less near.
_MOST, _COSINE_OF_MOST = 0.7, 0.35
# Words elsewhere that hold so much more of a claim are the ones it rests on.
_CLEARLY_MORE = 0.2
_MOST_QUOTES = 3
# Of a credited claim another's words may hold so much more.
_ANOTHERS = 0.15
# A further quote must hold so much more of the claim.
_ADDS = 0.12
# A word that the corpus does not know is as rare as one can be.
_UNKNOWN = 8.0
# "[2]", "[2, 5]", "[passage 2]", "[^2]", "【2†source】"; not the text of a link.
_MARKERS = re.compile(
    r"\s*(?:\[|【)\s*\^?(?:(?:passages?|sources?|p|nos?\.?)\s*)?(\d{1,9}(?:\s*(?:,|;|and|&|-|–|to)\s*(?:(?:passages?|p)\s*)?\d{1,9})*)"
    r"(?:†[^\]】]*)?\s*(?:\]|】)(?!\()",
    re.IGNORECASE,
)
_RANGE = re.compile(r"(\d+)\s*(?:-|–|to)\s*(\d+)")
_LONGEST_RANGE = 20
_NAME = re.compile(r"(?<![\w'’])[A-ZÀ-ÖØ-Þ][\w-]*(?:\.[A-Z]\.?)*")
_DEMONYM = ("", "s", "n", "an", "ese", "ian", "ish", "i", "ean", "er", "is", "ns", "ans", "ians", "tian", "tians")
_OPENERS = frozenset(
    "the a an this that these those it its he she they his her their both each all some many most one two three in on at by for "
    "from of to as and but or yet so if when while where although though because since after before under over with without "
    "however moreover furthermore additionally also thus hence therefore overall instead finally first second third such there "
    "here according what which who whose how why not no nor neither only even still then later earlier today i we you our your "
    "meanwhile besides conversely similarly likewise indeed specifically notably unlike like despite during between among beyond "
    "consequently nevertheless nonetheless rather either any other another several few more less".split()
)
# One name that opens a sentence; _names sees the others.
_OPENING = re.compile(r"\W*([A-Z][^\W_]+)(?=(?:['’]s)?\W+[a-z])")
_NO_NAME = re.compile(r"(?:ly|ing|ed)$")
_WORDED_NUMBERS = (
    "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy "
    "eighty ninety hundred thousand million billion trillion dozen"
).split()
# "The two", of whom the words speak by name; not "the two protocols".
_BOTH = re.compile(
    r"\b(?:the|these|those) two\b(?=\s+(?:countries|states|nations|governments|sides|parties|powers|authors|scholars|writers|"
    r"men|women|people|leaders|allies|capitals)\b|\s+of them\b|(?!\s+(?:\w+\s+)?\w+s\b))",
    re.IGNORECASE,
)
# Where a second speaker may take over, so many characters before that one is named.
_JOINS = re.compile(r"(?:[,;]\s+|\s+)(?:while|whereas|but|and|though|although|yet)\s+|;\s+", re.IGNORECASE)
_JOIN_AT_END = re.compile(r"(?:[,;]\s+|\s+)(?:while|whereas|but|and|though|although|yet)\s*$|[;,]\s*$", re.IGNORECASE)
_JOINED = re.compile(r";|,?\s+\b(?:while|whereas|but|although|though|and)\b\s+", re.IGNORECASE)
_CONCEDES = re.compile(r"((?:while|whereas|although|though)\b.*?),\s+(.*)", re.IGNORECASE | re.DOTALL)
_PAIR = re.compile(r"\b([A-Z][\w-]+) (?:and|or|vs\.?|versus) ([A-Z][\w-]+)")
_NEAR = 20
_VERDICT = re.compile(r"\W*(?:yes|no|correct|true|false|indeed|right|wrong)\W*", re.IGNORECASE)
# Of a claim; what has fewer announces, or greets.
_LEAST_TERMS = 2


@dataclass(frozen=True, slots=True)
class Checked:
    text: str
    """The sentence without its markers."""
    quotes: tuple[Evidence, ...]
    """The words that carry it, the best first; empty where it is not verified."""
    verdict: Literal["verified", "unverified", "none"]
    """none: the sentence claims nothing."""
    why_not: str
    """What is wrong with an unverified sentence, for a person and for the model."""
    unknown_markers: int
    """Markers that point at no passage."""
    is_moved: bool
    """Whether the words that carry it stand in none of the passages that it cited."""


class _Carried(NamedTuple):
    quotes: tuple[Evidence, ...]
    coverage: float
    """How much of the claim they hold, 0 to 1; 0 where they do not carry it."""
    why_not: str


class _Credited(NamedTuple):
    name: str
    start: int
    """Where in the text the words are given to that person."""
    names: frozenset[str]
    """All that the person speaks under."""
    beside: tuple[frozenset[str], ...] = ()
    """Of each who says it together with that person ("Vu and Lan agree"): all that he speaks under."""


class Checker:
    """embedder: tells how near sentences are. store: tells how rare words are, and who speaks in the corpus."""

    def __init__(self, embedder: Embedder, store: ChunkStore) -> None:
        self._embedder = embedder
        self._store = store

    def over(
        self, reading: Reading, numbered: Sequence[int], passages: Sequence[Passage], documents: Sequence[Document]
    ) -> Claims:
        """numbered: for each number that a marker may have, from 1, the position of its passage."""
        shown = set(numbered)
        evidence = [each for each in reading.evidence if each.passage in shown]
        return Claims(self._embedder, self._store, evidence, numbered, passages, documents)


class Claims:
    """What sentences are checked against: the passages that a model was shown."""

    def __init__(
        self,
        embedder: Embedder,
        store: ChunkStore,
        evidence: Sequence[Evidence],
        numbered: Sequence[int],
        passages: Sequence[Passage],
        documents: Sequence[Document],
    ) -> None:
        self._embedder = embedder
        self._store = store
        self._evidence = evidence
        self._numbered = tuple(numbered)
        self._vectors = embedder.embed([each.text for each in evidence]) if evidence else np.zeros((0, 1), np.float32)
        self._terms = [set(analyse(each.text)) for each in evidence]
        self._figures = [figures(each.text) for each in evidence]
        self._small = {word for each in evidence for word in re.findall(r"\b[a-z]\w+", each.text)} | _OPENERS
        self._titles = {number: documents[number].title for number in numbered}
        self._places = {
            number: " ".join(
                (documents[number].title, documents[number].cite_as, *documents[number].authors, *passages[number].chunk.headings)
            )
            for number in numbered
        }
        self._speakers = store.speakers()
        # What no person says may itself tell who says what: "Vu accepts that …; Lan says that …".
        self._tells: list[list[tuple[frozenset[str], set[str]]]] = [
            []
            if goes_by_family_name(plain_name(each.voice.speaker))
            else [(first.names, set(analyse(part))) for part in self._parts(each.text) for first in self._credited(part)[:1]]
            for each in evidence
        ]

    def check(self, written: str) -> Checked:
        """written: one sentence, with its markers."""
        text, cited, unknown = self._without_markers(written)
        terms = set(analyse(text))
        if _VERDICT.fullmatch(text):
            return Checked(text, (), "unverified", "a bare yes or no stands nowhere", unknown, is_moved=False)
        if not text or (len(terms) < _LEAST_TERMS and not figures(text)) or (text.endswith("?") and not figures(text)):
            return Checked(text, (), "none", "", unknown, is_moved=False)
        word_for_word = next((each for each in self._evidence if " ".join(each.text.split()) == text), None)
        if word_for_word is not None:
            moved = bool(cited) and word_for_word.passage not in cited
            return Checked(text, (word_for_word,), "verified", "", unknown, is_moved=moved)
        # "Vu says …, while Lan says …": each by itself.
        carried = [self._placed(part, cited) for part in self._parts(text)]
        failed = next((each for each, _ in carried if not each.quotes), None)
        return Checked(
            text,
            () if failed else tuple(dict.fromkeys(quote for each, _ in carried for quote in each.quotes)),
            "unverified" if failed else "verified",
            failed.why_not if failed else "",
            unknown,
            is_moved=not failed and any(moved for _, moved in carried),
        )

    def _placed(self, text: str, cited: set[int]) -> tuple[_Carried, bool]:
        """(what carries it, whether that is another passage than those that it cites)."""
        weights = dict.fromkeys(analyse(text), _UNKNOWN) | self._store.term_weights(text)
        # Numbers in words are looked for as numbers; words that only join sentences say nothing.
        for term in analyse(" ".join((*_OPENERS, *_WORDED_NUMBERS, *re.findall(r"\w+(?=['’]t\b)", text)))):
            weights.pop(term, None)
        near = (self._vectors @ self._embedder.embed([text])[0]) if self._evidence else np.zeros(0, np.float32)
        credited = self._credited(text)
        if credited:
            # Who says it, and that it is said, is told by the voice.
            for term in analyse(" ".join((*(each.name for each in credited), *CREDITING))):
                weights.pop(term, None)
        here = [number for number, each in enumerate(self._evidence) if each.passage in cited]
        at_cited = self._carried(text, weights, near, credited, here)
        anywhere = self._carried(text, weights, near, credited, range(len(self._evidence)))
        clearly_more = at_cited.coverage + (_CLEARLY_MORE if at_cited.quotes else 0.0)
        found = anywhere if anywhere.coverage > clearly_more else at_cited
        if not found.quotes:
            return at_cited if cited else anywhere, False
        return found, bool(cited) and not at_cited.quotes

    def _parts(self, text: str) -> list[str]:
        """The sentence, cut where a second speaker takes over."""
        starts = [0]
        for each in self._credited(text)[1:]:
            joined = [match for match in _JOINS.finditer(text, starts[-1], each.start) if each.start - match.end() <= _NEAR]
            if joined:
                starts.append(joined[-1].end())
        ends = [*starts[1:], len(text)]
        return [_JOIN_AT_END.sub("", text[start:end]) for start, end in zip(starts, ends, strict=True)]

    def _without_markers(self, written: str) -> tuple[str, set[int], int]:
        """(the sentence, positions of the passages that it cites, how many markers point nowhere)."""
        numbers: list[int] = []
        for match in _MARKERS.finditer(written):
            told = match[1]
            for low, high in _RANGE.findall(told):
                if int(low) <= int(high) <= int(low) + _LONGEST_RANGE:
                    told += " " + " ".join(map(str, range(int(low), int(high) + 1)))
            numbers += map(int, re.findall(r"\d+", told))
        numbers = list(dict.fromkeys(numbers))
        known = {self._numbered[number - 1] for number in numbers if 0 < number <= len(self._numbered)}
        unknown = sum(not 0 < number <= len(self._numbered) for number in numbers)
        text = " ".join(_MARKERS.sub("", written).split())
        return re.sub(r"\s+([.,;:!?])", r"\1", text), known, unknown

    def _credited(self, text: str) -> list[_Credited]:
        """The speakers of the corpus to whom the text gives words, in its order."""
        found: dict[int, _Credited] = {}
        for person, names in self._speakers.named_in(text).items():
            if (start := credited_at(person, text)) is not None:
                same = found.get(start)
                # Two of one family name.
                found[start] = _Credited(
                    family_name(person) if same else person, start, frozenset(names) | (same.names if same else frozenset())
                )
        for start, each in found.items():
            # "Vu and Lan agree": the verb stands with the second.
            for person, names in self._speakers.named_in(text).items():
                pair = rf"(?<!\w)(?:{name_pattern(person)})\s+(?:and|&)\s+(?:{name_pattern(each.name)})(?!\w)"
                match = re.search(pair, folded(text))
                if match and match.start() < start < match.end() and not each.names & set(names):
                    found[start] = found[start]._replace(beside=(*found[start].beside, frozenset(names)))
        return [found[start] for start in sorted(found)]

    def _carried(
        self,
        text: str,
        weights: Mapping[str, float],
        near: NDArray[np.float32],
        credited: Sequence[_Credited],
        allowed: Sequence[int],
    ) -> _Carried:
        """The sentences among the allowed that carry it together, or none and why not."""
        if not len(allowed):
            return _Carried((), 0.0, "it cites no passage, and no passage carries it")
        together = credited[0].beside if credited else ()
        speaking = [
            each
            for each in allowed
            if (
                self._names_all(each, (credited[0].names, *together))
                if together
                else _speaks(self._evidence[each].voice, credited) or self._tells_of(each, credited, weights)
            )
        ]
        spoken = (
            {
                each
                for each, words in enumerate(self._evidence)
                if _speaks(words.voice, credited) or self._tells_of(each, credited, weights)
            }
            if credited
            else set()
        )
        if not speaking:
            return _Carried((), 0.0, f"the words are not those of {credited[0].name}")
        wanted = figures(_BOTH.sub("both", text))
        chosen = self._chosen(weights, near, wanted, speaking)
        best = [self._evidence[number] for number in chosen]
        quoted = " ".join(each.text for each in best)
        places = " ".join(dict.fromkeys(self._places[each.passage] for each in best))
        voices = " ".join(str(each.voice) for each in best)
        lost = wanted - set().union(*(self._told(number, weights) for number in chosen)) - figures(voices)
        if lost:
            return _Carried((), 0.0, f"{_listed(sorted(lost))} does not stand there")
        for clause in _pieces(text):
            called = [name for name in _names(clause) if not any(_holds_name(name, each.name) for each in credited)]
            if not any(
                figures(_BOTH.sub("both", clause)) <= self._figures[each] | figures(str(self._evidence[each].voice))
                and all(_holds_name(name, self._around(each)) for name in called)
                for each in chosen
            ):
                return _Carried((), 0.0, "its names and numbers stand there in different sentences")
        around = " ".join((quoted, places, voices, *self._speakers.named_in(f"{quoted} {voices}")))
        opening = _OPENING.match(text)
        called = [*_names(text), *([opening[1]] if opening and self._is_name(opening[1]) else [])]
        unnamed = [name for name in called if not _holds_name(name, around)]
        if unnamed:
            return _Carried((), 0.0, f"{_listed(unnamed)} is not named there")
        coverage = _share(weights, set(analyse(around)))
        of_one = max(_share(weights, self._terms[number]) for number in chosen)
        # Of a short sentence with a pronoun the meaning is farther off than the words.
        nearest = float(near[chosen].max())
        if coverage < _COVERAGE or of_one < _COVERAGE_OF_ONE or nearest < (_COSINE if of_one < _MOST else _COSINE_OF_MOST):
            return _Carried((), 0.0, "the words there do not say it")
        # Of another's words that hold clearly more than those of the one who is credited.
        if credited and not together:
            others = max(
                (_share(weights, self._terms[each]) for each in range(len(self._evidence)) if each not in spoken), default=0.0
            )
            if others >= _MOST and others - of_one > _ANOTHERS:
                return _Carried((), 0.0, f"the words are not those of {credited[0].name}")
        if is_turned_round(text, [each.text for each in best], set(weights)):
            return _Carried((), 0.0, "the words there say it the other way round")
        return _Carried(tuple(best), coverage, "")

    def _is_name(self, word: str) -> bool:
        """Of a word that opens a sentence: whether it is none that the passages have in small letters, nor looks like one."""
        return word.casefold() not in self._small and len(word) > 2 and not _NO_NAME.search(word)

    def _names_all(self, number: int, people: Sequence[frozenset[str]]) -> bool:
        """Whether the sentence names them all: "Vu and Lan agree" stands where one of them says so, or who gathered it."""
        named = {name for names in self._speakers.named_in(self._evidence[number].text).values() for name in names}
        return all(names & named for names in people)

    def _around(self, number: int) -> str:
        quote = self._evidence[number]
        told = f"{quote.text} {quote.voice}"
        title, place = self._titles[quote.passage], self._places[quote.passage]
        # A title that names two ("Chinese and Vietnamese …"), of whom the words name one, does not say that the other is meant.
        for pair in _PAIR.finditer(title):
            for name in pair.groups():
                if not _holds_name(name, quote.text):
                    place = place.replace(name, "")
        return " ".join((told, place, *self._speakers.named_in(told)))

    def _tells_of(self, number: int, credited: Sequence[_Credited], weights: Mapping[str, float]) -> bool:
        """Whether it gives words on the claim's matter to the first who is credited."""
        return any(
            names & credited[0].names and _share(weights, terms) >= _COVERAGE_OF_ONE for names, terms in self._tells[number]
        )

    def _chosen(
        self, weights: Mapping[str, float], near: NDArray[np.float32], wanted: set[str], allowed: Sequence[int]
    ) -> list[int]:
        """The sentence that holds most of the claim, then those that add to it."""

        def gain(number: int, held: set[str], counted: set[str]) -> float:
            words = _share(weights, held | self._terms[number]) - _share(weights, held)
            numbers = len(wanted & self._told(number, weights) - counted) / len(wanted) if wanted else 0.0
            return words + numbers

        best = max(allowed, key=lambda number: (gain(number, set(), set()) + float(near[number]), -number))
        chosen, held, counted = [best], set(self._terms[best]), set(self._told(best, weights))
        while len(chosen) < _MOST_QUOTES:
            others = [number for number in allowed if number not in chosen and near[number] > 0.3]
            following = max(others, key=lambda number: (gain(number, held, counted), float(near[number]), -number), default=None)
            if following is None or gain(following, held, counted) < _ADDS:
                break
            chosen.append(following)
            held |= self._terms[following]
            counted |= self._told(following, weights)
        return chosen

    def _told(self, number: int, weights: Mapping[str, float]) -> set[str]:
        """The numbers of a sentence that is on the claim's matter; any other may well hold the same ones."""
        return self._figures[number] if _share(weights, self._terms[number]) >= _COVERAGE_OF_ONE else set()


def _pieces(text: str) -> list[str]:
    """The parts of a sentence that may each rest on a sentence of their own."""
    opening = _CONCEDES.match(text)
    return [piece for whole in ((opening[1], opening[2]) if opening else (text,)) for piece in _JOINED.split(whole)]


def _speaks(voice: Voice, credited: Sequence[_Credited]) -> bool:
    """Whether that is who says it: the first who is named, or another as reported by the first ("Vu writes that Lan …")."""
    if not credited or voice.speaker in credited[0].names:
        return True
    reported = any(voice.speaker in each.names for each in credited[1:])
    return reported and voice.reported_by in credited[0].names


def _share(weights: Mapping[str, float], held: set[str]) -> float:
    total = sum(weights.values())
    return sum(weight for term, weight in weights.items() if term in held) / total if total else 0.0


def _names(text: str) -> list[str]:
    """Words with a capital, but for one that only opens the sentence."""
    found: dict[str, None] = {}
    for match in _NAME.finditer(text):
        word = re.sub(r"['’]s$", "", match[0])
        opens = not text[: match.start()].strip(" \"“‘'(*-")
        if opens and not (len(word) > 1 and word.isupper()) and not text[match.end() :].lstrip()[:1].isupper():
            continue
        if word.lower() not in _OPENERS:
            found[word] = None
    return list(found)


def _holds_name(name: str, text: str) -> bool:
    told = folded(name).replace(".", "")
    words = re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", folded(text).replace(".", ""))
    parts = told.split("-")
    if all(any(_same_name(part, word) for each in words for word in (each, *each.split("-"))) for part in parts):
        return True
    # "LPRP" for the Lao People's Revolutionary Party, or the other way round.
    initials = "".join(word[0] for word in re.findall(r"[^\W_]+", text) if word[0].isupper()).casefold()
    return len(told) > 1 and name.isupper() and told in initials


def _same_name(one: str, other: str) -> bool:
    one, other = re.sub(r"['’]s?$", "", one), re.sub(r"['’]s?$", "", other)
    short, long = sorted((one, other), key=len)
    if len(short) < 3:
        return short == long
    if long.startswith(short) and long[len(short) :] in _DEMONYM:
        return True
    # "China" and "Chinese".
    return len(short) >= 5 and short[-1] in "aeo" and long.startswith(short[:-1]) and long[len(short) - 1 :] in _DEMONYM


def _listed(words: Sequence[str]) -> str:
    told = [f"“{word}”" for word in words]
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"
