"""The service on a port of its own, with an embedder that a test can watch and hold up."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import uvicorn

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedder_service import Opened, ServedModel, build_app
from semilayer_pipelines.embedders.backend import Backend
from semilayer_pipelines.embedders.hash import HashEmbedder
from semilayer_pipelines.embedders.protocol import Embedded
from semilayer_pipelines.errors import EmbeddingRejected
from semilayer_pipelines.http.listen import listen, url_of
from semilayer_pipelines.http.server import server_config
from tests.patience import PATIENCE_SECONDS

MODEL = "meaningless"
DIMENSION = 8
POISON = "poison"

CONFIG = EmbeddingConfig(provider="hash", model=MODEL, dimensions=DIMENSION)


def wait_until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"waited too long for {what}"
        time.sleep(0.005)


class WatchedEmbedder(HashEmbedder):
    """The hash embedder; notes each call, waits while `held`, and rejects texts with poison.

    With `names_positions` the rejection says which texts are at fault.
    """

    def __init__(self, *, names_positions: bool = False) -> None:
        super().__init__(CONFIG)
        self._names_positions = names_positions
        self._going = threading.Event()
        self._going.set()
        self.calls: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> Embedded:
        self.calls.append(list(texts))
        assert self._going.wait(PATIENCE_SECONDS)
        bad = [at for at, text in enumerate(texts) if POISON in text]
        if bad:
            raise EmbeddingRejected("It is poison.", positions=bad if self._names_positions else ())
        done = super().embed(texts)
        cut = np.array([len(text) > 100 for text in texts])
        return Embedded(done.vectors, cut, np.array([len(text) for text in texts]))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let no call return within the block."""
        self._going.clear()
        try:
            yield
        finally:
            self._going.set()

    def opened(self) -> Opened:
        model = ServedModel(MODEL, self.fingerprint, DIMENSION, Backend("hash", "float32", "cpu"))
        return Opened(self, model)


@dataclass
class Service:
    """A running service, and how to talk to it."""

    url: str
    server: uvicorn.Server
    http: httpx.Client
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(64))

    def ask(self, texts: str | list[str], **fields: Any) -> httpx.Response:
        # Not httpx's own JSON, which cannot write what some tests send.
        body = json.dumps({"model": MODEL, "input": texts, **fields})
        return self.http.post("/v1/embeddings", content=body)

    def number(self, name: str) -> float:
        """Return one of the numbers of `/metrics`."""
        for line in self.http.get("/metrics").text.splitlines():
            if line.startswith(f"semilayer_embedder_{name} "):
                return float(line.split()[-1])
        raise AssertionError(f"no metric {name}")

    def wait_for_held(self, texts: int) -> None:
        """Wait until so many texts were admitted and not answered."""
        wait_until(lambda: self.number("held_texts") == texts, f"{texts} texts held")


@contextmanager
def running(
    opening: Callable[[], Opened], *, port: int | None = None, **settings: Any
) -> Iterator[Service]:
    address = listen("127.0.0.1", port or 0, "embedder")
    url = url_of(address)
    server = uvicorn.Server(server_config(build_app(opening, **settings), grace_s=120))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [address]})
    thread.start()
    service = Service(url, server, httpx.Client(base_url=url, timeout=PATIENCE_SECONDS))
    try:
        wait_until(lambda: server.started, "the server")
        yield service
    finally:
        server.should_exit = True
        thread.join()
        service.http.close()
        service.pool.shutdown()
        address.close()


def wait_until_ready(service: Service) -> None:
    wait_until(lambda: service.http.get("/healthz").status_code == 200, "the model")


def vectors_of(texts: list[str]) -> list[list[float]]:
    """Return what the hash embedder itself makes of the texts."""
    vectors: list[list[float]] = HashEmbedder(CONFIG).embed(texts).vectors.tolist()
    return vectors


def vectors_in(response: httpx.Response) -> list[list[float]]:
    """Return the vectors of an answer, which must be in the order of the texts."""
    assert response.status_code == 200, response.text
    items = response.json()["data"]
    assert [item["index"] for item in items] == list(range(len(items)))
    return [item["embedding"] for item in items]
