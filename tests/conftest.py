from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from assistant.assembly import Assistant
from assistant.settings import Settings
from index.build import Cluster, Report, build
from index.embedders import Embedder, LocalEmbedder, default_exports
from index.settings import IndexSettings
from tests.milvus_lite import MilvusLite, needs

ROOT = Path(__file__).resolve().parent.parent

RIVERS = """---
title: The River Treaty
authors: [Ada Moreno]
published: 1999-05-01
publisher: Journal of Rivers
kind: digest
digest_of: a made-up article, for tests
---

## ¶1 · Ada Moreno

Moreno says that the river treaty was signed in Basel on 4 March 1961. The treaty binds both banks to share the water.

## ¶2 · Jonas Keller, as reported by Ada Moreno

Keller doubts that the river treaty is fair, because the upper bank holds all the dams.

## ¶3 · Ada Moreno

Moreno answers that 250 engineers inspect the dams every spring.
"""

BREAD = "Rye bread needs a sour starter.\n\nThe oven must reach 250 degrees before the loaf goes in.\n"


@pytest.fixture(autouse=True)
def no_ones_history(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each test has conversations and named corpora of its own."""
    monkeypatch.setenv("ASSISTANT_HISTORY", str(tmp_path / "conversations.db"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(scope="session")
def embedder() -> LocalEmbedder:
    """The real bundled model, loaded once."""
    return LocalEmbedder()


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "rivers.md").write_text(RIVERS, encoding="utf-8")
    (folder / "bread.txt").write_text(BREAD, encoding="utf-8")
    return folder


@pytest.fixture
def settings(corpus: Path, tmp_path: Path) -> IndexSettings:
    return IndexSettings(corpus=corpus, added=corpus / "added", store=tmp_path / "store")


def run_build(settings: IndexSettings, embedder: Embedder, *, rebuild: bool = False, cluster: Cluster | None = None) -> Report:
    """Runs a build to its end and gives its report."""
    *_, last = build(settings, embedder, rebuild=rebuild, cluster=cluster)
    assert isinstance(last, Report)
    return last


@pytest.fixture(scope="session")
def debate_store(tmp_path_factory: pytest.TempPathFactory, embedder: LocalEmbedder) -> Path:
    """The store of the corpus that ships, built once for all tests."""
    store = tmp_path_factory.mktemp("debate") / "store"
    corpus = ROOT / "corpus"
    run_build(IndexSettings(corpus=corpus, added=tmp_path_factory.mktemp("none"), store=store), embedder)
    return store


@pytest.fixture(scope="session")
def debate(debate_store: Path) -> Iterator[Assistant]:
    assistant = Assistant(Settings(store=debate_store))
    yield assistant
    assistant.close()


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Runs `assistant …` as a person would, in a folder and a home of its own."""

    def run(
        *arguments: str | Path, stdin: str = "", environment: Mapping[str, str] | None = None, powerless: bool = False
    ) -> subprocess.CompletedProcess[str]:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("ASSISTANT_", "XDG_"))}
        powers = "-dac_override,-dac_read_search"
        # Root may write anywhere; without this power a read-only folder is read-only for root too.
        drop = ["setpriv", "--bounding-set", powers, "--inh-caps", powers] if powerless and os.geteuid() == 0 else []
        if drop and shutil.which("setpriv") is None:
            pytest.skip("running as root without setpriv: nothing is read-only")
        return subprocess.run(
            [*drop, sys.executable, "-m", "assistant", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=home,
            # The model made ready for this machine is shared: making it takes ten seconds.
            env={
                **clean,
                "HOME": str(home),
                "COLUMNS": "100",
                "NO_COLOR": "1",
                "ASSISTANT_EXPORTS": str(default_exports()),
                **(environment or {}),
            },
            timeout=300,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusLite]:
    needs("pymilvus")
    server = MilvusLite(tmp_path_factory.mktemp("milvus") / "data")
    server.start()
    yield server
    server.kill()
