"""One conversation: a question goes in, events come out, the answer last."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from assistant.answering.answers import Answer, Delta, Event, Finished, Found, Rewritten
from assistant.answering.generators import EXTRACTIVE, Generator
from assistant.reader.readings import Asked, Reader
from assistant.retrieval.followups import Rewrite, Turn, wordings
from assistant.retrieval.retriever import Retriever
from index.errors import QuestionError
from index.filters import Filter
from index.store import ChunkStore

LONGEST_QUESTION = 4_000
"""Characters."""


class Conversation:
    """Keeps the turns, so that a follow-up may lean on them. Not shared between threads at the same moment."""

    def __init__(
        self,
        store: ChunkStore,
        retriever: Retriever,
        reader: Reader,
        *,
        passages: int,
        threshold: float,
        generator: Generator = EXTRACTIVE,
        rewrite: Rewrite = wordings,
        history: Sequence[Turn] = (),
        only: Filter | None = None,
    ) -> None:
        """only: which passages may answer."""
        self.store = store
        self._retriever = retriever
        self._reader = reader
        self._passages = passages
        self._threshold = threshold
        self._generator = generator
        self._rewrite = rewrite
        self._turns = list(history)
        self._only = only

    def _last_answer(self) -> str:
        return next((turn.content for turn in reversed(self._turns) if turn.role == "assistant"), "")

    def ask(self, question: str) -> Iterator[Event]:
        """Yields Rewritten (for a follow-up), Found, a Delta for each sentence, and Finished.

        Raises QuestionError for a question that is empty or too long. The turn is remembered when the answer is whole.
        """
        question = check_question(question)
        started = time.perf_counter()
        wordings = self._rewrite(question, self._turns)
        standalone = wordings.standalone
        if standalone != question:
            yield Rewritten(standalone)
        rewritten = time.perf_counter()
        passages = self._retriever.search(wordings, self._passages, only=self._only)
        documents = {name: self.store.document(name) for name in {each.chunk.document_id for each in passages}}
        sources = [documents[each.chunk.document_id] for each in passages]
        # A document that changed between search and reading no longer holds the chunk's words at their place.
        kept = [
            number
            for number, (passage, source) in enumerate(zip(passages, sources, strict=True))
            if source.text[passage.chunk.start : passage.chunk.end] == passage.chunk.text
        ]
        passages, sources = [passages[number] for number in kept], [sources[number] for number in kept]
        retrieved = time.perf_counter()
        yield Found(tuple(passages))
        reading = self._reader.read(
            Asked(question, standalone, wordings.names, self._last_answer() if standalone != question else ""), passages, sources
        )
        composed = self._generator.compose(reading, passages, sources, threshold=self._threshold)
        finished = time.perf_counter()
        for sentence in composed.sentences:
            yield Delta(sentence, tuple(composed.citations[marker - 1] for marker in sentence.citations))
        locators = tuple(source.locator_at(passage.chunk.start).label for passage, source in zip(passages, sources, strict=True))
        answer = Answer(
            question=question,
            standalone_question=standalone,
            short=composed.short,
            abstained=composed.abstained,
            reason=composed.reason,
            confidence=reading.confidence,
            sentences=composed.sentences,
            citations=composed.citations,
            passages=tuple(passages),
            locators=locators,
            references=tuple(f"{source.cite_as}, {locator}" for source, locator in zip(sources, locators, strict=True)),
            generator=self._generator.name,
            signals=reading.signals,
            seconds={
                "rewrite": rewritten - started,
                "retrieve": retrieved - rewritten,
                "answer": finished - retrieved,
                "total": finished - started,
            },
        )
        self._turns += [Turn("user", question), Turn("assistant", spoken(answer))]
        yield Finished(answer)


def check_question(question: str) -> str:
    """The question without surrounding white space. Raises QuestionError."""
    question = question.encode("utf-8", "replace").decode().strip()
    if not any(character.isalnum() for character in question):
        raise QuestionError("the question is empty; write what you want to know.")
    if len(question) > LONGEST_QUESTION:
        raise QuestionError(
            f"the question has {len(question):,} characters, the limit is {LONGEST_QUESTION:,}; ask in fewer words, "
            "and add long texts to the corpus with: assistant add"
        )
    return question


def spoken(answer: Answer) -> str:
    """The answer as plain text, each sentence with its speaker: what the conversation remembers and evals read."""
    said = [
        f"{answer.citation(sentence.citations[0]).voice}: {sentence.text}" if sentence.citations else sentence.text
        for sentence in answer.sentences
    ]
    return " ".join([answer.short, *said]) if answer.abstained else " ".join(said)
