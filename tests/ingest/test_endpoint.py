"""A lens whose model is hosted: what its runs promise, however its endpoint behaves."""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.embedders.endpoint import forget_paces
from semilayer_pipelines.ingest.run_job import RunEnd, run_job
from semilayer_pipelines.registry import changes, jobs
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import JobStatus, Mode
from tests.embedders.limited import Limited, limited
from tests.lab import ENV, Lab
from tests.patience import eventually


@pytest.fixture(autouse=True)
def _as_a_new_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    forget_paces()


def lab_of(folder: Path, endpoint: Limited, *, rows: int) -> Lab:
    embedding = {"provider": "openai", "model": "m", "url": endpoint.url, "dimensions": 8}
    return Lab.at(folder, rows=rows, embedding=embedding)


def once(endpoint: Limited, do: Callable[[], object]) -> threading.Thread:
    """Call `do` when the endpoint is asked next."""

    def wait() -> None:
        while not endpoint.under_way:
            time.sleep(0.01)
        do()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_pages_come_in_their_order_with_the_vectors_of_their_rows(tmp_path: Path) -> None:
    with limited(latency=0.03) as endpoint:
        lab = lab_of(tmp_path, endpoint, rows=2_500)
        done = lab.full()

        assert (done.counts.embedded, done.counts.written) == (2_500, 2_500)
        assert endpoint.most_at_once > 2
        assert set(endpoint.seen.values()) == {1}
        assert lab.audit().clean


def test_rows_that_an_endpoint_finds_too_long_are_written_and_counted(tmp_path: Path) -> None:
    with limited(text_tokens=500) as endpoint:
        lab = lab_of(tmp_path, endpoint, rows=300)
        with lab.source() as db:
            db.execute("UPDATE items SET description = printf('%.*c', 9000, 'x') WHERE id = 7")
        done = lab.full()

    assert (done.counts.written, done.counts.failed, done.counts.truncated) == (300, 0, 1)


@pytest.mark.parametrize("mode", [Mode.FULL, Mode.SMART_SYNC, Mode.INCREMENTAL, Mode.RECORDS])
def test_a_pause_ends_the_requests_under_way_and_loses_nothing(tmp_path: Path, mode: Mode) -> None:
    with limited() as endpoint:
        lab = lab_of(tmp_path, endpoint, rows=300)
        lab.full()
        with lab.source() as db:
            db.execute("UPDATE items SET name = 'new ' || id, updated_at = '2024-05-05 00:00:00'")
        if mode is Mode.RECORDS:
            named = [(str(n), Action.UPSERT) for n in range(1, 301)]
            with lab.project.registry.begin() as db:
                changes.append(db, lab.lens.id, named, lab.project.clock())
        full = mode is Mode.FULL
        job = lifecycle.request_rebuild(lab.project, ENV, "items") if full else lab.request(mode)

        # given an endpoint that does not answer for minutes
        endpoint.latency = 300.0
        pausing = once(endpoint, lambda: lifecycle.pause(lab.project, ENV, "items"))
        outcome = run_job(lab.project, job.id)

        pausing.join()
        assert outcome.ended is RunEnd.PAUSED
        eventually(lambda: not endpoint.under_way)
        assert endpoint.hung_up > 0
        with lab.project.registry.read() as db:
            assert jobs.get(db, job.id).status is JobStatus.QUEUED

        endpoint.latency = 0.0
        lifecycle.resume(lab.project, ENV, "items")
        assert lab.run(job).ended is RunEnd.COMPLETED
        assert lab.audit().clean


def test_an_interrupt_ends_the_requests_under_way(tmp_path: Path) -> None:
    with limited(latency=300.0) as endpoint:
        lab = lab_of(tmp_path, endpoint, rows=300)
        job = lifecycle.request_rebuild(lab.project, ENV, "items")

        interrupting = once(endpoint, _thread.interrupt_main)
        with pytest.raises(KeyboardInterrupt):
            run_job(lab.project, job.id)

        interrupting.join()
        eventually(lambda: not endpoint.under_way)
        assert endpoint.hung_up == 1


def test_a_pause_in_a_page_keeps_no_change_from_the_job_that_comes_next(tmp_path: Path) -> None:
    with limited() as endpoint:
        lab = lab_of(tmp_path, endpoint, rows=50)
        lab.full()
        with lab.source() as source:
            source.execute("UPDATE items SET name = 'new ' || id")
        with lab.project.registry.begin() as db:
            named = [(str(n), Action.UPSERT) for n in range(1, 51)]
            changes.append(db, lab.lens.id, named, lab.project.clock())
        job = lab.request(Mode.RECORDS)

        # given a records job that waits for its endpoint, and another one that callers asked for
        endpoint.latency = 300.0

        def ask_and_pause() -> None:
            lab.request(Mode.RECORDS)
            lifecycle.pause(lab.project, ENV, "items")

        pausing = once(endpoint, ask_and_pause)
        assert run_job(lab.project, job.id).ended is RunEnd.PAUSED
        pausing.join()
        endpoint.latency = 0.0

        # when the lens goes on, and the one that waits does the work of both
        lifecycle.resume(lab.project, ENV, "items")
        with lab.project.registry.read() as db:
            assert jobs.get(db, job.id).status is JobStatus.CANCELED
            (other,) = jobs.queued(db, lab.lens.id)
        lab.run(other)

        # then nothing is left to do, and no job is queued for it
        with lab.project.registry.read() as db:
            assert changes.buffered(db, lab.lens.id) == 0
            assert not jobs.queued(db, lab.lens.id)
        assert lab.audit().clean
