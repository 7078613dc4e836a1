"""Gold questions. Gold names places and words of documents, never chunks, so it survives re-chunking."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assistant.retrieval.followups import Turn
from index.documents import Document, Voice
from index.errors import SuiteError


@dataclass(frozen=True, slots=True)
class Place:
    """Where evidence stands: exactly one of locator, quote and span."""

    document: str
    locator: str | None = None
    """ "¶7"; "§ Heading" includes "§ Heading, ¶2"."""
    quote: str | None = None
    """Words as they stand in the document."""
    span: tuple[int, int] | None = None
    """Characters of Document.text: (first, one past the last)."""


Need = tuple[Place, ...]
"""Places of which one suffices."""


@dataclass(frozen=True, slots=True)
class GoldCase:
    id: str
    question: str
    answerable: bool
    where: str
    """File and line, for messages."""
    type: str = "fact"
    history: tuple[Turn, ...] = ()
    answers: tuple[str, ...] = ()
    must_include: tuple[tuple[str, ...], ...] = ()
    """Key facts; each is a list of wordings, lower case, of which one must stand in the answer."""
    evidence: tuple[tuple[Need, ...], ...] = ()
    """What an answer must rest on: alternatives, each a set of needs that together suffice."""
    relevant: Mapping[str, int] = field(default_factory=dict)
    """Document id -> grade of relevance, above 0."""
    attributed_to: tuple[Voice, ...] = ()
    """Voices any of which may rightly be credited with the answer."""
    rewrite: str | None = None
    """The question as a person made it stand alone."""
    sides: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    """Of a debate: side -> its arguments, each the documents that make it."""
    group: str | None = None
    """The article, or other whole, that the question is about: questions of one are alike."""
    tests_abstention: bool = True
    """False for talk that neither can nor need be answered from sources ("thank you")."""

    @property
    def places(self) -> tuple[Place, ...]:
        """Every place that gold names."""
        return tuple(place for needs in self.evidence for need in needs for place in need)


@dataclass(frozen=True, slots=True)
class Suite:
    name: str
    title: str
    folder: Path
    gold: Path
    part: str
    """Which of its parts was taken: "dev", "test", or "all" where it has none."""
    corpus: Path | None
    """Folder or file of sources; None for the corpus that the settings name."""
    digest: str
    """SHA-256 of the gold file."""
    cases: tuple[GoldCase, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings that differ from the user's own."""
    depths: tuple[int, ...] = (1, 5, 10)
    """The k of R@k and Success@k."""
    measures: tuple[str, ...] = ()
    """Names of the measures to show; empty for all that apply."""
    gates: Mapping[str, float] = field(default_factory=dict)
    """Measure -> what the dev part must reach."""

    @property
    def settings_file(self) -> Path:
        return self.folder / "suite.toml"


def check_gold(suite: Suite, known: set[str], read: Callable[[str], Document]) -> None:
    """known: ids of the corpus's documents. Raises SuiteError for gold that names what is not there."""
    for case in suite.cases:
        sides = (name for arguments in case.sides.values() for argument in arguments for name in argument)
        for document in (*case.relevant, *(place.document for place in case.places), *sides):
            if document not in known:
                raise SuiteError(f"{case.where}: the corpus has no document {document}.")
        for place in case.places:
            _check_place(place, read(place.document), case.where)


def _check_place(place: Place, document: Document, where: str) -> None:
    if place.locator is not None and not any(names(place.locator, each.label) for each in document.locators):
        raise SuiteError(f"{where}: {place.document} has no place {place.locator}.")
    if place.quote is not None and place.quote not in document.text:
        raise SuiteError(f"{where}: {place.document} does not hold the words {place.quote!r}.")
    if place.span is not None and not 0 <= place.span[0] < place.span[1] <= len(document.text):
        raise SuiteError(f"{where}: {place.document} has no characters {place.span[0]} to {place.span[1]}.")


def names(gold: str, label: str) -> bool:
    """Whether a gold locator names the place with this label."""
    return label == gold or label.startswith(f"{gold}, ¶")
