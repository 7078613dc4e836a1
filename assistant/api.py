"""The assistant for programs: ask, search, read, list. The other doors (MCP, HTTP, `assistant search`) go through here.

from assistant import open_assistant

with open_assistant(corpus="papers") as assistant:
    answer = assistant.ask("Why does Keller doubt the treaty?")
    for sentence in answer.sentences:
        print(sentence.text, [answer.citation(marker).reference for marker in sentence.citations])
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event as Flag
from types import TracebackType
from typing import Any, NamedTuple, overload

from assistant.answering.answers import Answer, Event, Finished
from assistant.answering.contract import AnswerJSON, FoundJSON, OriginJSON, PlaceJSON, answer_as_json, passage_as_json
from assistant.assembly import Assistant
from assistant.retrieval.followups import Turn
from assistant.retrieval.passages import Passage
from assistant.retrieval.retriever import plain
from assistant.retrieval.syntax import parse
from assistant.settings import load_settings
from index.documents import Document
from index.errors import QuestionError
from index.filters import Filter
from index.ledger import DocumentRow

__all__ = ["Found", "OpenAssistant", "Place", "as_json", "open_assistant"]

_DEEPER = 300
"""Passages looked at where some may fall to a phrase or an excluded word."""
_MOST_CHARACTERS = 20_000


class Found(NamedTuple):
    passage: Passage
    document: Document

    @property
    def locator(self) -> str:
        return self.document.locator_at(self.passage.chunk.start).label


class Place(NamedTuple):
    """`document.text[start:end]`, and where that is."""

    document: Document
    start: int
    end: int

    @property
    def locator(self) -> str:
        return self.document.locator_at(self.start).label

    @property
    def text(self) -> str:
        return self.document.text[self.start : self.end]


class OpenAssistant:
    """An index that is open for reading. It follows a build that goes on elsewhere. Not shared between threads."""

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant

    def __enter__(self) -> OpenAssistant:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._assistant.close()

    def ask(
        self,
        question: str,
        *,
        history: Sequence[tuple[str, str]] = (),
        only: Filter | None = None,
    ) -> Answer:
        """history: (question, answer as plain text) of the turns before. only: which passages may answer.

        Raises AssistantError.
        """
        turns = [turn for asked, told in history for turn in (Turn("user", asked), Turn("assistant", told))]
        return finished(self.events(question, turns, only=only))

    def events(
        self, question: str, history: Sequence[Turn] = (), *, only: Filter | None = None, stopped: Flag | None = None
    ) -> Iterator[Event]:
        """An answer while it is made; Finished is the last. stopped: set it, from any thread, to end what is being written.

        Raises AssistantError.
        """
        if only:
            self._assistant.check_filter(only)
        return self._assistant.converse(history, only=only or None).ask(question, stopped)

    def search(self, query: str, count: int = 10) -> list[Found]:
        """The `count` best passages for words, "exact words", -without, author:, voice:, kind:, source:, date:>=2020.

        Raises QuestionError.
        """
        asked = parse(query)
        documents = asked.documents
        if asked.authors:
            documents = tuple(row.id for row in self.sources() if _by(row, asked.authors) and _below(row.id, asked.documents))
            if not documents:
                raise QuestionError(f"no document is by {' or '.join(asked.authors)}; `assistant sources` lists the authors.")
        only = Filter(documents, asked.voices, asked.kinds, asked.since, asked.until)
        if only:
            self._assistant.check_filter(only)
        narrow = bool(asked.phrases or asked.without or asked.exact)
        passages = self._assistant.find(plain(asked.words), _DEEPER if narrow else count, only=only or None)
        kept = [passage for passage in passages if asked.allows(passage.chunk.text)]
        kept.sort(key=lambda passage: -sum(word.casefold() in passage.chunk.text.casefold() for word in asked.exact))
        return [Found(passage, self._assistant.store.document(passage.chunk.document_id)) for passage in kept[:count]]

    def read(self, document: str, locator: str | None = None) -> Place:
        """A document, or the place in it that a citation names ("¶7", "p. 12", "§ Signing"). Raises QuestionError."""
        if all(row.id != document for row in self.sources()):
            raise QuestionError(f"there is no document {document!r}; `assistant sources` lists them.")
        whole = self._assistant.store.document(document)
        if locator is None:
            return Place(whole, 0, min(len(whole.text), _MOST_CHARACTERS))
        places = [each for each in whole.locators if each.label == locator]
        if not places:
            labels = ", ".join(list(dict.fromkeys(each.label for each in whole.locators))[:12])
            raise QuestionError(f"{document} has no place {locator!r}; its places are {labels} …")
        return Place(whole, places[0].start, places[-1].end)

    def sources(self) -> list[DocumentRow]:
        return self._assistant.store.documents()


def finished(events: Iterator[Event]) -> Answer:
    """The answer that the events end in."""
    return next(event.answer for event in events if isinstance(event, Finished))


def open_assistant(corpus: str | Path | None = None, store: str | Path | None = None, **settings: Any) -> OpenAssistant:
    """corpus: a folder or .jsonl file, the alliance debate unless told otherwise. store: the folder of its index. settings: by
    their names in assistant.toml, over what stands there. The index is built first where there is none.

    Raises AssistantError.
    """
    from assistant.opening import open_assistant as opened

    told = {key: value for key, value in {"corpus": corpus, "store": store, **settings}.items() if value is not None}
    return OpenAssistant(opened(load_settings(told)))


@overload
def as_json(told: Answer) -> AnswerJSON: ...
@overload
def as_json(told: Found) -> FoundJSON: ...
@overload
def as_json(told: Place) -> PlaceJSON: ...
def as_json(told: Answer | Found | Place) -> AnswerJSON | FoundJSON | PlaceJSON:
    """As the command line prints it; docs/json.md describes it."""
    if isinstance(told, Answer):
        return answer_as_json(told)
    document = told.document
    origin: OriginJSON = {
        "title": document.title,
        "authors": list(document.authors),
        "published": document.published,
        "url": document.url,
    }
    if isinstance(told, Found):
        return {**passage_as_json(told.passage, told.locator), **origin}
    return {"document": document.id, "locator": told.locator, "start": told.start, "end": told.end, **origin, "text": told.text}


def _by(row: DocumentRow, names: Sequence[str]) -> bool:
    return any(Filter(voices=tuple(names)).allows_voice(author) for author in row.authors)


def _below(name: str, documents: Sequence[str]) -> bool:
    return not documents or any(
        name == each or name.startswith(each if each.endswith(":") else f"{each.rstrip('/')}/") for each in documents
    )
