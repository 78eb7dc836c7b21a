"""Every store in turn, with rows of which some were cut."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from semilayer_pipelines.stores.chunks.index import ChunkedIndex
from semilayer_pipelines.stores.chunks.store import ChunkedStore
from tests.stores.chunks.rows import SCHEMA
from tests.stores.conftest import Place, placed


@pytest.fixture(params=["lancedb", "weaviate"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with placed(request, tmp_path) as here:
        yield here


@pytest.fixture
def store(place: Place) -> ChunkedStore:
    return ChunkedStore(place.open())


@pytest.fixture
def index(store: ChunkedStore) -> ChunkedIndex:
    return store.create("lens-1-g000001", SCHEMA)
