"""A builder that is killed while it makes a collection on a Milvus server blocks no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from index.milvus_server import MilvusServer, lease_collection, record_fields
from index.store import built_with
from index.writing import building, open_store
from tests.contracts.conftest import settings_of
from tests.contracts.filling import DIMENSIONS, fill


@pytest.mark.parametrize("kind", ["milvus", "milvus-2.3"])
def test_what_is_made_by_half_blocks_nobody(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    settings = settings_of(kind, tmp_path, request)
    assert settings.engine is not None
    server = MilvusServer(settings.engine)

    def create_without_its_indexes(name: str) -> None:
        schema = server._client.create_schema(auto_id=False, enable_dynamic_field=False)
        for field in record_fields():
            schema.add_field(**field)
        server.call("create_collection", name, schema=schema, writes=True)

    create_without_its_indexes(lease_collection(settings.engine))
    with building(settings) as builder:
        builder.begin_anew(built_with("model:1", DIMENSIONS, 200))
        fill(builder)
        builder.finish("{}")
    create_without_its_indexes(f"{settings.engine.name}__2__records")
    with building(settings) as builder:
        assert builder.counts()["documents"] == 5
    with building(settings, rebuild=True) as builder:
        builder.begin_anew(built_with("model:1", DIMENSIONS, 200))
        fill(builder)
        builder.finish("{}")
    reader = open_store(settings)
    assert reader.damage() is None and reader.counts()["documents"] == 5
    reader.close()
    server.close()
