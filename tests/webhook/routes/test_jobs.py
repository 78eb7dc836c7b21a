from __future__ import annotations

import threading
import time
from datetime import datetime
from typing import Any

import pytest

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.registry import failed_rows, generations, jobs, shards
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode
from tests.webhook.site import Site, error_of


def queue(site: Site, mode: Mode = Mode.RECORDS, *, lens: str = "items", env: str = "test") -> Job:
    with site.project.registry.begin() as db:
        return jobs.request(
            db, site.lens(lens, env), mode, job_id=f"job-{lens}-{mode}", origin="test",
            now=site.clock(),
        ).job  # fmt: skip


def finish(site: Site, job: Job, **how: Any) -> None:
    told: dict[str, Any] = {
        "status": JobStatus.COMPLETED,
        "counts": Counts(read=3, written=2, failed=1),
    } | how
    with site.project.registry.begin() as db:
        assert jobs.finish(db, job.id, lease="lease-1", now=site.clock(), **told)


def test_a_job_tells_how_it_stands_what_it_did_and_which_rows_failed(site: Site) -> None:
    job = queue(site)
    queued = site.call("GET", f"/v1/jobs/{job.id}").json()
    site.take(job)
    with site.project.registry.begin() as db:
        failed = {"7": ("mapping", "price: 'x' is no number")}
        failed_rows.record(db, job.lens_id, failed, job_id=job.id, now=site.clock())
        failed_rows.record(db, job.lens_id, {"8": ("a", "b")}, job_id="other", now=site.clock())
    finish(site, job)

    ended = site.call("GET", f"/v1/jobs/{job.id}").json()

    assert (queued["status"], queued["mode"], queued["lens"]) == ("queued", "records", "items")
    assert ended["status"] == "completed"
    assert ended["counts"] == Counts(read=3, written=2, failed=1).as_dict()
    assert [(row["id"], row["stage"], row["reason"]) for row in ended["failed"]] == [
        ("7", "mapping", "price: 'x' is no number")
    ]
    assert datetime.fromisoformat(ended["endedAt"]) == site.clock()


def test_a_failed_job_tells_why_and_what_to_do(site: Site) -> None:
    job = queue(site)
    site.take(job)
    finish(site, job, status=JobStatus.FAILED, error="The table is gone.", cure="Bring it back.")

    answer = site.call("GET", f"/v1/jobs/{job.id}").json()

    assert (answer["status"], answer["error"], answer["cure"]) == (
        "failed",
        "The table is gone.",
        "Bring it back.",
    )


def test_a_running_full_ingest_counts_what_its_shards_did(site: Site) -> None:
    job = queue(site, Mode.FULL)
    with site.project.registry.begin() as db:
        jobs.join(db, job.id, run_id=None, now=site.clock())
        generation = generations.open_next(
            db, site.lens(), index_name=str, mapping_fingerprint="m", model_fingerprint="e",
            bounds=("5",), job_id=job.id, change_seq=0, source_rows=10, now=site.clock(),
        )  # fmt: skip
        for number in (0, 1):
            shards.claim(
                db, generation.id, number=number, lease="l", run_id=None, now=site.clock(),
                stale_before=site.clock(),
            )  # fmt: skip
            shards.advance(
                db, generation.id, number, lease="l", cursor="4", counts=Counts(read=4),
                now=site.clock(),
            )  # fmt: skip

    answer = site.call("GET", f"/v1/jobs/{job.id}").json()

    assert (answer["status"], answer["counts"]["read"]) == ("running", 8)


@pytest.mark.parametrize("id", ["none", "x" * 65, "%00", "a%20b", "*"])
def test_an_unknown_job_is_not_found(site: Site, id: str) -> None:
    assert error_of(site.call("GET", f"/v1/jobs/{id}"))[:2] == (404, "job_not_found")


def test_a_job_of_another_environment_is_not_found(site: Site) -> None:
    site.add_lens("elsewhere", env="production")
    job = queue(site, lens="elsewhere", env="production")

    assert error_of(site.call("GET", f"/v1/jobs/{job.id}"))[:2] == (404, "job_not_found")


def test_a_wait_is_over_as_soon_as_the_job_has_ended(site: Site) -> None:
    job = queue(site)
    site.take(job)
    ending = threading.Timer(0.5, finish, (site, job))
    ending.start()

    started = time.monotonic()
    answer = site.call("GET", f"/v1/jobs/{job.id}?wait=30").json()
    ending.join()

    assert answer["status"] == "completed"
    assert time.monotonic() - started < 25


def test_a_wait_that_is_over_first_answers_how_the_job_stands(site: Site) -> None:
    job = queue(site)

    started = time.monotonic()
    answer = site.call("GET", f"/v1/jobs/{job.id}?wait=0.4").json()

    assert answer["status"] == "queued"
    assert 0.4 <= time.monotonic() - started < 25


def test_a_service_that_is_told_to_end_answers_those_who_wait(sqlite_site: Site) -> None:
    job = queue(sqlite_site)
    ending = threading.Timer(0.3, sqlite_site.stopping.set)
    ending.start()

    started = time.monotonic()
    answer = sqlite_site.call("GET", f"/v1/jobs/{job.id}?wait=30").json()

    assert answer["status"] == "queued"
    assert time.monotonic() - started < 25


@pytest.mark.parametrize("query", ["wait=31", "wait=-1", "wait=x", "wait=nan", "wait=inf", "w=1"])
def test_a_wait_that_cannot_be_is_a_bad_request(sqlite_site: Site, query: str) -> None:
    job = queue(sqlite_site)

    status, code, message = error_of(sqlite_site.call("GET", f"/v1/jobs/{job.id}?{query}"))

    assert (status, code) == (400, "bad_request")
    assert query.partition("=")[0] in message
