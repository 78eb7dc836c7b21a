"""Tables without a primary key: a unique index stands in for it, or SQLite's number of a row."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from semilayer_pipelines.errors import FieldsChanged, GuardStopped, SchemaMismatch
from semilayer_pipelines.queries.audit import audit
from semilayer_pipelines.queries.explain import explain
from semilayer_pipelines.registry import generations
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import Needs
from semilayer_pipelines.stores.protocol import KEY
from tests.clock import Clock
from tests.ingest.blog import Blog
from tests.lab import ENV, Lab
from tests.sources import SourceDatabase

FIELDS = {"about": {"type": "text", "searchable": True}}


@pytest.fixture
def goods(source: SourceDatabase, tmp_path: Path) -> Blog:
    """Ten goods without a primary key, of which `code` is unique; indexed."""
    text = source.type("text")
    folder = tmp_path / "project"
    folder.mkdir()
    source.run(f"CREATE TABLE goods (code {text} NOT NULL, nr INTEGER NOT NULL, about {text})")
    source.run("CREATE UNIQUE INDEX by_code ON goods (code)")
    source.insert("goods", [(f"c{n}", n, f"thing {n}") for n in range(10)])
    lab = Lab.opened(folder, {"BLOG": source.url})
    made = Blog(lab, source, Clock(), 0)
    push(made)
    lab.full()
    return made


def push(goods: Blog, **lens: object) -> None:
    goods.lab.connection = "${BLOG}"
    goods.lab.push(**{"table": "goods", "fields": FIELDS} | lens)


def keys(lab: Lab) -> set[str]:
    return {*lab.indexed()[KEY]}


def test_rows_are_known_by_a_unique_index_that_every_row_is_in(goods: Blog) -> None:
    assert keys(goods.lab) == {f"c{n}" for n in range(10)}

    goods.source.run("UPDATE goods SET about = 'another thing' WHERE nr = 3")
    goods.source.run("DELETE FROM goods WHERE nr = 4")
    goods.tell("c3", "c4")
    goods.lab.apply_all()
    goods.source.run("INSERT INTO goods VALUES ('c10', 10, 'a new thing')")
    goods.lab.sync()

    assert keys(goods.lab) == {f"c{n}" for n in range(11)} - {"c4"}
    assert audit(goods.lab.project, goods.lab.lens).in_line


def test_naming_the_key_that_was_found_needs_nothing(goods: Blog) -> None:
    push(goods, primaryKey="code")
    assert goods.needs() is Needs.NOTHING

    push(goods, primaryKey="nr")
    assert goods.needs() is Needs.REBUILD


def test_a_key_that_the_table_gets_later_is_for_the_next_index(goods: Blog) -> None:
    goods.source.run("CREATE UNIQUE INDEX by_nr ON goods (nr)")
    goods.source.run("UPDATE goods SET about = 'another thing' WHERE nr = 3")

    # Nothing is written under keys of two kinds.
    with pytest.raises(FieldsChanged, match=r"key of table 'goods' is nr now.*by code"):
        goods.lab.run(goods.lab.request(Mode.SMART_SYNC))
    assert goods.needs() is Needs.REBUILD
    assert keys(goods.lab) == {f"c{n}" for n in range(10)}

    # The index is kept in sync as it was built, until it is rebuilt.
    goods.lab.sync()
    assert goods.lab.object_of("c3")["about"] == "another thing"
    assert keys(goods.lab) == {f"c{n}" for n in range(10)}

    goods.lab.full()
    assert keys(goods.lab) == {str(n) for n in range(10)}
    assert goods.needs() is Needs.NOTHING


def test_a_push_sees_that_the_table_has_another_key(goods: Blog) -> None:
    goods.source.run("CREATE UNIQUE INDEX by_nr ON goods (nr)")

    push(goods)

    assert goods.needs() is Needs.REBUILD
    found = audit(goods.lab.project, goods.lab.lens).found
    assert not any(one.count for one in found.values()), "it is not kept as it was built"

    push(goods, primaryKey="code")
    assert goods.needs() is Needs.NOTHING


def test_an_index_of_an_older_version_does_not_say_its_key_and_goes_on(goods: Blog) -> None:
    with goods.lab.project.registry.begin() as db:
        active = generations.active(db, goods.lab.lens.id)
        assert active is not None
        generations.adopt(
            db,
            active.id,
            mapping_fingerprint=active.mapping_fingerprint,
            config=goods.lab.lens.config,
        )

    push(goods)
    goods.lab.sync()

    assert goods.needs() is Needs.NOTHING
    assert keys(goods.lab) == {f"c{n}" for n in range(10)}


def test_a_key_that_is_named_like_a_secret_is_not_taken_unasked(
    sqlite_source: SourceDatabase, tmp_path: Path
) -> None:
    sqlite_source.run("CREATE TABLE goods (api_token TEXT NOT NULL UNIQUE, about TEXT)")
    lab = Lab.opened(tmp_path, {"BLOG": sqlite_source.url})

    with pytest.raises(SchemaMismatch, match=r"no unique index without NULL.*'rowid'"):
        push(Blog(lab, sqlite_source, Clock(), 0))


@pytest.fixture
def notes(sqlite_source: SourceDatabase, tmp_path: Path) -> Blog:
    """Twenty notes in a table that has no key at all, indexed by their row numbers."""
    sqlite_source.run("CREATE TABLE goods (about TEXT, status TEXT)")
    sqlite_source.insert("goods", [(f"note {n}", "shown") for n in range(1, 21)])
    made = Blog(Lab.opened(tmp_path, {"BLOG": sqlite_source.url}), sqlite_source, Clock(), 0)
    push(made, primaryKey="rowid", where="status = 'shown'", shards=2)
    made.lab.full()
    return made


def test_rows_are_known_by_the_number_that_sqlite_gives_them(notes: Blog) -> None:
    assert keys(notes.lab) == {str(n) for n in range(1, 21)}

    notes.source.run(
        "UPDATE goods SET about = 'another note' WHERE rowid = 3",
        "DELETE FROM goods WHERE rowid = 4",
        "UPDATE goods SET status = 'hidden' WHERE rowid = 5",
    )
    notes.tell(3, 4, 5)
    notes.lab.apply_all()

    assert keys(notes.lab) == {str(n) for n in range(1, 21)} - {"4", "5"}
    assert audit(notes.lab.project, notes.lab.lens).in_line
    told = explain(notes.lab.project, ENV, notes.lab.name, "03")
    assert told.verdict == "It is indexed as it is in the source."


def test_a_smart_sync_heals_what_a_vacuum_renumbered(notes: Blog) -> None:
    notes.source.run("DELETE FROM goods WHERE rowid % 2 = 1")
    notes.lab.sync(confirmed=True)
    assert keys(notes.lab) == {str(n) for n in range(2, 21, 2)}

    vacuumed = sqlite3.connect(notes.source.url.removeprefix("sqlite:///"), isolation_level=None)
    vacuumed.execute("VACUUM")
    numbers = [row[0] for row in vacuumed.execute("SELECT rowid FROM goods")]
    vacuumed.close()
    assert numbers == list(range(1, 11)), "SQLite did not number the rows again"
    notes.lab.sync()

    assert keys(notes.lab) == {str(n) for n in range(1, 11)}
    assert notes.lab.object_of("1")["about"] == "note 2"
    assert audit(notes.lab.project, notes.lab.lens).in_line


def test_a_vacuum_of_many_rows_does_not_get_past_the_guard(notes: Blog) -> None:
    notes.source.insert("goods", [(f"more {n}", "shown") for n in range(400)])
    notes.lab.sync()
    notes.source.run("DELETE FROM goods WHERE rowid <= 200")
    notes.lab.sync(confirmed=True)

    vacuumed = sqlite3.connect(notes.source.url.removeprefix("sqlite:///"), isolation_level=None)
    vacuumed.execute("VACUUM")
    vacuumed.close()

    with pytest.raises(GuardStopped):
        notes.lab.sync()
    notes.lab.sync(confirmed=True)
    assert audit(notes.lab.project, notes.lab.lens).in_line


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ("CREATE TABLE goods (id INTEGER PRIMARY KEY, about TEXT)", "no column 'rowid'"),
        ("CREATE TABLE goods (id TEXT PRIMARY KEY, about TEXT) WITHOUT ROWID", "no column 'rowid'"),
        ("CREATE VIEW goods AS SELECT 'x' AS about", "no column 'rowid'"),
    ],
)
def test_a_table_without_such_a_number_is_refused(
    sqlite_source: SourceDatabase, tmp_path: Path, made: str, says: str
) -> None:
    sqlite_source.run(made)
    lab = Lab.opened(tmp_path, {"BLOG": sqlite_source.url})

    with pytest.raises(SchemaMismatch, match=says):
        push(Blog(lab, sqlite_source, Clock(), 0), primaryKey="rowid")


def test_a_column_that_is_called_so_is_a_column(
    sqlite_source: SourceDatabase, tmp_path: Path
) -> None:
    sqlite_source.run(
        "CREATE TABLE goods (rowid TEXT NOT NULL, about TEXT)",
        "INSERT INTO goods VALUES ('a', 'one'), ('b', 'two')",
    )
    made = Blog(Lab.opened(tmp_path, {"BLOG": sqlite_source.url}), sqlite_source, Clock(), 0)
    push(made, primaryKey="rowid")

    made.lab.full()

    assert keys(made.lab) == {"a", "b"}
