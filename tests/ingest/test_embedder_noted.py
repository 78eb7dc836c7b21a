"""What made the vectors is recorded with the generation, and how fast, with the machine."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from semilayer_pipelines.embedders.backend import Backend
from semilayer_pipelines.embedders.hash import HashEmbedder
from semilayer_pipelines.embedders.protocol import Embedded
from semilayer_pipelines.embedders.rate import known_rate
from semilayer_pipelines.ingest.progress import PageDone
from semilayer_pipelines.registry import generations
from tests.embedders.endpoint import Reply, serve
from tests.lab import Lab

SERVER = Backend("torch", "float16", "cuda")
LAPTOP = Backend("openvino", "bfloat16", "cpu")


@pytest.fixture
def runs_on(monkeypatch: pytest.MonkeyPatch) -> dict[str, Backend]:
    """Let the hash embedder say what it runs on, as a model does, and read ten tokens a text."""
    running = {"now": SERVER}
    embed = HashEmbedder.embed

    def saying(self: HashEmbedder, texts: Sequence[str]) -> Embedded:
        done = embed(self, texts)
        tokens = done.truncated.astype("int64") + 10
        return replace(done, by=running["now"], tokens=tokens)

    monkeypatch.setattr(HashEmbedder, "embed", saying)
    return running


def embedded_by(lab: Lab) -> tuple[str, ...]:
    with lab.project.registry.read() as db:
        active = generations.active(db, lab.lens.id)
    assert active is not None
    return active.embedded_by


def test_a_generation_tells_what_made_its_vectors(
    tmp_path: Path, runs_on: dict[str, Backend]
) -> None:
    lab = Lab.at(tmp_path, rows=700)
    done = lab.full()
    assert embedded_by(lab) == ("torch float16 on cuda",)
    assert done.counts.tokens == 7_000

    # When another machine goes on with it: no rebuild, both are told.
    runs_on["now"] = LAPTOP
    with lab.source() as db:
        db.execute("UPDATE items SET description = 'new words' WHERE id <= 3")
    assert lab.sync().counts.embedded == 3

    assert embedded_by(lab) == ("torch float16 on cuda", "openvino bfloat16 on cpu")


def test_a_long_load_leaves_the_machines_rate(tmp_path: Path, runs_on: dict[str, Backend]) -> None:
    pages: list[PageDone] = []
    lab = Lab.at(tmp_path, rows=3_000, embedding={"provider": "hash", "model": "for-the-rate"})

    lab.full(report=pages.append)

    rate = known_rate(lab.project.embedder(lab.lens.config.embedding).fingerprint)
    assert rate is not None
    assert rate.tokens_per_second == pytest.approx(10 * rate.texts_per_second)
    assert pages[0].speed.left is not None
    assert pages[-1].speed.left == 0


def test_a_rebuild_that_takes_all_vectors_over_tells_what_made_them(
    tmp_path: Path, runs_on: dict[str, Backend]
) -> None:
    lab = Lab.at(tmp_path, rows=50)
    lab.full()
    runs_on["now"] = LAPTOP

    done = lab.full()

    assert (done.counts.embedded, done.counts.reused) == (0, 50)
    assert embedded_by(lab) == ("torch float16 on cuda",)


def test_equal_texts_are_paid_for_once(tmp_path: Path, runs_on: dict[str, Backend]) -> None:
    lab = Lab.at(tmp_path, rows=20)
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'same', description = 'same'")

    assert lab.full().counts.tokens == 10


def test_what_an_endpoint_charges_for_stands_on_the_job(tmp_path: Path) -> None:
    # given an endpoint that tells its usage, which a page of 300 texts asks several times
    usage = {"prompt_tokens": 1_001, "total_tokens": 1_001}

    def answer(texts: int) -> Reply:
        data = [{"index": at, "embedding": [at + 1.0, 1.0]} for at in range(texts)]
        return Reply(200, json.dumps({"data": data, "usage": usage}).encode())

    with serve() as endpoint:
        endpoint.rule = lambda texts: answer(len(texts))
        embedding = {"provider": "openai", "model": "m", "url": endpoint.url}
        lab = Lab.at(tmp_path, rows=300, embedding=embedding)

        assert lab.full().counts.tokens == 1_001 * len(endpoint.bodies)
        assert len(endpoint.bodies) > 1
