"""Runs a suite through the same Conversation that the chat uses, or through its retrieval alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from assistant.answering.answers import Answer, Finished
from assistant.answering.contract import answer_as_json
from assistant.answering.conversation import check_question
from assistant.assembly import Assistant
from assistant.reader.articles import is_kept_out
from assistant.retrieval.followups import wordings
from assistant.retrieval.passages import Passage
from assistant.retrieval.retriever import Wordings, plain
from evals.cases import GoldCase, Suite
from evals.records import Mode, Result
from evals.scoring import Scores, score_answer, score_documents, score_evidence, score_failure
from index.errors import AssistantError, QuestionError, SuiteError

SEED = 20210603
# Passages retrieved for each question, so that as a rule ten documents are among them.
_LEAST_RETRIEVED = 50
_AT_ONCE = 64
_KEPT = 10
_COMPARED = ("nDCG@10", "R@5")


def of_articles_kept_out(suite: Suite) -> Suite:
    """The questions about articles that the reader was not trained on. Raises SuiteError where no question names its article."""
    cases = tuple(case for case in suite.cases if case.group is not None and is_kept_out(case.group))
    if not cases:
        raise SuiteError(f"no question of {suite.name} names an article that is kept out of training (group).")
    return replace(suite, part=f"{suite.part}, kept out", cases=cases)


def chosen_cases(suite: Suite, *, limit: int | None, seed: int) -> tuple[GoldCase, ...]:
    """All cases, or `limit` of them drawn with the seed, in the order of the file: its first questions may be all alike."""
    if limit is None or limit >= len(suite.cases):
        return suite.cases
    drawn = sorted(random.Random(seed).sample(range(len(suite.cases)), limit))
    return tuple(suite.cases[number] for number in drawn)


def run(suite: Suite, assistant: Assistant, cases: Sequence[GoldCase], *, mode: Mode) -> Iterator[Result]:
    """Yields each case as it ends. Retrieval is batched, answers come one by one. The gold has been checked."""
    worded = any(case.answers for case in suite.cases)
    for number in range(0, len(cases), _AT_ONCE):
        batch = cases[number : number + _AT_ONCE]
        for case, (scores, passages) in zip(batch, _retrieve(suite, assistant, batch), strict=True):
            if mode == "retrieval":
                places = [_place(passage) for passage in passages[:_KEPT]]
                yield _result(case, scores, passages=places, error=_complaint(case.question))
            else:
                yield _answered(case, scores, assistant, worded=worded)


# -- retrieval ---------------------------------------------------------------------------------------------------------------


def _retrieve(suite: Suite, assistant: Assistant, batch: Sequence[GoldCase]) -> list[tuple[Scores, list[Passage]]]:
    """For each case the measures of its retrieval, and the passages. Every wording of the batch is embedded at once."""
    asked = [_askable(case.question) for case in batch]
    searched = [
        assistant.wordings(question, case.history) if question else Wordings("", (), (), "")
        for question, case in zip(asked, batch, strict=True)
    ]
    variants = [_variants(suite, case, question) for case, question in zip(batch, asked, strict=True)]
    wanted = list(dict.fromkeys([*searched, *(wording for each in variants for wording in each.values())]))
    found = dict(zip(wanted, assistant.search(wanted, max(_LEAST_RETRIEVED, *suite.depths)), strict=True))
    rankings = [found[own] for own in searched]
    scored = score_documents(batch, rankings, suite.depths)
    for case, scores, passages, other in zip(batch, scored, rankings, variants, strict=True):
        scores |= score_evidence(case, passages, suite.depths, assistant.store.document)
        for name, wording in other.items():
            (compared,) = score_documents([case], [found[wording]], suite.depths)
            scores |= {f"{measure}, {name}": compared[measure] for measure in _COMPARED if measure in compared}
    return list(zip(scored, rankings, strict=True))


def _askable(question: str) -> str:
    """The question as the conversation takes it; empty for one that it refuses: nothing is found for it."""
    return "" if _complaint(question) else check_question(question)


def _complaint(question: str) -> str | None:
    """Why the conversation refuses the question, if it does."""
    try:
        check_question(question)
    except QuestionError as error:
        return str(error)
    return None


def _variants(suite: Suite, case: GoldCase, question: str) -> dict[str, Wordings]:
    """The wordings of a follow-up to be compared, whatever the settings. Where people reworded some questions, only those
    are compared, so that the figures are of the same questions.
    """
    if not (case.history and question) or (case.rewrite is None and any(each.rewrite for each in suite.cases)):
        return {}
    human = {"human rewrite": plain(case.rewrite)} if case.rewrite else {}
    return {"last turn": plain(question), "our rewrite": wordings(question, case.history), **human}


# -- answers -----------------------------------------------------------------------------------------------------------------


def _answered(case: GoldCase, scores: Scores, assistant: Assistant, *, worded: bool) -> Result:
    try:
        answer = _ask(case, assistant)
        scores = scores | score_answer(case, answer, assistant.store.document, worded=worded)
        if_answered = scores if not answer.abstained else None
        if answer.abstained:
            forced = _ask(case, assistant, abstain_below=0.0)
            if not forced.abstained:
                if_answered = score_answer(case, forced, assistant.store.document, worded=worded)
    except Exception as error:  # noqa: BLE001 - whatever a question raises, it counts as wrong and is shown
        told = str(error) if isinstance(error, AssistantError) else repr(error)
        failed = score_failure(case, worded=worded)
        # Wrong in whatever is made of confidence too: the least for what can be answered, the most for what cannot.
        sure = 0.0 if case.answerable else 1.0
        return _result(case, scores | failed, abstained=case.answerable, confidence=sure, if_answered=failed, error=told)
    return _result(
        case,
        scores,
        abstained=answer.abstained,
        confidence=answer.confidence,
        if_answered=if_answered,
        seconds=answer.seconds["total"],
        answer=answer_as_json(answer),
    )


def _ask(case: GoldCase, assistant: Assistant, *, abstain_below: float | None = None) -> Answer:
    events = assistant.converse(case.history, abstain_below=abstain_below).ask(case.question)
    return next(event.answer for event in events if isinstance(event, Finished))


def _result(case: GoldCase, scores: Scores, **told: Any) -> Result:
    return Result(
        id=case.id,
        type=case.type,
        question=case.question,
        answerable=case.answerable,
        scores=scores,
        answers=case.answers,
        tests_abstention=case.tests_abstention,
        **told,
    )


def _place(passage: Passage) -> dict[str, Any]:
    return {"document": passage.chunk.document_id, "start": passage.chunk.start, "end": passage.chunk.end}
