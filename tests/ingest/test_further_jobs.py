"""What a run does after its own job: which jobs it takes up, and when it leaves."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.ingest import further_jobs as module
from semilayer_pipelines.ingest.further_jobs import further_jobs
from semilayer_pipelines.ingest.run_job import run_job
from semilayer_pipelines.registry import changes, jobs
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode
from tests.lab import ENV, Lab


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.1)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(module, "PLACE_CHECK_SECONDS", 0.0)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Two indexed lenses over one table, `items` and `others`."""
    made = Lab.at(tmp_path, rows=50)
    made.push("others")
    made.full()
    beside(made).full()
    return made


def beside(lab: Lab) -> Lab:
    return Lab(lab.project, lab.folder, name="others")


def call(lab: Lab, key: str, action: Action = Action.UPSERT, *, delay: float = 0.0) -> str:
    """Tell the lens of a change, as the webhook does; return the job that will apply it."""
    now = lab.project.clock()
    with lab.project.registry.begin() as db:
        changes.append(db, lab.lens.id, [(key, action)], now)
        return jobs.request(
            db,
            lab.lens,
            Mode.RECORDS,
            job_id=uuid4().hex,
            origin="test",
            now=now,
            due_at=now + timedelta(seconds=delay),
        ).job.id


def stay(
    lab: Lab,
    mode: Mode = Mode.RECORDS,
    *,
    lingers: bool = True,
    place_is_wanted: Callable[[], bool] = lambda: False,
) -> list[str]:
    """Do what a run of this mode does after its own job; return the jobs it took up."""
    done = []
    for job in further_jobs(lab.project, mode, lingers=lingers, place_is_wanted=place_is_wanted):
        run_job(lab.project, job.id)
        done.append(job.id)
    return done


def job_of(lab: Lab, job_id: str) -> Job:
    with lab.project.registry.read() as db:
        return jobs.get(db, job_id)


def test_a_lingering_run_applies_the_changes_of_every_lens(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 3_600.0)
    # given a change for each of two lenses, one of which comes while the run lingers
    other = beside(lab)
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'first' WHERE id = 1")
        db.execute("DELETE FROM items WHERE id = 2")
    first = call(lab, "1")
    later: list[str] = []

    def call_once_idle() -> bool:
        if not later:
            later.append(call(other, "2", Action.DELETE, delay=0.1))
        return job_of(lab, later[0]).status is JobStatus.COMPLETED

    # when
    done = stay(lab, place_is_wanted=call_once_idle)

    # then each is a job of its own with a result of its own
    assert done == [first, *later]
    assert (job_of(lab, first).lens, job_of(lab, first).counts.written) == ("items", 1)
    assert (job_of(lab, done[1]).lens, job_of(lab, done[1]).counts.deleted) == ("others", 1)
    assert {job_of(lab, one).status for one in done} == {JobStatus.COMPLETED}


def test_what_was_due_first_comes_first_whichever_lens_called_most(lab: Lab) -> None:
    # given a lens that called long after another
    other = beside(lab)
    quiet = call(other, "7", delay=-60)
    chatty = call(lab, "1")

    assert stay(lab, lingers=False) == [quiet, chatty]


def test_a_job_is_not_taken_up_before_its_debounce_is_over(lab: Lab) -> None:
    waits = call(lab, "2", delay=60)

    assert stay(lab) == []

    assert job_of(lab, waits).status is JobStatus.QUEUED


def test_a_run_takes_up_nothing_of_a_paused_lens(lab: Lab) -> None:
    other = beside(lab)
    paused, goes_on = call(other, "1"), call(lab, "1")
    lifecycle.pause(lab.project, ENV, "others")

    assert stay(lab) == [goes_on]

    assert job_of(lab, paused).status is JobStatus.QUEUED
    with lab.project.registry.read() as db:
        assert changes.buffered(db, other.lens.id) == 1


def test_no_two_jobs_of_one_kind_run_at_once(lab: Lab) -> None:
    # given a records job that another run has, and the next one of that lens, due
    busy = call(lab, "1")
    with lab.project.registry.begin() as db:
        assert jobs.take(db, busy, lease="other", run_id="other", now=lab.project.clock())
    following = call(lab, "2")

    # when, then a run leaves it alone for as long
    assert stay(lab) == []
    with lab.project.registry.begin() as db:
        assert jobs.finish(
            db,
            busy,
            lease="other",
            status=JobStatus.COMPLETED,
            counts=job_of(lab, busy).counts,
            now=lab.project.clock(),
        )
    assert stay(lab) == [following]


def test_no_walk_of_a_lens_is_taken_up_beside_another(lab: Lab) -> None:
    sync = lab.request(Mode.SMART_SYNC)
    with lab.project.registry.begin() as db:
        assert jobs.take(db, sync.id, lease="other", run_id="other", now=lab.project.clock())
    lab.request(Mode.INCREMENTAL)

    assert stay(lab, Mode.FULL, lingers=False) == []


@pytest.mark.parametrize(
    ("mode", "taken"),
    [
        (Mode.RECORDS, [Mode.RECORDS]),
        (Mode.SMART_SYNC, [Mode.RECORDS, Mode.SMART_SYNC]),
        (Mode.FULL, [Mode.RECORDS, Mode.SMART_SYNC, Mode.FULL]),
    ],
)
def test_a_run_does_what_comes_before_its_own_mode_and_never_what_comes_after(
    mode: Mode, taken: list[Mode], lab: Lab
) -> None:
    # given a job of each mode, none of which excludes another
    other = beside(lab)
    lifecycle.request_rebuild(lab.project, ENV, "items")
    other.request(Mode.SMART_SYNC)
    call(other, "1")

    # when, then
    done = stay(lab, mode, lingers=False)
    assert [job_of(lab, one).mode for one in done] == taken


def test_a_job_of_a_large_table_or_of_several_shards_gets_runs_of_its_own(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a rebuild of a lens with shards, and a sync of a table that is not small
    from semilayer_pipelines.registry.jobs import sharing

    lab.push("others", shards=4)
    lifecycle.request_rebuild(lab.project, ENV, "items")
    beside(lab).request(Mode.SMART_SYNC)
    monkeypatch.setattr(sharing, "SMALL_ROWS", 49)

    assert stay(lab, Mode.FULL, lingers=False) == []


def test_a_first_ingest_gets_a_run_of_its_own_because_nobody_knows_its_size(
    tmp_path: Path,
) -> None:
    new = Lab.at(tmp_path, rows=10)
    lifecycle.request_rebuild(new.project, ENV, "items")

    assert stay(new, Mode.FULL, lingers=False) == []


def test_a_run_leaves_when_another_one_waits_for_its_place(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given patience that would outlast the suite
    monkeypatch.setattr(module, "IDLE_SECONDS", 3_600.0)

    left = list(further_jobs(lab.project, Mode.RECORDS, lingers=True, place_is_wanted=lambda: True))

    assert left == []


def test_it_does_what_is_due_before_it_leaves(lab: Lab) -> None:
    due = call(lab, "1")

    taken = further_jobs(lab.project, Mode.RECORDS, lingers=True, place_is_wanted=lambda: True)

    assert next(taken).id == due


def test_a_lens_that_was_removed_leaves_nothing_to_take_up(lab: Lab) -> None:
    call(beside(lab), "1")
    lab.push()  # without it

    assert stay(lab) == []


class Terminated(BaseException):
    """As Dagster's interrupt: no `Exception`."""


@contextmanager
def interrupted_by_a_signal() -> Iterator[Callable[[], bool]]:
    """Give what sends this process a signal, which interrupts it as Dagster does."""

    def interrupt(*_: object) -> None:
        raise Terminated

    def send() -> bool:
        os.kill(os.getpid(), signal.SIGUSR1)
        return False

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        yield send
    finally:
        signal.signal(signal.SIGUSR1, before)


def idle(lab: Lab, *, cancelled: bool) -> list[Job]:
    """Interrupt a run that lingers; return the jobs that it took up."""
    with interrupted_by_a_signal() as send:
        return list(
            further_jobs(
                lab.project,
                Mode.RECORDS,
                lingers=True,
                place_is_wanted=send,
                was_cancelled=lambda: cancelled,
            )
        )


def test_a_shutdown_that_finds_the_run_idle_is_no_failure(lab: Lab) -> None:
    assert idle(lab, cancelled=False) == []


def test_who_cancels_an_idle_run_gets_it_cancelled(lab: Lab) -> None:
    with pytest.raises(Terminated):
        idle(lab, cancelled=True)
