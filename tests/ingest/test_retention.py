from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from semilayer_pipelines.ingest.retention import KEEP_RETIRED, tidy
from semilayer_pipelines.registry import changes, generations, jobs
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.stores.protocol import IndexSchema
from tests.lab import ENV, Lab


def test_a_retired_index_is_kept_for_the_grace_period_and_dropped_after_it(tmp_path: Path) -> None:
    # given a lens whose index was rebuilt once
    lab = Lab.at(tmp_path, rows=30)
    lab.full()
    lab.full()
    assert lab.project.store(ENV).names() == ["items-1-g000001", "items-1-g000002"]

    # when time passes
    early = tidy(lab.project)
    later = replace(
        lab.project, clock=lambda: lab.project.clock() + KEEP_RETIRED + timedelta(seconds=1)
    )
    late = tidy(later)

    # then the old one goes after the grace period, and the one in use stays
    assert early.indexes == ()
    assert late.indexes == ("items-1-g000001",)
    assert lab.project.store(ENV).names() == ["items-1-g000002"]
    assert lab.audit().clean


def test_an_orphaned_index_is_dropped_and_a_strangers_is_left_alone(tmp_path: Path) -> None:
    # given an index whose generation a killed run had forgotten already, and one of somebody else
    lab = Lab.at(tmp_path, rows=30)
    lab.full()
    lab.full()
    with lab.project.registry.begin() as db:
        [old] = generations.retired(db, lab.lens.id)
        generations.forget(db, old.id)
    store = lab.project.store(ENV)
    store.create("items-99-g000001", IndexSchema((), 4))

    # when
    done = tidy(lab.project)

    # then
    assert done.indexes == ("items-1-g000001",)
    assert store.names() == ["items-1-g000002", "items-99-g000001"]
    assert lab.audit().clean


def test_jobs_that_ended_long_ago_are_forgotten(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=30)
    lab.full()

    soon = tidy(lab.project)
    much_later = replace(lab.project, clock=lambda: lab.project.clock() + timedelta(days=40))

    assert soon.history.jobs == 0
    assert tidy(much_later).history.jobs == 1


def test_changes_that_a_job_holds_which_is_over_are_applied_after_the_sweep(tmp_path: Path) -> None:
    # given a change that an earlier version left with a job that had ended
    lab = Lab.at(tmp_path, rows=30)
    lab.full()
    now = lab.project.clock()
    with lab.project.registry.begin() as db:
        changes.append(db, lab.lens.id, [("7", Action.DELETE)], now)
        changes.claim(db, lab.lens.id, job_id="over", limit=10, now=now)

    tidy(lab.project)

    # then there is a job for it, without another call
    with lab.project.registry.read() as db:
        [queued] = jobs.queued(db, lab.lens.id)
    assert queued.mode is Mode.RECORDS
    lab.run(queued)
    assert lab.index.get("7") is None
