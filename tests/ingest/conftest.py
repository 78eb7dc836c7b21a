"""A server for tests of the engine over Weaviate: at `WEAVIATE_URL` or, without it, our double."""

from __future__ import annotations

import os
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.weaviate_double.server import Double

needs_the_double = pytest.mark.skipif(
    "WEAVIATE_URL" in os.environ, reason="a real server fails when it likes"
)


@pytest.fixture
def double() -> Iterator[Double]:
    with Double.serving() as running:
        yield running


@pytest.fixture
def environ(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Settings of the store, which worker processes inherit."""
    if "WEAVIATE_URL" in os.environ:
        told = {name: value for name, value in os.environ.items() if name.startswith("WEAVIATE_")}
    else:
        told = request.getfixturevalue("double").environ
    told |= {"SEMILAYER_STORE": "weaviate", "WEAVIATE_PREFIX": f"T{uuid4().hex[:10]}"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    return told
