from __future__ import annotations

import pytest

from index.embedders import LocalEmbedder
from index.sameness import Same, same_documents
from index.settings import IndexSettings
from index.store import LocalStore
from tests.conftest import BREAD, run_build

LONG = (
    "The river treaty was signed in Basel on 4 March 1961 by the envoys of both banks. It binds them to share the water. "
    "Keller doubts that it is fair, because the upper bank holds all the dams. Engineers inspect the dams every spring. "
    "In dry years the lower bank goes without, and nobody pays for what the fields lose."
)


@pytest.fixture
def store(settings: IndexSettings, embedder: LocalEmbedder) -> LocalStore:
    (settings.corpus / "long.txt").write_text(LONG)
    (settings.corpus / "again.md").write_text("# Again\n\n" + LONG.replace(". ", ".\n\n"))
    (settings.corpus / "copy.txt").write_text(LONG.replace(" ", "\n"))
    (settings.corpus / "bakers.txt").write_text(BREAD + "\nA starter needs a week of feeding, and so does a baker.\n")
    run_build(settings, embedder)
    return LocalStore(settings.store)


def test_a_copy_is_told_and_what_only_treats_of_the_same_is_not(store: LocalStore) -> None:
    assert list(same_documents(store, ["copy.txt"])) == [Same("copy.txt", "long.txt", 1.0)]
    # rivers.md tells of the same treaty in other words.
    assert list(same_documents(store, ["rivers.md"])) == []


def test_a_copy_in_another_format_is_told_with_how_much_it_shares(store: LocalStore) -> None:
    (found,) = same_documents(store, ["again.md"])
    assert found.other in ("copy.txt", "long.txt") and 0.9 < found.share < 1


def test_two_copies_are_told_once(store: LocalStore) -> None:
    pairs = [frozenset(each[:2]) for each in same_documents(store, ["long.txt", "copy.txt"])]
    assert pairs == [frozenset(("long.txt", "copy.txt"))]
