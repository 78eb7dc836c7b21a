"""A prompt goes along with a request; older services and callers mix nothing up."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.config.prompts import MAX_PROMPT_CHARACTERS
from semilayer_pipelines.embedder_service import open_model
from semilayer_pipelines.embedders import BuiltWith, build_of, open_embedder
from semilayer_pipelines.embedders.hash import HashEmbedder
from semilayer_pipelines.embedders.local import engines
from semilayer_pipelines.embedders.local.probe import closeness
from semilayer_pipelines.embedders.local.sentence_transformers import SentenceTransformersEmbedder
from semilayer_pipelines.embedders.protocol import Embedded, Embedder
from semilayer_pipelines.embedders.served import prompted
from semilayer_pipelines.embedders.warm import WarmEmbedder
from semilayer_pipelines.errors import EmbeddingRejected, ModelUnavailable
from tests.embedder_service.service import (
    CONFIG,
    MODEL,
    Service,
    WatchedEmbedder,
    running,
    vectors_in,
    vectors_of,
    wait_until_ready,
)
from tests.embedders.tiny_transformer import LIMIT, save_tiny_transformer

TEXTS = ["north", "the vectors of a search index", "east " * 40, ""]
SIDES = {"query": "search the index: ", "document": "rows: "}


@pytest.fixture(autouse=True)
def _models_go_with_their_test() -> Iterator[None]:
    yield
    engines._opened.clear()


def space() -> str:
    return HashEmbedder(CONFIG).space


def test_each_text_of_a_request_is_read_behind_its_prompt(service: Service) -> None:
    asked = [
        service.ask(["a", "b"], prompt="p: "),
        service.ask(["a", "b"]),
        service.ask("a", model=prompted(space()), prompt=""),
    ]

    assert [vectors_in(answer) for answer in asked] == [
        vectors_of(["p: a", "p: b"]),
        vectors_of(["a", "b"]),
        vectors_of(["a"]),
    ]


def test_texts_of_several_prompts_that_wait_together_are_kept_apart(
    service: Service, embedder: WatchedEmbedder
) -> None:
    with embedder.held():
        first = service.pool.submit(service.ask, ["first"])
        service.wait_for_held(1)
        waiting = {
            prompt: service.pool.submit(service.ask, ["a", "b"], prompt=prompt)
            for prompt in ("p: ", "q: ", "")
        }
        service.wait_for_held(7)

    first.result()
    for prompt, answer in waiting.items():
        assert vectors_in(answer.result()) == vectors_of([f"{prompt}a", f"{prompt}b"])


@pytest.mark.parametrize("prompt", [3, ["p"], "x" * (MAX_PROMPT_CHARACTERS + 1), "\ud800"])
def test_a_prompt_that_is_none_is_refused(service: Service, prompt: Any) -> None:
    refused = service.ask("a", prompt=prompt)

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "prompt")


def test_the_name_that_only_newer_services_know_needs_a_prompt(service: Service) -> None:
    refused = service.ask("a", model=prompted(space()))

    assert refused.status_code == 400
    assert "needs a 'prompt'" in refused.json()["error"]["message"]


@contextmanager
def older_service(fingerprint: str) -> Iterator[str]:
    """Answer as a service did that knew of no prompts: it leaves out what it does not know."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            entry = {"id": MODEL, "fingerprint": fingerprint, "dimension": 8}
            self.answer(200, {"object": "list", "data": [entry]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if body["model"] not in (MODEL, fingerprint):
                self.answer(404, {"error": {"message": f"{body['model']} is not served here"}})
                return
            vectors = vectors_of(body["input"])
            data = [{"index": at, "embedding": one} for at, one in enumerate(vectors)]
            self.answer(200, {"object": "list", "data": data})

        def answer(self, status: int, body: object) -> None:
            written = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(written)))
            self.end_headers()
            self.wfile.write(written)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,)).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Prompted(HashEmbedder):
    """A model in this process with prompts of both sides; counts how often it is used."""

    def __init__(self) -> None:
        super().__init__(CONFIG)
        self.built = BuiltWith("p: ")
        self.calls = 0

    def query_prompt(self, own: object) -> str:  # type: ignore[override]
        return "q: "

    def embed(self, texts: Sequence[str]) -> Embedded:
        self.calls += 1
        return super().embed(texts)


def warm(url: str, local: HashEmbedder) -> WarmEmbedder:
    return WarmEmbedder(CONFIG, url=url, local=local, environ={}, sleep=lambda _: None)


def test_a_caller_has_each_side_embedded_behind_its_prompt(service: Service) -> None:
    local = Prompted()
    embedder = warm(service.url, local)

    assert embedder.embed(["a"]).vectors.tolist() == vectors_of(["p: a"])
    assert embedder.embed_queries(["a"]).vectors.tolist() == vectors_of(["q: a"])
    assert local.calls == 0


def test_an_older_service_is_not_asked_for_what_it_would_leave_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    local = Prompted()

    with older_service(space()) as url:
        embedder = warm(url, local)
        embedder.embed(["a"])
        embedder.embed_queries(["a"])

    assert local.calls == 2
    assert "of an older version, which knows no prompts" in caplog.text


def test_an_older_service_still_embeds_what_has_no_prompt() -> None:
    with older_service(space()) as url:
        local = HashEmbedder(CONFIG)
        done = warm(url, local).embed(["a"])

    assert done.vectors.tolist() == vectors_of(["a"])
    assert done.by is None  # as older services say nothing of what they ran on


def test_an_older_replica_never_answers_without_the_prompt(service: Service) -> None:
    embedder = warm(service.url, Prompted())
    embedder.embed(["a"])

    # When an older one answers at the same address.
    with older_service(space()) as older:
        embedder._remotes.clear()
        embedder._served.url = f"{older}/v1"
        with pytest.raises(ModelUnavailable, match="is not served here") as caught:
            embedder.embed(["b"])

    assert "this version or a newer one" in caught.value.cure


@pytest.mark.parametrize("include_prompt", [True, False])
def test_a_model_gives_the_same_vectors_with_the_service_as_without(
    tmp_path: Path, include_prompt: bool
) -> None:
    folder = save_tiny_transformer(tmp_path, prompts=SIDES, include_prompt=include_prompt)
    config = EmbeddingConfig(model=str(folder))
    local = open_embedder(config, environ={})
    old = SentenceTransformersEmbedder(config, built=BuiltWith(None))

    with running(lambda: open_model(config)) as service:
        wait_until_ready(service)
        through = open_embedder(config, environ={}, service=service.url)
        old_through = open_embedder(config, environ={}, service=service.url, built=BuiltWith(None))
        [entry] = service.http.get("/v1/models").json()["data"]
        pairs: list[tuple[Embedder, Embedder]] = [(local, through), (old, old_through)]
        for here, there in pairs:
            assert here.fingerprint == there.fingerprint
            for side in ("embed", "embed_queries"):
                ours, theirs = getattr(here, side)(TEXTS), getattr(there, side)(TEXTS)
                assert closeness(theirs.vectors, ours.vectors).least > 0.9999
                assert theirs.truncated.tolist() == ours.truncated.tolist()

    assert local.fingerprint != old.fingerprint == entry["fingerprint"]
    assert entry["prompts"] == {"query": SIDES["query"], "passage": "rows: ", "plain": ""}


def test_a_prompt_without_room_for_a_text_is_the_callers_mistake(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    folder = save_tiny_transformer(tmp_path)
    config = EmbeddingConfig(model=str(folder), prompts={"passage": "north " * LIMIT})

    with running(lambda: open_model(config)) as service:
        wait_until_ready(service)
        through = open_embedder(config, environ={}, service=service.url)
        with pytest.raises(EmbeddingRejected, match="leaves no room for a text"):
            through.embed(["east"])
        assert service.ask("east", model=str(folder)).status_code == 200


def test_what_a_model_of_the_hub_brings_is_asked_of_the_service_that_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a machine without the model's files, and a service that has them.
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path / "nothing"))
    config = EmbeddingConfig(model="nobody/tiny")
    folder = save_tiny_transformer(tmp_path / "model", prompts=SIDES)

    def opening() -> Any:
        opened = open_model(EmbeddingConfig(model=str(folder)))
        named = SentenceTransformersEmbedder(config).space
        from dataclasses import replace

        return replace(opened, model=replace(opened.model, name="nobody/tiny", fingerprint=named))

    with running(opening) as service:
        wait_until_ready(service)

        built = build_of(config, environ={}, service=service.url)
        through = open_embedder(config, environ={}, service=service.url, built=built)
        vectors = [through.embed(TEXTS).vectors, through.embed_queries(TEXTS).vectors]

    local = SentenceTransformersEmbedder(EmbeddingConfig(model=str(folder)))
    assert built == BuiltWith("rows: ")
    assert closeness(vectors[0], local.embed(TEXTS).vectors).least > 0.9999
    assert closeness(vectors[1], local.embed_queries(TEXTS).vectors).least > 0.9999
