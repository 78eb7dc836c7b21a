"""A server for tests of the engine over Weaviate: at `WEAVIATE_URL` or, without it, our double."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.weaviate_double.front import faulty

needs_the_double = pytest.mark.skipif(
    "WEAVIATE_URL" in os.environ, reason="WEAVIATE_URL is set: only the double tells what was asked"
)


@pytest.fixture
def server() -> Iterator[Any]:
    """Give what goes wrong on order, the double or what stands before a real server."""
    with faulty(os.environ) as running:
        yield running


@pytest.fixture
def environ(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Settings of the store, which worker processes inherit."""
    if "WEAVIATE_URL" in os.environ and "server" not in request.fixturenames:
        told = {name: value for name, value in os.environ.items() if name.startswith("WEAVIATE_")}
    else:
        told = request.getfixturevalue("server").environ
    told |= {"SEMILAYER_STORE": "weaviate", "WEAVIATE_PREFIX": f"T{uuid4().hex[:10]}"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    return told
