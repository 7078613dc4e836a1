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

from assistant.answering.figures import figures
from assistant.reader.readings import Evidence, Reading
from assistant.retrieval.passages import Passage
from index.documents import Document, Voice
from index.embedders import Embedder
from index.lexical import analyse
from index.speakers import OPINING, SPOKEN, family_name, folded
from index.store import ChunkStore

# How much of a claim's words, weighed by how rare they are, its quotes must hold, and how near the nearest of them must be.
_COVERAGE = 0.5
_COSINE = 0.5
# One of them must hold so much by itself: words gathered from here and there say nothing together.
_COVERAGE_OF_ONE = 0.35
# Words elsewhere that hold so much more of a claim are the ones it rests on.
_CLEARLY_MORE = 0.2
_MOST_QUOTES = 3
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
_NEGATION = re.compile(
    r"\b(?:no|not|never|none|nobody|nothing|neither|nor|cannot|without|\w+n['’]t|den(?:y|ies|ied)|reject(?:s|ed)?|refus(?:e|es|ed)|"
    r"lacks?|lacked|fail(?:s|ed)? to|doubt(?:s|ed)?|disagree[sd]?|disput(?:e|es|ed))\b",
    re.IGNORECASE,
)
_CLAUSES = re.compile(r"[,;:()]|\b(?:because|but|although|though|while|whereas|since|and yet)\b|\s[–—]\s")
_NAME = re.compile(r"(?<![\w'’])[A-ZÀ-ÖØ-Þ][\w-]*(?:\.[A-Z]\.?)*")
_DEMONYM = ("", "s", "n", "an", "ese", "ian", "ish", "i", "ean", "er", "is", "ns", "ans", "ians", "tian", "tians")
_OPENERS = frozenset(
    "the a an this that these those it its he she they his her their both each all some many most one two three in on at by for "
    "from of to as and but or yet so if when while where although though because since after before under over with without "
    "however moreover furthermore additionally also thus hence therefore overall instead finally first second third such there "
    "here according what which who whose how why not no nor neither only even still then later earlier today i we you our your "
    "meanwhile conversely similarly likewise indeed specifically notably unlike like despite during between among beyond "
    "consequently nevertheless nonetheless rather either any other another several few more less".split()
)
_ADVERBS = r"(?:\s+(?:also|further|then|thus|himself|herself|only|never|explicitly|\w+ly))*"
# Where a second speaker may take over, so many characters before that one is named.
_JOINS = re.compile(r"(?:[,;]\s+|\s+)(?:while|whereas|but|and|though|although|yet)\s+|;\s+", re.IGNORECASE)
_JOIN_AT_END = re.compile(r"(?:[,;]\s+|\s+)(?:while|whereas|but|and|though|although|yet)\s*$|[;,]\s*$", re.IGNORECASE)
_NEAR = 20
_VERDICT = re.compile(r"\W*(?:yes|no|correct|true|false|indeed|right|wrong)\W*", re.IGNORECASE)
# Of a claim; what has fewer announces, or greets.
_LEAST_TERMS = 2
_OPPOSITES = {
    frozenset(pair.split())
    for pair in (
        "more less, more fewer, higher lower, most least, increased decreased, rose fell, before after, earlier later, "
        "first last, won lost, north south, east west, agree disagree, agrees disagrees, accepts rejects, supports opposes, "
        "formal informal, always never, began ended, large small, larger smaller, great small, stronger weaker, alike different, "
        "similar different, same different, ally enemy, allies enemies, possible impossible, likely unlikely, joined left, "
        "confirmed denied, offensive defensive, democratic authoritarian, upper lower, longer shorter, major minor, true false"
    ).split(",")
}


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
        self._places = {
            number: " ".join(
                (documents[number].title, documents[number].cite_as, *documents[number].authors, *passages[number].chunk.headings)
            )
            for number in numbered
        }
        self._speakers = store.speakers()

    def check(self, written: str) -> Checked:
        """written: one sentence, with its markers."""
        text, cited, unknown = self._without_markers(written)
        terms = set(analyse(text))
        if _VERDICT.fullmatch(text):
            return Checked(text, (), "unverified", "a bare yes or no stands nowhere", unknown, is_moved=False)
        if not text or (len(terms) < _LEAST_TERMS and not figures(text)) or (text.endswith("?") and not figures(text)):
            return Checked(text, (), "none", "", unknown, is_moved=False)
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
        near = (self._vectors @ self._embedder.embed([text])[0]) if self._evidence else np.zeros(0, np.float32)
        credited = self._credited(text)
        if credited:
            # Who says it, and that it is said, is told by the voice.
            for term in analyse(" ".join((*(each.name for each in credited), *OPINING))):
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
            if (start := _credited_at(person, text)) is not None:
                same = found.get(start)
                # Two of one family name.
                found[start] = _Credited(person, start, frozenset(names) | (same.names if same else frozenset()))
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
        speaking = [each for each in allowed if _speaks(self._evidence[each].voice, credited)]
        if not speaking:
            return _Carried((), 0.0, f"the words are not those of {credited[0].name}")
        wanted = figures(text)
        chosen = self._chosen(weights, near, wanted, speaking)
        best = [self._evidence[number] for number in chosen]
        quoted = " ".join(each.text for each in best)
        places = " ".join(dict.fromkeys(self._places[each.passage] for each in best))
        voices = " ".join(str(each.voice) for each in best)
        lost = wanted - set().union(*(self._told(number, weights) for number in chosen))
        if lost:
            return _Carried((), 0.0, f"{_listed(sorted(lost))} does not stand there")
        around = f"{quoted} {places} {voices}"
        unnamed = [name for name in _names(text) if not _holds_name(name, around)]
        if unnamed:
            return _Carried((), 0.0, f"{_listed(unnamed)} is not named there")
        coverage = _share(weights, set(analyse(around)))
        of_one = max(_share(weights, self._terms[number]) for number in chosen)
        if coverage < _COVERAGE or of_one < _COVERAGE_OF_ONE or float(near[chosen].max()) < _COSINE:
            return _Carried((), 0.0, "the words there do not say it")
        if _is_turned_round(text, [each.text for each in best], set(weights)):
            return _Carried((), 0.0, "the words there say it the other way round")
        return _Carried(tuple(best), coverage, "")

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


def _speaks(voice: Voice, credited: Sequence[_Credited]) -> bool:
    """Whether that is who says it: the first who is named, or another as reported by the first ("Vu writes that Lan …")."""
    if not credited or voice.speaker in credited[0].names:
        return True
    reported = any(voice.speaker in each.names for each in credited[1:])
    return reported and voice.reported_by in credited[0].names


def _credited_at(person: str, text: str) -> int | None:
    """Where the text begins to give words to that person; None where it does not."""
    who = "|".join(re.escape(folded(name)) for name in dict.fromkeys((person, family_name(person))))
    verbs = "|".join(sorted(OPINING, key=len, reverse=True))
    match = re.search(
        rf"(?<!\w)(?:{who})(?:\s+\([^()]*\))?(?:{_ADVERBS}\s+(?:{verbs})\b|'s?\s+(?:\w+\s+)?{SPOKEN}\b|:)|"
        rf"\b(?:according to|as|for)\s+(?:{who})(?!\w)|\b(?:{verbs}) (?:by )?(?:{who})(?!\w)",
        folded(text),
    )
    return match.start() if match else None


def _is_turned_round(text: str, quoted: Sequence[str], terms: set[str]) -> bool:
    """Whether the claim denies what no quote denies; or does not, where the clause that resembles it most does; or has the
    opposite of a word there. terms: of the claim.
    """
    denies = bool(_NEGATION.search(text))
    if denies and not any(map(_NEGATION.search, quoted)):
        return True
    clauses = [clause for each in quoted for clause in _CLAUSES.split(each) if clause.strip()]
    nearest = max(clauses, key=lambda clause: len(terms & set(analyse(clause))), default="")
    if not denies and _NEGATION.search(nearest):
        return True
    said, told = (set(re.findall(r"[^\W\d_]+", each.casefold())) for each in (text, nearest))
    return any(len(pair & said - told) == 1 and len(pair & told - said) == 1 for pair in _OPPOSITES)


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
