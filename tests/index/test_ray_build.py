"""A build on a Ray cluster gives what a local build gives, also when a node of it is lost."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from index.build import Progress, Report, build
from index.embedders import LocalEmbedder
from index.errors import BuildError
from index.ray_build import RayCluster
from index.reading import Source, read, read_as_json, read_from_json, source_as_json, source_from_json
from index.settings import IndexSettings
from index.store import Store
from index.writing import open_store
from tests.conftest import Command, run_build
from tests.milvus_lite import MilvusLite, needs

# What Ray leaves behind at its end is no fault of a build.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning", "ignore:.*:FutureWarning", "ignore::DeprecationWarning", "ignore:.*:UserWarning")  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes on this machine, which only who has their key can join."""
    needs("ray")
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(2):
        add_node(made)
    yield made
    made.shutdown()


def add_node(cluster: Any) -> None:
    """Ray gives a node thirty seconds to come up, and no more; on a busy machine one may need another start."""
    for attempt in range(3):
        try:
            cluster.add_node(num_cpus=1)
            return
        except Exception as error:
            if attempt == 2 or "timed out during startup" not in str(error):
                raise


def gauges(corpus: Path, count: int) -> None:
    for number in range(count):
        words = "\n\n".join(f"Gauge {number} at mile {mile} rose by {number + mile} inches. The dam held." for mile in range(40))
        (corpus / f"gauge{number:02}.txt").write_text(words, encoding="utf-8")


def told(store: Store, embedder: LocalEmbedder) -> list[object]:
    question = "Which gauge rose at mile 7?"
    hits = [*store.dense(embedder.embed([question])[0], 30), *store.lexical(question, 30)]
    chunks = store.get(hit.key for hit in hits)
    found = [(chunks[hit.key].id, round(hit.score, 4)) for hit in hits]
    return [*found, *(store.document(row.id) for row in store.documents()), store.speaker_names(), store.term_weights(question)]


@pytest.mark.parametrize("kind", ["local", "milvus"])
def test_a_node_lost_in_the_middle_costs_its_work_and_nothing_else(
    cluster: Any,
    settings: IndexSettings,
    corpus: Path,
    tmp_path: Path,
    embedder: LocalEmbedder,
    kind: str,
    request: pytest.FixtureRequest,
) -> None:
    gauges(corpus, 60)
    (corpus / "bad.md").write_bytes(b"\x00\x01binary\xff" * 50)
    engine = None
    if kind == "milvus":
        server: MilvusLite = request.getfixturevalue("milvus")
        engine = server.address()
    target = IndexSettings(corpus, settings.added, tmp_path / "ray", engine=engine)
    lost = False
    report: Report | None = None
    for event in build(target, embedder, cluster=RayCluster(cluster.address)):
        if isinstance(event, Progress) and event.stage == "embedding" and event.done and not lost:
            lost = True
            cluster.remove_node(next(iter(cluster.worker_nodes)))
        if isinstance(event, Report):
            report = event
    add_node(cluster)
    assert lost and report is not None and len(report.added) == 62 and len(report.failed) == 1
    once = run_build(settings, embedder)
    assert report.embedded == once.embedded and report.failed == once.failed
    local, other = open_store(settings), open_store(target)
    assert told(local, embedder) == told(other, embedder)
    assert other.damage() is None
    local.close()
    other.close()


def test_what_is_stored_already_is_neither_read_nor_embedded_again(
    cluster: Any, settings: IndexSettings, corpus: Path, embedder: LocalEmbedder
) -> None:
    """Stopped and begun again; then changed, renamed, and rebuilt."""
    gauges(corpus, 40)
    events = build(settings, embedder, cluster=RayCluster(cluster.address))
    done = next(event.done for event in events if isinstance(event, Progress) and event.stage == "embedding" and event.done > 70)
    events.close()
    report = run_build(settings, embedder, cluster=RayCluster(cluster.address))
    assert done and report.unchanged and len(report.added) + len(report.unchanged) == 42
    (corpus / "gauge00.txt").rename(corpus / "renamed.txt")
    (corpus / "gauge01.txt").write_text("Wholly new words on glaciers.", encoding="utf-8")
    (corpus / "gauge02.txt").touch()
    report = run_build(settings, embedder, cluster=RayCluster(cluster.address))
    assert (report.added, report.changed, report.removed, report.embedded) == (
        ("renamed.txt",), ("gauge01.txt",), ("gauge00.txt",), 1
    )  # fmt: skip
    assert run_build(settings, embedder, rebuild=True, cluster=RayCluster(cluster.address)).embedded == 0


def test_who_lacks_the_key_is_told(cluster: Any, settings: IndexSettings, embedder: LocalEmbedder, command: Command) -> None:
    with pytest.raises(BuildError, match="cannot be reached"):
        run_build(settings, embedder, cluster=RayCluster("127.0.0.1:9"))
    key = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    done = command("index", "--corpus", settings.corpus, "--ray", cluster.address, environment=key)
    assert done.returncode == 1 and "check its address, and that this machine has its key" in done.stderr
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_what_was_read_is_the_same_after_it_was_sent(corpus: Path, embedder: LocalEmbedder) -> None:
    for path in sorted(corpus.iterdir()):
        source = Source(path.name, (1, 2), path, 1_000_000, (3, b"\xff\x00{}") if path.suffix == ".txt" else None)
        assert source_from_json(source_as_json(source, "digest")) == (source, "digest")
        whole = Source(path.name, (1, 2), path, 1_000_000)
        made = read(whole, None, embedder.count_tokens, chunk_tokens=64, limit=256)
        assert made.entry is not None and read_from_json(read_as_json(made)) == made
        assert read(whole, made.entry.document.digest, embedder.count_tokens, chunk_tokens=64, limit=256).entry is None
