"""The page's own example of a CDC worker, run by Node against the service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from semilayer_pipelines.registry import call_log, changes, lenses
from semilayer_pipelines.registry.environments import Tier
from tests.patience import PATIENCE_SECONDS
from tests.registry.given import make_lens
from tests.webhook.server import ENV, Place

SAMPLE = Path(__file__).with_name("flush_batch.ts")
TYPESCRIPT = "typescript@5.9.3"
TO_JAVASCRIPT = """
const [from, to] = process.argv.slice(1)
const { readFileSync, writeFileSync } = require("node:fs")
const { transpileModule } = require("typescript")
writeFileSync(to, transpileModule(readFileSync(from, "utf8"), {}).outputText)
"""
CALL = """
flushBatch(JSON.parse(process.argv[2])).then(
  (answer) => console.log(JSON.stringify(answer)),
  (error) => { console.error(error.message); process.exit(1) },
)
"""
CHANGES = [{"id": "p_7712", "action": "upsert"}, {"id": "p_0451", "action": "delete"}]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as JavaScript, with a call of its function at the end."""
    folder = tmp_path_factory.mktemp("node")
    try:
        install = ["npm", "install", "--silent", "--no-audit", "--no-fund", TYPESCRIPT]
        subprocess.run(install, cwd=folder, check=True, capture_output=True, timeout=120)
    except (OSError, subprocess.SubprocessError) as error:
        if os.environ.get("SEMILAYER_TEST_NO_SKIP") == "1":
            raise
        pytest.skip(f"TypeScript cannot be installed with npm: {error}")
    made = folder / "worker.js"
    subprocess.run(["node", "-e", TO_JAVASCRIPT, SAMPLE, made], cwd=folder, check=True)
    made.write_text(made.read_text() + CALL)
    return made


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place.at(tmp_path, tier=Tier.FREE)
    make_lens(place.project.registry, "products", env=ENV)
    return place


def flush(worker: Path, url: str, key: str) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"SEMILAYER_URL": url, "SEMILAYER_INGEST_KEY": key}
    node = shutil.which("node")
    assert node
    command = [node, str(worker), json.dumps(CHANGES)]
    return subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


def buffer(place: Place) -> list[Any]:
    with place.project.registry.read() as db:
        lens = lenses.get(db, ENV, "products")
        return [(one.key, one.action.value) for one in changes.since(db, lens.id, 0, 10)]


def test_a_batch_is_flushed(worker: Path, place: Place) -> None:
    with place.serving() as server:
        done = flush(worker, server.url, place.ik)

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["status"], answer["changesBuffered"]) == ("queued", 2)
    assert answer["jobId"]
    assert buffer(place) == [("p_7712", "upsert"), ("p_0451", "delete")]


@pytest.mark.slow  # the Python client waits in the quick tests
def test_a_batch_beyond_the_rate_limit_is_flushed_after_the_wait_that_is_told(
    worker: Path, place: Place
) -> None:
    with place.serving() as server:
        # given a minute that is used up, and nearly over
        now = place.project.clock()
        with place.project.registry.begin() as db:
            lens = lenses.get(db, ENV, "products")
            call_log.admit(db, lens.id, calls=10, limit=10, now=now - timedelta(seconds=40))

        # when
        began = time.monotonic()
        done = flush(worker, server.url, place.ik)
        took = time.monotonic() - began

    # then
    assert done.returncode == 0, done.stderr
    assert took > 1
    assert len(buffer(place)) == 2


def test_a_refusal_is_thrown_with_its_reason(worker: Path, place: Place) -> None:
    with place.serving() as server:
        done = flush(worker, server.url, place.ik[:-1])

    assert done.returncode == 1
    assert "ingest failed: 401" in done.stderr
    assert "unauthorized" in done.stderr
