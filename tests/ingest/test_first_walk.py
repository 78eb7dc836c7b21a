"""The walk that fills an index is one that the next smart sync goes by."""

from __future__ import annotations

from pathlib import Path

import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.ingest.run_job import run_job
from semilayer_pipelines.registry import generations, walks
from semilayer_pipelines.registry.lenses import LensStatus
from semilayer_pipelines.registry.walks import Walk
from tests.ingest.test_kill import give_up_on_the_dead
from tests.lab import ENV, Lab
from tests.mortal import Died, Life, dies_at, mortal
from tests.sources import SourceDatabase

ROWS = 300
FIELDS = {"title": {"type": "text", "searchable": True}}


def over(source: SourceDatabase, folder: Path, **lens: object) -> Lab:
    source.run("CREATE TABLE posts (id int PRIMARY KEY, title text)")
    source.run(f"INSERT INTO posts SELECT n, 'post ' || n FROM generate_series(1, {ROWS}) n")
    lab = Lab.opened(folder / "project", {"POSTS": source.url})
    lab.connection = "${POSTS}"
    lab.push(**({"table": "posts", "fields": FIELDS} | lens))
    return lab


def noted(lab: Lab) -> Walk | None:
    with lab.project.registry.read() as db:
        active = generations.active(db, lab.lens.id)
        return None if active is None else walks.get(db, active.id)


def few_read(lab: Lab, rows: int = ROWS) -> bool:
    """Sync, and say whether just some of so many rows were read, and the index is as it should."""
    counts = lab.sync().counts
    return counts.read < ROWS // 10 and counts.read + counts.proven == rows and lab.audit().clean


def test_the_first_sync_reads_what_was_written_since_the_first_ingest_and_no_more(
    postgres_source: SourceDatabase, tmp_path: Path
) -> None:
    lab = over(postgres_source, tmp_path)
    lab.full(proves=True)
    assert few_read(lab)

    # and so it is after a rebuild, of which a part changed before the first sync
    lab.full(proves=True)
    postgres_source.run(
        "UPDATE posts SET title = 'new' WHERE id IN (1, 200)",
        "DELETE FROM posts WHERE id IN (2, 250)",
        "INSERT INTO posts VALUES (1000, 'one more')",
    )
    assert few_read(lab, ROWS - 1)


def test_what_is_written_while_an_index_is_filled_is_not_lost(
    postgres_source: SourceDatabase, tmp_path: Path
) -> None:
    lab = over(postgres_source, tmp_path)
    told: list[str] = []

    def write(what: str, _: Life) -> None:
        if what == "source.read_page":
            told.append(what)
            postgres_source.run(
                f"UPDATE posts SET title = 'turn {len(told)}' WHERE id IN (1, 150, 299)",
                f"INSERT INTO posts VALUES ({-len(told)}, 'short-lived')",
                f"DELETE FROM posts WHERE id IN ({1 - len(told)}, {100 + len(told)})",
            )

    job = lifecycle.request_rebuild(lab.project, ENV, lab.name)
    run_job(mortal(lab.project, Life(write), page_rows=40), job.id)
    assert len(told) > 5

    assert noted(lab) is not None
    lab.sync()
    assert lab.audit().clean


def test_an_index_that_somebody_altered_before_the_first_sync_is_mended(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full(proves=True)
    with lab.index.lock():
        lab.index.delete(["5", "6"])

    counts = lab.sync().counts

    assert (counts.read, counts.written, counts.proven) == (2, 2, ROWS - 2)
    assert lab.audit().clean


@pytest.mark.parametrize("shards", [1, 3])
def test_one_run_that_fills_all_shards_notes_a_walk(tmp_path: Path, shards: int) -> None:
    lab = Lab.at(tmp_path, rows=ROWS, shards=shards)

    lab.full(proves=True)

    assert noted(lab) is not None
    assert lab.sync().counts.proven == ROWS


def test_runs_that_share_the_shards_note_none(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=ROWS, shards=2)
    job = lifecycle.request_rebuild(lab.project, ENV, lab.name)
    for shard in range(2):
        lab.run(job, shard=shard)

    assert lab.index.count() == ROWS
    assert noted(lab) is None
    assert lab.sync().counts.read == ROWS


def test_a_run_that_goes_on_where_another_was_killed_notes_none(tmp_path: Path) -> None:
    # given a run that was killed in the middle of a shard
    lab = Lab.at(tmp_path, rows=ROWS)
    pages: list[str] = []

    def die(what: str, life: Life) -> None:
        if what == "source.read_page":
            pages.append(what)
            if len(pages) == 5:
                life.die()

    with pytest.raises(Died):
        run_job(
            mortal(lab.project, Life(die), page_rows=40),
            lifecycle.request_rebuild(lab.project, ENV, lab.name).id,
        )
    give_up_on_the_dead(lab)

    lab.full(proves=True)

    assert noted(lab) is None
    assert lab.sync().counts.read == ROWS
    assert lab.audit().clean


def test_a_run_may_die_at_any_of_its_last_steps_and_the_first_sync_misses_nothing(
    tmp_path: Path,
) -> None:
    """Its last steps publish the index, note the walk, and let go of what was there before."""
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full(proves=True)
    watched = Life(lambda *_: None)
    run_job(mortal(lab.project, watched), lifecycle.request_rebuild(lab.project, ENV, lab.name).id)
    steps = watched.steps
    deaths, ends = 0, set[bool]()

    for number in range(len(steps) - 11, len(steps) + 1):
        job = lifecycle.request_rebuild(lab.project, ENV, lab.name)
        try:
            run_job(mortal(lab.project, dies_at(number)), job.id)
        except Died:
            deaths += 1
        give_up_on_the_dead(lab)
        if lab.lens.status is not LensStatus.READY:
            lab.full(proves=True)
        ends.add(noted(lab) is not None)
        with lab.source() as db:
            db.execute("UPDATE items SET name = ? WHERE id = 7", (f"turn {number}",))
        lab.sync()
        assert lab.audit().clean, f"died at step {number}, {steps[number - 1]}"

    assert deaths > 8
    assert True in ends


def test_a_view_proves_nothing_after_a_rebuild_either(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=ROWS)
    with lab.source() as db:
        db.execute("CREATE VIEW seen AS SELECT * FROM items")
    lab.push(table="seen", primaryKey="id")
    lab.full(proves=True)

    assert noted(lab) is None
    assert list(lab.project.settings.walks.glob("*")) == []
    assert lab.sync().counts.read == ROWS
