"""A smart sync reads only what nothing proves, and the index is the source all the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import SemilayerError
from semilayer_pipelines.ingest.run_job import run_job
from semilayer_pipelines.project import Project, Settings
from semilayer_pipelines.registry import changes, failed_rows, generations, marked_rows, walks
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.marked_rows import Fault
from semilayer_pipelines.registry.walks import Walk
from tests.clock import Clock
from tests.ingest.strangers import double, put
from tests.ingest.test_kill import give_up_on_the_dead
from tests.lab import ENV, Lab
from tests.mortal import Died, Life, dies_at, mortal
from tests.workload import FIELDS, create_items

ROWS = 300
UNREAD = Counts(proven=ROWS)
SHOUT = {
    "type": "text",
    "from": "name",
    "transform": [{"type": "custom", "function": "own:shout"}],
}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Make a lens in sync, of which a complete walk is known."""
    return in_sync(Lab.at(tmp_path, rows=ROWS))


def in_sync(lab: Lab) -> Lab:
    lab.full()
    assert read_and_proven(lab.sync().counts) == (ROWS, 0)
    return lab


def read_and_proven(counts: Counts) -> tuple[int, int]:
    return counts.read, counts.proven


def active_id(lab: Lab) -> int:
    with lab.project.registry.read() as db:
        active = generations.active(db, lab.lens.id)
    assert active is not None
    return active.id


def last_walk(lab: Lab) -> Walk:
    with lab.project.registry.read() as db:
        walk = walks.get(db, active_id(lab))
    assert walk is not None
    return walk


def kept(lab: Lab) -> list[Path]:
    return sorted((lab.project.settings.home / "walks").glob("*"))


def rename(lab: Lab, *ids: int, to: str = "new") -> None:
    with lab.source() as db:
        db.executemany("UPDATE items SET name = ? WHERE id = ?", [(to, id) for id in ids])


def test_an_unchanged_table_and_an_unchanged_index_are_not_read(lab: Lab) -> None:
    before = last_walk(lab)

    assert lab.sync().counts == UNREAD

    assert last_walk(lab) == before
    assert len(kept(lab)) == 1
    assert lab.audit().clean


def test_a_write_to_the_file_has_every_row_read_and_what_was_read_is_proven_then(lab: Lab) -> None:
    rename(lab, 7)
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id = 8")

    counts = lab.sync().counts

    assert (counts.read, counts.written, counts.deleted) == (ROWS - 1, 1, 1)
    assert lab.audit().clean
    # and the index holds what was seen, as nobody else wrote to it meanwhile
    assert last_walk(lab).token == lab.index.content_token()
    assert read_and_proven(lab.sync().counts) == (0, ROWS - 1)
    assert len(kept(lab)) == 1


def delete(lab: Lab) -> None:
    with lab.index.lock():
        lab.index.delete(["5", "6"])


def confuse(lab: Lab) -> None:
    delete(lab)
    put(lab, "7", "8", _key=lambda keys: pa.array([{"7": "5", "8": "6"}[key] for key in keys]))


def add(lab: Lab) -> None:
    put(lab, "1", "2", _key=lambda keys: pa.array([f"foreign {key}" for key in keys]))


@pytest.mark.parametrize(
    ("meddle", "read"),
    [(delete, 2), (confuse, 2), (lambda lab: double(lab, "5", "6"), 2), (add, 0)],
    ids=["deleted", "of other rows", "doubled", "of no row"],
)
def test_objects_that_somebody_altered_are_mended_by_reading_their_rows_alone(
    lab: Lab, meddle: Callable[[Lab], None], read: int
) -> None:
    meddle(lab)
    assert not lab.audit().clean

    assert read_and_proven(lab.sync().counts) == (read, ROWS - read)

    assert lab.audit().clean
    assert [read_and_proven(lab.sync().counts) for _ in range(2)] == [(0, ROWS)] * 2


def test_an_index_that_lost_most_of_its_objects_is_compared_with_the_whole_table(
    tmp_path: Path,
) -> None:
    rows = 1_500
    lab = Lab.at(tmp_path, rows=rows)
    lab.full()
    lab.sync()
    with lab.index.lock():
        lab.index.delete([str(id) for id in range(rows) if id % 10])

    counts = lab.sync().counts

    assert read_and_proven(counts) == (rows, 0)
    assert lab.audit().clean


def test_a_restored_index_is_found_out_though_its_version_has_the_same_number(
    lab: Lab, tmp_path: Path
) -> None:
    # given a backup of the index, and a later write that is proven
    table = lab.project.settings.home / "lance" / ENV
    shutil.copytree(table, tmp_path / "backup")
    rename(lab, 7)
    lab.sync()
    lab.sync()
    assert lab.sync().counts == UNREAD

    # when the backup is put back, and written to as often as the index was
    shutil.rmtree(table)
    shutil.copytree(tmp_path / "backup", table)
    with lab.index.lock():
        lab.index.rewrite(["9"])

    # then the sync sees what it lacks
    assert lab.sync().counts.written == 1
    assert lab.audit().clean


def test_a_restored_project_knows_less_and_nothing_wrong(tmp_path: Path) -> None:
    # given a backup of all that we keep
    lab = in_sync(Lab.at(tmp_path / "lab", rows=ROWS))
    home = lab.project.settings.home
    lab.project.registry.close()
    shutil.copytree(home, tmp_path / "backup")

    # when the source and the index went on, and the backup is put back
    lab = Lab.opened(tmp_path / "lab", {})
    rename(lab, 7, 8)
    lab.sync()
    lab.project.registry.close()
    shutil.rmtree(home)
    shutil.copytree(tmp_path / "backup", home)

    # then one sync puts all right
    lab = Lab.opened(tmp_path / "lab", {})
    assert lab.sync().counts.written == 2
    assert lab.audit().clean


def sync_beside(lab: Lab, meddle: Callable[[], object], *, at: str = "index.upsert.done") -> None:
    """Sync, and let somebody else do something at the first step of that name."""
    done: list[str] = []

    def step(what: str, _: Life) -> None:
        if what == at and not done:
            done.append(what)
            meddle()

    run_job(mortal(lab.project, Life(step)), lab.request(Mode.SMART_SYNC).id)
    assert done


@pytest.mark.parametrize("at", ["index.scan", "index.upsert", "index.upsert.done"])
def test_what_a_sync_wrote_proves_nothing_where_a_stranger_wrote_beside_it(
    lab: Lab, at: str
) -> None:
    rename(lab, 7)

    sync_beside(lab, lambda: put(lab, "1", _key=lambda _: pa.array(["foreign"])), at=at)

    assert last_walk(lab).token is None
    lab.sync()
    assert lab.audit().clean


def remove(lab: Lab, id: int) -> None:
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id = ?", (id,))


@pytest.mark.parametrize(
    ("change", "done"), [(rename, "written"), (remove, "deleted")], ids=["changed", "gone"]
)
def test_what_a_sync_wrote_proves_nothing_of_a_row_that_a_caller_named_meanwhile(
    lab: Lab, change: Callable[[Lab, int], None], done: str
) -> None:
    # given a change that comes before its row is written or deleted: the records job owns it
    change(lab, 7)

    def name() -> None:
        with lab.project.registry.begin() as db:
            changes.append(db, lab.lens.id, [("7", Action.UPSERT)], lab.project.clock())

    sync_beside(lab, name, at="index.lock")

    # when nobody applies it, then the next sync does
    assert last_walk(lab).token is None
    assert lab.sync().counts.as_dict()[done] == 1
    assert lab.audit().clean


def test_what_a_sync_wrote_proves_nothing_of_a_row_that_came_back_meanwhile(lab: Lab) -> None:
    # given a row that is gone when it is walked, and there again before its object is deleted
    with lab.source() as db:
        row = db.execute("SELECT * FROM items WHERE id = 8").fetchone()
    remove(lab, 8)

    def come_back() -> None:
        with lab.source() as db:
            db.execute(f"INSERT INTO items VALUES ({', '.join('?' * len(row))})", tuple(row))

    sync_beside(lab, come_back, at="source.read_rows")

    assert last_walk(lab).token is None
    lab.sync()
    assert lab.audit().clean


def test_what_a_sync_wrote_proves_nothing_where_a_row_was_set_aside(lab: Lab) -> None:
    rename(lab, 7)
    with lab.source() as db:
        db.execute("UPDATE items SET category = 'unknown' WHERE id = 5")

    assert lab.sync().counts.failed == 1

    assert last_walk(lab).token is None


@pytest.mark.parametrize("locked", [False, True], ids=["a stranger", "a writer"])
def test_somebody_may_write_at_any_step_of_a_sync_that_writes(tmp_path: Path, locked: bool) -> None:
    """Whatever they did to the index, the next sync finds it out."""
    lab = Lab.at(tmp_path, rows=12)
    lab.full()
    steps, at, noted = 0, 0, 0
    while at <= steps + 1:
        lab.sync()
        assert lab.audit().clean, f"before step {at}"
        rename(lab, 3, to=f"turn {at}")
        with lab.source() as db:
            if db.execute("DELETE FROM items WHERE id = 99").rowcount == 0:
                db.execute("INSERT INTO items (id, name, category) VALUES (99, 'new', 'books')")
        seen = 0

        def step(_: str, life: Life) -> None:
            nonlocal seen
            seen += 1
            if seen == at and not (locked and life.locks):  # noqa: B023
                delete(lab) if locked else put(lab, "1", _key=lambda _: pa.array(["foreign"]))

        with suppress(SemilayerError):
            run_job(mortal(lab.project, Life(step)), lab.request(Mode.SMART_SYNC).id)
        give_up_on_the_dead(lab)
        noted += last_walk(lab).token is not None
        steps, at = max(steps, seen), at + 1 + at // 4
    assert noted


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def flip(file: Path) -> None:
    held = bytearray(file.read_bytes())
    held[len(held) // 2] ^= 1
    file.write_bytes(held)


@pytest.mark.parametrize("harm", [Path.unlink, cut, flip], ids=["away", "cut", "altered"])
def test_without_what_the_last_walk_saw_every_row_is_read(
    lab: Lab, harm: Callable[[Path], object]
) -> None:
    delete(lab)
    [file] = kept(lab)
    harm(file)

    assert read_and_proven(lab.sync().counts) == (ROWS, 0)

    assert lab.audit().clean
    assert read_and_proven(lab.sync().counts) == (0, ROWS)


def test_what_the_last_walk_saw_is_not_needed_where_nothing_changed(lab: Lab) -> None:
    [file] = kept(lab)
    file.unlink()

    assert lab.sync().counts == UNREAD


def test_rows_that_were_set_aside_are_tried_again(lab: Lab) -> None:
    # given a row that the model rejected, and one that no field fits
    with lab.source() as db:
        db.execute("UPDATE items SET category = 'unknown' WHERE id = 5")
    assert lab.sync().counts.failed == 1

    # when nothing changes, then it is read with every sync, and no other
    for _ in range(2):
        counts = lab.sync().counts
        assert (counts.read, counts.proven, counts.failed) == (1, ROWS - 1, 1)

    # and what other jobs set aside is tried, too
    with lab.project.registry.begin() as db:
        why = {"9": ("writing", "once")}
        failed_rows.record(db, lab.lens.id, why, job_id="other", now=lab.project.clock())
    assert read_and_proven(lab.sync().counts) == (2, ROWS - 2)
    with lab.project.registry.read() as db:
        assert failed_rows.keys(db, lab.lens.id, 10) == ["5"]


def test_a_row_that_the_index_does_not_reach_has_nothing_read_for_it(lab: Lab) -> None:
    # given a row that no search finds, however often it is written
    with lab.project.registry.begin() as db:
        marked_rows.mark(db, active_id(lab), Fault.UNREACHABLE, ["5"])

    assert lab.sync().counts == UNREAD


def test_an_object_that_was_marked_is_written_again(lab: Lab) -> None:
    with lab.project.registry.begin() as db:
        marked_rows.mark(db, active_id(lab), Fault.VECTOR, ["5"])

    counts = lab.sync().counts

    assert (counts.read, counts.embedded, counts.proven) == (1, 1, ROWS - 1)
    with lab.project.registry.read() as db:
        assert marked_rows.keys(db, active_id(lab), [*Fault]) == []


def test_every_row_is_read_when_a_person_asks_and_now_and_then(tmp_path: Path) -> None:
    # given a lens of which all is proven
    clock = Clock()
    settings = Settings.from_environ({"SEMILAYER_ENV": ENV}, tmp_path)
    lab = Lab(Project(settings, {}, clock), tmp_path)
    create_items(lab.database, ROWS)
    lab.push(fullWalkEvery="2h")
    in_sync(lab)
    walked = last_walk(lab).whole_at

    # when less than its time passes, then nothing is read
    clock.go_on(timedelta(minutes=119).total_seconds())
    assert lab.sync().counts == UNREAD
    assert last_walk(lab).whole_at == walked

    # and what was only compared does not count as read
    with lab.index.lock():
        lab.index.delete(["5"])
    assert read_and_proven(lab.sync().counts) == (1, ROWS - 1)
    clock.go_on(60)
    assert read_and_proven(lab.sync().counts) == (ROWS, 0)
    assert last_walk(lab).whole_at > walked

    # and a person has it at once
    assert lab.sync().counts == UNREAD
    assert read_and_proven(lab.sync(full_walk=True).counts) == (ROWS, 0)
    assert lab.sync().counts == UNREAD


def push_a_weight(lab: Lab) -> None:
    weighed = {"type": "text", "searchable": {"weight": 3}}
    lab.push(fields=FIELDS | {"name": weighed})


@pytest.mark.parametrize(
    "change",
    [
        push_a_weight,
        lambda lab: lab.push(where="id >= 0"),
        lambda lab: lab.push(onFailure="remove"),
        lambda lab: lab.full(),
    ],
    ids=["weight", "where", "onFailure", "rebuild"],
)
def test_another_configuration_or_index_proves_nothing(
    lab: Lab, change: Callable[[Lab], object]
) -> None:
    change(lab)

    assert read_and_proven(lab.sync().counts) == (ROWS, 0)

    assert lab.audit().clean


@pytest.mark.parametrize(
    "lens",
    [
        {"where": "updated_at < datetime('now')"},
        {"where": "id IN (SELECT id FROM items)"},
        {"table": "seen"},
        {"fields": FIELDS | {"shout": SHOUT}},
    ],
    ids=["a time", "another table", "a view", "a transform of one's own"],
)
def test_rows_that_may_change_unwritten_are_read_each_time(
    tmp_path: Path, lens: dict[str, object]
) -> None:
    (tmp_path / "own.py").write_text("def shout(values):\n    return values.str.to_uppercase()\n")
    create_items(tmp_path / "source.db", ROWS)
    lab = Lab.opened(tmp_path, {})
    with lab.source() as db:
        db.execute("CREATE VIEW seen AS SELECT * FROM items")
    lab.push(primaryKey="id", **lens)
    in_sync(lab)

    assert read_and_proven(lab.sync().counts) == (ROWS, 0)
    assert kept(lab) == []


def test_records_and_incremental_jobs_in_between_are_seen(lab: Lab) -> None:
    # given rows that a caller named, and one that moved
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new', updated_at = '2099-01-01' WHERE id = 3")
    lab.run(lab.request(Mode.INCREMENTAL))
    rename(lab, 4)

    counts = lab.sync().counts

    assert lab.audit().clean
    assert counts.read == ROWS
    assert lab.sync().counts == UNREAD


def test_the_repair_of_a_shard_reads_all_of_it(tmp_path: Path) -> None:
    lab = in_sync(Lab.at(tmp_path, rows=ROWS, shards=3))
    assert lab.sync().counts == UNREAD

    counts = lab.run(lab.request(Mode.REPAIR, shard=1)).counts

    assert read_and_proven(counts) == (ROWS // 3, 0)


@pytest.mark.parametrize("damage", [rename, lambda lab, *_: delete(lab)], ids=["table", "index"])
def test_a_sync_may_die_at_any_step_and_the_next_one_puts_all_right(
    tmp_path: Path, damage: Callable[..., None]
) -> None:
    lab = Lab.at(tmp_path, rows=12)
    lab.full()
    lab.sync()
    deaths, at, done = 0, 0, False
    while not done:
        damage(lab, 3)
        at += 2 + at // 4
        try:
            run_job(mortal(lab.project, dies_at(at), page_rows=5), lab.request(Mode.SMART_SYNC).id)
            done = True
        except Died:
            deaths += 1
        give_up_on_the_dead(lab)
        lab.sync()
        assert lab.audit().clean, f"after {at} steps"
        with lab.source() as db:
            db.execute("UPDATE items SET name = 'old' WHERE id = 3")
        lab.sync()
        lab.sync()
        assert lab.audit().clean, f"after {at} steps, and a change"
    assert deaths > 5
