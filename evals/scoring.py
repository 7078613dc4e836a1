"""One answer against its gold case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assistant.answering.answers import Answer, Citation
from assistant.answering.citations import holds
from assistant.answering.conversation import spoken
from assistant.retrieval.passages import Passage
from evals.cases import GoldCase, Place, names
from evals.metrics import key_fact_recall, precision, recall_at, reciprocal_rank
from index.documents import Document, Voice


@dataclass(frozen=True, slots=True)
class Score:
    """The measures of one case. None: the measure does not apply to it."""

    recall_1: float | None
    recall_5: float | None
    recall_10: float | None
    rr: float | None
    key_facts: float | None
    citation_precision: float | None
    """Share of the citations that point at a gold place."""
    citation_recall: float | None
    """Share of the gold needs at which a citation points."""
    right_speaker: float | None
    """1 when the first sentence is credited to a gold voice, at first hand or reported as in gold."""
    quotes_hold: float | None
    """Share of the citations whose quote stands at its offsets in the document."""
    abstained: bool
    seconds: float | None


def score(case: GoldCase, answer: Answer, documents: Mapping[str, Document]) -> Score:
    met = [
        [any(_passage_meets(place, passage, documents) for place in need) for passage in answer.passages]
        for need in case.evidence
    ]
    asked = case.answerable
    cited = answer.citations
    return Score(
        recall_1=recall_at(met, 1),
        recall_5=recall_at(met, 5),
        recall_10=recall_at(met, 10),
        rr=reciprocal_rank(met),
        key_facts=key_fact_recall(spoken(answer), case.must_include) if asked else None,
        citation_precision=precision(
            [any(_citation_meets(place, citation) for need in case.evidence for place in need) for citation in cited]
        )
        if asked
        else None,
        citation_recall=precision(
            [any(_citation_meets(place, citation) for place in need for citation in cited) for need in case.evidence]
        )
        if asked
        else None,
        right_speaker=_right_speaker(case, answer) if asked and case.attributed_to else None,
        quotes_hold=precision([holds(citation, documents[citation.document]) for citation in cited]),
        abstained=answer.abstained,
        seconds=answer.seconds["total"],
    )


def failed(case: GoldCase) -> Score:
    """The score of a question that raised an error: wrong in everything that applies."""
    needs = 0.0 if case.evidence else None
    asked = 0.0 if case.answerable else None
    return Score(
        recall_1=needs,
        recall_5=needs,
        recall_10=needs,
        rr=needs,
        key_facts=asked if case.must_include else None,
        citation_precision=asked,
        citation_recall=asked if case.evidence else None,
        right_speaker=asked if case.attributed_to else None,
        quotes_hold=None,
        abstained=case.answerable,
        seconds=None,
    )


def _passage_meets(place: Place, passage: Passage, documents: Mapping[str, Document]) -> bool:
    chunk = passage.chunk
    if chunk.document_id != place.document:
        return False
    if place.quote is not None:
        return place.quote in chunk.text
    return any(
        names(place.locator or "", locator.label) and locator.start < chunk.end and chunk.start < locator.end
        for locator in documents[chunk.document_id].locators
    )


def _citation_meets(place: Place, citation: Citation) -> bool:
    if citation.document != place.document:
        return False
    if place.quote is not None:
        return place.quote in citation.quote or citation.quote in place.quote
    return names(place.locator or "", citation.locator)


def _right_speaker(case: GoldCase, answer: Answer) -> float:
    if not answer.sentences or not answer.sentences[0].citations:
        return 0.0
    voice = answer.citation(answer.sentences[0].citations[0]).voice
    return float(any(_credits(gold, voice) for gold in case.attributed_to))


def _credits(gold: Voice, voice: Voice) -> bool:
    # A map may pass on what a speaker says at first hand; a report must be credited to its reporter.
    return voice.speaker == gold.speaker and gold.reported_by in (None, voice.reported_by)
