"""The project's own client against the service: what it delivers arrives, in its order."""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from sqlalchemy import delete

from semilayer_pipelines.client import (
    AsyncIngestClient,
    IngestClient,
    JobStatus,
    RequestRefused,
    synchronous,
)
from semilayer_pipelines.registry import call_log, changes, jobs, lenses, tables
from semilayer_pipelines.registry.environments import Tier
from semilayer_pipelines.registry.jobs import Mode
from tests.lab import Lab
from tests.webhook.server import ENV, Place, Server


def arrived(place: Place) -> list[tuple[str, str]]:
    with place.project.registry.read() as db:
        lens = lenses.get(db, ENV, "items")
        return [(one.key, one.action.value) for one in changes.since(db, lens.id, 0, 100_000)]


def test_a_caller_reads_its_own_write(tmp_path: Path) -> None:
    # given a lens that is indexed, and a row that changes
    lab = Lab.at(tmp_path, rows=50)
    lab.full()
    place = Place.of(lab.project)
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new' WHERE id = 7")
        db.execute("DELETE FROM items WHERE id = 8")

    # when
    with place.answering() as url, IngestClient(url, place.sk, "items") as client:
        client.upsert("7")
        client.delete("8")
        (receipt,) = client.flush()
        assert receipt.job_id is not None
        waiting = client.job(receipt.job_id)
        lab.run(lab.request(Mode.RECORDS))
        done = client.job(receipt.job_id, wait=20)

    # then
    assert (waiting.status, done.status) == (JobStatus.QUEUED, JobStatus.COMPLETED)
    assert (done.counts.written, done.counts.deleted) == (1, 1)
    assert lab.audit().clean


def test_more_changes_than_a_call_may_carry_arrive_in_their_order(tmp_path: Path) -> None:
    place, ids = Place.at(tmp_path), [str(n) for n in range(25_000)]

    async def deliver(url: str) -> int:
        async with AsyncIngestClient(url, place.ik, "items") as client:
            for id in ids:
                await client.upsert(id)
            return len(await client.flush())

    with place.answering() as url:
        asyncio.run(deliver(url))

    assert arrived(place) == [(id, "upsert") for id in ids]


def test_the_other_modes_queue_a_job(tmp_path: Path) -> None:
    place = Place.at(tmp_path)

    with place.answering() as url, IngestClient(url, place.ik, "items") as client:
        assert client.incremental().status == "queued"
        assert client.full().status == "queued"
        assert client.full().status == "deduplicated"


def test_a_refused_key_is_told_at_once_and_nothing_is_dropped(tmp_path: Path) -> None:
    place = Place.at(tmp_path)
    made_up = place.ik[:-1] + ("a" if place.ik[-1] != "a" else "b")

    with place.answering() as url:
        client = IngestClient(url, made_up, "items")
        client.upsert("1")
        with pytest.raises(RequestRefused, match="no key"):
            client.flush()

        assert [one.id for one in client.pending] == ["1"]
        with pytest.raises(RequestRefused):
            client.close()


def test_a_rate_limit_is_waited_for_as_long_as_the_service_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a minute that is over when somebody has waited for its end
    place, waits = Place.at(tmp_path, tier=Tier.FREE), list[float]()

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        with place.project.registry.begin() as db:
            db.execute(delete(tables.calls))

    clock = SimpleNamespace(monotonic=time.monotonic, sleep=sleep)
    monkeypatch.setattr(synchronous, "time", clock)

    # when it is used up
    with (
        place.answering() as url,
        IngestClient(url, place.ik, "items", flush_after=math.inf) as client,
    ):
        with place.project.registry.begin() as db:
            lens = lenses.get(db, ENV, "items")
            call_log.admit(db, lens.id, calls=10, limit=10, now=place.project.clock())
        client.upsert("1")
        client.flush()

    # then
    (wait,) = waits
    assert 1 <= wait <= 61
    assert arrived(place) == [("1", "upsert")]


def test_a_job_that_was_acknowledged_is_there_though_the_service_is_killed(tmp_path: Path) -> None:
    place = Place.at(tmp_path)
    server = Server.started(place)

    receipts = [
        httpx.post(
            f"{server.url}/v1/ingest/items", json={"mode": mode}, headers=place.ingest_headers
        ).json()
        for mode in ("full", "incremental")
    ]
    server.kill()

    with place.project.registry.read() as db:
        kept = [jobs.get(db, receipt["jobId"]) for receipt in receipts]
    assert [job.mode for job in kept] == [Mode.FULL, Mode.INCREMENTAL]
    assert {job.status for job in kept} == {JobStatus.QUEUED}


def test_a_service_that_is_killed_and_comes_back_misses_nothing(tmp_path: Path) -> None:
    # given a client whose service is gone
    place = Place.at(tmp_path)
    server = Server.started(place)
    client = IngestClient(server.url, place.ik, "items", give_up_after=60)
    client.upsert("1")
    client.flush()
    server.kill()

    # when it comes back at the same address while the client tries
    port = int(server.url.rpartition(":")[2])
    client.upsert("2")
    client.delete("1")
    back = Server.started(place, port=port)
    client.close()
    back.end()

    # then
    assert arrived(place) == [("1", "upsert"), ("2", "upsert"), ("1", "delete")]
