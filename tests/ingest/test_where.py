"""A row for which its lens's condition is not true is as if it were not there, in every mode."""

from __future__ import annotations

from pathlib import Path

import pytest

from semilayer_pipelines.errors import EmptySource, GuardStopped
from semilayer_pipelines.ingest.progress import PageDone
from semilayer_pipelines.queries.audit import audit
from semilayer_pipelines.queries.checks import Check, check_lens
from semilayer_pipelines.queries.dry_run import dry_run
from semilayer_pipelines.queries.explain import explain
from semilayer_pipelines.queries.findings import Kind
from semilayer_pipelines.queries.search import search
from semilayer_pipelines.queries.source_lag import source_lag
from semilayer_pipelines.queries.state import read_lens
from semilayer_pipelines.registry import failed_rows, jobs
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import Needs
from semilayer_pipelines.stores.protocol import KEY
from tests.ingest.blog import FIELDS, Blog
from tests.ingest.ways import WAYS, Way
from tests.lab import ENV
from tests.sources import SourceDatabase

ROWS = 30
PUBLISHED = [n for n in range(ROWS) if n % 3 == 0]


@pytest.fixture
def blog(source: SourceDatabase, tmp_path: Path) -> Blog:
    """A blog of 30 posts, of which 10 are published and indexed."""
    folder = tmp_path / "project"
    folder.mkdir()
    made = Blog.over(source, folder, rows=ROWS)
    made.lab.full()
    return made


@pytest.fixture
def sqlite_blog(sqlite_source: SourceDatabase, tmp_path: Path) -> Blog:
    """The same blog in SQLite, for what no database does in a way of its own."""
    folder = tmp_path / "project"
    folder.mkdir()
    return Blog.over(sqlite_source, folder, rows=ROWS)


def test_everything_that_looks_at_the_lens_knows_only_the_rows_that_are_there(blog: Blog) -> None:
    lab = blog.lab

    assert blog.indexed == PUBLISHED
    found = audit(lab.project, lab.lens)
    assert found.in_line
    assert (found.rows, found.objects) == (10, 10)
    checks = check_lens(lab.project, lab.lens, frozenset(Check), seed=1)
    assert all(verdict.passed for verdict in checks.values()), checks
    assert checks[Check.ROWS].numbers["source_rows"] == 10
    hits = search(lab.project, lab.name, "post 1", env=ENV, limit=30)
    assert sorted(int(hit.id) for hit in hits) == PUBLISHED
    state = read_lens(lab.project, lab.name, env=ENV)
    assert state.active is not None
    assert state.active.source_rows == 10


@pytest.mark.parametrize("way", WAYS)
def test_rows_leave_and_enter_the_index_as_the_condition_says(blog: Blog, way: Way) -> None:
    blog.write("status = 'draft'", 3, 6)
    blog.write("status = NULL", 9)
    blog.write("status = 'published'", 4, 5)
    blog.write("title = 'another title'", 7, 12)

    way(blog.lab, [3, 4, 5, 6, 7, 9, 12])

    assert blog.indexed == sorted({*PUBLISHED, 4, 5} - {3, 6, 9})
    assert blog.lab.object_of("12")["title"] == "another title"
    assert audit(blog.lab.project, blog.lab.lens).in_line


def test_incremental_counts_what_left_and_is_in_sync_afterwards(blog: Blog) -> None:
    blog.write("status = 'draft'", 3, 6)

    assert blog.incremental() == 2
    assert blog.incremental() == 0

    lag = source_lag(blog.lab.project, blog.lab.lens)
    assert lag is not None
    assert (lag.error, lag.latest, lag.cursor) == (None, "2", "2")


def test_a_row_that_left_without_moving_is_taken_out_by_smart_sync(blog: Blog) -> None:
    blog.settle()
    blog.write("status = 'draft'", 3, moves=False)
    assert blog.incremental() == 0

    found = audit(blog.lab.project, blog.lab.lens)
    assert found.found[Kind.ORPHAN].ids == ("3",)
    planned = dry_run(blog.lab.project, ENV, blog.lab.name)
    assert (planned.deletes, planned.guarded) == (1, False)

    assert blog.lab.sync().counts.deleted == 1
    assert 3 not in blog.indexed


def test_time_passes_for_smart_sync_and_not_for_incremental(blog: Blog) -> None:
    blog.source.run("CREATE TABLE clock (now INTEGER)", "INSERT INTO clock VALUES (1)")
    blog.pushed(where="id > (SELECT now FROM clock)")
    blog.lab.sync(confirmed=True)
    blog.settle()
    assert blog.indexed == list(range(2, ROWS))

    blog.source.run("UPDATE clock SET now = 4")

    assert blog.incremental() == 0
    assert blog.indexed == list(range(2, ROWS))
    assert blog.lab.sync().counts.deleted == 3
    assert blog.indexed == list(range(5, ROWS))


def test_another_condition_needs_a_smart_sync_and_no_rebuild(blog: Blog) -> None:
    blog.settle()
    blog.pushed(where="status = 'draft' OR id < 10")
    assert blog.needs() is Needs.SMART_SYNC

    # Until then what moves is decided by the new one.
    blog.write("title = 'moved'", 12, 13)
    assert blog.incremental() == 1
    assert blog.indexed == sorted({*PUBLISHED, 13} - {12})

    counts = blog.lab.sync().counts
    wanted = sorted({*range(10), *(n for n in range(ROWS) if n % 3 == 1)})
    assert blog.indexed == wanted
    # Nobody missed them: nobody wrote to them.
    assert counts.missed_updates == 0
    assert blog.needs() is Needs.NOTHING

    # Written in another way it is another condition, and taken out it is one more.
    blog.pushed(where=None)
    assert blog.needs() is Needs.SMART_SYNC
    blog.lab.sync()
    assert blog.indexed == list(range(ROWS))


def test_a_view_with_a_composite_key_in_shards(source: SourceDatabase, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    blog = Blog.over(source, folder, rows=ROWS)
    source.run("CREATE VIEW shown AS SELECT id, team, title, status, moved FROM posts")
    blog.pushed(table="shown", primaryKey=["team", "id"], shards=3)
    blog.lab.full()

    def keys() -> set[str]:
        return {*blog.lab.indexed()[KEY]}

    assert keys() == {f'["t{n % 2}","{n}"]' for n in PUBLISHED}
    assert len({blog.lab.object_of(key)["_shard"] for key in keys()}) == 3

    blog.write("status = 'draft'", 0, 15)
    blog.write("status = 'published'", 1)
    assert blog.incremental() == 2
    blog.write("status = 'draft'", 3, 29, moves=False)
    for shard in range(3):
        blog.lab.run(blog.lab.request(Mode.REPAIR, shard=shard))

    assert keys() == {f'["t{n % 2}","{n}"]' for n in {*PUBLISHED, 1} - {0, 15, 3}}
    assert audit(blog.lab.project, blog.lab.lens).in_line


@pytest.mark.parametrize("mode", [Mode.INCREMENTAL, Mode.SMART_SYNC])
def test_the_guard_counts_rows_that_left_as_any_delete(
    source: SourceDatabase, tmp_path: Path, mode: Mode
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    blog = Blog.over(source, folder, rows=400, where="status IS NOT NULL")
    blog.lab.full()
    before = blog.indexed
    gone = [n for n in range(400) if n % 3 == 0]
    blog.write("status = NULL", *gone)

    with pytest.raises(GuardStopped, match=r"134 .*of 267 indexed rows"):
        blog.lab.run(blog.lab.request(mode))
    assert blog.indexed == before

    blog.lab.sync(confirmed=True)
    assert blog.indexed == sorted({*before} - {*gone})


def test_a_condition_that_is_true_for_no_row_deletes_nothing_unasked(blog: Blog) -> None:
    blog.pushed(where="status = 'Publsihed'")

    with pytest.raises(EmptySource):
        blog.lab.sync()

    assert blog.indexed == PUBLISHED


def test_an_upsert_of_a_row_that_is_left_out_is_a_delete_at_once(blog: Blog) -> None:
    blog.write("status = 'draft'", 3, moves=False)
    blog.tell(3)

    assert blog.records() == 1

    assert (blog.buffered(), 3 in blog.indexed) == (0, False)


def test_a_row_that_is_about_to_be_published_is_looked_for_again(blog: Blog) -> None:
    # told inside the transaction that publishes it
    blog.tell(4)
    assert blog.records() == 0
    assert blog.buffered() == 1

    blog.write("status = 'published'", 4, moves=False)
    blog.lab.apply_all()

    assert 4 in blog.indexed


def test_an_upsert_of_a_row_that_stays_left_out_comes_to_an_end(blog: Blog) -> None:
    blog.tell(4, 5, "07")

    blog.lab.apply_all()

    assert (blog.buffered(), blog.indexed) == (0, PUBLISHED)


def test_a_row_that_is_left_out_while_its_changes_wait_leaves_with_the_last_of_them(
    blog: Blog,
) -> None:
    blog.tell(3, 6)
    blog.tell("03")
    blog.tell(9, action=Action.DELETE)
    blog.tell(9)
    blog.write("status = 'draft'", 3, 9, moves=False)

    assert blog.records() == 2

    assert (blog.buffered(), blog.indexed) == (0, sorted({*PUBLISHED} - {3, 9}))


def test_explain_says_that_the_condition_leaves_a_row_out(blog: Blog) -> None:
    told = explain(blog.lab.project, ENV, blog.lab.name, "4")
    assert told.outside
    assert told.row is not None
    assert told.row["title"] == "post 4"
    assert told.mapped is None
    assert told.verdict == "The lens leaves it out: its 'where' is not true for it."

    blog.write("status = 'draft'", 3, moves=False)
    told = explain(blog.lab.project, ENV, blog.lab.name, "3")
    assert told.verdict.endswith("; the next sync takes its vector out.")
    assert told.indexed is not None

    assert not explain(blog.lab.project, ENV, blog.lab.name, "6").outside
    assert not explain(blog.lab.project, ENV, blog.lab.name, "77").outside


@pytest.mark.parametrize("way", WAYS)
def test_a_row_that_was_set_aside_and_is_left_out_is_no_failed_row(
    sqlite_blog: Blog, way: Way
) -> None:
    lab = sqlite_blog.lab
    sqlite_blog.pushed(fields=FIELDS | {"team": {"type": "number"}}, onMisfit="fail")
    sqlite_blog.write("team = '7'", *range(ROWS))
    sqlite_blog.write("team = 'no number'", 3, 6)
    lab.full()
    assert sqlite_blog.indexed == sorted({*PUBLISHED} - {3, 6})

    sqlite_blog.write("status = 'draft'", 3)
    way(lab, [3])
    lab.apply_all()

    with lab.project.registry.read() as db:
        assert failed_rows.keys(db, lab.lens.id, 100) == ["6"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("store", ["lancedb", "weaviate"])
def test_a_row_that_leaves_is_found_by_no_tenant(
    sqlite_source: SourceDatabase,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    store: str,
    way: Way,
) -> None:
    environ = {} if store == "lancedb" else request.getfixturevalue("environ")
    blog = Blog.over(sqlite_source, tmp_path, rows=ROWS, environ=environ, tenant="team")
    blog.lab.full()

    # one leaves, one leaves and is another tenant's, one is another tenant's, one enters
    blog.write("status = 'draft'", 0)
    blog.write("status = 'draft', team = 't0'", 3)
    blog.write("team = 't1'", 6)
    blog.write("status = 'published'", 4)
    way(blog.lab, [0, 3, 4, 6])

    def of(team: str) -> list[int]:
        hits = search(blog.lab.project, "items", "post", env=ENV, limit=50, where={"team": team})
        return sorted(int(hit.id) for hit in hits)

    found = {team: of(team) for team in ("t0", "t1")}
    assert found == {"t0": [4, 12, 18, 24], "t1": [6, 9, 15, 21, 27]}
    assert audit(blog.lab.project, blog.lab.lens).in_line
    for name in blog.lab.project.store(ENV).names():
        blog.lab.project.store(ENV).drop(name)


def test_a_rebuild_catches_up_with_rows_that_leave_and_enter_meanwhile(blog: Blog) -> None:
    done: list[PageDone] = []

    def meanwhile(page: PageDone) -> None:
        if not done:
            blog.write("status = 'draft'", 0, moves=False)
            blog.tell(0)
            blog.write("status = 'published'", 1, moves=False)
            blog.tell(1)
            blog.write("status = 'draft'", 3)
            blog.write("status = 'published'", 2)
        done.append(page)

    blog.lab.full(report=meanwhile)
    blog.incremental()

    assert blog.indexed == sorted({*PUBLISHED, 1, 2} - {0, 3})
    assert audit(blog.lab.project, blog.lab.lens).in_line


def test_a_rebuild_that_was_begun_with_another_condition_is_begun_again(
    sqlite_blog: Blog, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = sqlite_blog.lab
    sqlite_blog.pushed(shards=2)
    lab.full()
    half = lab.request(Mode.FULL)
    lab.run(half, shard=0)
    begun = lab.building()
    assert begun is not None

    sqlite_blog.pushed(shards=2, where="status = 'draft'")
    lab.run(half)

    assert lab.building() is None
    assert sqlite_blog.indexed == [n for n in range(ROWS) if n % 3 == 1]
    assert lab.lens.needs is Needs.NOTHING


def test_a_job_that_no_row_is_left_for_reads_nothing(blog: Blog) -> None:
    blog.incremental()
    blog.write("title = 'still a draft'", 4, 5)

    outcome = blog.lab.run(blog.lab.request(Mode.INCREMENTAL))

    assert (outcome.counts.written, outcome.counts.deleted) == (0, 0)
    with blog.lab.project.registry.read() as db:
        assert [job.error for job in jobs.recent(db, lens_id=blog.lab.lens.id)].count(None) > 1
    assert blog.indexed == PUBLISHED
