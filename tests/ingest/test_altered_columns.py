"""A column that gets another type: what the index can hold goes on, for the rest it says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from semilayer_pipelines.cli.status_document import status_of
from semilayer_pipelines.config.models import ProjectConfig
from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.control.push import PushAction, apply_push, plan_push
from semilayer_pipelines.errors import FieldsChanged, SchemaMismatch
from semilayer_pipelines.ingest.run_job import RunEnd, run_job
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.audit import audit
from semilayer_pipelines.queries.dry_run import dry_run
from semilayer_pipelines.registry import jobs
from semilayer_pipelines.registry.jobs import JobStatus, Mode
from semilayer_pipelines.registry.lenses import LensStatus, Needs
from tests.clock import Clock
from tests.lab import ENV, Lab
from tests.meddling import Meddled
from tests.sources import SourceDatabase

ROWS = 300
FIELDS = {
    "name": {"type": "text", "searchable": True},
    "size": {"type": "number"},
    "label": {"type": "text"},
    "made": {"type": "date"},
}


def altered(source: SourceDatabase, column: str, to: str, *, using: str | None = None) -> None:
    """Give a column another type, as a migration does."""
    match source.kind:
        case "postgres":
            how = f" USING {using}" if using else ""
            source.run(f"ALTER TABLE items ALTER COLUMN {column} TYPE {to}{how}")
        case "mariadb":
            source.run(f"ALTER TABLE items MODIFY {column} {to}")
        case "sqlite":
            source.run(
                f"ALTER TABLE items RENAME COLUMN {column} TO before",
                f"ALTER TABLE items ADD COLUMN {column} {to}",
                f"UPDATE items SET {column} = before",
                "ALTER TABLE items DROP COLUMN before",
            )


@pytest.fixture
def lab(source: SourceDatabase, tmp_path: Path) -> Lab:
    """An indexed lens with a whole number, a text and a date."""
    text = source.type("text")
    source.run(
        f"CREATE TABLE items (id INTEGER PRIMARY KEY, name {text}, size INTEGER, label {text},"
        " made DATE)"
    )
    source.insert("items", [(n, f"row {n}", n, str(n), "2024-05-01") for n in range(ROWS)])
    return made(tmp_path, source, {})


def made(tmp_path: Path, source: SourceDatabase, environ: dict[str, str]) -> Lab:
    folder = tmp_path / "project"
    folder.mkdir()
    lab = Lab.opened(folder, environ)
    lab.connection = source.url
    lab.push(fields=FIELDS)
    lab.full()
    return lab


def needs_a_rebuild_everywhere(lab: Lab) -> None:
    """Check that jobs, push, verify and status say so, and that a rebuild is the cure."""
    # given a sync, which writes nothing
    with pytest.raises(FieldsChanged, match="'size' gives numbers with fractions") as told:
        lab.sync()
    assert "semilayer resume --lens items" in told.value.cure
    assert lab.index.count() == ROWS
    lens = lab.lens
    assert (lens.status, lens.needs, lens.needs_you) == (LensStatus.ERROR, Needs.REBUILD, True)

    # then an audit does not take the rows for stale
    found = audit(lab.project, lens)
    assert found.rebuild
    assert "semilayer push --rebuild --lens items" in found.problems[0]
    with pytest.raises(FieldsChanged, match="semilayer push --rebuild --lens items"):
        dry_run(lab.project, ENV, "items")

    # and what it advises heals
    resumed = lifecycle.resume(lab.project, ENV, "items")
    assert resumed.job is not None
    assert resumed.job.mode is Mode.FULL
    lab.run(resumed.job)
    assert lab.lens.needs is Needs.NOTHING
    assert lab.audit().clean
    assert audit(lab.project, lab.lens).in_line


@pytest.mark.parametrize("to", ["NUMERIC(12, 3)", "DOUBLE PRECISION"])
def test_a_whole_number_that_gets_fractions_needs_a_rebuild(
    lab: Lab, source: SourceDatabase, to: str
) -> None:
    altered(source, "size", to)
    source.run(
        "UPDATE items SET size = 1.5 WHERE id = 7", "UPDATE items SET name = 'x' WHERE id = 8"
    )

    needs_a_rebuild_everywhere(lab)

    assert lab.object_of("7")["size"] == 1.5


def test_a_whole_number_that_becomes_a_text_needs_a_rebuild(
    lab: Lab, source: SourceDatabase
) -> None:
    altered(source, "size", source.type("text"), using="size::text")
    source.run("UPDATE items SET size = '2.25' WHERE id = 7")

    needs_a_rebuild_everywhere(lab)

    assert lab.object_of("7")["size"] == 2.25


@pytest.mark.parametrize("mode", [Mode.INCREMENTAL, Mode.RECORDS])
def test_no_mode_writes_what_the_index_cannot_hold(
    lab: Lab, source: SourceDatabase, mode: Mode
) -> None:
    altered(source, "size", "NUMERIC(12, 3)")

    job = lab.request(mode)
    with pytest.raises(FieldsChanged):
        lab.run(job)

    # It is tried again, as somebody may alter the table back; then all is well again.
    with lab.project.registry.read() as db:
        assert jobs.get(db, job.id).status is JobStatus.QUEUED
    altered(source, "size", "BIGINT")
    if mode is Mode.RECORDS:
        assert lab.run(job).ended is RunEnd.COMPLETED
    assert lab.sync().ended is RunEnd.COMPLETED
    assert lab.audit().clean


def plan_again(lab: Lab, *, fields: object = FIELDS) -> tuple[PushAction, Needs]:
    """Push the same file; return what is said of the lens."""
    lens = {"source": "main", "table": "items", "embedding": {"provider": "hash"}, "fields": fields}
    config = ProjectConfig.model_validate(
        {
            "stack": "test",
            "sources": {"main": {"bridge": "sql", "connection": lab.connection}},
            "lenses": {"items": lens},
        }
    )
    plan = plan_push(lab.project, config, ENV)
    apply_push(lab.project, plan)
    return plan.lenses[0].change, plan.lenses[0].needs


def test_a_push_of_the_same_file_says_that_the_index_needs_a_rebuild(
    lab: Lab, source: SourceDatabase
) -> None:
    assert plan_again(lab) == (PushAction.UNCHANGED, Needs.NOTHING)

    altered(source, "size", "NUMERIC(12, 3)")
    assert plan_again(lab) == (PushAction.UNCHANGED, Needs.REBUILD)
    (line,) = status_of(lab.project, ENV, "items").lenses
    assert line.next == "needs a rebuild: semilayer resume --lens items"

    # Altered back, it needs none.
    altered(source, "size", "INTEGER")
    assert plan_again(lab) == (PushAction.UNCHANGED, Needs.NOTHING)
    assert lab.lens.needs is Needs.NOTHING


def test_a_push_of_another_text_does_not_hide_that_the_index_needs_a_rebuild(
    lab: Lab, source: SourceDatabase
) -> None:
    altered(source, "size", "NUMERIC(12, 3)")
    heavier = FIELDS | {"name": {"type": "text", "searchable": {"weight": 2}}}

    assert plan_again(lab, fields=heavier) == (PushAction.UPDATED, Needs.REBUILD)


def test_a_push_of_the_same_file_asks_no_source_that_is_away(
    sqlite_source: SourceDatabase, tmp_path: Path
) -> None:
    sqlite_source.run("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, size, label, made)")
    lab = made(tmp_path, sqlite_source, {})
    Path(sqlite_source.url.removeprefix("sqlite:///")).unlink()

    assert plan_again(lab) == (PushAction.UNCHANGED, Needs.NOTHING)


WIDENED = {
    "a wider whole number": ("size", "BIGINT", None),
    "a date that becomes a time": ("made", "zoned moment", None),
    "a text that becomes a whole number": ("label", "INTEGER", "label::integer"),
    "a text that becomes a number": ("label", "NUMERIC(9, 2)", "label::numeric"),
}


@pytest.mark.parametrize("change", list(WIDENED))
def test_what_the_index_can_hold_goes_on_without_a_person(
    lab: Lab, source: SourceDatabase, change: str
) -> None:
    column, to, using = WIDENED[change]
    altered(source, column, source.type(to), using=using)
    source.run("UPDATE items SET name = 'after' WHERE id = 3")

    assert lab.sync().ended is RunEnd.COMPLETED

    assert plan_again(lab)[1] is Needs.NOTHING
    assert lab.audit().clean


def test_numbers_with_fractions_that_become_whole_ones_are_held(
    source: SourceDatabase, tmp_path: Path
) -> None:
    source.run(
        f"CREATE TABLE items (id INTEGER PRIMARY KEY, name {source.type('text')},"
        f" size NUMERIC(20, 2), label {source.type('text')}, made DATE)"
    )
    source.insert("items", [(n, f"row {n}", n, "x", "2024-05-01") for n in range(50)])
    lab = made(tmp_path, source, {})

    altered(source, "size", "BIGINT")
    source.run(f"UPDATE items SET size = {2**60 + 1} WHERE id = 7")

    assert lab.sync().ended is RunEnd.COMPLETED
    assert lab.object_of("7")["size"] == float(2**60 + 1)
    assert lab.audit().clean


@pytest.mark.parametrize("to", ["NUMERIC(12, 3)", "DOUBLE PRECISION"])
@pytest.mark.parametrize("mode", [Mode.FULL, Mode.SMART_SYNC])
@pytest.mark.parametrize("server", ["postgres", "mariadb"])
def test_a_table_that_is_altered_under_a_walk_is_looked_at_again(
    tmp_path: Path, request: pytest.FixtureRequest, server: str, mode: Mode, to: str
) -> None:
    """The description of a table is asked for once a run, and rows come a page at a time."""
    # given a walk that has read a first page when the migration runs
    source: SourceDatabase = request.getfixturevalue(f"{server}_source")
    source.run(
        "CREATE TABLE items (id INTEGER PRIMARY KEY, name VARCHAR(99), size INTEGER,"
        " label VARCHAR(99), made DATE)"
    )
    source.insert("items", [(n, f"row {n}", n, "x", "2024-05-01") for n in range(2_500)])
    lab = made(tmp_path, source, {})
    source.run("UPDATE items SET name = CONCAT(name, '!')")
    run_once: list[bool] = []

    def alter(_: Sequence[str]) -> None:
        if not run_once:
            run_once.append(True)
            altered(source, "size", to)
            source.run("UPDATE items SET size = 0.5 WHERE id > 2000")

    full = mode is Mode.FULL
    job = lifecycle.request_rebuild(lab.project, ENV, "items") if full else lab.request(mode)

    # when it goes on, then a rebuild ends with the new type, and a sync says what is needed
    if full:
        assert run_job(Meddled.of(lab.project, alter), job.id).ended is RunEnd.COMPLETED
        assert lab.object_of("2100")["size"] == 0.5
        assert lab.audit().clean
    else:
        with pytest.raises(FieldsChanged):
            run_job(Meddled.of(lab.project, alter), job.id)


@pytest.mark.parametrize(
    ("before", "to", "using"),
    [
        ("DATE", "TIMESTAMPTZ", None),
        ("BOOLEAN", "INTEGER", "made::integer"),
        ("INTEGER[]", "TEXT[]", None),
        ("TEXT", "DATE", "'2024-02-03'::date"),
        ("TIMESTAMP", "DATE", None),
        ("NUMERIC", "INTEGER", None),
    ],
)
def test_no_value_is_mapped_by_the_type_that_its_column_had(
    tmp_path: Path, postgres_source: SourceDatabase, before: str, to: str, using: str | None
) -> None:
    source = postgres_source
    array = before.endswith("[]")
    source.run(
        f"CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, size INTEGER, label TEXT,"
        f" made {before})"
    )
    value = {"BOOLEAN": "true", "INTEGER[]": "{1,2}", "NUMERIC": "7"}.get(before, "2024-01-01")
    source.run(
        f"INSERT INTO items SELECT n, 'row ' || n, n, 'x', '{value}'::{before}"
        " FROM generate_series(1, 2500) n"
    )
    folder = tmp_path / "project"
    folder.mkdir()
    lab = Lab.opened(folder, {})
    lab.connection = source.url
    lab.push(fields=FIELDS | {"made": {"type": "text", "array": array}})
    altered_once: list[bool] = []

    def alter(_: Sequence[str]) -> None:
        if not altered_once:
            altered_once.append(True)
            altered(source, "made", to, using=using)

    job = lifecycle.request_rebuild(lab.project, ENV, "items")
    outcome = run_job(Meddled.of(lab.project, alter), job.id)

    assert outcome.ended is RunEnd.COMPLETED
    lab.sync()
    assert lab.audit().clean


@pytest.mark.parametrize("to", ["REAL", "TEXT"])
def test_weaviate_says_so_as_well(
    tmp_path: Path, sqlite_source: SourceDatabase, environ: dict[str, str], to: str
) -> None:
    source = sqlite_source
    source.run(
        "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, size INTEGER, label TEXT,"
        " made DATE)"
    )
    source.insert("items", [(n, f"row {n}", n, str(n), "2024-05-01") for n in range(ROWS)])
    lab = made(tmp_path, source, environ)
    altered(source, "size", to)
    source.run("UPDATE items SET size = 1.5 WHERE id = 7")
    try:
        needs_a_rebuild_everywhere(lab)
        assert lab.object_of("7")["size"] == 1.5
    finally:
        store = Project(lab.project.settings, environ).store(ENV)
        for name in store.names():
            store.drop(name)


def test_a_tenant_whose_column_gets_fractions_waits_and_goes_on_when_it_is_altered_back(
    lab: Lab, source: SourceDatabase
) -> None:
    # given a lens whose tenant is a whole number, as long as its column is one
    lab.push(fields=FIELDS, tenant="size")
    lab.full()
    altered(source, "size", "DOUBLE PRECISION")

    # then its sync fails, and is tried again by itself
    job = lab.request(Mode.SMART_SYNC)
    with pytest.raises(SchemaMismatch, match="'size' may have fractions"):
        lab.run(job)
    with lab.project.registry.begin() as db:
        assert jobs.get(db, job.id).status is JobStatus.QUEUED
        jobs.hasten(db, job.id, lab.project.clock())
    assert not lab.lens.needs_you

    # and the next try succeeds
    altered(source, "size", "INTEGER")
    source.run("UPDATE items SET name = 'x' WHERE id = 8")
    assert lab.run(job).counts.written == 1
    assert lab.lens.status is LensStatus.READY


NUMBERS = ("BIGINT", "1700000000", "1700000100")
MOMENTS = ("moment", "'2023-11-14 22:13:20'", "'2023-11-14 22:15:00'")


def followed(
    source: SourceDatabase,
    tmp_path: Path,
    before: tuple[str, str, str],
    after: tuple[str, str, str],
) -> Lab:
    """Return a lens that was followed by a column of one type, which then got another one."""
    text = source.type("text")
    first, old, _ = before
    source.run(
        f"CREATE TABLE items (id INTEGER PRIMARY KEY, name {text}, changed {source.type(first)})",
        f"INSERT INTO items VALUES (1, 'one', {old}), (2, 'two', {old})",
    )
    folder = tmp_path / "project"
    folder.mkdir()
    lab = Lab.opened(folder, {})
    lab.connection = source.url
    name = {"type": "text", "searchable": True}
    clock = Clock(lab.project.clock())
    lab.project = replace(lab.project, clock=clock)
    lab.push(fields={"name": name}, changeTrackingColumn="changed")
    lab.full()
    for _ in range(3):  # until its values are settled
        clock.go_on(60)
        lab.run(lab.request(Mode.INCREMENTAL))
    second, same, _ = after
    source.run(
        "ALTER TABLE items RENAME COLUMN changed TO old",
        f"ALTER TABLE items ADD COLUMN changed {source.type(second)}",
        f"UPDATE items SET changed = {same}",
        "ALTER TABLE items DROP COLUMN old",
    )
    return lab


@pytest.mark.parametrize(
    ("before", "after"), [(NUMBERS, MOMENTS), (MOMENTS, NUMBERS)], ids=["to times", "to numbers"]
)
@pytest.mark.parametrize("rebuilt", [False, True], ids=["", "rebuilt"])
def test_a_tracked_column_of_another_type_is_followed_from_its_beginning(
    source: SourceDatabase,
    tmp_path: Path,
    before: tuple[str, str, str],
    after: tuple[str, str, str],
    rebuilt: bool,
) -> None:
    # given a lens whose tracked column got another type, and that may have been rebuilt since
    lab = followed(source, tmp_path, before, after)
    if rebuilt:
        lab.run(lifecycle.request_rebuild(lab.project, ENV, "items"))

    # when rows change
    source.run(f"UPDATE items SET name = 'new', changed = {after[2]} WHERE id = 2")
    found = lab.run(lab.request(Mode.INCREMENTAL)).counts
    source.run("INSERT INTO items SELECT 3, 'three', changed FROM items WHERE id = 2")
    again = lab.run(lab.request(Mode.INCREMENTAL)).counts

    # then what changes is brought in as before
    assert (found.read, found.written) == (2, 1)
    assert again.written == 1
    assert lab.audit().clean
