"""Answers that a language model writes, and that code checks sentence by sentence."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from threading import Event as Flag

from assistant.answering.answers import Citation, Delta, Draft, Sentence, Usage, Waiting, Withdrawn, total
from assistant.answering.chat_api import LENGTH, WHOLE, ChatModel, Ended, Message
from assistant.answering.citations import cite, holds
from assistant.answering.claims import Checked, Checker, Claims
from assistant.answering.extractive import DO_NOT_SAY, Composed, compose
from assistant.answering.generators import Task
from assistant.answering.prompts import Packed, counted, pack, repair, rewriting, rewritten, without_thoughts
from assistant.inert import inert
from assistant.retrieval.followups import Turn
from assistant.retrieval.retriever import Wordings
from index.documents import Document
from index.errors import BrokenStream, ContextOverflow, GeneratorError
from index.sentences import sentence_spans

# With a smaller share of its sentences carried by the sources, a written answer is not shown.
_LEAST_CARRIED = 0.5
# Some models think before they write.
_REWRITE_TOKENS = 800
# Characters, on the average of an answer; the longest are some 5.
_LONGEST_TOKEN = 12
# A server that counts so much less than was sent has cut it off.
_CUT_OFF = 0.5
_MARKS_AFTER = re.compile(r"([.!?…。！？][\"”’»)]*)((?:[^\S\n]*(?:\[|【)[^\]】\n]{1,40}(?:\]|】)(?!\())+)")
# Of a list, a heading or a quotation, at the start of a line.
_LIST_MARK = re.compile(r"[^\S\n]*(?:[-*•–]|\d{1,2}[.)]|#{1,6}|>)[^\S\n]+")
_MARK = re.compile(r"(?:\[|【)[^\]】\n]{1,40}(?:\]|】)")
_EMPHASIS = re.compile(r"(\*\*|__|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)|`)")
_THINKS = re.compile(r"^\s*<t?h?i?n?k?i?n?g?>?$", re.IGNORECASE)
_CLOSED = re.compile(r"[.!?…。！？:][\"”’»)\]】]*\s*$")

Steps = Iterator[Draft | Waiting | Withdrawn | Delta | Composed]


@dataclass(slots=True)
class _Written:
    """What came of one request."""

    checked: list[Checked] = field(default_factory=list)
    words: str = ""
    usage: Usage | None = None
    ending: str = ""
    """How it ended, where not by itself: a notice."""

    @property
    def claims(self) -> list[Checked]:
        return [each for each in self.checked if each.verdict != "none"]

    @property
    def carried(self) -> float:
        """Share of the claims that are verified."""
        return sum(each.verdict == "verified" for each in self.claims) / len(self.claims) if self.claims else 0.0

    @property
    def refuses(self) -> bool:
        return not self.claims and DO_NOT_SAY.rstrip(".").casefold() in self.words.casefold()


class Generative:
    """A generator that asks a language model."""

    def __init__(self, name: str, model: ChatModel, checker: Checker, *, most_tokens: int, mends: bool) -> None:
        """most_tokens: that an answer may have. mends: whether failures are told to the model, once, to be mended."""
        self.name = name
        self.model = model
        self._checker = checker
        self._most_tokens = most_tokens
        self._mends = mends

    def write(self, task: Task) -> Steps:
        plain = compose(task.reading, task.passages, task.documents, threshold=task.threshold)
        if plain.abstained:
            # The reader has been measured at telling what the sources do not say (docs/answers.md).
            yield from plain.deltas()
            yield replace(plain, generator="extractive")
            return
        try:
            yield from self._asked(task, plain)
        except GeneratorError as error:
            yield Withdrawn("")
            yield from _instead(plain, f"The language model was not heard: {error} This is the answer without it.")

    def _asked(self, task: Task, plain: Composed) -> Steps:
        packed = self._pack(task, self.model.window)
        try:
            written, claims = yield from self._tried(packed, task)
        except ContextOverflow:
            yield Withdrawn("it was more than the model reads; less is sent")
            packed = self._pack(task, max(packed.tokens // 2 + self._most_tokens, 1))
            written, claims = yield from self._tried(packed, task)
        usage = written.usage
        failures = [(each.text, each.why_not) for each in written.claims if each.verdict == "unverified"]
        more: list[str] = []
        if self._mends and failures and not written.ending and not task.stopped.is_set():
            yield Withdrawn(f"{len(failures)} of {len(written.claims)} sentences do not hold; it is written again")
            again = _Written()
            try:
                yield from self._written(repair(packed, written.words, failures), claims, task, again)
            except GeneratorError as error:
                more.append(f"It was not written again: {error}")
            usage = total(usage, again.usage)
            if again.carried > written.carried and not again.ending:
                written = again
            else:
                yield Withdrawn("it was not mended; this is what was written first")
                yield from _composed(written, task.documents).deltas()
        notices = (*_notices(written, packed, self.model), *more)
        if not written.words.strip():
            notice = written.ending or f"{self.model.place.host} sent an empty answer."
            told = [each for each in notices if each != written.ending]
            yield from _instead(plain, f"{notice} This is the answer without the language model.", told, usage)
        elif written.refuses:
            yield Withdrawn("")
            yield replace(
                Composed((), (), DO_NOT_SAY, True, f"{self.model.name} found no answer in the passages."),
                notices=notices,
                usage=usage,
            )
        elif written.carried < _LEAST_CARRIED and not task.stopped.is_set():
            yield Withdrawn("")
            told = [each for each in notices if each not in _of_sentences(written)]
            yield from _instead(plain, f"{_too_little(written, self.model.name)}; this is the answer without it.", told, usage)
        else:
            composed = _composed(written, task.documents)
            # The reader's few words, where the model says them too.
            held = any(plain.short in each.text for each in composed.sentences if each.support == "verified")
            yield replace(composed, short=plain.short if held else "", notices=notices, usage=usage)

    def _pack(self, task: Task, window: int) -> Packed:
        # To be mended, an answer is sent back, with what is wrong with it.
        window -= 2 * self._most_tokens if self._mends else 0
        packed = pack(task.question, task.history, task.passages, task.documents, window=window, most_tokens=self._most_tokens)
        if not packed.numbered:
            raise GeneratorError(
                f"not one passage fits into the {window:,} tokens that {self.model.name} is said to read; set window to more."
            )
        return packed

    def _tried(self, packed: Packed, task: Task) -> Generator[Draft | Waiting | Withdrawn | Delta, None, tuple[_Written, Claims]]:
        claims = self._checker.over(task.reading, packed.numbered, task.passages, task.documents)
        written = _Written()
        yield from self._written(packed.messages, claims, task, written)
        return written, claims

    def _written(
        self, messages: Sequence[Message], claims: Claims, task: Task, written: _Written
    ) -> Iterator[Draft | Waiting | Withdrawn | Delta]:
        """Fills `written`."""
        citations = _Numbering(task.documents)
        told, words, taken = "", "", 0
        ended: Ended | None = None
        try:
            for step in self.model.stream(messages, most_tokens=self._most_tokens, stopped=task.stopped):
                if isinstance(step, Usage):
                    written.usage = step
                elif isinstance(step, Ended):
                    ended = step
                elif isinstance(step, Waiting):
                    yield step
                elif step:
                    before, told = words[:taken], told + step
                    words = _visible(told)
                    if not words.startswith(before):
                        # What was taken for the answer were thoughts: their end tells.
                        yield Withdrawn("")
                        written.checked.clear()
                        citations, taken = _Numbering(task.documents), 0
                    for sentence, end in _complete(words, taken):
                        taken = end
                        yield citations.delta(_added(written, claims.check(sentence)))
                    yield Draft(inert(words[taken:]).strip())
                    if len(told) > _LONGEST_TOKEN * self._most_tokens:
                        # The server was asked to end it, and does not.
                        ended = LENGTH
                        break
        except BrokenStream as error:
            written.ending = f"The answer is not whole: {error}"
        words = _visible(told)
        written.words = words
        if ended == LENGTH:
            written.ending = f"The answer reached its {self._most_tokens:,} tokens (setting answer_tokens) and ends here."
        elif ended is not None and ended != WHOLE:
            written.ending = f"The answer is not whole: {self.model.place.host} ended it ({ended.reason})."
        elif ended is None and task.stopped.is_set():
            written.ending = "Stopped; the answer is not whole." if words.strip() else "Stopped before the first word."
        for sentence, _ in _complete(f"{words[taken:]}\n", 0):
            checked = claims.check(sentence)
            if written.ending and not _CLOSED.search(sentence):
                # Half a sentence may say the opposite of the whole.
                checked = replace(checked, text=f"{checked.text} …", quotes=(), verdict="unverified", why_not="it is not whole")
            yield citations.delta(_added(written, checked))
        yield Draft("")


class ModelRewrite:
    """Makes a follow-up stand alone by asking a language model."""

    def __init__(self, model: ChatModel) -> None:
        self._model = model

    def ask(self, question: str, history: Sequence[Turn], stopped: Flag) -> tuple[Wordings, Usage | None]:
        """Raises GeneratorError where the model does not answer, or not with a question."""
        told, usage = "", None
        messages = rewriting(question, history, window=self._model.window)
        ended: Ended | None = None
        for step in self._model.stream(messages, most_tokens=_REWRITE_TOKENS, stopped=stopped):
            if isinstance(step, Usage):
                usage = step
            elif isinstance(step, Ended):
                ended = step
            elif isinstance(step, str):
                told += step
        standalone = rewritten(told, question) if ended == WHOLE else None
        if standalone is None:
            raise GeneratorError(f"{self._model.name} did not make the question stand alone.")
        return Wordings(standalone, tuple(dict.fromkeys((standalone, question))), (standalone, question), standalone), usage


class _Numbering:
    """Citations get their numbers in the order in which they are first needed."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = documents
        self.citations: list[Citation] = []

    def delta(self, checked: Checked) -> Delta:
        own: list[Citation] = []
        for quoted in checked.quotes:
            document = self._documents[quoted.passage]
            known = next(
                (
                    each
                    for each in self.citations
                    if (each.document, each.start, each.end) == (document.id, quoted.start, quoted.end)
                ),
                None,
            )
            if known is None:
                known = cite(len(self.citations) + 1, document, quoted.start, quoted.end, quoted.voice)
                if not holds(known, document):
                    continue
                self.citations.append(known)
            own.append(known)
        support = checked.verdict if own or checked.verdict != "verified" else "unverified"
        return Delta(Sentence(checked.text, tuple(each.marker for each in own), support, None), tuple(own))


def _composed(written: _Written, documents: Sequence[Document]) -> Composed:
    numbering = _Numbering(documents)
    sentences = tuple(numbering.delta(each).sentence for each in written.checked)
    return Composed(sentences, tuple(numbering.citations), "", abstained=False, reason="")


def _instead(plain: Composed, notice: str, notices: Sequence[str] = (), usage: Usage | None = None) -> Iterator[Delta | Composed]:
    """notices: what else may be why."""
    yield from plain.deltas()
    yield replace(plain, notices=(notice, *notices), generator="extractive", usage=usage)


def _too_little(written: _Written, name: str) -> str:
    count = len(written.claims)
    held = sum(each.verdict == "verified" for each in written.claims)
    if not count:
        return f"{name} wrote nothing that can be looked up in the sources"
    sentences = (
        "1 sentence, and it was not" if count == 1 else f"{count} sentences, and {held or 'none'} {'was' if held < 2 else 'were'}"
    )
    return f"{name} wrote {sentences} found in the sources"


def _added(written: _Written, checked: Checked) -> Checked:
    written.checked.append(checked)
    return checked


def _notices(written: _Written, packed: Packed, model: ChatModel) -> tuple[str, ...]:
    told = []
    if packed.left_out:
        told.append(
            f"{packed.left_out} of {packed.left_out + len(packed.numbered)} passages did not fit into {packed.window:,} tokens; "
            f"{model.name} is said to read {model.window:,} (setting window)."
        )
    if packed.turns_left_out:
        told.append(f"{_counted(packed.turns_left_out, 'earlier turn')} of the conversation did not fit.")
    if written.usage and 0 < written.usage.read < _CUT_OFF * counted(packed.messages) / 1.2:
        told.append(
            f"{model.place.host} read {written.usage.read:,} tokens, and was sent about {counted(packed.messages):,}: it seems "
            "to cut off what is too long; set window to what it reads."
        )
    if written.ending:
        told.append(written.ending)
    return (*told, *_of_sentences(written))


def _of_sentences(written: _Written) -> tuple[str, ...]:
    told = []
    if unverified := sum(each.verdict == "unverified" for each in written.claims):
        of_all = f"{unverified} of {len(written.claims)} sentences"
        told.append(f"{of_all} {'was' if unverified == 1 else 'were'} not found in the sources, and {_is(unverified)} marked.")
    if unknown := sum(each.unknown_markers for each in written.checked):
        told.append(f"{_counted(unknown, 'marker')} pointed at no passage, and {'was' if unknown == 1 else 'were'} taken out.")
    if moved := sum(each.is_moved for each in written.checked):
        told.append(
            f"{moved} {'sentence' if moved == 1 else 'sentences'} cited another passage than the one that says it; put right."
        )
    return tuple(told)


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _visible(told: str) -> str:
    """Without what the model thinks aloud, and without what may yet turn out to be its beginning."""
    return "" if _THINKS.match(told) else without_thoughts(told)


def _complete(words: str, taken: int) -> Iterator[tuple[str, int]]:
    """(sentence, where it ends) of what follows `taken`, as far as the sentences are whole."""
    rest = words[taken:]
    # Markers behind the full stop belong to the sentence before it. Nothing changes its length.
    moved = _MARKS_AFTER.sub(lambda match: match[2] + match[1], rest)
    last_line = moved.rfind("\n") + 1
    begin = 0
    for line in moved[:last_line].splitlines(keepends=True):
        for start, end in sentence_spans(moved, _after_list_mark(moved, begin), begin + len(line)):
            if sentence := _plain(moved[start:end]):
                yield sentence, taken + end
        begin += len(line)
    spans = list(sentence_spans(moved, _after_list_mark(moved, last_line), len(moved)))
    for (start, end), (following, _) in pairwise(spans):
        # A bracket that has only begun may be a marker of the sentence before it.
        if moved[following] not in "[【" and (sentence := _plain(moved[start:end])):
            yield sentence, taken + end


def _after_list_mark(text: str, begin: int) -> int:
    match = _LIST_MARK.match(text, begin)
    return match.end() if match else begin


def _plain(sentence: str) -> str:
    """Without the marks of emphasis; empty where nothing is left but marks."""
    told = " ".join(_EMPHASIS.sub("", inert(sentence)).split())
    return told if any(map(str.isalpha, _MARK.sub("", told))) else ""
