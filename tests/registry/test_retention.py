from __future__ import annotations

from datetime import timedelta

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.registry import changes, jobs, page_log, retention
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.jobs import JobStatus, Mode
from semilayer_pipelines.registry.lenses import Lens
from semilayer_pipelines.registry.retention import Swept
from tests.registry.given import NOW, at, queue, start

DAY = 86_400


def test_old_history_goes_and_what_is_needed_stays(registry: Registry, lens: Lens) -> None:
    # given: an old and a new ended job with a page and an applied change each; a queued and a
    # running job from long ago, and a change nobody applied yet
    for job_id, day in [("old", 0), ("new", 20)]:
        queue(registry, lens, Mode.RECORDS, job_id, now=at(day * DAY))
        start(registry, job_id)
        with registry.begin() as db:
            now = at(day * DAY)
            changes.append(db, lens.id, [(job_id, Action.UPSERT)], now)
            changes.claim(db, lens.id, job_id=job_id, limit=10, now=now)
            changes.ack(db, job_id, [job_id], now)
            page_log.record(
                db,
                job_id,
                shard=0,
                page=1,
                rows=1,
                counts=Counts(),
                seconds=0.1,
                cursor=None,
                now=now,
            )
            jobs.finish(
                db,
                job_id,
                lease="lease-1",
                status=JobStatus.COMPLETED,
                counts=Counts(),
                now=now,
            )
    queue(registry, lens, Mode.SMART_SYNC, "running")
    start(registry, "running")
    queue(registry, lens, Mode.FULL, "queued")
    with registry.begin() as db:
        changes.append(db, lens.id, [("waiting", Action.DELETE)], NOW)

    # when
    with registry.begin() as db:
        swept = retention.sweep(
            db,
            at(21 * DAY),
            jobs_older_than=timedelta(days=14),
            pages_older_than=timedelta(days=14),
            changes_older_than=timedelta(days=7),
        )

    # then
    assert swept == Swept(jobs=1, pages=1, changes=1)
    with registry.read() as db:
        assert {job.id for job in jobs.recent(db)} == {"new", "running", "queued"}
        assert len(page_log.of_job(db, "new", 10)) == 1
        assert [change.key for change in changes.since(db, lens.id, 0, 10)] == ["new", "waiting"]
        assert changes.buffered(db, lens.id) == 1
