"""Settings become a ready conversation: the only place that picks implementations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from assistant.answering.conversation import Conversation
from assistant.answering.followups import Turn
from assistant.reader.similarity import SimilarityReader
from assistant.retrieval.retriever import Retriever
from assistant.settings import Settings
from index.build import Plan, Progress, Report, build, compare, corpus_files, known_failures
from index.embedders import Embedder, SentenceTransformerEmbedder
from index.errors import CorpusError, StoreMissing
from index.store import LocalStore


class Assistant:
    """An open store with everything that answers from it. `warm` loads the model ahead of the first question.

    Raises StoreMissing, StoreMismatch, StoreError or ModelError.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._embedder: Embedder = SentenceTransformerEmbedder(settings.model)
        self.store = LocalStore(settings.for_index().store)
        self.store.check(fingerprint=self._embedder.fingerprint, chunk_tokens=settings.chunk_tokens)

    def warm(self) -> None:
        self._embedder.embed(["warm"])
        self.store.term_weights("warm")

    def converse(self, history: Sequence[Turn] = ()) -> Conversation:
        return Conversation(
            self.store,
            Retriever(self.store, self._embedder),
            SimilarityReader(self._embedder, self.store),
            passages=self._settings.passages,
            threshold=self._settings.abstain_below,
            history=history,
        )

    def drift(self) -> Plan | None:
        """How the corpus folder differs from the store; None where there is no such folder any more."""
        with suppress(CorpusError):
            files = corpus_files(self._settings.for_index())
            return compare(files, self.store.documents(), known_failures(self.store))
        return None

    def check_not_empty(self) -> None:
        """Raises CorpusError when there is nothing to answer from."""
        if not self.store.ledger.counts()["documents"]:
            raise CorpusError(
                f"the corpus {self._settings.for_index().corpus} holds no document that can be read; add some with: assistant add"
            )

    def close(self) -> None:
        self.store.close()


def build_index(settings: Settings, *, rebuild: bool = False) -> Iterator[Plan | Progress | Report]:
    return build(settings.for_index(), SentenceTransformerEmbedder(settings.model), rebuild=rebuild)


def is_built(settings: Settings) -> bool:
    """Whether a build was ever finished; one that was cut short is gone on with, not taken for the whole."""
    try:
        store = LocalStore(settings.for_index().store)
    except StoreMissing:
        return False
    try:
        return store.ledger.meta("finished") is not None
    finally:
        store.close()
