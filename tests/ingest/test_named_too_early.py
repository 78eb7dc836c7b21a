"""A row that was named before it was committed is looked for again, and only then gone."""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest

from semilayer_pipelines.cli.follow import describe
from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.control.accept import Accepted, Call, accept
from semilayer_pipelines.counts import Counts
from semilayer_pipelines.ingest.apply_changes import LOOKS_AGAIN
from semilayer_pipelines.ingest.lease import SILENCE
from semilayer_pipelines.ingest.run_job import RunEnd, run_job
from semilayer_pipelines.orchestration.recovery import close_silent
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.explain import explain
from semilayer_pipelines.queries.state import read_lens
from semilayer_pipelines.registry import api_keys, changes, jobs
from semilayer_pipelines.registry.api_key import KeyKind, parse_key
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode
from semilayer_pipelines.stores.protocol import KEY
from tests.clock import Clock
from tests.ingest.test_kill import give_up_on_the_dead, kill_after, start
from tests.lab import ENV, Lab
from tests.meddling import Meddled
from tests.mortal import Died, Life, dies_at, mortal

UPSERT, DELETE = Action.UPSERT, Action.DELETE
FIRST = LOOKS_AGAIN[0]
DEBOUNCE = timedelta(seconds=2)
ROWS = 20


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """An indexed lens whose clock stands still."""
    made = Lab.at(tmp_path, rows=ROWS)
    made.full()
    return Lab(Project(made.project.settings, {}, Clock(made.project.clock())), tmp_path)


def wait(lab: Lab, span: timedelta) -> None:
    clock = lab.project.clock
    assert isinstance(clock, Clock)
    clock.now += span


def name(lab: Lab, *named: tuple[str, Action]) -> None:
    with lab.project.registry.begin() as db:
        changes.append(db, lab.lens.id, named, lab.project.clock())


def call(lab: Lab, *named: tuple[str, Action]) -> None:
    """Call the webhook, and let its debounce pass."""
    with lab.project.registry.begin() as db:
        now = lab.project.clock()
        _, text = api_keys.create(db, ENV, KeyKind.INGEST, "cdc", choose=secrets.choice, now=now)
        key = parse_key(text)
        assert key is not None
        told = accept(
            db,
            [Call(key, lab.name, Mode.RECORDS, named)],
            clock=lab.project.clock,
            new_id=lambda: uuid4().hex,
        )
    assert isinstance(told[0], Accepted)
    wait(lab, DEBOUNCE)


def insert(lab: Lab, *ids: int) -> None:
    with lab.source() as db:
        db.executemany(
            "INSERT INTO items SELECT ?, 'brand new', description, price, category, updated_at"
            " FROM items WHERE id = 1",
            [(id,) for id in ids],
        )


def delete(lab: Lab, *ids: int) -> None:
    with lab.source() as db:
        db.executemany("DELETE FROM items WHERE id = ?", [(id,) for id in ids])


def buffered(lab: Lab) -> int:
    with lab.project.registry.read() as db:
        return changes.buffered(db, lab.lens.id)


def queued(lab: Lab) -> list[Job]:
    with lab.project.registry.read() as db:
        return jobs.queued(db, lab.lens.id)


def due(lab: Lab) -> list[Job]:
    with lab.project.registry.read() as db:
        return jobs.due(db, lab.project.clock())


def records(lab: Lab) -> Counts:
    """Run a records job now; it completes, whatever has to wait."""
    done = lab.run(lab.request(Mode.RECORDS))
    assert done.ended is RunEnd.COMPLETED
    return done.counts


def run_due(lab: Lab) -> Counts:
    """Run the one job that is due."""
    [job] = due(lab)
    return lab.run(job).counts


def keys(lab: Lab) -> set[str]:
    return set(lab.indexed()[KEY])


def test_a_row_that_comes_a_moment_later_is_indexed_then(lab: Lab) -> None:
    # given a row that is named while its transaction is open
    name(lab, ("777", UPSERT), ("1", UPSERT))

    # when its job is done, then it says so, and another job is due when the row is looked for again
    job = lab.request(Mode.RECORDS)
    counts = lab.run(job).counts
    assert (counts.not_found, counts.unchanged, counts.deleted) == (1, 1, 0)
    with lab.project.registry.read() as db:
        told = jobs.get(db, job.id)
    assert (told.status, told.counts.not_found) == (JobStatus.COMPLETED, 1)
    assert "1 named and not found" in describe(told)
    state = read_lens(lab.project, lab.name, env=ENV)
    assert (state.buffered, state.awaited) == (1, 1)
    assert explain(lab.project, ENV, lab.name, "777").verdict == (
        "It was named and its row was not there; it is looked for again."
    )
    [again] = queued(lab)
    assert (again.mode, again.due_at) == (Mode.RECORDS, lab.project.clock() + FIRST)
    assert due(lab) == []

    # and once the row is there, it is indexed, and nothing is left to do
    insert(lab, 777)
    wait(lab, FIRST)
    assert run_due(lab).written == 1
    assert lab.audit().clean
    assert (buffered(lab), queued(lab)) == (0, [])


def test_a_row_that_stays_away_is_deleted_after_the_last_look(lab: Lab) -> None:
    delete(lab, 3)
    name(lab, ("3", UPSERT), ("888", UPSERT))

    looks = [records(lab)]
    for pause in LOOKS_AGAIN:
        assert "3" in keys(lab)
        wait(lab, pause)
        looks.append(run_due(lab))

    assert [one.not_found for one in looks] == [2, 2, 2]
    assert [one.deleted for one in looks] == [0, 0, 1]
    assert lab.audit().clean
    assert (buffered(lab), queued(lab)) == (0, [])


def test_a_delete_is_not_put_off(lab: Lab) -> None:
    name(lab, ("3", DELETE), ("999", DELETE))

    counts = records(lab)

    assert (counts.deleted, counts.not_found) == (1, 0)
    assert (buffered(lab), queued(lab)) == (0, [])


def test_a_later_change_of_the_row_does_not_wait_with_the_earlier_one(lab: Lab) -> None:
    delete(lab, 3)
    name(lab, ("3", UPSERT), ("777", UPSERT), ("888", UPSERT))
    records(lab)

    # when a delete, an upsert of a row that is there, and one of a row that is not follow at once
    insert(lab, 777)
    call(lab, ("3", DELETE), ("777", UPSERT), ("888", UPSERT))
    counts = run_due(lab)

    # then two are over, and of the third the looks begin again
    assert (counts.deleted, counts.written, counts.not_found) == (1, 1, 1)
    assert buffered(lab) == 2
    for pause in LOOKS_AGAIN:
        [again] = queued(lab)
        assert again.due_at == lab.project.clock() + pause
        wait(lab, pause)
        assert run_due(lab).not_found == 1
    assert (buffered(lab), queued(lab)) == (0, [])
    assert lab.audit().clean


def test_a_call_meanwhile_is_not_kept_waiting_by_what_is_put_off(lab: Lab) -> None:
    name(lab, ("777", UPSERT))
    records(lab)
    first = lab.project.clock() + FIRST
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'moved' WHERE id = 1")

    call(lab, ("1", UPSERT))
    counts = run_due(lab)

    assert (counts.written, counts.not_found) == (1, 0)
    assert [job.due_at for job in queued(lab)] == [first]


def test_a_job_that_somebody_runs_early_looks_early(lab: Lab) -> None:
    name(lab, ("777", UPSERT))
    records(lab)
    [again] = queued(lab)
    insert(lab, 777)

    assert lab.run(again).counts.written == 1
    assert buffered(lab) == 0


def test_a_paused_lens_keeps_what_is_put_off(lab: Lab) -> None:
    name(lab, ("777", UPSERT))
    records(lab)
    lifecycle.pause(lab.project, ENV, lab.name)
    insert(lab, 777)
    wait(lab, timedelta(hours=1))
    assert due(lab) == []

    lifecycle.resume(lab.project, ENV, lab.name)

    assert run_due(lab).written == 1
    assert lab.audit().clean


def test_what_is_put_off_is_applied_to_the_index_that_a_rebuild_brought(lab: Lab) -> None:
    # given rows that are named while a rebuild is under way, one before it and one in its middle
    name(lab, ("777", UPSERT))
    records(lab)
    came: list[bool] = []

    def meanwhile(_: Sequence[str]) -> None:
        if not came:
            came.append(True)
            call(lab, ("888", UPSERT))
            [job] = due(lab)
            lab.run(job)

    project = Meddled.of(lab.project, meanwhile, fingerprint="another model")
    run_job(project, lifecycle.request_rebuild(lab.project, ENV, lab.name).id)
    assert buffered(lab) == 2

    # when they come after the switch
    insert(lab, 777, 888)
    wait(lab, FIRST)
    [job] = due(lab)
    run_job(project, job.id)

    # then they are in the new index
    assert {"777", "888"} <= keys(lab)
    assert (buffered(lab), queued(lab)) == (0, [])


def test_a_cancelled_look_is_made_after_the_next_job(lab: Lab) -> None:
    name(lab, ("777", UPSERT))
    records(lab)
    [again] = queued(lab)
    with lab.project.registry.begin() as db:
        jobs.cancel(db, again.id, lab.project.clock())

    lab.sync()

    [asked] = queued(lab)
    assert (asked.mode, asked.due_at) == (Mode.RECORDS, again.due_at)


def steps_of_a_run(lab: Lab) -> int:
    life = Life(lambda *_: None)
    run_job(mortal(lab.project, life), lab.request(Mode.RECORDS).id)
    return len(life.steps)


def run_to_its_death(lab: Lab, job: Job, step: int) -> None:
    with pytest.raises(Died):
        run_job(mortal(lab.project, dies_at(step)), job.id)


def take_up(lab: Lab, instance: dg.DagsterInstance) -> None:
    """Have the sensor notice that a run died, and its job done."""
    wait(lab, SILENCE + timedelta(seconds=1))
    with lab.project.registry.read() as db:
        silent = jobs.silent(db, lab.project.clock() - SILENCE)
    for job in silent:
        close_silent(instance, lab.project, job)
    while ready := due(lab):
        lab.run(ready[0])


def look_again(lab: Lab) -> None:
    for pause in LOOKS_AGAIN:
        wait(lab, pause)
        for job in due(lab):
            lab.run(job)


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_that_dies_at_any_step_loses_nothing_that_was_put_off(
    tmp_path: Path, every: int
) -> None:
    # given changes of every kind in one batch, and how many steps its run takes
    def batch(lab: Lab) -> None:
        with lab.source() as db:
            db.execute("UPDATE items SET name = 'moved' WHERE id = 1")
        delete(lab, 2, 3)
        name(lab, ("01", UPSERT), ("2", DELETE), ("777", UPSERT), ("0888", UPSERT), ("x", UPSERT))

    def fresh(folder: Path) -> Lab:
        folder.mkdir()
        made = Lab.at(folder, rows=5)
        made.full()
        lab = Lab(Project(made.project.settings, {}, Clock(made.project.clock())), folder)
        batch(lab)
        return lab

    steps = steps_of_a_run(fresh(tmp_path / "counted"))
    assert steps > 10
    instance = dg.DagsterInstance.ephemeral()
    for step in range(1, steps + 1, every):
        lab = fresh(tmp_path / f"{step}")
        run_to_its_death(lab, lab.request(Mode.RECORDS), step)

        # when the sensor has noticed, the job is done again, and the rows come
        take_up(lab, instance)
        insert(lab, 777, 888)
        look_again(lab)

        # then each is there once, and nothing waits
        assert keys(lab) == {"1", "3", "4", "5", "777", "888"}, step
        assert lab.object_of("1")["name"] == "moved"
        assert (buffered(lab), queued(lab)) == (0, []), step
    instance.dispose()


@pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_that_dies_at_any_step_undoes_nothing_that_a_walk_read_meanwhile(
    tmp_path: Path, every: int
) -> None:
    # given a run that reads a row, before that moves untold and incremental is past it
    def fresh(folder: Path) -> Lab:
        folder.mkdir()
        made = Lab.at(folder, rows=5)
        made.full()
        lab = Lab(Project(made.project.settings, {}, Clock(made.project.clock())), folder)
        move(lab, "read", "2024-09-09")
        name(lab, ("1", UPSERT))
        return lab

    def move(lab: Lab, to: str, at: str) -> None:
        with lab.source() as db:
            db.execute("UPDATE items SET name = ?, updated_at = ? WHERE id = 1", (to, at))

    def overtaken(lab: Lab, last: int | None = None) -> Life:
        """Let incremental overtake the run at its first text; let it die at step `last`."""
        walks: list[Job] = []

        def step(what: str, life: Life) -> None:
            if what == "embedder.embed" and not walks:
                move(lab, "newest", "2024-09-10")
                walks.append(lab.request(Mode.INCREMENTAL))
                lab.run(walks[0])
            if len(life.steps) == last:
                life.die()

        return Life(step)

    counted = overtaken(lab := fresh(tmp_path / "counted"))
    run_job(mortal(lab.project, counted), lab.request(Mode.RECORDS).id)
    at_text, steps = counted.steps.index("embedder.embed"), len(counted.steps)
    instance = dg.DagsterInstance.ephemeral()
    for last in range(steps, at_text + 1, -every):
        lab = fresh(tmp_path / f"{last}")
        with pytest.raises(Died):
            run_job(mortal(lab.project, overtaken(lab, last)), lab.request(Mode.RECORDS).id)

        # when its job is done again
        take_up(lab, instance)
        look_again(lab)

        # then the index has what the walk read, and nothing waits
        assert lab.object_of("1")["name"] == "newest", last
        assert lab.audit().clean, last
        assert (buffered(lab), queued(lab)) == (0, []), last
    instance.dispose()


def test_rows_named_too_early_survive_kills(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=200)
    lab.full()
    dice, killed = random.Random(12), 0
    early = list(range(1_000, 1_300))

    for turn in range(len(LOOKS_AGAIN)):
        name(lab, *[(str(id), UPSERT) for id in early[turn::2]])
        killed += kill_after(start(lab, Mode.RECORDS), dice.uniform(0.0, 0.2))
        give_up_on_the_dead(lab)
    insert(lab, *early)
    for _ in LOOKS_AGAIN:
        records(lab)

    assert killed
    assert buffered(lab) == 0
    assert lab.audit().clean
