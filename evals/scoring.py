"""One ranking or one answer against its gold case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from assistant.answering.answers import Answer, Citation
from assistant.answering.citations import holds
from assistant.answering.conversation import spoken
from assistant.retrieval.passages import Passage
from evals.cases import GoldCase, Place, names
from evals.metrics import (
    argument_recall,
    exact_match,
    key_fact_recall,
    need_measures,
    precision,
    ranking_measures,
    rouge_l,
    sides_found,
    token_f1,
)
from index.documents import Document, Voice

ReadDocument = Callable[[str], Document]
Scores = dict[str, float]
"""Measure -> value, for the measures that apply to the case."""

# The better half of the shorter of two spans makes them the same place: sentences are split here and there in other ways.
_SAME_PLACE = 0.5
_SIDES_DEPTH = 10


def ranked_documents(passages: Sequence[Passage]) -> list[str]:
    """Each document once, at the rank of its first passage."""
    return list(dict.fromkeys(passage.chunk.document_id for passage in passages))


def score_documents(cases: Sequence[GoldCase], rankings: Sequence[Sequence[Passage]], depths: Sequence[int]) -> list[Scores]:
    """Retrieval of documents: nDCG@10, RR, R@k, Success@k, and for debates whether both sides are heard."""
    documents = {case.id: ranked_documents(passages) for case, passages in zip(cases, rankings, strict=True)}
    by_grade = ranking_measures(documents, {case.id: case.relevant for case in cases}, depths)
    scores = []
    for case in cases:
        found = dict(by_grade.get(case.id, {}))
        if not case.relevant:
            # Without graded documents, those that hold the evidence count; of alternatives one suffices.
            found = _best_alternative(
                [
                    [[any(place.document == name for place in need) for name in documents[case.id]] for need in needs]
                    for needs in case.evidence
                ],
                depths,
            )
        sides = {
            f"both sides@{_SIDES_DEPTH}": sides_found(documents[case.id], case.sides, _SIDES_DEPTH),
            f"argument R@{_SIDES_DEPTH}": argument_recall(documents[case.id], case.sides, _SIDES_DEPTH),
        }
        scores.append(found | {name: value for name, value in sides.items() if value is not None})
    return scores


def score_evidence(case: GoldCase, passages: Sequence[Passage], depths: Sequence[int], read: ReadDocument) -> Scores:
    """Retrieval of the places themselves: the same measures, of passages that hold the evidence."""
    places = {place: [_passage_meets(place, passage, read) for passage in passages] for place in case.places}
    found = _best_alternative(
        [
            [[any(met) for met in zip(*(places[place] for place in need), strict=True)] for need in needs]
            for needs in case.evidence
        ],
        depths,
    )
    return {f"evidence {name}": value for name, value in found.items()}


def _best_alternative(alternatives: Sequence[Sequence[Sequence[bool]]], depths: Sequence[int]) -> Scores:
    scored = [need_measures(needs_met, depths) for needs_met in alternatives]
    return {name: max(each[name] for each in scored) for name in scored[0]} if scored else {}


def score_answer(case: GoldCase, answer: Answer, read: ReadDocument, *, worded: bool) -> Scores:
    """Correctness, citations and credit. An answer that is refused scores 0 where one was due.

    worded: whether the suite words its answers, so that refusing an unanswerable question is an exact match.
    """
    said = "" if answer.abstained else " ".join(sentence.text for sentence in answer.sentences)
    cited = answer.citations
    found: Mapping[str, float | None] = {
        "quotes at their offsets": precision([holds(citation, read(citation.document)) for citation in cited]),
    }
    if _has_wording(case, worded):
        short = "" if answer.abstained else answer.short
        golds = case.answers if case.answerable else ()
        found = {**found, "EM": exact_match(short, golds), "F1": token_f1(short, golds)}
    if case.answerable:
        found = {
            # A refusal may quote what the sources leave out; one without any words states no fact.
            "key-fact recall": key_fact_recall(spoken(answer) if answer.sentences else "", case.must_include),
            **found,
            "ROUGE-L": rouge_l(said, case.answers),
            "citation precision": _citation_precision(case, cited),
            "citation recall": _citation_recall(case, cited),
            "right speaker": _right_speaker(case, answer) if case.attributed_to else None,
        }
    return {name: value for name, value in found.items() if value is not None}


def score_failure(case: GoldCase, *, worded: bool) -> Scores:
    """Of a question that raised an error: wrong in everything that applies."""
    due = _has_wording(case, worded)
    applies = {
        "key-fact recall": case.answerable and bool(case.must_include),
        "EM": due,
        "F1": due,
        "ROUGE-L": case.answerable and bool(case.answers),
        "citation precision": case.answerable and bool(case.evidence or case.relevant),
        "citation recall": case.answerable and bool(case.evidence or case.relevant),
        "right speaker": case.answerable and bool(case.attributed_to),
    }
    return {name: 0.0 for name, does in applies.items() if does}


def _has_wording(case: GoldCase, worded: bool) -> bool:
    """Whether gold says what the answer is, be it silence."""
    return worded and (bool(case.answers) if case.answerable else case.tests_abstention)


# -- places ------------------------------------------------------------------------------------------------------------------


def _passage_meets(place: Place, passage: Passage, read: ReadDocument) -> bool:
    chunk = passage.chunk
    if chunk.document_id != place.document:
        return False
    if place.quote is not None:
        return place.quote in chunk.text
    if place.span is not None:
        # Half of the words suffice: a span may cross the border of two chunks.
        start, end = place.span
        return min(end, chunk.end) - max(start, chunk.start) >= _SAME_PLACE * (end - start)
    return any(
        names(place.locator or "", locator.label) and locator.start < chunk.end and chunk.start < locator.end
        for locator in read(chunk.document_id).locators
    )


def _citation_meets(place: Place, citation: Citation) -> bool:
    if citation.document != place.document:
        return False
    if place.locator is not None:
        return names(place.locator, citation.locator)
    if place.quote is not None:
        return place.quote in citation.quote or citation.quote in place.quote
    if place.span is None:
        return False
    start, end = place.span
    return min(end, citation.end) - max(start, citation.start) >= _SAME_PLACE * min(end - start, citation.end - citation.start)


def _citation_precision(case: GoldCase, cited: Sequence[Citation]) -> float | None:
    """Share of the citations that point at a gold place or, where gold names none, at a relevant document."""
    if case.evidence:
        return precision([any(_citation_meets(place, citation) for place in case.places) for citation in cited])
    if case.relevant:
        return precision([citation.document in case.relevant for citation in cited])
    return None


def _citation_recall(case: GoldCase, cited: Sequence[Citation]) -> float | None:
    """Share of the gold needs (of the alternative met best) or, where gold names none, of the relevant documents cited."""
    if case.evidence:
        return max(
            fmean(any(_citation_meets(place, citation) for place in need for citation in cited) for need in needs)
            for needs in case.evidence
        )
    if case.relevant:
        return fmean(name in {citation.document for citation in cited} for name in case.relevant)
    return None


def _right_speaker(case: GoldCase, answer: Answer) -> float:
    """1 when the first sentence is credited to a gold voice, at first hand or reported as in gold."""
    if not answer.sentences or not answer.sentences[0].citations:
        return 0.0
    voice = answer.citation(answer.sentences[0].citations[0]).voice
    return float(any(_credits(gold, voice) for gold in case.attributed_to))


def _credits(gold: Voice, voice: Voice) -> bool:
    # A map may pass on what a speaker says at first hand; a report must be credited to its reporter.
    return voice.speaker == gold.speaker and gold.reported_by in (None, voice.reported_by)
