"""A rebuild catches up with whatever happens to its lens meanwhile, and then it ends."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.ingest import publish
from semilayer_pipelines.ingest.lens_watch import PAUSE_CHECK_SECONDS
from semilayer_pipelines.ingest.run_job import RunEnd, run_job
from semilayer_pipelines.registry import changes, jobs
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Job, Mode
from semilayer_pipelines.stores.protocol import KEY
from tests.beside import beside
from tests.ingest.caller import calling
from tests.lab import ENV, Lab
from tests.meddling import Meddled
from tests.mortal import Died, Life, mortal

ROWS = 400
CALLS_A_SECOND = 200


def rebuild(lab: Lab) -> Job:
    return lifecycle.request_rebuild(lab.project, ENV, "items")


def rename(lab: Lab, key: int, name: str) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET name = ? WHERE id = ?", (name, key))


def tell(lab: Lab, *keys: int, action: Action = Action.UPSERT) -> None:
    with lab.project.registry.begin() as db:
        named = [(str(key), action) for key in keys]
        changes.append(db, lab.lens.id, named, lab.project.clock())


def buffered(lab: Lab) -> int:
    with lab.project.registry.read() as db:
        return changes.buffered(db, lab.lens.id)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("dimensions", [384, 32], ids=["same model", "another model"])
def test_a_lens_that_is_called_all_the_time_is_rebuilt_and_nothing_is_lost(
    tmp_path: Path, dimensions: int
) -> None:
    # given a lens with changes every few milliseconds, applied to the index in use as they come
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full()
    before = lab.index.name
    if dimensions != 384:
        lab.push(embedding={"provider": "hash", "dimensions": dimensions})

    # when it is rebuilt
    with (
        beside(lambda: lab.run(lab.request(Mode.RECORDS)), pause=0.05),
        calling(tmp_path, rows=ROWS, calls_a_second=CALLS_A_SECOND),
    ):
        time.sleep(0.5)
        outcome = lab.run(rebuild(lab))

    # then the rebuild ended while the calls went on, and one records job makes it the source
    assert outcome.ended is RunEnd.COMPLETED
    assert lab.index.name != before
    lab.run(lab.request(Mode.RECORDS))
    assert buffered(lab) == 0
    assert lab.audit().clean


def test_rounds_of_catching_up_are_few_though_every_one_meets_new_changes(tmp_path: Path) -> None:
    # given changes that arrive whenever the rebuild looks rows up
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full()
    job, looked = rebuild(lab), itertools.count(1)
    tell(lab, 1)

    def come(_: Sequence[str]) -> None:
        key = next(looked) % ROWS + 1
        rename(lab, key, "new")
        tell(lab, key)

    # when
    assert run_job(Meddled.of(lab.project, looking=come), job.id).ended is RunEnd.COMPLETED

    # then it looked a few times, and what came last is queued and not lost
    assert next(looked) <= 5
    assert buffered(lab) > 0
    with lab.project.registry.read() as db:
        queued = jobs.next_small(db, Mode.RECORDS, lab.project.clock())
    assert queued is not None
    lab.run(queued)
    assert lab.audit().clean


def test_rounds_go_on_while_each_is_much_shorter_than_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given more changes than one look-up takes, and a tenth as many during each round
    monkeypatch.setattr(publish, "REPLAY_ROWS", 10)
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full()
    job, locked = rebuild(lab), list[int]()
    with lab.project.registry.begin() as db:
        changes.append(
            db,
            lab.lens.id,
            [(str(n), Action.UPSERT) for n in range(1, ROWS + 1)],
            lab.project.clock(),
        )
    old = lab.index.name
    come = itertools.count(1)

    def more(ids: Sequence[str]) -> None:
        if len(ids) == 10:
            tell(lab, next(come))

    def note(verb: str) -> None:
        if verb == "settle":
            locked.append(next(come))

    run_job(Meddled.of(lab.project, looking=more, before=note), job.id)

    # then the old index is locked for what came in the last of the rounds
    assert lab.index.name != old
    assert locked[0] <= ROWS / 10 + ROWS / 100 + 5


@pytest.mark.parametrize("at", ["catching up", "the last round"])
def test_a_pause_ends_a_rebuild_that_is_catching_up(tmp_path: Path, at: str) -> None:
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full()
    before, job = lab.index.name, rebuild(lab)
    paused, settled = list[bool](), list[bool]()
    tell(lab, 1)

    def settle(verb: str) -> None:
        if verb == "settle":
            settled.append(True)
            tell(lab, 2)

    def pause(_: Sequence[str]) -> None:
        if not paused and (settled or at == "catching up"):
            paused.append(True)
            lifecycle.pause(lab.project, ENV, "items")
            time.sleep(PAUSE_CHECK_SECONDS)

    outcome = run_job(Meddled.of(lab.project, looking=pause, before=settle), job.id)

    assert (paused, outcome.ended, lab.index.name) == ([True], RunEnd.PAUSED, before)
    lifecycle.resume(lab.project, ENV, "items")
    assert lab.run(job).ended is RunEnd.COMPLETED
    assert lab.audit().clean


def test_what_is_acknowledged_during_the_last_round_is_applied_once_more(tmp_path: Path) -> None:
    # given a rebuild in its last round
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full()
    job, settled, acknowledged = rebuild(lab), list[bool](), list[RunEnd]()

    def settle(verb: str) -> None:
        if verb == "settle":
            settled.append(True)
            tell(lab, 1)

    # when a change of a row that is in the old index as it is needs no lock to be acknowledged
    def acknowledge(_: Sequence[str]) -> None:
        if settled and not acknowledged:
            tell(lab, 5)
            acknowledged.append(lab.run(lab.request(Mode.RECORDS)).ended)
            assert buffered(lab) == 0

    outcome = run_job(Meddled.of(lab.project, looking=acknowledge, before=settle), job.id)

    # then it is not taken for granted that the new index has the row as well
    assert (outcome.ended, acknowledged) == (RunEnd.COMPLETED, [RunEnd.COMPLETED])
    assert buffered(lab) == 1
    with lab.project.registry.read() as db:
        queued = jobs.next_small(db, Mode.RECORDS, lab.project.clock())
    assert queued is not None
    lab.run(queued)
    assert buffered(lab) == 0
    assert lab.audit().clean


def half_rebuilt(lab: Lab) -> Job:
    """Begin a rebuild of two shards and fill the first of them."""
    job = rebuild(lab)
    assert lab.run(job, shard=0).ended is RunEnd.SHARE_DONE
    return job


def change_behind_the_rebuild(lab: Lab) -> None:
    """Change, delete and insert rows that it has passed; there are as many rows as before."""
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'moved', updated_at = '2024-09-09' WHERE id = 3")
        db.execute("DELETE FROM items WHERE id = 4")
        db.execute(
            "INSERT INTO items SELECT 0, name, description, price, category, '2024-09-09'"
            " FROM items WHERE id = 5"
        )


def bring_in(lab: Lab, mode: Mode) -> None:
    """Let a walk bring into the index in use what changed."""
    shard = 0 if mode is Mode.REPAIR else None
    assert lab.run(lab.request(mode, shard=shard)).ended is RunEnd.COMPLETED


@pytest.mark.parametrize("mode", [Mode.SMART_SYNC, Mode.REPAIR, Mode.INCREMENTAL])
def test_what_a_walk_brought_into_the_old_index_is_in_the_new_one_at_the_switch(
    tmp_path: Path, mode: Mode
) -> None:
    # given a rebuild that has passed rows which then change, and a walk that brings that in
    lab = Lab.at(tmp_path, rows=ROWS, shards=2)
    lab.full()
    job = half_rebuilt(lab)
    if mode is Mode.INCREMENTAL:
        with lab.source() as db:
            db.execute("UPDATE items SET name = 'moved', updated_at = '2024-09-09' WHERE id = 3")
    else:
        change_behind_the_rebuild(lab)
    bring_in(lab, mode)
    assert lab.audit().clean

    # when the rebuild ends
    assert lab.run(job, shard=1).ended is RunEnd.COMPLETED

    # then no search sees less than before, and nothing is left to be done
    assert lab.audit().clean
    assert buffered(lab) == 0


def test_a_row_that_a_walk_dropped_and_the_source_has_again_is_in_the_new_index(
    tmp_path: Path,
) -> None:
    lab = Lab.at(tmp_path, rows=ROWS, shards=2)
    lab.full()
    job = half_rebuilt(lab)
    with lab.source() as db:
        db.execute("CREATE TABLE gone AS SELECT * FROM items WHERE id = 4")
        db.execute("DELETE FROM items WHERE id = 4")
    bring_in(lab, Mode.SMART_SYNC)
    with lab.source() as db:
        db.execute("INSERT INTO items SELECT * FROM gone")

    lab.run(job, shard=1)

    assert lab.audit().clean


STEPS = ["index.lock", "index.upsert", "index.upsert.done", "index.delete", "index.delete.done"]


@pytest.mark.parametrize("at", STEPS)
def test_what_a_killed_walk_wrote_is_in_the_new_index_as_well(tmp_path: Path, at: str) -> None:
    # given a sync that dies around its write to the old index; the next finds nothing to do
    lab = Lab.at(tmp_path, rows=ROWS, shards=2)
    lab.full()
    job = half_rebuilt(lab)
    change_behind_the_rebuild(lab)
    sync = lab.request(Mode.SMART_SYNC)

    def die(what: str, life: Life) -> None:
        if what == at:
            life.die()

    with pytest.raises(Died):
        run_job(mortal(lab.project, Life(die)), sync.id)
    with lab.project.registry.begin() as db:
        now = jobs.get(db, sync.id)
        jobs.requeue(db, sync.id, lease=now.lease, now=lab.project.clock())
    assert lab.run(sync).ended is RunEnd.COMPLETED

    # when the rebuild ends
    lab.run(job, shard=1)

    # then
    assert lab.audit().clean


def test_an_abandoned_rebuild_leaves_nothing_to_be_done(tmp_path: Path) -> None:
    # given a rebuild that never ends, because its lens is pushed for other fields
    lab = Lab.at(tmp_path, rows=ROWS, shards=2)
    lab.full()
    half_rebuilt(lab)
    change_behind_the_rebuild(lab)
    bring_in(lab, Mode.SMART_SYNC)
    assert buffered(lab) == 0
    lab.push(shards=2, fields={"name": {"type": "text", "searchable": True}})

    lab.full()

    assert buffered(lab) == 0
    assert lab.audit().clean


def test_a_walk_logs_nothing_while_no_rebuild_is_under_way(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full()
    change_behind_the_rebuild(lab)

    bring_in(lab, Mode.SMART_SYNC)

    with lab.project.registry.read() as db:
        assert changes.since(db, lab.lens.id, 0, 10) == []


def test_a_delete_that_waited_when_the_rebuild_began_is_not_undone_by_it(tmp_path: Path) -> None:
    # given a delete that was told before the source committed it, and is not applied yet
    lab = Lab.at(tmp_path, rows=ROWS, shards=2)
    lab.full()
    tell(lab, 4, action=Action.DELETE)
    job = half_rebuilt(lab)
    change_behind_the_rebuild(lab)

    # when it is applied to the old index, and then the rebuild ends with as many rows as there are
    assert lab.run(lab.request(Mode.RECORDS)).ended is RunEnd.COMPLETED
    assert buffered(lab) == 0
    lab.run(job, shard=1)

    # then it is queued once more
    with lab.project.registry.read() as db:
        queued = jobs.next_small(db, Mode.RECORDS, lab.project.clock())
    assert queued is not None
    lab.run(queued)
    assert "4" not in set(lab.indexed()[KEY])
    assert buffered(lab) == 0
