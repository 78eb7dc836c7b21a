"""Runs use a warm model when there is one, the local one when there is none, and never another."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.dev_addresses import DevAddresses, leave_addresses
from semilayer_pipelines.embedder_service import Opened, ServedModel
from semilayer_pipelines.embedders import open_embedder
from semilayer_pipelines.embedders.backend import Backend
from semilayer_pipelines.embedders.hash import HashEmbedder
from semilayer_pipelines.embedders.protocol import Embedded
from semilayer_pipelines.embedders.warm import WarmEmbedder
from semilayer_pipelines.errors import (
    ConfigError,
    EmbedderUnavailable,
    EmbeddingRejected,
    ModelUnavailable,
)
from semilayer_pipelines.project import Project, Settings
from tests.embedder_service.service import (
    CONFIG,
    DIMENSION,
    POISON,
    Service,
    WatchedEmbedder,
    running,
    wait_until_ready,
)
from tests.patience import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-very-secret-0123456789"
OTHER = ServedModel(
    "other", "sentence-transformers:other@main", DIMENSION, Backend("hash", "float32", "cpu")
)


class Local(HashEmbedder):
    """The model in this process; counts how often it is used."""

    def __init__(self) -> None:
        super().__init__(CONFIG)
        self.calls = 0

    def embed(self, texts: Sequence[str]) -> Embedded:
        self.calls += 1
        return super().embed(texts)


def warm(url: str, local: Local, **environ: str) -> WarmEmbedder:
    return WarmEmbedder(CONFIG, url=url, local=local, environ=environ, sleep=lambda _: None)


def unused_url() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


def test_vectors_and_cuts_come_from_the_service() -> None:
    embedder, local = WatchedEmbedder(), Local()
    texts = ["bb", "a" * 101, "bb", ""]

    with running(embedder.opened) as service:
        wait_until_ready(service)
        for url in (service.url, f"{service.url}/", f"{service.url}/v1"):
            done = warm(url, local).embed(texts)

            assert done.vectors.tolist() == HashEmbedder(CONFIG).embed(texts).vectors.tolist()
            assert done.truncated.tolist() == [False, True, False, False]
    assert local.calls == 0


def test_the_space_is_the_local_models(tmp_path: Path) -> None:
    settings = Settings.from_environ({"SEMILAYER_EMBEDDER_URL": unused_url()}, tmp_path)
    config = EmbeddingConfig(revision="abc", dimensions=64)

    there = Project(settings).embedder(config)

    assert isinstance(there, WarmEmbedder)
    assert there.fingerprint == open_embedder(config, environ={}).fingerprint


@pytest.mark.parametrize(
    "config",
    [
        EmbeddingConfig(provider="hash"),
        EmbeddingConfig(provider="openai", url="http://localhost:1/v1"),
    ],
)
def test_other_providers_are_left_alone(config: EmbeddingConfig) -> None:
    with_service = open_embedder(config, environ={}, service="http://localhost:1")

    assert type(with_service) is type(open_embedder(config, environ={}))


def test_without_a_service_the_model_is_used_here_and_one_line_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    local, url = Local(), unused_url()
    embedder = warm(url, local)
    assert local.calls == 0
    assert caplog.records == []

    vectors = [embedder.embed(["a"]).vectors.tolist() for _ in range(2)]

    assert vectors == [HashEmbedder(CONFIG).embed(["a"]).vectors.tolist()] * 2
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert url in record.getMessage()
    assert "the model is loaded here instead" in record.getMessage()


def test_a_run_with_nothing_to_embed_asks_nobody(caplog: pytest.LogCaptureFixture) -> None:
    local = Local()

    assert warm(unused_url(), local).embed([]).vectors.shape == (0, DIMENSION)
    assert local.calls == 0
    assert caplog.records == []


def test_a_service_that_is_still_loading_is_waited_for() -> None:
    embedder, local, loaded = WatchedEmbedder(), Local(), threading.Event()
    waits: list[float] = []

    def opening() -> Opened:
        assert loaded.wait(PATIENCE_SECONDS)
        return embedder.opened()

    with running(opening) as service:

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            loaded.set()
            wait_until_ready(service)

        WarmEmbedder(CONFIG, url=service.url, local=local, environ={}, sleep=sleep).embed(["a"])

    assert len(waits) == 1
    assert (local.calls, embedder.calls) == (0, [["a"]])


def test_a_service_with_another_model_is_left_alone_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    embedder, local = WatchedEmbedder(), Local()

    with running(lambda: Opened(embedder, OTHER)) as service:
        wait_until_ready(service)
        warm(service.url, local).embed(["a"])

    assert (local.calls, embedder.calls) == (1, [])
    assert f"serves {OTHER.fingerprint}; this lens needs {local.fingerprint}" in caplog.text


def test_a_replica_with_another_model_never_answers_in_its_place() -> None:
    right, wrong, local = WatchedEmbedder(), WatchedEmbedder(), Local()

    with running(right.opened) as first:
        wait_until_ready(first)
        embedder = warm(first.url, local)
        embedder.embed(["a"])
    with running(lambda: Opened(wrong, OTHER), port=first.http.base_url.port) as second:
        wait_until_ready(second)
        with pytest.raises(ModelUnavailable, match="is not served here") as caught:
            embedder.embed(["b"])

    assert "Every replica" in caught.value.cure
    assert (wrong.calls, local.calls) == ([], 0)


def test_what_is_no_embedder_service_is_refused() -> None:
    with (
        running(WatchedEmbedder().opened) as service,
        pytest.raises(ModelUnavailable, match=r"HTTP 404.*no `semilayer embedder`"),
    ):
        warm(f"{service.url}/elsewhere", Local()).embed(["a"])


def test_the_key_is_sent_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    local = Local()

    with running(WatchedEmbedder().opened, key=KEY) as service:
        wait_until_ready_with(service, KEY)
        warm(service.url, local, SEMILAYER_EMBEDDER_KEY=KEY).embed(["a"])
        with pytest.raises(ModelUnavailable, match="refuses the key") as caught:
            warm(service.url, local, SEMILAYER_EMBEDDER_KEY=f"{KEY}x").embed(["a"])

    assert local.calls == 0
    assert KEY not in f"{caught.value}{caplog.text}"


def test_an_empty_key_is_none() -> None:
    local = Local()

    with running(WatchedEmbedder().opened) as service:
        wait_until_ready(service)
        warm(service.url, local, SEMILAYER_EMBEDDER_KEY=" ").embed(["a"])

    assert local.calls == 0


def wait_until_ready_with(service: Service, key: str) -> None:
    wait_until_ready(service)
    assert service.http.get("/v1/models", headers={"authorization": f"Bearer {key}"}).is_success


@pytest.mark.parametrize(
    "url", ["localhost:8100", "ftp://localhost", "http://", "http://u:secret@host", "http://h/?k=1"]
)
def test_an_address_that_cannot_be_used_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ConfigError, match="SEMILAYER_EMBEDDER_URL") as caught:
        warm(url, Local())

    assert "secret" not in str(caught.value)


def test_a_text_the_service_rejects_is_the_texts_fault() -> None:
    with running(WatchedEmbedder().opened) as service:
        wait_until_ready(service)
        with pytest.raises(EmbeddingRejected, match="position 0 cannot be embedded"):
            warm(service.url, Local()).embed([POISON])


def test_a_run_with_a_service_imports_no_torch(tmp_path: Path) -> None:
    config = EmbeddingConfig()
    fingerprint = open_embedder(config, environ={}).fingerprint
    embedder = WatchedEmbedder()
    model = ServedModel(config.model, fingerprint, DIMENSION, Backend("hash", "float32", "cpu"))
    code = (
        "import sys; from semilayer_pipelines.project import Project\n"
        "from semilayer_pipelines.config.models import EmbeddingConfig\n"
        "print(Project.at('.').embedder(EmbeddingConfig()).embed(['a']).vectors.shape)\n"
        "print([m for m in ('torch', 'sentence_transformers', 'starlette') if m in sys.modules])"
    )

    (tmp_path / "sl.config.yaml").touch()
    with running(lambda: Opened(embedder, model)) as service:
        wait_until_ready(service)
        environ = {**os.environ, "SEMILAYER_EMBEDDER_URL": service.url, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=environ,
            check=True,
            capture_output=True,
            text=True,
        )

    assert done.stdout.split("\n")[:2] == [f"(1, {DIMENSION})", "[]"]


class Stranger(BaseHTTPRequestHandler):
    """Some other program that got the port."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>not an embedder</html>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_an_address_that_nobody_named_is_only_a_hint(caplog: pytest.LogCaptureFixture) -> None:
    # given an address that was left behind, where another program answers by now
    local = Local()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stranger)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"

    # when, then the model is used here, without a word
    try:
        found = WarmEmbedder(CONFIG, url=url, local=local, environ={}, named=False)
        assert found.embed(["a"]).vectors.shape == (1, DIMENSION)
        assert caplog.records == []
        # and an address that a person named is a mistake that is told
        with pytest.raises(EmbedderUnavailable):
            warm(url, local).embed(["a"])
    finally:
        server.shutdown()
        server.server_close()
    assert local.calls == 1


def test_a_project_uses_the_embedder_of_its_running_dev(tmp_path: Path) -> None:
    home = tmp_path / ".semilayer"
    home.mkdir()
    with running(WatchedEmbedder().opened) as service:
        wait_until_ready(service)
        leave_addresses(home, DevAddresses(os.getpid(), None, "http://127.0.0.1:1", service.url))
        settings = Settings.from_environ({}, tmp_path)

        used = Project(settings).embedder(EmbeddingConfig())
        named = Settings.from_environ({"SEMILAYER_EMBEDDER_URL": unused_url()}, tmp_path)

        assert isinstance(used, WarmEmbedder)
        assert used.url == f"{service.url}/v1"
        other = Project(named).embedder(EmbeddingConfig())
        assert isinstance(other, WarmEmbedder)
        assert other.url != used.url
