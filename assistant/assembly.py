"""Settings become a ready conversation: the only place that picks implementations."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from assistant.answering.answers import Answer, Finished
from assistant.answering.conversation import Conversation, Prices, Rewriter, check_question
from assistant.answering.debate import MAP, Issue, map_by_asking, map_of
from assistant.answering.generators import EXTRACTIVE, GENERATORS, Generator
from assistant.corpora import is_name
from assistant.reader.model import LazyReaderModel
from assistant.reader.readings import Reader
from assistant.reader.similarity import SimilarityReader
from assistant.retrieval.aliases import read_aliases
from assistant.retrieval.followups import Turn, as_asked, wordings
from assistant.retrieval.passages import Passage
from assistant.retrieval.rerankers import CrossEncoderReranker, Reranker
from assistant.retrieval.retriever import Retriever, Wordings, plain
from assistant.settings import NO_READER, RANKER, READER, Settings, load_settings, located
from index.build import Plan, Progress, Report, build, compare, corpus_sources, known_failures
from index.chunks import Chunk
from index.cross_encoders import CrossEncoder
from index.documents import Document
from index.embedders import Embedder, RememberingEmbedder, embedder_for
from index.errors import CorpusError, GeneratorError, QuestionError, SettingsError, StoreMismatch, StoreMissing, StoreOutdated
from index.filters import Filter
from index.sameness import Same, same_documents
from index.store import ChunkStore, Store
from index.writing import open_store, upgrade

if TYPE_CHECKING:
    from assistant.answering.chat_api import ChatModel
    from assistant.servers import Server
    from index.joined import JoinedStore

# Tokens, where a model's own window is not told.
_LOCAL_WINDOW = 4_096
# How many passages a question's timeline is drawn from.
_FOUND = 50
_SUGGESTED = 3
# Chunks that tell how fast the model is here.
_SAMPLE = 16
_NUMBERED = re.compile(r"^Issue \d+\W*", re.IGNORECASE)


class Assistant:
    """An open store with everything that answers from it. `warm` loads the model ahead of the first question.

    Raises StoreMissing, StoreMismatch, StoreError or ModelError.
    """

    def __init__(self, settings: Settings, embedder: Embedder | None = None, reader_model: LazyReaderModel | None = None) -> None:
        """embedder, reader_model: ones that are being loaded already."""
        self._settings = self._told_settings = settings
        self._embedder = embedder or embedder_for(settings.for_index())
        self._reader_model = reader_model or _lazy_reader_model(settings)
        self.own: Store = open_store(settings.for_index())
        """The store of the corpus itself, which builds change; `store` is what answers, with what is searched as well."""
        self.own.check(fingerprint=self._embedder.fingerprint, chunk_tokens=settings.chunk_tokens)
        beside = _beside(settings, self._embedder.fingerprint)
        self.store: Store | JoinedStore = self.own
        if beside:
            from index.joined import JoinedStore

            self.store = JoinedStore(self.own, beside)
        reranker, self._reader = _reading(settings, self._embedder, self.store, self._reader_model)
        aliases = read_aliases([settings.aliases_file(), *(each.aliases_file() for _, each in _further(settings))])
        self._retriever = Retriever(self.store, self._embedder, reranker, stages=settings.retrieval, aliases=aliases)
        self._opened: ChatModel | None = None

    def warm(self, *, reading: bool = True) -> None:
        """reading: False when passages are only searched for, which may need no model."""
        if reading and self._reader_model:
            self._reader_model.preload()
        if reading and (model := self._chat_model):
            # A model that cannot be loaded is told of with the first answer, which comes without it.
            with suppress(GeneratorError):
                model.prepare()
        self.store.warm()
        if reading or self._settings.retrieval != "words":
            self._embedder.embed(["warm"])

    @property
    def settings(self) -> Settings:
        """Those in force: who writes the answers may have been chosen since they were told."""
        return self._settings

    @property
    def fingerprint(self) -> str:
        """Of the embedding model."""
        return self._embedder.fingerprint

    @property
    def notice(self) -> str | None:
        """What a person should know of how questions are embedded; known once the model is loaded."""
        return self._embedder.notice

    def wordings(self, question: str, history: Sequence[Turn]) -> Wordings:
        """What is searched for when this is asked after these turns."""
        question = self._retriever.as_written(question)
        return as_asked(question, history) if self._settings.followups == "none" else wordings(question, history)

    def search(self, questions: Sequence[Wordings], count: int) -> list[list[Passage]]:
        """For each question the `count` best passages; the embedding is batched."""
        return self._retriever.search_many(questions, count)

    def find(self, question: Wordings, count: int, *, only: Filter | None = None) -> list[Passage]:
        """The `count` best passages among those that a filter allows."""
        return self._retriever.search(question, count, only=only)

    def converse(
        self,
        history: Sequence[Turn] = (),
        *,
        abstain_below: float | None = None,
        passages: int | None = None,
        is_quoting: bool = False,
        only: Filter | None = None,
    ) -> Conversation:
        """abstain_below, passages: instead of the settings; 0 answers whatever the confidence. is_quoting: whether the sources'
        own words answer, whoever writes otherwise. only: which passages may answer.
        """
        return Conversation(
            self.store,
            self._retriever,
            self._reader,
            passages=self._settings.passages if passages is None else passages,
            threshold=self._settings.abstain_below if abstain_below is None else abstain_below,
            rewrite=self.wordings,
            rewriter=self._rewriter(),
            generator=EXTRACTIVE if is_quoting else self._generator(),
            model=self._chat_model.name if self._chat_model and not is_quoting else None,
            prices=_prices(self._settings),
            history=history,
            only=only,
        )

    @property
    def writes(self) -> str | None:
        """Where words go, and the language model that writes the answers there; None where the sources' own words answer.

        Raises SettingsError and GeneratorError.
        """
        model = self._chat_model
        return f"written on {model.place}{'' if model.place.is_local else ','} by {model.name}" if model else None

    @property
    def _chat_model(self) -> ChatModel | None:
        """Opened when it is first needed: listing sources needs none."""
        if self._opened is None and self._settings.asks_model:
            self._opened = open_chat_model(self._settings)
        return self._opened

    def write_with(self, *, generator: str, chat_model: str, base_url: str | None) -> None:
        """From the next conversation on, whatever the settings say. Raises SettingsError and GeneratorError, and changes nothing
        then.
        """
        told = self._told_settings
        settings = told.model_copy(update={"generator": generator})
        is_configured = base_url in (None, told.base_url) or base_url == configured_address(told)
        if settings.asks_model:
            settings = settings.model_copy(update={"chat_model": chat_model, "base_url": base_url})
        if not is_configured:
            # What was told of another server's model.
            settings = settings.model_copy(update={"window": None, "price_read": None, "price_written": None})
        model = open_chat_model(settings, sends_key=is_configured) if settings.asks_model else None
        if model is not None:
            model.prepare()
        if self._opened is not None:
            self._opened.close()
        self._settings, self._opened = settings, model

    def adjust(self, **changed: Any) -> None:
        """passages, abstain_below, followups: from the next conversation on."""
        self._settings = self._settings.model_copy(update=changed)
        self._told_settings = self._told_settings.model_copy(update=changed)

    def servers(self) -> list[Server]:
        """Which language models are at hand; asks the servers of this machine and the configured one."""
        from assistant.servers import servers

        return servers(self._told_settings)

    def _generator(self) -> Generator:
        if self._chat_model is None:
            return GENERATORS[self._settings.generator]
        from assistant.answering.claims import Checker
        from assistant.answering.generative import Generative

        return Generative(
            self._settings.generator,
            self._chat_model,
            Checker(RememberingEmbedder(self._embedder), self.store),
            most_tokens=self._settings.answer_tokens,
            mends=self._settings.repair,
        )

    def _rewriter(self) -> Rewriter | None:
        if self._chat_model is None or self._settings.followups in ("rules", "none"):
            return None
        from assistant.answering.generative import ModelRewrite

        return ModelRewrite(self._chat_model)

    def spans(self, question: str | None, *, only: Filter | None = None) -> list[tuple[Document, list[tuple[int, int]]]]:
        """The documents, each with its parts (first character, one past the last) that a filter allows; with a question,
        those parts that are found for it.
        """
        if question is None:
            keys = self.store.keys_of(only)
            chunks = list(self.store.get(keys).values())
        else:
            chunks = [passage.chunk for passage in self._retriever.search(plain(check_question(question)), _FOUND, only=only)]
        parts: dict[str, list[tuple[int, int]]] = {}
        for chunk in sorted(chunks, key=lambda chunk: (chunk.document_id, chunk.start)):
            parts.setdefault(chunk.document_id, []).append((chunk.start, chunk.end))
        return [(self.store.document(name), spans) for name, spans in parts.items()]

    def suggestions(self) -> list[str]:
        """Questions to begin with, for somebody who does not know the sources: from the corpus's issue map, else its headings."""
        documents = self.store.documents()
        shown = map_of(self.store.document(row.id) for row in documents if row.kind == MAP)
        taken = [issue for issue in shown.issues if issue.positions][:_SUGGESTED]
        asked = []
        for number, issue in enumerate(taken):
            speaker = issue.positions[number % len(issue.positions)].voice.speaker
            asked.append(f"What is {speaker}'s position on “{_NUMBERED.sub('', issue.name)}”?")
        if not asked:
            for row in sorted(documents, key=lambda row: -row.tokens)[:_SUGGESTED]:
                headings = [each.headings[-1] for each in self.store.document(row.id).locators if each.headings]
                asked.append(f"What is said about {headings[0] if headings else row.title}?")
        return asked

    def drift(self) -> Plan | None:
        """How the corpus folder differs from the store; None where there is no such folder any more."""
        with suppress(CorpusError):
            sources, rows = corpus_sources(self._settings.for_index()), self.own.documents()
            if not self._settings.is_shared or any(row.id in sources.by_id for row in rows):
                return compare(sources, rows, known_failures(self.own))
        # Who only reads a shared index need not have its sources: no change of theirs can be told.
        return Plan((), (), (), ()) if self._settings.is_shared else None

    def ask_voices(self, issues: Sequence[str], speakers: Sequence[str]) -> Iterator[Issue]:
        """Who holds what on issues that no map of the corpus tells of, by asking each voice for itself."""
        return map_by_asking(issues, speakers, self._asked_of)

    def _asked_of(self, question: str, speaker: str) -> Answer:
        events = self.converse(only=Filter(voices=(speaker,)), is_quoting=True).ask(question)
        return next(event.answer for event in events if isinstance(event, Finished))

    def seconds_for(self, plan: Plan) -> float | None:
        """About how long taking that in would take here; None where that cannot be told."""
        with suppress(CorpusError):
            by_id = corpus_sources(self._settings.for_index()).by_id
            return self.seconds_for_size(sum(by_id[name].stamp[0] for name in (*plan.new, *plan.touched) if name in by_id))
        return None

    def seconds_for_size(self, size: int) -> float | None:
        """size: bytes of files. By the chunks that files of this size made so far, and how fast some of them are embedded now."""
        rows = self.own.documents()
        chunks, indexed = sum(row.chunks for row in rows), sum(row.size for row in rows)
        if not chunks or not indexed:
            return None
        keys: list[int] = []
        for row in rows:
            keys += self.own.keys_of(Filter(documents=(row.id,))).tolist()[: _SAMPLE - len(keys)]
            if len(keys) == _SAMPLE:
                break
        texts = [chunk.text for chunk in self.own.get(keys).values()]
        started = time.perf_counter()
        self._embedder.embed(texts)
        return size * chunks / indexed * (time.perf_counter() - started) / len(texts)

    def chunks_of(self, document_id: str) -> list[Chunk]:
        """In their order."""
        keys = self.store.keys_of(Filter(documents=(document_id,)))
        return sorted(self.store.get(int(key) for key in keys).values(), key=lambda chunk: chunk.start)

    def check_filter(self, only: Filter) -> None:
        """Raises QuestionError when a filter allows nothing: that is a slip of the pen, not an answer."""
        if only and not self.store.holds(only):
            raise QuestionError("no passage is of that source, voice, kind and date together; see: assistant sources")

    def check_not_empty(self) -> None:
        """Raises CorpusError when there is nothing to answer from."""
        if not self.store.counts()["documents"]:
            raise CorpusError(
                f"the corpus {self._settings.for_index().corpus} holds no document that can be read; add some with: assistant add"
            )

    def close(self) -> None:
        self.store.close()
        if self._opened is not None:
            self._opened.close()


def open_chat_model(settings: Settings, *, sends_key: bool = True) -> ChatModel:
    """The language model that the settings choose. Nothing is sent yet. sends_key: whether its server may have the key of the
    environment.

    Raises SettingsError and GeneratorError.
    """
    if not settings.asks_model:
        raise SettingsError(f"generator = {settings.generator} asks no language model; take openai, anthropic or local.")
    name = settings.chat_model.strip()
    if not name:
        raise SettingsError(
            f"generator = {settings.generator} needs chat_model, the name of a language model (see: assistant models)."
        )
    if settings.generator == "local":
        from assistant.answering.local_chat import LocalChat

        return LocalChat(
            Path(name).expanduser(), window=settings.window or _LOCAL_WINDOW, timeout=settings.timeout, device=settings.device
        )
    from assistant.answering.served_chat import AnthropicChat, OpenAIChat

    kind = AnthropicChat if settings.generator == "anthropic" else OpenAIChat
    return kind(name, base_url=settings.base_url, window=settings.window, timeout=settings.timeout, sends_key=sends_key)


def configured_address(settings: Settings) -> str | None:
    """Of the server that settings and environment name."""
    return settings.base_url or os.environ.get("OPENAI_BASE_URL")


def _further(settings: Settings) -> Iterator[tuple[str, Settings]]:
    """Of each corpus that is searched as well."""
    own = settings.corpus.expanduser().resolve()
    for told in settings.also:
        sources = located(told).expanduser()
        # The settings may name all that is read together, whichever of it is in use.
        if sources.resolve() != own:
            yield told, load_settings({"corpus": sources, "also": ()})


def _beside(settings: Settings, fingerprint: str) -> dict[str, Store]:
    """Name -> store of each corpus that is searched as well. Raises SettingsError, StoreMissing, StoreMismatch and StoreError."""
    found: dict[str, Store] = {}
    for told, each in _further(settings):
        name = told if is_name(told) else each.corpus.resolve().name
        if not each.corpus.exists():
            raise SettingsError(f"also: there is no corpus {told}; see: assistant corpus list")
        if name in found:
            raise SettingsError(f"also: two corpora would be called {name}; name each once, and give one a name of its own.")
        try:
            store = open_store(each.for_index())
        except StoreMissing as error:
            raise StoreMissing(
                f"{told}, to be searched as well, has no index yet; build it: assistant index --corpus {told}"
            ) from error
        except StoreOutdated as error:
            raise StoreOutdated(
                f"the index of {told}, to be searched as well, is of an earlier release: assistant index --corpus {told}"
            ) from error
        try:
            store.check(fingerprint=fingerprint)
        except StoreMismatch as error:
            store.close()
            raise StoreMismatch(
                f"the index of {told}, to be searched as well, was made with another model or precision than this one; "
                "only corpora of the same can be searched together."
            ) from error
        found[name] = store
    return found


def _prices(settings: Settings) -> Prices | None:
    if settings.price_read is None or settings.price_written is None:
        return None
    return Prices(settings.price_read, settings.price_written)


def _lazy_reader_model(settings: Settings) -> LazyReaderModel | None:
    return LazyReaderModel(settings.exports) if settings.has_bundled_reader else None


def _reading(
    settings: Settings, embedder: Embedder, store: ChunkStore, model: LazyReaderModel | None
) -> tuple[Reranker | None, Reader]:
    """What ranks, and what reads."""
    similarity = SimilarityReader(RememberingEmbedder(embedder), store)
    if settings.reader == NO_READER:
        return None, similarity
    if settings.reader != READER and settings.retrieval != "reranked":
        raise SettingsError(
            f"reader = {settings.reader} ranks passages and nothing else, but retrieval = {settings.retrieval} ranks none; "
            "set retrieval = reranked as well."
        )
    if model is None:
        return CrossEncoderReranker(CrossEncoder(Path(settings.reader).expanduser())), similarity
    from assistant.reader.trained import RelevanceReranker, RememberedReadings, TrainedReader, bundled_fit

    readings = RememberedReadings(model, store)
    fit = bundled_fit()
    reader = similarity if settings.reader == RANKER else TrainedReader(similarity, readings, fit)
    return RelevanceReranker(readings, fit), reader


def build_index(settings: Settings, *, rebuild: bool = False, ray: str | None = None) -> Iterator[Plan | Progress | Report]:
    """ray: address of the Ray cluster that reads and embeds; "local" for one of this machine alone."""
    cluster = None
    if ray is not None:
        from index.ray_build import RayCluster

        cluster = RayCluster(ray)
    return build(settings.for_index(), embedder_for(settings.for_index()), rebuild=rebuild, cluster=cluster)


def planned(settings: Settings, *, rebuild: bool) -> tuple[Plan, float | None]:
    """What building would do, and about how many seconds it would take; None where there is nothing to tell that by.

    Raises AssistantError.
    """
    if store_state(settings) != "built":
        return compare(corpus_sources(settings.for_index()), []), None
    assistant = Assistant(settings)
    plan = compare(corpus_sources(settings.for_index()), assistant.own.documents(), known_failures(assistant.own))
    if rebuild:
        plan = Plan(plan.new, tuple(sorted((*plan.touched, *plan.unchanged))), plan.removed, ())
    return plan, assistant.seconds_for(plan)


def same_as(settings: Settings, documents: Sequence[str]) -> list[Same]:
    """Which of the documents say the same as another of the index. Raises StoreError."""
    store = open_store(settings.for_index())
    try:
        known = {row.id for row in store.documents()}
        return list(same_documents(store, [name for name in documents if name in known]))
    finally:
        store.close()


def store_state(settings: Settings) -> Literal["built", "unbuilt", "outdated"]:
    """unbuilt: never, or cut short: gone on with, not taken for the whole. outdated: of an earlier release's format.

    Raises StoreError where the store is damaged or cannot be opened.
    """
    try:
        store = open_store(settings.for_index())
    except StoreMissing:
        return "unbuilt"
    except StoreOutdated:
        return "outdated"
    try:
        return "unbuilt" if store.meta("finished") is None else "built"
    finally:
        store.close()


def upgrade_store(settings: Settings) -> None:
    upgrade(settings.for_index().store)
