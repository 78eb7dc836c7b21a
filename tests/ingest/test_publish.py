"""While an index is switched, or its lens pushed again, nothing is lost and nothing mixed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.errors import DimensionChanged, GuardStopped
from semilayer_pipelines.ingest.lens_watch import PAUSE_CHECK_SECONDS
from semilayer_pipelines.ingest.progress import PageDone
from semilayer_pipelines.ingest.run_job import Outcome, RunEnd, run_job
from semilayer_pipelines.registry import changes, cursors, jobs
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Job, Mode
from semilayer_pipelines.registry.lenses import Needs
from tests.lab import ENV, Lab
from tests.meddling import Meddled
from tests.workload import FIELDS

ROWS = 1_000
HEAVIER = FIELDS | {"name": {"type": "text", "searchable": {"weight": 3}}}
WITHOUT_PRICE = {name: field for name, field in FIELDS.items() if name != "price"}


def rebuild(lab: Lab) -> Job:
    return lifecycle.request_rebuild(lab.project, ENV, "items")


def name(lab: Lab, *keys: str) -> None:
    with lab.project.registry.begin() as db:
        named = [(key, Action.UPSERT) for key in keys]
        changes.append(db, lab.lens.id, named, lab.project.clock())


def test_a_push_in_the_middle_of_a_rebuild_is_what_the_rebuild_ends_with(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full()
    job, calls = rebuild(lab), []
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new ' || id")

    def push(_: Sequence[str]) -> None:
        calls.append(1)
        if len(calls) == 1:
            lab.push(fields=WITHOUT_PRICE)

    assert run_job(Meddled.of(lab.project, push), job.id).ended is RunEnd.COMPLETED

    assert lab.lens.needs is Needs.NOTHING
    assert lab.audit().clean
    assert "price" not in (lab.index.get("7") or {})


def test_a_push_just_before_the_switch_is_not_taken_for_what_was_built(tmp_path: Path) -> None:
    # given a rebuild by the old configuration of which only the last catch-up is left
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full()
    job = rebuild(lab)
    pushed: list[bool] = []

    def push(verb: str) -> None:
        if verb == "count" and not pushed:
            pushed.append(True)
            lab.push(fields=HEAVIER)

    # when the lens is pushed
    run_job(Meddled.of(lab.project, before=push), job.id)

    # then what is published is what was pushed
    assert pushed
    assert lab.lens.needs is Needs.NOTHING
    assert lab.audit().clean


def test_a_push_in_the_middle_of_a_sync_is_brought_in_by_it(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full()
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new ' || id")
    pushed: list[bool] = []

    def push(_: Sequence[str]) -> None:
        if not pushed:
            pushed.append(True)
            lab.push(fields=HEAVIER)
            time.sleep(PAUSE_CHECK_SECONDS)

    run_job(Meddled.of(lab.project, push), lab.request(Mode.SMART_SYNC).id)

    assert lab.lens.needs is Needs.NOTHING
    assert lab.audit().clean


def test_a_push_during_the_last_page_of_a_sync_leaves_it_to_be_done(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=100)
    lab.full()
    lab.push(fields=HEAVIER)

    def push_again(_: PageDone) -> None:
        lab.push(fields=FIELDS | {"category": {"type": "text", "searchable": True}})

    lab.sync(report=push_again)

    assert lab.lens.needs is not Needs.NOTHING


def test_two_runs_that_publish_at_once_publish_once_and_double_nothing(tmp_path: Path) -> None:
    # given a rebuild that has to make up for a row which came behind its walk
    lab = Lab.at(tmp_path, rows=ROWS)
    job = rebuild(lab)
    others: list[Outcome] = []

    def insert(page: PageDone) -> None:
        if page.total.read == ROWS:
            with lab.source() as db:
                db.execute(
                    "INSERT INTO items SELECT 0, 'late', 'late', 1, 'books', updated_at"
                    " FROM items WHERE id = 1"
                )

    def publish_first(texts: Sequence[str]) -> None:
        if len(texts) == 1 and not others:
            others.append(lab.run(job))

    # when another run of the job does so first, and publishes
    outcome = run_job(Meddled.of(lab.project, publish_first), job.id, report=insert)

    # then that is what is published, and it is whole
    assert [outcome.ended, others[0].ended] == [RunEnd.COMPLETED] * 2
    assert outcome.generation == others[0].generation
    assert lab.audit().clean


def test_a_run_that_died_between_the_switch_and_its_end_is_not_done_again(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=ROWS)
    job = rebuild(lab)

    def die(verb: str) -> None:
        if verb == "maintain":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(Meddled.of(lab.project, before=die), job.id, was_cancelled=lambda: False)
    published = lab.index.name

    again = lab.run(job)

    assert (again.ended, again.published, again.counts.read) == (RunEnd.COMPLETED, True, 0)
    assert lab.index.name == published


@pytest.mark.parametrize("kind", ["shadow", "in_place"])
@pytest.mark.parametrize("mode", [Mode.RECORDS, Mode.SMART_SYNC, Mode.INCREMENTAL])
def test_a_run_whose_index_is_replaced_under_it_goes_on_with_the_new_one(
    tmp_path: Path, mode: Mode, kind: str
) -> None:
    lab = Lab.at(tmp_path, rows=300, rebuild=kind)
    lab.full()
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new', updated_at = '2024-09-09' WHERE id <= 3")
    name(lab, "1", "2", "3")
    replaced: list[str] = []

    def replace(_: Sequence[str]) -> None:
        if not replaced:
            replaced.append(lab.index.name)
            lab.full()
            with lab.source() as db:
                db.execute("UPDATE items SET name = 'newest' WHERE id = 2")

    outcome = run_job(Meddled.of(lab.project, replace), lab.request(mode).id)

    assert outcome.ended is RunEnd.COMPLETED
    assert lab.index.name not in replaced
    assert lab.audit().clean


def test_a_change_that_comes_while_the_old_index_is_dropped_waits_for_the_new_one(
    tmp_path: Path,
) -> None:
    lab = Lab.at(tmp_path, rows=50, rebuild="in_place")
    lab.full()
    job = rebuild(lab)
    waiting: list[int] = []

    def come(verb: str) -> None:
        if verb == "drop" and not waiting:
            name(lab, "1")
            assert lab.run(lab.request(Mode.RECORDS)).ended is RunEnd.COMPLETED
            with lab.project.registry.read() as db:
                waiting.append(changes.buffered(db, lab.lens.id))

    run_job(Meddled.of(lab.project, after=come), job.id)

    assert waiting == [1]
    assert lab.project.store(ENV).names() == [lab.index.name]
    assert lab.audit().clean


def test_an_index_that_a_killed_rebuild_in_place_left_makes_room_for_the_next(
    tmp_path: Path,
) -> None:
    # given a rebuild that dies when it has taken the old index out of its place
    lab = Lab.at(tmp_path, rows=50, rebuild="in_place")
    lab.full()
    old, job = lab.index.name, rebuild(lab)

    def die(verb: str) -> None:
        if verb == "drop":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(Meddled.of(lab.project, before=die), job.id, was_cancelled=lambda: False)
    assert lab.project.store(ENV).names() == [old]

    # when it goes on
    there: list[list[str]] = []
    lab.run(job, report=lambda _: there.append(lab.project.store(ENV).names()))

    # then there are never two
    assert [len(names) for names in there] == [1]
    assert lab.audit().clean


def test_a_cursor_does_not_move_for_what_only_the_replaced_index_had(tmp_path: Path) -> None:
    # given a rebuild that has read row 1, which then changes and is synced to the index in use
    lab = Lab.at(tmp_path, rows=100, shards=2)
    lab.full()
    job = rebuild(lab)
    switched: list[RunEnd] = []
    lab.run(job, shard=0)
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new', updated_at = '2024-06-01' WHERE id = 1")
        db.execute("UPDATE items SET name = 'new', updated_at = '2024-07-01' WHERE id = 2")
    lab.sync()

    # when the rebuild is published while an incremental run finds nothing to write
    def switch(verb: str) -> None:
        if verb == "fetch" and not switched:
            switched.append(lab.run(job, shard=1).ended)

    run_job(Meddled.of(lab.project, after=switch), lab.request(Mode.INCREMENTAL).id)

    # then it has gone over the same rows again in the new index
    assert switched == [RunEnd.COMPLETED]
    lab.run(lab.request(Mode.INCREMENTAL))
    assert lab.audit().clean


def test_a_model_replaced_under_its_name_is_refused_until_the_rebuild(tmp_path: Path) -> None:
    # given a lens whose model's files are others than those the index was built with
    lab = Lab.at(tmp_path, rows=50)
    lab.full()
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new' WHERE id = 1")
    before = lab.audit()
    job = lab.request(Mode.SMART_SYNC)

    with pytest.raises(DimensionChanged, match="do not mix"):
        run_job(Meddled.of(lab.project, fingerprint="another"), job.id)

    assert lab.audit() == before


def test_a_rebuild_that_lost_its_rows_to_a_mapping_says_so(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=40)
    lab.full()
    with lab.source() as db:
        db.execute("UPDATE items SET category = 'unknown'")

    with pytest.raises(GuardStopped, match="40 rows are set aside: `semilayer failed` says why"):
        lab.full()


def test_another_tracking_column_does_not_start_at_the_cursor_of_the_first(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=50)
    with lab.source() as db:
        db.execute("ALTER TABLE items ADD COLUMN version INTEGER DEFAULT 1")
    lab.full()
    lab.run(lab.request(Mode.INCREMENTAL))

    lab.push(changeTrackingColumn="version")
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new', version = 2 WHERE id = 1")
    lab.run(lab.request(Mode.INCREMENTAL))

    assert lab.audit().clean
    with lab.project.registry.read() as db:
        at = cursors.get(db, lab.lens.id)
    assert at is not None
    assert '"2"' in (at.cursor or "")


def copy_of_items(lab: Lab) -> None:
    """Make a second table, with the same keys and columns and other values."""
    with lab.source() as db:
        db.execute(
            "CREATE TABLE goods (id INTEGER PRIMARY KEY, name TEXT, description TEXT, price REAL,"
            " category TEXT, updated_at TEXT)"
        )
        db.execute(
            "INSERT INTO goods SELECT id, 'other', description, price, category, updated_at"
            " FROM items"
        )


def test_another_table_of_the_same_shape_needs_a_rebuild(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=50)
    lab.full()
    copy_of_items(lab)

    lab.push(table="goods")

    assert lab.lens.needs is Needs.REBUILD
    lab.full()
    assert lab.audit().clean


def test_rows_of_two_tables_never_share_a_generation(tmp_path: Path) -> None:
    # given a rebuild of two shards, one of them filled when the lens is pushed for another table
    lab = Lab.at(tmp_path, rows=400, shards=2)
    copy_of_items(lab)
    lab.run(lifecycle.request_rebuild(lab.project, ENV, "items"), shard=0)

    lab.push(table="goods", shards=2)
    lab.full()

    assert lab.audit().clean


def test_a_records_job_whose_index_was_taken_away_leaves_its_changes_to_the_next(
    tmp_path: Path,
) -> None:
    # given a records job in whose page a rebuild in place takes the index away, and dies
    lab = Lab.at(tmp_path, rows=50, rebuild="in_place")
    lab.full()
    with lab.source() as source:
        source.execute("UPDATE items SET name = 'new' WHERE id = 1")
    name(lab, "1")
    job = rebuild(lab)

    def die(verb: str) -> None:
        if verb == "drop":
            raise KeyboardInterrupt

    def take_away(_: Sequence[str]) -> None:
        with pytest.raises(KeyboardInterrupt):
            run_job(Meddled.of(lab.project, before=die), job.id, was_cancelled=lambda: False)

    run_job(Meddled.of(lab.project, take_away), lab.request(Mode.RECORDS).id)

    # when the rebuild is done, and then the job that it asks for
    lab.run(job)
    with lab.project.registry.read() as db:
        (records,) = jobs.queued(db, lab.lens.id)
    lab.run(records)

    # then no change waits
    with lab.project.registry.read() as db:
        assert changes.buffered(db, lab.lens.id) == 0
        assert not jobs.queued(db, lab.lens.id)
    assert lab.audit().clean


def test_a_rebuild_that_goes_on_with_another_ones_index_knows_that_it_published_it(
    tmp_path: Path,
) -> None:
    # given a rebuild in place that a person cancelled on its way
    lab = Lab.at(tmp_path, rows=1_500, rebuild="in_place")
    first = rebuild(lab)

    def cancel(page: PageDone) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lab.run(first, report=cancel)
    begun = lab.building()
    assert begun is not None

    # and another job that goes on with its index, and dies between the switch and its end
    job = rebuild(lab)

    def die(verb: str) -> None:
        if verb == "maintain":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(Meddled.of(lab.project, before=die), job.id, was_cancelled=lambda: False)
    assert lab.index.name == begun.index_name

    # when it is run again
    again = lab.run(job)

    # then that index serves, and nothing is read anew
    assert (again.ended, again.published, again.counts.read) == (RunEnd.COMPLETED, True, 0)
    assert lab.project.store(ENV).names() == [begun.index_name]
    assert lab.audit().clean
