"""Where a database tells which rows were written, a smart sync reads these and no other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import EmptySource, GuardStopped
from semilayer_pipelines.ingest.retention import tidy
from semilayer_pipelines.ingest.run_job import run_job
from semilayer_pipelines.registry import failed_rows, walks
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.stores.protocol import KEY
from tests.ingest.test_kill import give_up_on_the_dead
from tests.lab import Lab
from tests.mortal import Died, Life, dies_at, mortal
from tests.patience import eventually
from tests.sources import SourceDatabase

ROWS = 300
FIELDS = {"title": {"type": "text", "searchable": True}, "stars": {"type": "number"}}


@pytest.fixture
def source(postgres_source: SourceDatabase) -> SourceDatabase:
    postgres_source.run("CREATE TABLE posts (id text PRIMARY KEY, title text, stars text)")
    postgres_source.run(
        f"INSERT INTO posts SELECT 'k' || n, 'post ' || n, n FROM generate_series(1, {ROWS}) n"
    )
    return postgres_source


@pytest.fixture
def lab(source: SourceDatabase, tmp_path: Path) -> Lab:
    """Make a lens without a tracked column, in sync, of which a complete walk is known."""
    return in_sync(over(source, tmp_path))


def over(source: SourceDatabase, folder: Path, **lens: object) -> Lab:
    lab = Lab.opened(folder / "project", {"POSTS": source.url})
    lab.connection = "${POSTS}"
    lab.push(**({"table": "posts", "fields": FIELDS} | lens))
    return lab


def in_sync(lab: Lab) -> Lab:
    lab.full()
    assert lab.sync().counts.proven == 0
    return lab


def few(counts: Counts, rows: int) -> bool:
    """Say whether just some rows were read, of so many.

    Another session that is at work on the server may have a few more read.
    """
    return counts.read < ROWS // 10 and counts.read + counts.proven == rows


@pytest.fixture
def session(source: SourceDatabase) -> Iterator[Connection]:
    """A session of the application, with a transaction that stays open until it is told."""
    with source.engine.execution_options(isolation_level="READ COMMITTED").connect() as opened:
        yield opened


def test_what_nobody_wrote_is_not_read(lab: Lab, source: SourceDatabase) -> None:
    assert few(lab.sync().counts, ROWS)

    # not on a busy server either, where any number of other rows is written
    source.run("CREATE TABLE others AS SELECT generate_series(1, 10) n")
    assert few(lab.sync().counts, ROWS)


def test_where_others_write_sums_of_the_keys_prove_it_and_no_row_is_read(
    lab: Lab, source: SourceDatabase
) -> None:
    source.run("CREATE TABLE others (n int)")

    def proven() -> bool:
        source.run("INSERT INTO others VALUES (1)")
        return lab.sync().counts == Counts(proven=ROWS)

    # Once no other session of this server was at work since the sync before.
    eventually(proven)
    # and where as many rows come as go, both are found
    source.run(
        "DELETE FROM posts WHERE id = 'k7'", "INSERT INTO posts VALUES ('k-7', 'another', 7)"
    )
    counts = lab.sync().counts
    assert (counts.written, counts.deleted) == (1, 1)
    assert lab.audit().clean


def test_an_index_that_somebody_altered_is_mended_though_sums_prove_the_table(
    lab: Lab, source: SourceDatabase
) -> None:
    with lab.index.lock():
        lab.index.delete(["k1", "k2"])
    source.run("CREATE TABLE others (n int)")

    assert lab.sync().counts.written == 2
    assert lab.audit().clean


def test_just_the_rows_that_were_written_are_read_and_those_that_went_are_deleted(
    lab: Lab, source: SourceDatabase
) -> None:
    source.run(
        "UPDATE posts SET title = 'new' WHERE id IN ('k1', 'k2')",
        "DELETE FROM posts WHERE id IN ('k3', 'k4', 'k5')",
        "INSERT INTO posts VALUES ('another', 'one more', 5)",
        "UPDATE posts SET id = 'moved' WHERE id = 'k6'",
    )

    counts = lab.sync().counts

    assert (counts.written, counts.deleted) == (4, 4)
    assert few(counts, ROWS - 2)
    assert lab.audit().clean
    assert few(lab.sync().counts, ROWS - 2)


def test_a_chain_of_syncs_forgets_no_row_that_came_and_went(
    lab: Lab, source: SourceDatabase
) -> None:
    for turn in range(4):
        source.run(
            f"INSERT INTO posts VALUES ('turn{turn}', 'one more', 5), ('both', 'x', {turn})",
            f"DELETE FROM posts WHERE id IN ('turn{turn - 2}', 'k{turn + 1}')",
        )
        assert lab.sync().counts.read < ROWS // 10
        assert lab.audit().clean
        source.run("DELETE FROM posts WHERE id = 'both'")
    lab.sync()
    assert lab.audit().clean


def test_a_row_that_is_deleted_and_inserted_again_is_read_as_it_is_now(
    lab: Lab, source: SourceDatabase
) -> None:
    source.run(
        "DELETE FROM posts WHERE id IN ('k1', 'k2')",
        "INSERT INTO posts VALUES ('k1', 'another', 1), ('k2', 'post 2', 2)",
    )

    counts = lab.sync().counts

    assert (counts.written, counts.deleted) == (1, 0)
    assert few(counts, ROWS)
    assert lab.audit().clean


def test_a_transaction_that_commits_late_is_seen_by_the_next_sync(
    lab: Lab, source: SourceDatabase, session: Connection
) -> None:
    # given a row that was written before a sync and is committed after it
    session.exec_driver_sql("UPDATE posts SET title = 'late' WHERE id = 'k9'")
    session.exec_driver_sql("DELETE FROM posts WHERE id = 'k8'")
    for _ in range(2):
        source.run("UPDATE posts SET title = title || '!' WHERE id = 'k1'")
        lab.sync()
    session.commit()

    counts = lab.sync().counts

    assert (counts.written, counts.deleted) == (1, 1)
    assert lab.audit().clean


def test_a_row_written_while_the_first_walk_is_under_way_is_not_lost(
    source: SourceDatabase, tmp_path: Path
) -> None:
    # given a walk, behind whose back rows are written, deleted and inserted again
    lab = over(source, tmp_path)
    lab.full()
    told: list[str] = []

    def write(what: str, _: Life) -> None:
        if what == "source.read_page":
            told.append(what)
            source.run(
                f"UPDATE posts SET title = 'turn {len(told)}' WHERE id IN ('k1', 'k150', 'k99')",
                f"INSERT INTO posts VALUES ('a{len(told)}', 'short-lived', 0)",
                f"DELETE FROM posts WHERE id IN ('a{len(told) - 1}', 'k{100 + len(told)}')",
            )

    job = lab.request(Mode.SMART_SYNC)
    run_job(mortal(lab.project, Life(write), page_rows=40), job.id)
    assert len(told) > 5

    lab.sync()

    assert lab.audit().clean


def test_an_index_and_a_table_that_both_changed_are_brought_together(
    lab: Lab, source: SourceDatabase
) -> None:
    with lab.index.lock():
        lab.index.delete(["k1", "k2", "k10"])
    source.run(
        "UPDATE posts SET title = 'new' WHERE id IN ('k2', 'k3')",
        "DELETE FROM posts WHERE id IN ('k10', 'k11')",
    )

    counts = lab.sync().counts

    assert (counts.written, counts.deleted) == (3, 1)
    assert few(counts, ROWS - 2)
    assert lab.audit().clean


def test_rows_that_cannot_be_mapped_or_have_no_text_are_neither_lost_nor_read_each_time(
    source: SourceDatabase, tmp_path: Path
) -> None:
    source.run(
        "UPDATE posts SET title = NULL WHERE id IN ('k1', 'k2')",
        "UPDATE posts SET stars = 'many' WHERE id = 'k3'",
    )
    lab = in_sync(over(source, tmp_path))

    # what failed is tried again with every sync
    counts = lab.sync().counts
    assert counts.failed == 1
    assert few(counts, ROWS)
    # until it is mended, or gets lost with those without a text
    source.run(
        "UPDATE posts SET stars = '5' WHERE id = 'k3'",
        "UPDATE posts SET title = 'mended' WHERE id = 'k1'",
        "DELETE FROM posts WHERE id = 'k2'",
        "UPDATE posts SET title = ' ' WHERE id = 'k4'",
    )
    counts = lab.sync().counts

    assert (counts.written, counts.deleted, counts.textless) == (2, 1, 1)
    assert few(counts, ROWS - 1)
    with lab.project.registry.read() as db:
        assert failed_rows.count(db, lab.lens.id) == 0
    assert {"k2", "k4"}.isdisjoint(lab.indexed()[KEY])
    counts = lab.sync().counts
    assert few(counts, ROWS - 1)
    assert counts.textless == 1


def test_rows_that_a_lens_leaves_out_come_and_go(source: SourceDatabase, tmp_path: Path) -> None:
    lab = in_sync(over(source, tmp_path, where="stars <> '0'", shards=2))
    source.run(
        "UPDATE posts SET stars = '0' WHERE id IN ('k1', 'k2')",
        "UPDATE posts SET title = 'new' WHERE id = 'k3'",
    )
    counts = lab.sync().counts
    assert (counts.written, counts.deleted) == (1, 2)
    assert few(counts, ROWS - 2)
    source.run("UPDATE posts SET stars = '1' WHERE id = 'k1'")

    counts = lab.sync().counts

    assert (counts.written, counts.deleted) == (1, 0)
    assert few(counts, ROWS - 1)
    assert lab.audit().clean


def test_a_guard_stops_a_sync_that_read_nothing(lab: Lab, source: SourceDatabase) -> None:
    source.run("DELETE FROM posts WHERE length(id) = 4")

    with pytest.raises(GuardStopped, match="201 of 300"):
        lab.sync()
    assert lab.sync(confirmed=True).counts.deleted == 201

    # and a table without a row is no table that lost its rows
    source.run("DELETE FROM posts")
    with pytest.raises(EmptySource):
        lab.sync()
    assert lab.index.count() == 99


@pytest.mark.parametrize(
    "rewrite",
    [
        "TRUNCATE posts; INSERT INTO posts SELECT 'k' || n, n, n FROM generate_series(1, 300) n",
        "ALTER TABLE posts ALTER COLUMN title SET DATA TYPE varchar(8) USING left(title, 8)",
        "VACUUM FULL posts",
    ],
    ids=["truncated", "a column altered", "vacuumed"],
)
def test_a_table_that_was_made_anew_is_read_as_a_whole(
    lab: Lab, source: SourceDatabase, rewrite: str
) -> None:
    for statement in rewrite.split("; "):
        source.run(statement)

    assert lab.sync().counts.read == ROWS
    assert lab.audit().clean


def test_a_sync_by_written_rows_may_die_at_any_step(lab: Lab, source: SourceDatabase) -> None:
    deaths, at, done = 0, 0, False
    while not done:
        source.run(
            f"UPDATE posts SET title = 'turn {at}' WHERE id = 'k3'",
            f"DELETE FROM posts WHERE id = 'new {deaths - 1}'",
            f"INSERT INTO posts VALUES ('new {deaths}', 'one more', 1)",
        )
        at += 2 + at // 4
        try:
            run_job(mortal(lab.project, dies_at(at)), lab.request(Mode.SMART_SYNC).id)
            done = True
        except Died:
            deaths += 1
        give_up_on_the_dead(lab)
        assert lab.sync().counts.read < ROWS // 10
        assert lab.audit().clean, f"after {at} steps"
    assert deaths > 5


def left_over(lab: Lab) -> bool:
    """Say whether there is a file of what a walk saw that no noted walk needs."""
    with lab.project.registry.read() as db:
        needed = walks.kept_names(db)
    return any(file.stem not in needed for file in lab.project.settings.walks.glob("*.parquet"))


@pytest.mark.parametrize("step", ["registry.begin", "registry.committed"])
def test_a_sync_may_die_between_writing_what_changed_noting_it_and_dropping_what_was_before(
    lab: Lab, source: SourceDatabase, step: str
) -> None:
    def die(what: str, life: Life) -> None:
        if what == step and left_over(lab):
            life.die()

    deaths = 0
    for turn in range(4):
        source.run(
            f"UPDATE posts SET title = 'turn {turn}' WHERE id = 'k3'",
            f"DELETE FROM posts WHERE id = 'new {turn - 1}'",
            f"INSERT INTO posts VALUES ('new {turn}', 'one more', 1)",
        )
        try:
            run_job(mortal(lab.project, Life(die)), lab.request(Mode.SMART_SYNC).id)
        except Died:
            deaths += 1
        give_up_on_the_dead(lab)
        for file in lab.project.settings.walks.glob("*"):
            os.utime(file, (0, 0))
        tidy(lab.project)
        assert not left_over(lab)
        source.run(f"UPDATE posts SET title = 'later {turn}' WHERE id = 'k4'")
        assert lab.sync().counts.read < ROWS // 10
        assert lab.audit().clean
    assert deaths > 1
