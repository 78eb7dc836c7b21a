from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.registry import changes, jobs, page_log, retention
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.jobs import JobStatus, Mode
from semilayer_pipelines.registry.lenses import Lens
from semilayer_pipelines.registry.retention import Swept
from tests.pages import page_done
from tests.registry.given import NOW, at, end, queue, start

DAY = 86_400
LONG = 12


def sweep(registry: Registry, days: float, **options: Any) -> Swept:
    """Sweep with a time so many days after the beginning."""
    return retention.sweep(
        registry,
        at(days * DAY),
        jobs_older_than=timedelta(days=14),
        pages_older_than=timedelta(days=14),
        changes_older_than=timedelta(days=7),
        **options,
    )


def append(registry: Registry, lens: Lens, keys: Sequence[str], *, day: float) -> None:
    """Accept changes of keys."""
    with registry.begin() as db:
        changes.append(db, lens.id, [(key, Action.UPSERT) for key in keys], at(day * DAY))


def apply(registry: Registry, lens: Lens, *, day: float) -> None:
    """Apply everything that waits."""
    now = at(day * DAY)
    with registry.begin() as db:
        claimed = changes.claim(db, lens.id, job_id="job", limit=1_000, now=now)
        changes.ack(db, "job", [change.key for change in claimed], now)


def kept(registry: Registry, lens: Lens) -> list[str]:
    with registry.read() as db:
        return [change.key for change in changes.since(db, lens.id, 0, 1_000)]


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
            page_done(db, job_id, now)
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
    swept = sweep(registry, days=21)

    # then
    assert swept == Swept(jobs=1, pages=1, changes=1)
    with registry.read() as db:
        assert {job.id for job in jobs.recent(db)} == {"new", "running", "queued"}
        assert len(page_log.of_job(db, "new", 10)) == 1
        assert [change.key for change in changes.since(db, lens.id, 0, 10)] == ["new", "waiting"]
        assert changes.buffered(db, lens.id) == 1


def test_calls_are_accepted_between_two_batches(registry: Registry, lens: Lens) -> None:
    # given old changes for some batches, among them one that nobody applied, and newer ones
    append(registry, lens, [f"old-{at}" for at in range(LONG)], day=0)
    apply(registry, lens, day=0)
    append(registry, lens, ["waiting"], day=0)
    append(registry, lens, ["new"], day=18)

    # when others get at the registry between the batches. On SQLite an open transaction would keep
    # this one waiting until it is given up.
    accepted: list[str] = []

    def call(_seconds: float) -> None:
        accepted.append(f"call-{len(accepted)}")
        append(registry, lens, [accepted[-1]], day=21)

    swept = sweep(registry, days=21, batch=5, rest=call)

    # then
    assert swept == Swept(jobs=0, pages=0, changes=LONG)
    assert len(accepted) > 3
    assert kept(registry, lens) == ["waiting", "new", *accepted]
    with registry.read() as db:
        assert changes.buffered(db, lens.id) == 2 + len(accepted)


def test_a_sweep_that_is_stopped_is_finished_by_the_next(registry: Registry, lens: Lens) -> None:
    # given
    append(registry, lens, [f"old-{at}" for at in range(LONG)], day=0)
    apply(registry, lens, day=0)
    append(registry, lens, ["waiting"], day=0)
    rests = iter([None] * 2)  # after pages, after jobs; the first batch of changes has none

    # when
    with pytest.raises(StopIteration):
        sweep(registry, days=21, batch=5, rest=lambda _: next(rests))

    # then what was deleted is old, and the log tells what it told
    assert 1 < len(left := kept(registry, lens)) < LONG
    assert left[-1] == "waiting"
    with registry.read() as db:
        assert changes.buffered(db, lens.id) == 1
        seq = changes.latest_seq(db, lens.id)

    # and the next one does the rest, without giving a number again
    assert sweep(registry, days=21, batch=5, rest=lambda _: None).changes == len(left) - 1
    append(registry, lens, ["later"], day=21)
    assert kept(registry, lens) == ["waiting", "later"]
    with registry.read() as db:
        assert [change.seq > seq for change in changes.since(db, lens.id, 0, 9)] == [False, True]


def test_a_long_history_is_forgotten_whole(registry: Registry, lens: Lens) -> None:
    for number in range(LONG):
        job_id = f"job-{number}"
        queue(registry, lens, Mode.RECORDS, job_id, now=at(0))
        start(registry, job_id)
        end(registry, job_id, JobStatus.COMPLETED)

    swept = sweep(registry, days=21, batch=4, rest=lambda _: None)

    assert swept.jobs == LONG
    with registry.read() as db:
        assert jobs.recent(db) == []
