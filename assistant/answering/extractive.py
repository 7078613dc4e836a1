"""Answers without a language model: the few sentences that answer best, quoted, cited, each with its voice."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from assistant.answering.answers import Citation, Delta, Sentence, Usage
from assistant.answering.citations import cite, holds
from assistant.inert import shortened
from assistant.reader.readings import GAPS, Evidence, Reading
from assistant.retrieval.passages import Passage
from index.documents import Document

DO_NOT_SAY = "The sources do not say."
_MOST_SENTENCES = 4
# A further sentence must come this close to the best one, or carry the answer with it in the same passage.
_CLOSE = 0.88
_CARRIED = 0.5
# From here on two sentences say the same.
_SAME = 0.82
# Where the question names several speakers, each is heard, if at all to the point.
_HEARD = 0.8
_CLOSE_GAP = 0.85
# Log-odds below which few words are no answer: above, about half are right on the SQuAD questions kept out, those without an
# answer included; below, one in five (docs/answers.md).
_UNLIKELY = 2.0
# "Who", answered without a name, or "when" without a date, must be likelier by so much.
_OF_ANOTHER_KIND = 2.0
_LONGEST_NEAREST = 160
_MOST_WORDS = 5
_ABBREVIATED = re.compile(r"\b(?:[A-Za-z]\.)+$|\b(?:Inc|Ltd|Co|Corp|Jr|Sr|etc|No|St)\.$")
# "special in two ways." announces what the next sentences tell.
_ANNOUNCES = re.compile(r"\b(two|three|four|five|six)\s+\w+(?:\s+\w+)?\s*[.:]$|:$", re.IGNORECASE)
# Such a sentence is not understood without the one before it.
_GOES_ON = re.compile(
    r"^(?:the (?:first|second|third|fourth|last|other|former|latter|same)|it|its|he|his|she|her|they|their|this|that|these|those|"
    r"such|both|but|and|or|yet|so|then|thus|hence|there|here|also|again|therefore|however|moreover|instead|finally|first|second|"
    r"third)\b|^[^,]{0,60}, (?:by contrast|too|also|however|therefore|on the other hand|in turn|then|instead|moreover),",
    re.IGNORECASE,
)
_COUNTS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6}


@dataclass(frozen=True, slots=True)
class Composed:
    sentences: tuple[Sentence, ...]
    citations: tuple[Citation, ...]
    short: str
    abstained: bool
    reason: str
    notices: tuple[str, ...] = ()
    generator: str | None = None
    """Who wrote it, where that is not the generator that was asked."""
    usage: Usage | None = None

    def deltas(self) -> list[Delta]:
        return [
            Delta(sentence, tuple(self.citations[marker - 1] for marker in sentence.citations)) for sentence in self.sentences
        ]


def compose(reading: Reading, passages: Sequence[Passage], documents: Sequence[Document], *, threshold: float) -> Composed:
    """threshold: below this confidence the answer is that the sources do not say.

    A sentence of a document of kind "gaps" (what the sources do not say) that answers best is itself such an answer,
    and is quoted.
    """
    if not reading.evidence:
        return Composed((), (), DO_NOT_SAY, True, "Nothing in the sources resembles the question.")
    gap = _known_gap(reading, documents, thin=reading.confidence < threshold)
    if reading.confidence < threshold and gap is None:
        return Composed((), (), DO_NOT_SAY, True, _why_not(reading, documents, threshold))
    chosen = [gap] if gap is not None else _choose(reading, passages, documents)
    composed = quote(chosen, passages, documents)
    if gap is None and reading.asks_who_says:
        return replace(composed, short=str(reading.evidence[0].voice))
    if gap is None:
        return replace(composed, short=_short(reading, chosen, documents)) if reading.answers else composed
    return replace(
        composed,
        short=DO_NOT_SAY,
        abstained=True,
        reason="The list of what the sources do not say comes nearest to this question.",
    )


def _why_not(reading: Reading, documents: Sequence[Document], threshold: float) -> str:
    """What was looked for in vain, and what came nearest and where."""
    nearest = reading.evidence[0]
    document = documents[nearest.passage]
    missing = f"None of the passages looked at holds {_listed(reading.missing)}. " if reading.missing else ""
    # Rounded down, so that what is under the threshold looks it.
    return (
        f"{missing}Nearest, but not near enough to be sure of "
        f"(confidence {math.floor(100 * reading.confidence) / 100:.2f}, wanted {threshold:.2f}): "
        f"“{shortened(' '.join(nearest.text.split()), _LONGEST_NEAREST)}” "
        f"({document.cite_as}, {document.locator_at(nearest.start).label})"
    )


def _listed(words: Sequence[str]) -> str:
    told = [f"“{word}”" for word in words[:_MOST_WORDS]]
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} or {told[-1]}"


def _short(reading: Reading, chosen: Sequence[Evidence], documents: Sequence[Document]) -> str:
    """The likeliest few words of the sentence that answers; empty where they are not likely, or stand in one told besides: those
    are right one time in five (docs/answers.md).
    """
    if reading.few_words is None:
        return ""
    best = (chosen[0], reading.evidence[0])
    for answer in reading.answers:
        document = documents[answer.passage]
        within = any(
            documents[each.passage].id == document.id and each.start <= answer.start and answer.end <= each.end for each in best
        )
        if within:
            words = trimmed(" ".join(document.text[answer.start : answer.end].split()))
            of_the_kind = bool(reading.few_words.search(words))
            return words if answer.score > _UNLIKELY + _OF_ANOTHER_KIND * (not of_the_kind) else ""
    return ""


def trimmed(words: str) -> str:
    """Without punctuation around them that is not theirs: a stop, a comma, half of a pair."""
    # A bracket that is not closed: what follows is no part of it.
    words = re.sub(r"(?<=\S)\s*\([^()]*$", "", words.strip(" ,;:"))
    # One without a number tells more than was asked: "Le Duan (Washington Post)".
    words = re.sub(r"(?<=\S)\s+\([^()\d]*\)$", "", words)
    if words.endswith(".") and not _ABBREVIATED.search(words):
        words = words[:-1]
    for opens, closes in ("()", "[]", "“”", "‘’"):
        if words.endswith(closes) and words.count(opens) < words.count(closes):
            words = words[:-1]
        if words.startswith(opens) and words.count(closes) < words.count(opens):
            words = words[1:]
    if words.count('"') % 2:
        words = words.strip('"')
    return words.strip(" ,;:")


def quote(chosen: Sequence[Evidence], passages: Sequence[Passage], documents: Sequence[Document]) -> Composed:
    """The chosen sentences, at least one, each with its citation."""
    sentences, citations = [], []
    for marker, evidence in enumerate(chosen, start=1):
        document = documents[evidence.passage]
        citation = cite(marker, document, evidence.start, evidence.end, evidence.voice)
        sentences.append(
            Sentence(
                text=" ".join(citation.quote.split()),
                citations=(marker,),
                support="verified" if holds(citation, document) else "unverified",
                score=evidence.score,
            )
        )
        citations.append(citation)
    return Composed(tuple(sentences), tuple(citations), sentences[0].text, abstained=False, reason="")


def _known_gap(reading: Reading, documents: Sequence[Document], *, thin: bool) -> Evidence | None:
    """The sentence that says that the sources do not say: when it is the best, or comes close while evidence is thin."""
    best = reading.evidence[0]
    gaps = (evidence for evidence in reading.evidence if documents[evidence.passage].kind == GAPS)
    gap = next(gaps, None)
    return gap if gap is not None and (gap is best or (thin and gap.score >= best.score * _CLOSE_GAP)) else None


def _choose(reading: Reading, passages: Sequence[Passage], documents: Sequence[Document]) -> list[Evidence]:
    """The best sentence, then others that come close and say something else; a place stays together, in its order."""
    best = reading.evidence[0]
    chosen: list[int] = []
    for number, evidence in enumerate(reading.evidence):
        if evidence.score < best.score * _CARRIED or len(chosen) == _MOST_SENTENCES:
            break
        belongs = best.carries and evidence.carries and evidence.passage == best.passage
        if documents[evidence.passage].kind == GAPS or (evidence.score < best.score * _CLOSE and not belongs):
            continue
        if all(reading.overlaps[number][other] < _SAME for other in chosen):
            chosen.append(number)
    picked = [reading.evidence[number] for number in chosen]
    if len(reading.asked_speakers) > 1:
        for names in reading.asked_speakers:
            if not any(each.voice.speaker in names for each in picked):
                heard = next((each for each in reading.evidence if each.voice.speaker in names), None)
                picked.extend([heard] if heard is not None and heard.score >= best.score * _HEARD else [])
    return _in_order(_with_announced(picked, reading), documents)


def _with_announced(picked: list[Evidence], reading: Reading) -> list[Evidence]:
    """Adds the sentences that a picked one announces ("special in two ways.")."""
    complete = list(picked)
    for evidence in picked:
        match = _ANNOUNCES.search(evidence.text)
        if not match:
            continue
        count = _COUNTS.get((match[1] or "two").lower(), 2)
        following = sorted(
            (each for each in reading.evidence if each.passage == evidence.passage and each.start > evidence.start),
            key=lambda each: each.start,
        )[:count]
        complete.extend(each for each in following if each not in complete)
    return complete


def _in_order(picked: list[Evidence], documents: Sequence[Document]) -> list[Evidence]:
    """First the best sentence, with those before it that it leans on and those after it that lean on it; then the others,
    places in the order of their best sentence, within one document by position.
    """
    order: dict[str, list[Evidence]] = {}
    for evidence in picked:
        order.setdefault(documents[evidence.passage].id, []).append(evidence)
    first, *others = [sorted(group, key=lambda evidence: evidence.start) for group in order.values()]
    start = end = first.index(picked[0])
    text = documents[picked[0].passage].text
    while start and _leans(first[start], first[start - 1], text):
        start -= 1
    while end + 1 < len(first) and _leans(first[end + 1], first[end], text):
        end += 1
    return [*first[start : end + 1], *first[:start], *first[end + 1 :], *(each for group in others for each in group)]


def _leans(later: Evidence, earlier: Evidence, text: str) -> bool:
    """Whether the later sentence follows at once and is not understood without the earlier one."""
    if text[earlier.end : later.start].strip():
        return False
    return bool(_ANNOUNCES.search(earlier.text) or _GOES_ON.search(later.text))
