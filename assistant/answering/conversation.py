"""One conversation: a question goes in, events come out, the answer last."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from threading import Event as Flag
from typing import NamedTuple, Protocol

from assistant.answering.answers import Answer, Event, Finished, Found, Rewritten, Usage, total
from assistant.answering.extractive import Composed
from assistant.answering.generators import EXTRACTIVE, Generator, Task
from assistant.reader.readings import Asked, Reader
from assistant.retrieval.followups import Rewrite, Turn, wordings
from assistant.retrieval.retriever import Retriever, Wordings
from index.errors import GeneratorError, QuestionError
from index.filters import Filter
from index.store import ChunkStore

LONGEST_QUESTION = 4_000
"""Characters."""


class Rewriter(Protocol):
    def ask(self, question: str, history: Sequence[Turn], stopped: Flag) -> tuple[Wordings, Usage | None]:
        """Raises GeneratorError."""


class Prices(NamedTuple):
    """Of a million tokens."""

    read: float
    written: float


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
        rewriter: Rewriter | None = None,
        model: str | None = None,
        prices: Prices | None = None,
        history: Sequence[Turn] = (),
        only: Filter | None = None,
    ) -> None:
        """rewriter: a language model that completes follow-ups; `rewrite` does where it fails. model: the name of the one that
        answers. only: which passages may answer.
        """
        self.store = store
        self._retriever = retriever
        self._reader = reader
        self._passages = passages
        self._threshold = threshold
        self._generator = generator
        self._rewrite = rewrite
        self._rewriter = rewriter
        self._model = model
        self._prices = prices
        self._turns = list(history)
        self._only = only

    def _wordings(self, question: str, stopped: Flag) -> tuple[Wordings, Usage | None, tuple[str, ...]]:
        """What is searched for, what that cost, and what a person should know of it."""
        if self._rewriter is None or not self._turns:
            return self._rewrite(question, self._turns), None, ()
        try:
            told, usage = self._rewriter.ask(question, self._turns, stopped)
        except GeneratorError as error:
            if stopped.is_set():
                return self._rewrite(question, self._turns), None, ()
            notice = f"The question was completed by rules, not by the language model: {error}"
            return self._rewrite(question, self._turns), None, (notice,)
        return told, usage, ()

    @property
    def turns(self) -> tuple[Turn, ...]:
        """What was said so far."""
        return tuple(self._turns)

    def _last_answer(self) -> str:
        return next((turn.content for turn in reversed(self._turns) if turn.role == "assistant"), "")

    def ask(self, question: str, stopped: Flag | None = None) -> Iterator[Event]:
        """Yields Rewritten (for a follow-up, or a name spelt otherwise), Found, what there is of the answer while it is made, and
        Finished. The Deltas since the last Withdrawn, if any, are the sentences of the answer. stopped: set it, from any thread,
        to end what is being written; the answer keeps what there is.

        Raises QuestionError for a question that is empty or too long. The turn is remembered when the answer is whole.
        """
        question = check_question(question)
        stopped = stopped or Flag()
        started = time.perf_counter()
        # From here on names are spelt as the sources do.
        spelt = self._retriever.as_written(question)
        wordings, rewriting, notices = self._wordings(spelt, stopped)
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
            Asked(spelt, standalone, wordings.names, self._last_answer() if standalone != spelt else "", self._only),
            passages,
            sources,
        )
        composed: Composed | None = None
        task = Task(standalone, self._turns, reading, passages, sources, self._threshold, stopped)
        for step in self._generator.write(task):
            if isinstance(step, Composed):
                composed = step
            else:
                yield step
        assert composed is not None, f"{self._generator.name} ended without an answer"
        usage = total(rewriting, composed.usage)
        finished = time.perf_counter()
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
            generator=composed.generator or self._generator.name,
            signals=reading.signals,
            notices=(*([f"Only this was looked at: {self._only.words}."] if self._only else []), *notices, *composed.notices),
            model=self._model,
            usage=usage,
            cost=_cost(usage, self._prices),
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
    voices = [answer.voice_of(sentence) for sentence in answer.sentences]
    said = [
        f"{voice}: {sentence.text}" if voice else sentence.text for voice, sentence in zip(voices, answer.sentences, strict=True)
    ]
    return " ".join([answer.short, *said]) if answer.abstained else " ".join(said)


def _cost(usage: Usage | None, prices: Prices | None) -> float | None:
    if usage is None or prices is None:
        return None
    return (usage.read * prices.read + usage.written * prices.written) / 1_000_000
