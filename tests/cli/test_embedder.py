"""`semilayer embedder`: it says where it is, stops cleanly, and refuses what cannot work."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from semilayer_pipelines.cli.dev import _embedder
from semilayer_pipelines.cli.embedder import embedder as command_of_embedder
from semilayer_pipelines.cli.main import main
from semilayer_pipelines.config.embedding import EmbeddingConfig
from tests.patience import PATIENCE_SECONDS

SEMILAYER = Path(sys.executable).with_name("semilayer")


@contextmanager
def started(folder: Path, *options: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [SEMILAYER, "embedder", "--port", "0", *options],
        cwd=folder,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    options = ("--provider", "hash", "--model", "m", "--dimensions", "4")

    with started(tmp_path, *options, SEMILAYER_EMBEDDER_KEY="k") as process:
        assert process.stdout is not None
        loading, ready = process.stdout.readline(), process.stdout.readline()
        assert loading == "Loading m …\n"
        found = re.search(r"SEMILAYER_EMBEDDER_URL=(http://127\.0\.0\.1:\d+)$", ready)
        assert found, ready
        answer = httpx.post(
            f"{found[1]}/v1/embeddings",
            json={"model": "m", "input": "a"},
            headers={"authorization": "Bearer k"},
        )
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert len(answer.json()["data"][0]["embedding"]) == 4
    assert (process.returncode, out, err) == (0, "Stopped.\n", "")


def test_a_model_that_does_not_exist_ends_it_with_a_sentence(tmp_path: Path) -> None:
    with started(tmp_path, "--model", "./nowhere") as process:
        _, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 1
    assert f"The model folder './nowhere' does not exist in {tmp_path}." in err
    assert "Traceback" not in err


def test_a_port_that_is_taken_is_named_with_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = CliRunner().invoke(main, ["embedder", "--provider", "hash", "--port", str(port)])

    assert result.exit_code == 2
    assert f"Port {port} is taken" in result.stderr
    assert f"--port {port + 1}" in result.stderr


@pytest.mark.parametrize("key", ["", "  ", "schlüssel", "two\nlines"])
def test_a_key_that_cannot_be_sent_is_refused(key: str) -> None:
    result = CliRunner().invoke(
        main, ["embedder", "--provider", "hash"], env={"SEMILAYER_EMBEDDER_KEY": key}
    )

    assert result.exit_code == 2
    assert "SEMILAYER_EMBEDDER_KEY" in result.stderr


def test_a_precision_is_of_a_model() -> None:
    result = CliRunner().invoke(main, ["embedder", "--provider", "hash", "--precision", "int8"])

    assert result.exit_code == 2
    assert "'hash' has no precision" in result.stderr


@pytest.mark.parametrize(
    "asked",
    [
        EmbeddingConfig(),
        EmbeddingConfig(model="org/m", revision="r1", dimensions=64, precision="int8"),
    ],
)
def test_the_embedder_of_dev_serves_the_space_of_the_lenses(asked: EmbeddingConfig) -> None:
    command = _embedder(asked, 8100).command

    given = command[command.index("embedder") + 1 :]
    context = command_of_embedder.make_context("embedder", list(given))
    fields = {
        name: context.params[name] for name in EmbeddingConfig.model_fields.keys() & context.params
    }
    assert EmbeddingConfig(**fields) == asked
    assert context.params["rerank"] is None
    assert _embedder(asked, 8100, "org/reranker").command[-2:] == ["--rerank", "org/reranker"]
