"""Records and incremental ingest: rows that were named, and rows that moved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.errors import Refused
from semilayer_pipelines.ingest import records
from semilayer_pipelines.ingest.run_job import RunEnd, run_job
from semilayer_pipelines.registry import changes, cursors, jobs, lenses
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import JobStatus, Mode
from semilayer_pipelines.registry.lenses import LensStatus
from semilayer_pipelines.stores.protocol import KEY
from tests.lab import ENV, Lab
from tests.meddling import Meddled
from tests.mortal import Life, mortal
from tests.workload import FIELDS

UPSERT, DELETE = Action.UPSERT, Action.DELETE


def accept(lab: Lab, *named: tuple[str, Action]) -> None:
    with lab.project.registry.begin() as db:
        changes.append(db, lab.lens.id, named, lab.project.clock())


def buffered(lab: Lab) -> int:
    with lab.project.registry.read() as db:
        return changes.buffered(db, lab.lens.id)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = Lab.at(tmp_path, rows=600)
    lab.full()
    return lab


def test_the_last_action_of_an_id_wins(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'moved' WHERE id IN (1, 2)")
        db.execute("DELETE FROM items WHERE id = 3")
    accept(lab, ("1", DELETE), ("1", UPSERT), ("2", UPSERT), ("3", UPSERT), ("3", DELETE))
    accept(lab, ("4", UPSERT), ("5", UPSERT), ("5", DELETE))

    counts = lab.run(lab.request(Mode.RECORDS)).counts

    assert (counts.written, counts.deleted, counts.unchanged) == (2, 2, 1)
    assert buffered(lab) == 0
    # 5 is still in the source: its caller said delete, so the next sync brings it back.
    assert lab.audit().missing == 1
    lab.sync()
    assert lab.audit().clean


def test_a_change_that_arrives_during_the_run_is_applied_by_it_or_by_the_next(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'moved' WHERE id IN (1, 2)")
    accept(lab, ("1", UPSERT))
    job = lab.request(Mode.RECORDS)
    came: list[jobs.Requested] = []

    def arrive(_: Sequence[str]) -> None:
        if not came:
            accept(lab, ("2", UPSERT))
            with lab.project.registry.begin() as db:
                came.append(
                    jobs.request(
                        db,
                        lab.lens,
                        Mode.RECORDS,
                        job_id="the next one",
                        origin="test",
                        now=lab.project.clock(),
                    )
                )

    run_job(Meddled.of(lab.project, arrive), job.id)
    assert not came[0].deduplicated
    lab.run(came[0].job)

    assert buffered(lab) == 0
    assert lab.audit().clean


@pytest.mark.parametrize(
    "mode", [Mode.SMART_SYNC, Mode.REPAIR, Mode.INCREMENTAL, Mode.RECORDS, Mode.FULL]
)
def test_an_older_read_does_not_undo_a_newer_change(lab: Lab, mode: Mode) -> None:
    # given a run that has read two rows, when one is deleted and one written to, and both changes
    # are told and applied at once
    with lab.source() as db:
        db.execute(
            "UPDATE items SET name = 'read by the run', updated_at = '2024-09-09'"
            " WHERE id IN (1, 2)"
        )
    accept(lab, ("1", UPSERT), ("2", UPSERT))
    job = (
        lifecycle.request_rebuild(lab.project, ENV, "items")
        if mode is Mode.FULL
        else lab.request(mode, shard=0 if mode is Mode.REPAIR else None)
    )
    came: list[jobs.Job] = []

    def overtake(_: Sequence[str]) -> None:
        if not came:
            with lab.source() as db:
                db.execute("DELETE FROM items WHERE id = 1")
                db.execute("UPDATE items SET name = 'newest' WHERE id = 2")
            accept(lab, ("1", DELETE), ("2", UPSERT))
            came.append(lab.request(Mode.RECORDS))
            lab.run(came[0])

    run_job(Meddled.of(lab.project, overtake), job.id)

    # then the run did not bring back what it had read
    assert came[0].id != job.id
    assert "1" not in set(lab.indexed()[KEY])
    assert lab.object_of("2")["name"] == "newest"
    assert lab.audit().clean


def test_a_delete_of_what_the_index_has_reads_no_row_of_the_source(lab: Lab) -> None:
    read: list[str] = []
    accept(lab, ("1", DELETE), ("2", DELETE))

    run_job(
        mortal(lab.project, Life(lambda what, _: read.append(what))),
        lab.request(Mode.RECORDS).id,
    )

    assert lab.index.fetch(["1", "2"]).is_empty()
    assert not {"source.read_rows", "source.read_page", "source.name_rows"} & {*read}


def test_changes_wait_for_the_first_index_and_are_applied_then(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=50)
    accept(lab, ("1", UPSERT))
    with lab.project.registry.begin() as db:
        lenses.set_status(db, lab.lens.id, LensStatus.READY, now=lab.project.clock())
    assert lab.run(lab.request(Mode.RECORDS)).ended is RunEnd.COMPLETED
    assert buffered(lab) == 1

    lab.full()

    with lab.project.registry.read() as db:
        [asked] = [
            job
            for job in jobs.recent(db, env=ENV)
            if job.mode is Mode.RECORDS and job.status is JobStatus.QUEUED
        ]
    lab.run(asked)
    assert buffered(lab) == 0


def test_a_claim_of_a_run_that_failed_is_given_back(lab: Lab) -> None:
    accept(lab, ("1", UPSERT))
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'moved' WHERE id = 1")
    job = lab.request(Mode.RECORDS)

    def break_down(_: Sequence[str]) -> None:
        raise RuntimeError("out of the blue")

    with pytest.raises(Exception, match="RuntimeError: out of the blue"):
        run_job(Meddled.of(lab.project, break_down), job.id)
    assert buffered(lab) == 1

    lab.run(lab.request(Mode.RECORDS))
    assert buffered(lab) == 0
    assert lab.audit().clean


def test_incremental_starts_where_the_full_ingest_began_and_sees_what_moved(lab: Lab) -> None:
    with lab.source() as db:
        db.execute(
            "UPDATE items SET name = 'moved', updated_at = '2024-03-01 00:00:00' WHERE id <= 300"
        )
        db.execute("UPDATE items SET name = 'unseen' WHERE id = 600")
        db.execute("DELETE FROM items WHERE id = 500")

    counts = lab.run(lab.request(Mode.INCREMENTAL)).counts

    # Deletes, and rows whose column did not move, are what it cannot see.
    assert counts.written == 300
    assert (lab.audit().stale, lab.audit().orphan) == (1, 1)
    assert counts.read < 600

    again = lab.run(lab.request(Mode.INCREMENTAL)).counts
    assert again.written == 0


def test_a_row_committed_late_with_an_earlier_time_is_not_missed(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET updated_at = '2024-03-01 00:00:30' WHERE id = 1")
    lab.run(lab.request(Mode.INCREMENTAL))
    with lab.source() as db:
        db.execute(
            "UPDATE items SET name = 'late', updated_at = '2024-03-01 00:00:10' WHERE id = 2"
        )

    lab.run(lab.request(Mode.INCREMENTAL))

    assert lab.audit().clean


def test_rows_with_one_and_the_same_time_are_all_seen_across_pages(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=3_000)
    lab.full()
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'moved', updated_at = '2024-03-01 00:00:00'")

    counts = lab.run(lab.request(Mode.INCREMENTAL)).counts

    assert counts.written == 3_000
    assert lab.audit().clean


def test_a_job_that_did_its_share_leaves_the_rest_to_the_next(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given more changes than a job may take, as of a lens that is called without a pause
    monkeypatch.setattr(records, "CLAIM_ROWS", 20)
    monkeypatch.setattr(records, "SHARE_SECONDS", 0.0)
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id <= 50")
    accept(lab, *((str(n), DELETE) for n in range(1, 51)))

    # when one job after the other is done
    following: jobs.Job | None = lab.request(Mode.RECORDS)
    deleted = []
    while following is not None:
        deleted.append(lab.run(following).counts.deleted)
        with lab.project.registry.read() as registry:
            following = jobs.next_small(registry, Mode.RECORDS, lab.project.clock())

    # then each of them ended, and together they did all
    assert deleted == [20, 20, 10]
    assert buffered(lab) == 0
    assert lab.audit().clean


def test_the_cursor_does_not_move_past_what_was_not_written(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'moved', updated_at = '2024-03-01 00:00:00'")
    job = lab.request(Mode.INCREMENTAL)

    def break_down(_: Sequence[str]) -> None:
        raise RuntimeError("in the first page")

    with lab.project.registry.read() as registry:
        before = cursors.get(registry, lab.lens.id)
    with pytest.raises(Exception, match="in the first page"):
        run_job(Meddled.of(lab.project, break_down), job.id)

    with lab.project.registry.read() as registry:
        assert cursors.get(registry, lab.lens.id) == before
    lab.run(lab.request(Mode.INCREMENTAL))
    assert lab.audit().clean


def test_incremental_without_a_column_that_moves_is_refused_with_the_reason(
    tmp_path: Path,
) -> None:
    lab = Lab.at(tmp_path, rows=10)
    with lab.source() as db:
        db.execute("ALTER TABLE items DROP COLUMN updated_at")
    lab.push(fields={k: v for k, v in FIELDS.items() if k != "updated_at"})
    lab.full()

    with pytest.raises(Refused, match="changeTrackingColumn"):
        lab.run(lab.request(Mode.INCREMENTAL))


def test_a_row_without_a_time_is_left_to_the_next_sync(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'timeless', updated_at = NULL WHERE id = 9")

    assert lab.run(lab.request(Mode.INCREMENTAL)).counts.written == 0
    assert lab.audit().stale == 1

    lab.sync()
    assert lab.audit().clean


def test_a_row_that_moves_all_the_time_is_indexed_all_the_same(lab: Lab) -> None:
    # given a row that moves between the moment a walk looks for its end and every page it reads
    moved = 0

    def move(what: str, _: Life) -> None:
        nonlocal moved
        if what == "source.read_changed":
            moved += 1
            with lab.source() as db:
                db.execute(
                    "UPDATE items SET name = ?, updated_at = ? WHERE id = 7",
                    (f"version {moved}", f"2024-03-01 00:{moved:02d}:00"),
                )

    # when it is walked, then each walk brings a version of it, and none moves the cursor past it
    for _ in range(3):
        before = moved
        run_job(mortal(lab.project, Life(move)), lab.request(Mode.INCREMENTAL).id)
        found = lab.index.get("7")
        assert found is not None
        assert int(str(found["name"]).split()[1]) > before


def test_rows_that_cannot_be_placed_are_counted_on_the_job(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'timeless', updated_at = NULL WHERE id IN (8, 9)")
        db.execute("UPDATE items SET name = 'from afar', updated_at = '2937-01-01' WHERE id = 10")
        db.execute("UPDATE items SET name = 'new', updated_at = '2024-02-01' WHERE id = 11")

    done = lab.run(lab.request(Mode.INCREMENTAL))

    with lab.project.registry.read() as db:
        counts = jobs.get(db, done.job_id).counts
    assert (counts.untracked, counts.in_the_future, counts.written) == (2, 1, 1)
    assert lab.audit().stale == 3
    # The one from the future does not keep later changes from being seen.
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'newer', updated_at = '2024-02-02' WHERE id = 12")
    lab.run(lab.request(Mode.INCREMENTAL))
    assert lab.audit().stale == 3
    lab.sync()
    assert lab.audit().clean


@pytest.mark.parametrize("mode", [Mode.INCREMENTAL, Mode.SMART_SYNC, Mode.REPAIR])
@pytest.mark.parametrize("before", ["older", "there again", "gone", "new"])
def test_an_older_read_of_a_named_row_does_not_undo_what_a_walk_read_since(
    lab: Lab, mode: Mode, before: str
) -> None:
    # given a records job that has read a row, when the row moves and nobody tells; a walk reads it
    with lab.source() as db:
        if before == "new":
            db.execute("DELETE FROM items WHERE id = 1")
    if before == "new":
        lab.sync()
    was = lab.index.get("1")
    with lab.source() as db:
        read = ("read", "2024-09-09")
        if before == "new":
            db.execute("INSERT INTO items (id, name, updated_at) VALUES (1, ?, ?)", read)
        else:
            db.execute("UPDATE items SET name = ?, updated_at = ? WHERE id = 1", read)
    accept(lab, ("1", UPSERT))
    job = lab.request(Mode.RECORDS)
    walks: list[jobs.Job] = []

    def overtake(_: Sequence[str]) -> None:
        if not walks:
            with lab.source() as db:
                name = str(was["name"]) if before == "there again" and was else "newest"
                if before == "gone":
                    db.execute("DELETE FROM items WHERE id = 1")
                else:
                    at = "2024-09-10"
                    db.execute("UPDATE items SET name = ?, updated_at = ? WHERE id = 1", (name, at))
            walks.append(lab.request(mode, shard=0 if mode is Mode.REPAIR else None))
            lab.run(walks[0])

    run_job(Meddled.of(lab.project, overtake), job.id)
    lab.apply_all()

    # then the index has what the walk read, and no walk is left to find that out
    assert walks
    assert lab.audit().clean


@pytest.mark.parametrize("why", ["gone", "left out"])
def test_a_row_that_came_back_before_its_delete_is_not_deleted_for_good(
    tmp_path: Path, why: str
) -> None:
    # given a records job that has seen that a named row is gone, when the row comes back untold
    lab = Lab.at(tmp_path, rows=20, where="price >= 0")
    lab.full()
    leave = "DELETE FROM items WHERE id = 1"
    come = "INSERT INTO items (id, name, price, updated_at) VALUES (1, 'back', 9, '2024-09-09')"
    if why == "left out":
        leave = "UPDATE items SET price = -1 WHERE id = 1"
        come = "UPDATE items SET price = 9, name = 'back', updated_at = '2024-09-09' WHERE id = 1"
    with lab.source() as db:
        db.execute(leave)
    accept(lab, ("1", UPSERT))
    if why == "gone":
        for _ in range(2):
            lab.run(lab.request(Mode.RECORDS))  # it is looked for in vain
    walks: list[jobs.Job] = []

    def come_back(verb: str) -> None:
        if verb == "lock" and not walks:
            with lab.source() as db:
                db.execute(come)
            walks.append(lab.request(Mode.INCREMENTAL))
            lab.run(walks[0])

    run_job(Meddled.of(lab.project, before=come_back), lab.request(Mode.RECORDS).id)
    lab.apply_all()

    # then it is in the index as it came
    assert walks
    assert lab.object_of("1")["name"] == "back"
    assert lab.audit().clean


def test_a_row_that_moves_all_the_time_is_not_looked_at_without_a_rest(lab: Lab) -> None:
    # given a walk that is at work, and a named row that moves whenever it was read
    walk = lab.request(Mode.SMART_SYNC)
    with lab.project.registry.begin() as db:
        jobs.take(db, walk.id, lease="a walk", run_id=None, now=lab.project.clock())
    moves: list[int] = []

    def move(_: Sequence[str]) -> None:
        moves.append(1)
        with lab.source() as db:
            db.execute("UPDATE items SET name = ? WHERE id = 1", (f"move {len(moves)}",))

    move([])
    accept(lab, ("1", UPSERT))
    job = lab.request(Mode.RECORDS)
    assert run_job(Meddled.of(lab.project, move), job.id).ended is RunEnd.COMPLETED

    # then it was written twice, and is looked at again after a while
    assert len(moves) == 3
    with lab.project.registry.read() as db:
        [again] = [one for one in jobs.queued(db, lab.lens.id) if one.mode is Mode.RECORDS]
    assert again.due_at > job.due_at


def test_rows_that_are_done_do_not_wait_for_those_that_come_while_a_walk_is_at_work(
    lab: Lab,
) -> None:
    # given a walk that is at work, and a row that is named whenever another one was read
    walk = lab.request(Mode.SMART_SYNC)
    with lab.project.registry.begin() as registry:
        jobs.take(registry, walk.id, lease="a walk", run_id=None, now=lab.project.clock())
    ids = iter(range(1, 9))

    def name_another(_: Sequence[str]) -> None:
        if id := next(ids, None):
            with lab.source() as db:
                db.execute("UPDATE items SET name = 'moved' WHERE id = ?", (id,))
            accept(lab, (str(id), UPSERT))

    name_another([])
    job = lab.request(Mode.RECORDS)
    run_job(Meddled.of(lab.project, name_another), job.id)

    # then none of them waits for the end of the walk
    assert next(ids, None) is None
    assert buffered(lab) == 0


def test_a_row_that_was_found_and_then_missed_once_is_not_deleted(lab: Lab) -> None:
    # given a named row that moved while it was read, as a walk was at work: it is looked at again
    walk = lab.request(Mode.SMART_SYNC)
    with lab.project.registry.begin() as registry:
        jobs.take(registry, walk.id, lease="a walk", run_id=None, now=lab.project.clock())
    names = iter(("read", "moved"))

    def move(_: Sequence[str]) -> None:
        if name := next(names, None):
            with lab.source() as db:
                db.execute("UPDATE items SET name = ? WHERE id = 1", (name,))

    move([])
    accept(lab, ("1", UPSERT))
    run_job(Meddled.of(lab.project, move), lab.request(Mode.RECORDS).id)
    assert lab.object_of("1")["name"] == "moved"
    with lab.project.registry.read() as registry:
        assert (buffered(lab), changes.awaited(registry, lab.lens.id)) == (1, 0)

    # when a look misses it, as at a replica that lags
    with lab.source() as db:
        [row] = db.execute("SELECT * FROM items WHERE id = 1")
        db.execute("DELETE FROM items WHERE id = 1")
    lab.run(lab.request(Mode.RECORDS))
    with lab.source() as db:
        db.execute(f"INSERT INTO items VALUES ({', '.join('?' for _ in row)})", tuple(row))

    # then it is looked for again before it would be deleted
    assert lab.object_of("1")["name"] == "moved"
    with lab.project.registry.read() as registry:
        assert changes.awaited(registry, lab.lens.id) == 1
