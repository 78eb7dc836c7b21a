"""What the page "Ingest — Webhook" promises of `POST /v1/ingest/{lens}`."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import event

from semilayer_pipelines.registry import jobs, lenses
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode
from semilayer_pipelines.registry.lenses import LensStatus
from tests.webhook.site import Site, error_of

SECOND = timedelta(seconds=1)


def due_after(site: Site, mode: Mode) -> float:
    """Return how many seconds from now the lens's job of a mode is due."""
    job = next(job for job in site.jobs() if job.mode is mode)
    return float((job.due_at - site.clock()) / SECOND)


def test_records_are_in_the_buffer_and_their_job_is_queued_when_the_answer_comes(
    site: Site,
) -> None:
    response = site.ingest(
        {
            "mode": "records",
            "changes": [
                {"id": "p_7712", "action": "upsert"},
                {"action": "delete", "id": "p_0451"},
                {"id": "ü-☃", "action": "upsert"},
            ],
        }
    )

    [job] = site.jobs()
    assert response.status_code == 202
    assert response.json() == {"jobId": job.id, "status": "queued", "changesBuffered": 3}
    assert site.buffer() == [("p_7712", "upsert"), ("p_0451", "delete"), ("ü-☃", "upsert")]
    assert (job.mode, job.status, job.singleton) == (
        Mode.RECORDS,
        JobStatus.QUEUED,
        "rec:test:items",
    )


def test_while_a_records_job_is_queued_further_calls_only_add_to_the_buffer(site: Site) -> None:
    first = site.push("1", "2").json()
    second = site.push("2", "3")

    assert first["status"] == "queued"
    assert second.status_code == 202
    assert second.json() == {"jobId": None, "status": "deduplicated", "changesBuffered": 4}
    assert len(site.jobs()) == 1


def test_a_records_call_while_one_runs_queues_the_next(site: Site) -> None:
    site.push("1")
    site.take(site.jobs()[0])

    assert site.push("2").json()["status"] == "queued"
    assert site.push("3").json()["status"] == "deduplicated"
    assert {job.status for job in site.jobs()} == {JobStatus.RUNNING, JobStatus.QUEUED}
    assert len(site.jobs()) == 2


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_modes_without_changes_queue_one_job_and_tell_no_buffer(site: Site, mode: str) -> None:
    first, second = site.ingest({"mode": mode}), site.ingest({"mode": mode})

    [job] = site.jobs()
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == {"jobId": job.id, "status": "queued"}
    assert second.json() == {"jobId": None, "status": "deduplicated"}
    assert job.mode == mode


def test_a_full_ingest_is_deduplicated_while_it_runs_and_an_incremental_one_is_not(
    site: Site,
) -> None:
    for mode in ("full", "incremental"):
        site.ingest({"mode": mode})
    full, incremental = sorted(site.jobs(), key=lambda job: job.mode is not Mode.FULL)
    with site.project.registry.begin() as db:
        assert jobs.join(db, full.id, run_id=None, now=site.clock())
    site.take(incremental)

    assert site.ingest({"mode": "full"}).json() == {"jobId": None, "status": "deduplicated"}
    assert site.ingest({"mode": "incremental"}).json()["status"] == "queued"


def test_a_records_job_is_due_two_seconds_after_the_last_call(site: Site) -> None:
    site.push("1")
    assert due_after(site, Mode.RECORDS) == 2
    site.clock.go_on(1.5)
    site.push("2")
    assert due_after(site, Mode.RECORDS) == 2
    site.clock.go_on(2)
    assert due_after(site, Mode.RECORDS) == 0


def test_an_incremental_job_is_due_five_seconds_after_the_last_call(site: Site) -> None:
    site.ingest({"mode": "incremental"})
    site.clock.go_on(3)
    site.ingest({"mode": "incremental"})

    assert due_after(site, Mode.INCREMENTAL) == 5


@pytest.mark.parametrize(("mode", "every"), [("records", 1), ("incremental", 3)])
def test_calls_without_a_pause_put_a_job_off_for_ten_seconds_at_most(
    site: Site, mode: str, every: int
) -> None:
    started, body = site.clock(), {"mode": mode}
    for number in range(0, 30, every):
        changes = {"changes": [{"id": str(number), "action": "upsert"}]}
        site.ingest(body | changes if mode == "records" else body)
        site.clock.go_on(every)

    [job] = site.jobs()
    assert job.due_at - started == 10 * SECOND


def test_a_full_ingest_is_due_at_once(site: Site) -> None:
    site.ingest({"mode": "full"})

    assert due_after(site, Mode.FULL) == 0


def test_a_job_that_waits_for_another_attempt_keeps_its_time(site: Site) -> None:
    site.push("1")
    [job] = site.jobs()
    site.take(job)
    later = site.clock() + timedelta(minutes=5)
    with site.project.registry.begin() as db:
        assert jobs.retry(db, job.id, lease="lease-1", due_at=later, error="down", now=site.clock())

    assert site.push("2").json()["status"] == "deduplicated"
    assert site.jobs()[0].due_at == later


def test_a_job_that_a_schedule_spread_into_the_future_comes_sooner_when_called_for(
    site: Site,
) -> None:
    queued = _scheduled(site, Mode.INCREMENTAL, seconds=240)

    assert site.ingest({"mode": "incremental"}).json()["status"] == "deduplicated"
    assert site.jobs()[0].id == queued.id
    assert due_after(site, Mode.INCREMENTAL) == 5


def _scheduled(site: Site, mode: Mode, *, seconds: float) -> Job:
    now = site.clock()
    with site.project.registry.begin() as db:
        return jobs.request(
            db,
            site.lens(),
            mode,
            job_id="scheduled",
            origin="schedule",
            now=now,
            due_at=now + seconds * SECOND,
        ).job


def test_a_paused_lens_accepts_every_call_and_holds_its_jobs(site: Site) -> None:
    site.add_lens("resting", status=LensStatus.PAUSED)

    answers = [site.push("1", lens="resting")] + [
        site.ingest({"mode": mode}, lens="resting") for mode in ("full", "incremental")
    ]

    assert [answer.json()["status"] for answer in answers] == ["queued"] * 3
    assert site.lens("resting").status is LensStatus.PAUSED
    site.clock.go_on(60)
    with site.project.registry.read() as db:
        assert jobs.due(db, site.clock()) == []
    assert len(site.jobs("resting")) == 3


def test_a_service_key_may_ingest_too(site: Site) -> None:
    assert site.push("1", key=site.sk).status_code == 202


def test_ten_thousand_changes_are_one_call_and_one_more_is_refused(site: Site) -> None:
    ids = [f"p_{number}" for number in range(10_001)]

    most = site.push(*ids[:-1])
    over = site.push(*ids)

    assert most.status_code == 202
    assert most.json()["changesBuffered"] == 10_000
    assert error_of(over)[:2] == (400, "too_many_changes")
    assert [key for key, _ in site.buffer()] == ids[:-1]


def test_a_lens_that_is_not_there_is_not_found(site: Site) -> None:
    status, code, message = error_of(site.push("1", lens="itmes"))

    assert (status, code) == (404, "lens_not_found")
    assert "itmes" in message


def test_a_lens_of_another_environment_is_not_found(site: Site) -> None:
    site.add_lens("elsewhere", env="production")

    assert error_of(site.push("1", lens="elsewhere"))[:2] == (404, "lens_not_found")
    assert site.buffer("elsewhere", "production") == []


def test_a_call_for_a_lens_of_the_same_name_reaches_its_own_environment_only(site: Site) -> None:
    site.add_lens("items", env="production")

    site.push("1")

    assert site.buffer("items", "production") == []
    assert site.jobs("items", "production") == []
    assert len(site.buffer()) == 1


@pytest.mark.parametrize("lens", ["a b", "1st", "x" * 64, "%00", "ü", "items%0A", "..", "*"])
def test_what_cannot_be_a_lens_is_not_found_either(site: Site, lens: str) -> None:
    status, code, _ = error_of(site.push("1", lens=lens))

    assert (status, code) in [(404, "lens_not_found"), (404, "not_found")]


def test_an_ingest_key_is_not_told_which_lenses_there_are(site: Site) -> None:
    assert "items" not in site.push("1", lens="item").text.replace("item'", "")


def test_what_is_accepted_is_on_the_disk_when_the_answer_comes(site: Site) -> None:
    told: list[str] = []
    engine = site.project.registry.engine
    if engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL waits for its disk by itself")
    event.listen(engine, "before_cursor_execute", lambda *args: told.append(args[2]))

    site.push("1")

    [inserted] = [at for at, said in enumerate(told) if "INTO sl_changes" in said]
    levels = [said for said in told[:inserted] if said.startswith("PRAGMA synchronous")]
    assert levels[-1] == "PRAGMA synchronous = FULL"


def test_ten_thousand_changes_with_composite_keys_are_few_enough_values(sqlite_site: Site) -> None:
    ids = [json.dumps(["eu, west", f"[{n}]", f'"{n}"']) for n in range(10_000)]
    response = sqlite_site.push(*ids)

    assert response.status_code == 202


def tell_tracked(site: Site, tracked: str) -> None:
    """Note what a push found in the table of the lens."""
    with site.project.registry.begin() as db:
        lenses.note_tracked(db, lenses.get(db, "test", "items").id, tracked)


def test_a_request_that_the_lens_cannot_do_is_the_callers(site: Site) -> None:
    # given a lens whose table has nothing that tells what changed
    tell_tracked(site, "")

    # when
    response = site.ingest({"mode": "incremental"})

    # then the caller is told what would help, and nothing else came of it
    status, code, message = error_of(response)
    assert (status, code) == (409, "refused")
    assert "no column that tells what changed" in message
    assert "changeTrackingColumn" in response.json()["error"]["cure"]
    assert site.jobs() == []
    assert site.lens().error is None

    # and the other modes are none the worse
    assert site.push("1").status_code == 202
    assert site.ingest({"mode": "full"}).status_code == 202
    tell_tracked(site, "updated_at")
    assert site.ingest({"mode": "incremental"}).status_code == 202
