"""An endpoint, and an embedder that talks to it without sleeping."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.endpoint import forget_paces
from semilayer_pipelines.embedders.local import engines
from semilayer_pipelines.embedders.openai import OpenAIEmbedder
from tests.embedders.endpoint import Endpoint, serve
from tests.kept_graphs import use_own_cache

START = 1_700_000_000.0
KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def _models_go_with_their_test() -> Iterator[None]:
    """A process keeps every model that it opens, with its threads: a run has one, tests many."""
    yield
    engines._opened.clear()


@pytest.fixture(autouse=True)
def _every_test_is_a_new_process_to_an_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent by one test counts for no other, though ports come again."""
    use_own_cache(tmp_path / "cache", monkeypatch)
    forget_paces()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serve() as running:
        yield running


class Embedding:
    """An embedder whose waits are noted instead of slept through; its clock moves with them."""

    def __init__(self, url: str, **settings: object) -> None:
        self.waits: list[float] = []
        self.environ = {"EMBED_KEY": KEY}
        config = EmbeddingConfig(provider="openai", model="small", url=url, **settings)
        self.embedder = OpenAIEmbedder(
            config,
            environ=self.environ,
            sleep=self.sleep,
            random=lambda: 0.0,
            clock=lambda: START + sum(self.waits),
        )
        self.embed = self.embedder.embed

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


@pytest.fixture
def embedding(endpoint: Endpoint) -> Iterator[Embedding]:
    made = Embedding(endpoint.url, api_key="${EMBED_KEY}")
    yield made
    made.embedder.close()
