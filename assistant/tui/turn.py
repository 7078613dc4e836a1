"""A question and its answers, sentence by sentence, each with a sign and the numbers of its sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.style import Style
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from assistant.answering.answers import Answer, Citation, Delta, Draft, Sentence, Waiting, Withdrawn, measured, quoted_voice
from assistant.inert import inert, one_line, shortened
from assistant.tui.messages import CopyPlace, OpenPlace, OpenUrl, Place, Reword, ShowPlaces, TypedElsewhere, places_of
from assistant.tui.voices import Colour

_LINES = ("headline", "draft", "pending", "notices", "measured")
_DRAFT_SECONDS = 0.08
_DRAFT_LINES = 3
VERIFIED, UNVERIFIED, NOT_SAID = "✓", "?", "○"


class Question(Static):
    def __init__(self, words: str) -> None:
        super().__init__(Content(shortened(inert(words), 600)), markup=False)


class UnderstoodAs(Static, can_focus=True):
    """How a follow-up was completed; Enter takes the words to the line to ask in, to be changed."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "reword", "Change and ask again")]

    def __init__(self) -> None:
        super().__init__("", markup=False, classes="understood")
        self._words = ""
        self.display = False

    def tell(self, words: str) -> None:
        self._words = words
        self.update(Content.assemble("understood as: ", (inert(words), "italic"), "  (Enter or click changes it)"))
        self.display = True

    def action_reword(self) -> None:
        self.post_message(Reword(self._words))

    def on_click(self) -> None:
        self.action_reword()


class Said(Static, can_focus=True):
    """A sentence of an answer. Its evidence is shown while it has the focus, or the mouse over it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open the source"),
        Binding("right_square_bracket", "walk(1)", "Next citation", key_display="]"),
        Binding("left_square_bracket", "walk(-1)", "Previous", key_display="[", show=False),
        Binding("o", "url", "Original"),
        Binding("c", "copy_quote", "Copy the quote"),
        Binding("down,j", "next(1)", "Next sentence", show=False),
        Binding("up,k", "next(-1)", "Previous sentence", show=False),
    ]

    def __init__(self, words: Content, markers: Sequence[int]) -> None:
        super().__init__(words, markup=False)
        self.markers = tuple(markers)
        self._at = 0

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only where there is another citation to walk to."""
        return action != "walk" or len(self.markers) > 1

    @property
    def _view(self) -> AnswerView:
        return next(each for each in self.ancestors if isinstance(each, AnswerView))

    def _index(self) -> int | None:
        """Of the citation looked at, among the places of the answer."""
        numbers = [place.number for place in self._view.places]
        marker = self.markers[self._at % len(self.markers)] if self.markers else None
        return numbers.index(marker) if marker in numbers else None

    def look(self) -> None:
        index = self._index()
        if index is not None:
            self.post_message(ShowPlaces(self._view.places, self._view.places_title, index))

    def on_focus(self) -> None:
        self.look()

    def on_enter(self) -> None:
        self.look()

    def on_key(self, event: events.Key) -> None:
        """What is typed here and means nothing here is the beginning of a question."""
        own = {key for binding in type(self).BINDINGS if isinstance(binding, Binding) for key in binding.key.split(",")}
        if event.is_printable and event.character and event.key not in own:
            event.stop()
            self.post_message(TypedElsewhere(event.character))

    def action_walk(self, by: int) -> None:
        if self.markers:
            self._at = (self._at + by) % len(self.markers)
            self.look()

    def action_open(self, marker: int | None = None) -> None:
        if marker in self.markers:
            self._at = self.markers.index(marker)
        index = self._index()
        if index is not None:
            self.post_message(OpenPlace(self._view.places, index))

    def action_url(self) -> None:
        if (index := self._index()) is not None:
            self.post_message(OpenUrl(self._view.places[index]))

    def action_copy_quote(self) -> None:
        if (index := self._index()) is not None:
            self.post_message(CopyPlace(self._view.places[index]))

    def action_next(self, by: int) -> None:
        every = [each for each in self.screen.query(Said) if each.display]
        at = every.index(self) + by
        if 0 <= at < len(every):
            every[at].focus()


class AnswerView(Vertical):
    """One answer to a question."""

    def __init__(self, label: str, colour: Colour) -> None:
        """label: under which settings, where they are not those of the chat; else empty."""
        super().__init__()
        self._label = label
        self._colour = colour
        self.answer: Answer | None = None
        self.places: list[Place] = []
        self._sentences = Vertical(classes="sentences")
        self._lines = {name: Static("", markup=False, classes=name) for name in _LINES}
        self._draft = ""
        self._room = 0
        """Lines that the draft may take."""
        self._drawing: Timer | None = None

    @property
    def places_title(self) -> str:
        return "Nearest passages" if self.answer is not None and not self.answer.citations else "Evidence"

    def compose(self) -> ComposeResult:
        if self._label:
            yield Static(Content(one_line(self._label)), markup=False, classes="label")
        yield self._lines["headline"]
        yield self._sentences
        for name in _LINES[1:]:
            yield self._lines[name]

    def on_mount(self) -> None:
        if self.answer is None:
            self._show("pending", Content("Looking through the sources …"))

    def _show(self, part: str, words: Content) -> None:
        """Lays the screen out anew only where that is needed: with a long answer it costs more than a key may take."""
        line = self._lines[part]
        if str(line.content) != str(words):
            width = max(1, line.size.width)
            is_as_high = line.display and bool(words) and len(words.wrap(width)) == line.size.height
            line.update(words, layout=not is_as_high)
        line.display = bool(words)

    def _draw(self) -> None:
        """The draft, at most as often as a person can see: drawing takes longer than a token."""
        self._drawing = None
        line = self._lines["draft"]
        if str(line.content) == self._draft:
            return
        words = Content(self._draft)
        if self._draft:
            self._show("pending", Content(""))
            line.display = True
        # Room is made several lines at a time, and kept until the answer is whole.
        needed = 1 + len(words.wrap(max(1, line.size.width or self.size.width - 4)))
        if needed > self._room:
            self._room = -(-needed // _DRAFT_LINES) * _DRAFT_LINES
            line.styles.height = self._room
        line.update(words, layout=False)
        self._drawing = self.set_timer(_DRAFT_SECONDS, self._draw)

    async def take(self, event: Draft | Waiting | Withdrawn | Delta | Answer | str) -> None:
        if isinstance(event, Draft):
            self._draft = inert(event.words)
            if self._drawing is None:
                self._draw()
        elif isinstance(event, Waiting):
            self._show("pending", Content(f"The server asks to wait {event.seconds:.0f} seconds …"))
        elif isinstance(event, Withdrawn):
            await self._sentences.remove_children()
            self._undraft()
            self._show("pending", Content(f"{event.why[:1].upper()}{event.why[1:]} …" if event.why else ""))
        elif isinstance(event, Delta):
            self._show("pending", Content(""))
            await self._add(event.sentence, event.citations)
        elif isinstance(event, str):
            self._undraft()
            self._show("pending", Content(f"✗ not answered: {inert(event)}"))
            self._lines["pending"].add_class("failed")
        else:
            await self._finish(event)

    def _undraft(self) -> None:
        self._draft = ""
        self._show("draft", Content(""))

    async def restore(self, answer: Answer) -> None:
        """An answer that was given before."""
        said = [
            Said(_shown(each, [answer.citation(marker) for marker in each.citations], self._colour), each.citations)
            for each in answer.sentences
        ]
        await self._sentences.mount_all(said)
        await self._finish(answer)

    async def _add(self, sentence: Sentence, citations: Sequence[Citation]) -> None:
        await self._sentences.mount(Said(_shown(sentence, citations, self._colour), sentence.citations))

    async def _finish(self, answer: Answer) -> None:
        self.answer = answer
        self.places = places_of(answer)
        self._show("pending", Content(""))
        self._undraft()
        if answer.abstained:
            reason = Content.assemble((f"{NOT_SAID} {answer.short}", "bold"), " ", one_line(answer.reason))
            self._show("headline", reason)
            if not answer.citations:
                nearest = [Said(_nearest(place, self._colour), (place.number,)) for place in self.places]
                await self._sentences.mount_all(nearest)
        elif answer.headline:
            self._show("headline", Content(one_line(answer.headline)).stylize("bold"))
        self._show("notices", Content("\n".join(f"! {one_line(notice)}" for notice in answer.notices)))
        told = (_support(answer), f"confidence {answer.confidence:.2f}", *measured(answer))
        self._show("measured", Content(one_line(" · ".join(filter(None, told)))))

    @on(events.DescendantFocus)
    def keep_in_view(self, event: events.DescendantFocus) -> None:
        event.widget.scroll_visible(animate=False)


class Turn(Widget):
    """A question, how it was understood, and its answers: the first, and those under other settings beside it."""

    def __init__(self, number: int, question: str, colour: Colour) -> None:
        super().__init__()
        self.number = number
        self.question = question
        self.standalone_question = question
        self._colour = colour
        self._views = [AnswerView("", colour)]

    def compose(self) -> ComposeResult:
        yield Question(self.question)
        yield UnderstoodAs()
        yield Horizontal(*self._views, classes="answers")

    def understood(self, standalone_question: str) -> None:
        self.standalone_question = standalone_question
        self.query_one(UnderstoodAs).tell(standalone_question)

    def view(self, attempt: int) -> AnswerView | None:
        return self._views[attempt] if attempt < len(self._views) else None

    async def again(self, label: str) -> int:
        """Room for another answer, beside the first; gives its number."""
        self._views.append(AnswerView(label, self._colour))
        await self.query_one(".answers").mount(self._views[-1])
        return len(self._views) - 1

    @property
    def answer(self) -> Answer | None:
        """The first."""
        return self._views[0].answer

    @property
    def places(self) -> list[Place]:
        """Of the last answer that has any."""
        return next((view.places for view in reversed(self._views) if view.places), [])


def _support(answer: Answer) -> str:
    """How many of the sentences rest on words that code found, with a sign and in words."""
    claims = [sentence for sentence in answer.sentences if sentence.support != "none"]
    if answer.abstained:
        return f"{NOT_SAID} not in the sources"
    verified = sum(sentence.support == "verified" for sentence in claims)
    if verified == len(claims):
        return f"{VERIFIED} verified, {verified} of {len(claims)}" if claims else ""
    return f"{UNVERIFIED} {len(claims) - verified} of {len(claims)} unverified"


def _shown(sentence: Sentence, citations: Sequence[Citation], colour: Colour) -> Content:
    voice = quoted_voice(sentence, citations)
    parts: list[str | Content | tuple[str, str]] = []
    if sentence.support == "unverified":
        parts.append((f"{UNVERIFIED} unverified: ", "bold $text-warning"))
    if voice:
        parts += [(one_line(str(voice)), f"bold {colour(voice.speaker)}"), ": "]
    parts.append(one_line(sentence.text))
    parts += [_mark(citation.marker) for citation in citations]
    return Content.assemble(*parts)


def _nearest(place: Place, colour: Colour) -> Content:
    words = shortened(one_line(place.quote), 160)
    voice = (one_line(place.voice), colour(place.speaker))
    return Content.assemble((one_line(place.reference), "bold"), " · ", voice, f": {words}", _mark(place.number))


def _mark(number: int) -> Content:
    """The number in brackets, which a click follows."""
    mark = Content(f"[{number}]").stylize("$text-accent underline").stylize(Style.from_meta({"@click": f"open({number})"}))
    return Content.assemble(" ", mark)
