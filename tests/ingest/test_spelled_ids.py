"""A change names its row in any spelling that the source takes for the same, and no other row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.counts import Counts
from semilayer_pipelines.ingest import records
from semilayer_pipelines.ingest.run_job import RunEnd, run_job
from semilayer_pipelines.queries.explain import explain
from semilayer_pipelines.registry import changes, failed_rows
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.stores.protocol import KEY
from tests.lab import ENV, Lab
from tests.meddling import Meddled
from tests.sources import SourceDatabase

UPSERT, DELETE = Action.UPSERT, Action.DELETE
LOOSE = {"sqlite": "TEXT COLLATE NOCASE", "postgres": "citext", "mariadb": "VARCHAR(20)"}
KEYS = ("Alice", "Bob", "Carol")


def lab_of(source: SourceDatabase, folder: Path, declared: str, *keys: object) -> Lab:
    """Return a lens over a table with such a key, indexed."""
    text = source.type("text")
    source.run(f"CREATE TABLE items (id {declared} NOT NULL PRIMARY KEY, title {text})")
    source.insert("items", [(key, "old") for key in keys])
    return indexed(source, folder)


def indexed(source: SourceDatabase, folder: Path) -> Lab:
    folder = folder / "project"
    folder.mkdir()
    lab = Lab.opened(folder, {})
    lab.connection = source.url
    lab.push(fields={"title": {"type": "text", "searchable": True}})
    lab.full()
    return lab


@pytest.fixture
def lab(source: SourceDatabase, tmp_path: Path) -> Lab:
    """A lens whose key ignores case."""
    if source.kind == "postgres":
        source.run("CREATE EXTENSION IF NOT EXISTS citext")
    return lab_of(source, tmp_path, LOOSE[source.kind], *KEYS)


def name(lab: Lab, *named: tuple[str, Action]) -> None:
    with lab.project.registry.begin() as db:
        changes.append(db, lab.lens.id, named, lab.project.clock())


def apply(lab: Lab, *named: tuple[str, Action]) -> Counts:
    """Apply changes, and tell what they did."""
    name(lab, *named)
    done = lab.run(lab.request(Mode.RECORDS))
    assert done.ended is RunEnd.COMPLETED
    return done.counts


def titles(lab: Lab) -> dict[str, object]:
    return {key: lab.object_of(key)["title"] for key in sorted(lab.indexed()[KEY])}


def set_aside(lab: Lab) -> dict[str, str]:
    with lab.project.registry.read() as db:
        return {row.key: row.reason for row in failed_rows.list_all(db, lab.lens.id, limit=100)}


def buffered(lab: Lab) -> int:
    with lab.project.registry.read() as db:
        return changes.buffered(db, lab.lens.id)


def test_an_upsert_writes_the_row_under_its_own_key(source: SourceDatabase, lab: Lab) -> None:
    source.run("UPDATE items SET title = 'new' WHERE id = 'Alice'")

    counts = apply(lab, ("ALICE", UPSERT), ("alice", UPSERT))

    assert titles(lab) == {"Alice": "new", "Bob": "old", "Carol": "old"}
    assert (counts.read, counts.written, counts.deleted, counts.not_found) == (1, 1, 0, 0)
    assert (buffered(lab), set_aside(lab)) == (0, {})


def test_a_delete_finds_the_row_that_is_still_there(lab: Lab) -> None:
    counts = apply(lab, ("ALICE", DELETE))

    assert titles(lab).keys() == {"Bob", "Carol"}
    assert counts.deleted == 1


def test_a_delete_finds_what_the_index_has_of_a_row_that_is_gone(
    source: SourceDatabase, lab: Lab
) -> None:
    source.run("DELETE FROM items WHERE id = 'Alice'")

    assert apply(lab, ("aLiCe", DELETE)).deleted == 1
    assert lab.audit().clean
    # and told again, it is nothing new
    assert apply(lab, ("aLiCe", DELETE), ("alice", DELETE)).deleted == 0
    assert (buffered(lab), set_aside(lab)) == (0, {})


@pytest.mark.parametrize("declared", ["INT UNSIGNED", "BIGINT UNSIGNED", "YEAR", "INT(5) ZEROFILL"])
def test_rows_of_an_unsigned_key_that_are_gone_are_deleted_in_any_spelling(
    mariadb_source: SourceDatabase, tmp_path: Path, declared: str
) -> None:
    lab = lab_of(mariadb_source, tmp_path, declared, 2001, 2002, 2003, 2004)
    mariadb_source.run("DELETE FROM items WHERE id < 2004")

    told = apply(lab, ("2001", DELETE), ("02002", DELETE), ("2003.0", DELETE), ("2050", DELETE))

    assert told.deleted == 3
    assert titles(lab) == {"2004": "old"}
    assert set_aside(lab) == {}


@pytest.mark.parametrize(
    ("declared", "changed", "kept"),
    [
        ("DECIMAL(8,2) ZEROFILL", "002004.00", "002005.00"),
        ("DECIMAL(12) ZEROFILL", "000000002004", "000000002005"),
        ("DECIMAL(4) ZEROFILL", "2004", "2005"),
    ],
)
def test_rows_of_a_decimal_key_with_leading_zeros_are_known_in_any_spelling(
    mariadb_source: SourceDatabase, tmp_path: Path, declared: str, changed: str, kept: str
) -> None:
    lab = lab_of(mariadb_source, tmp_path, declared, 2001, 2002, 2003, 2004, 2005)
    mariadb_source.run("DELETE FROM items WHERE id < 2003")
    mariadb_source.run("UPDATE items SET title = 'new' WHERE id = 2004")

    deleted = [(key, DELETE) for key in ("2001", "02002.0", "2003", "2050")]
    told = apply(lab, *deleted, ("2004", UPSERT))

    assert (told.deleted, told.written) == (3, 1)
    assert titles(lab) == {changed: "new", kept: "old"}
    assert set_aside(lab) == {}


@pytest.mark.parametrize(
    ("declared", "shown"),
    [
        ("DECIMAL(2,2) ZEROFILL", "0.50"),
        ("DECIMAL(3,2) ZEROFILL", "0.50"),
        ("DECIMAL(4,2) ZEROFILL", "00.50"),
    ],
)
def test_leading_zeros_are_as_many_as_the_server_shows(
    mariadb_source: SourceDatabase, tmp_path: Path, declared: str, shown: str
) -> None:
    lab = lab_of(mariadb_source, tmp_path, declared, "0.5")

    assert titles(lab) == {shown: "old"}
    assert apply(lab, (".5", DELETE)).deleted == 1


def test_a_row_whose_key_was_written_anew_is_there_once(source: SourceDatabase, lab: Lab) -> None:
    source.run("UPDATE items SET id = 'ALICE', title = 'new' WHERE id = 'Alice'")

    apply(lab, ("Alice", UPSERT))

    assert titles(lab) == {"ALICE": "new", "Bob": "old", "Carol": "old"}


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ((("alice", DELETE), ("ALICE", UPSERT)), "new"),
        ((("Alice", DELETE), ("ALICE", UPSERT)), "new"),
        ((("alice", DELETE), ("Alice", UPSERT)), "new"),
        ((("alice", UPSERT), ("ALICE", DELETE)), None),
        ((("Alice", UPSERT), ("ALICE", DELETE)), None),
        ((("alice", UPSERT), ("Alice", DELETE)), None),
        ((("alice", UPSERT), ("ALICE", DELETE), ("aLICE", UPSERT)), "new"),
    ],
)
@pytest.mark.parametrize("claimed", [1, 1_000])
def test_of_two_spellings_of_one_row_the_newest_change_wins(
    source: SourceDatabase,
    lab: Lab,
    monkeypatch: pytest.MonkeyPatch,
    told: Sequence[tuple[str, Action]],
    left: str | None,
    claimed: int,
) -> None:
    monkeypatch.setattr(records, "CLAIM_ROWS", claimed)
    source.run("UPDATE items SET title = 'new' WHERE id = 'Alice'")

    apply(lab, *told)

    assert titles(lab).get("Alice") == left
    assert titles(lab).keys() - {"Alice"} == {"Bob", "Carol"}
    assert buffered(lab) == 0


def test_a_newer_change_in_an_earlier_batch_is_not_undone_by_an_older_one(
    source: SourceDatabase, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a batch that takes the last change of a key with the first
    monkeypatch.setattr(records, "CLAIM_ROWS", 1)
    source.run("UPDATE items SET title = 'new' WHERE id IN ('Alice', 'Bob')")

    apply(lab, ("Alice", UPSERT), ("ALICE", DELETE), ("Alice", UPSERT))
    apply(lab, ("Bob", DELETE), ("BOB", UPSERT), ("Bob", DELETE))

    assert titles(lab) == {"Alice": "new", "Carol": "old"}


def test_a_walk_that_read_a_row_before_does_not_bring_it_back(
    source: SourceDatabase, lab: Lab
) -> None:
    # given a sync that has read a row, when the row is deleted and told in another spelling
    source.run("UPDATE items SET title = 'read by the sync' WHERE id IN ('Alice', 'Bob')")
    came: list[bool] = []

    def overtake(_: Sequence[str]) -> None:
        if not came:
            came.append(True)
            source.run("DELETE FROM items WHERE id = 'Alice'")
            apply(lab, ("ALICE", DELETE))

    run_job(Meddled.of(lab.project, overtake), lab.request(Mode.SMART_SYNC).id)

    assert titles(lab) == {"Bob": "read by the sync", "Carol": "old"}


def test_a_rebuild_replays_changes_in_any_spelling(source: SourceDatabase, lab: Lab) -> None:
    came: list[bool] = []

    def meanwhile(_: Sequence[str]) -> None:
        if not came:
            came.append(True)
            source.run(
                "DELETE FROM items WHERE id = 'Alice'",
                "UPDATE items SET title = 'new' WHERE id = 'Bob'",
            )
            name(lab, ("ALICE", DELETE), ("BOB", UPSERT), ("never", UPSERT))

    run_job(
        Meddled.of(lab.project, meanwhile, fingerprint="another model"),
        lifecycle.request_rebuild(lab.project, ENV, lab.name).id,
    )

    assert titles(lab) == {"Bob": "new", "Carol": "old"}


def test_explain_takes_an_id_in_any_spelling(source: SourceDatabase, lab: Lab) -> None:
    told = explain(lab.project, ENV, lab.name, "aLiCe")

    assert (told.key, told.verdict) == ("Alice", "It is indexed as it is in the source.")
    source.run("DELETE FROM items WHERE id = 'Alice'")
    told = explain(lab.project, ENV, lab.name, "ALICE")
    assert (told.key, told.row, told.indexed is None) == ("Alice", None, False)


# Keys that have one form.


def test_an_id_that_no_row_can_have_is_a_failed_row_and_touches_no_other(
    source: SourceDatabase, tmp_path: Path
) -> None:
    lab = lab_of(source, tmp_path, "INTEGER", 0, 1, 7)
    source.run("UPDATE items SET title = 'new' WHERE id = 7")

    counts = apply(lab, ("abc", UPSERT), ("1x", DELETE), ("", DELETE), ("007", UPSERT))

    assert titles(lab) == {"0": "old", "1": "old", "7": "new"}
    assert (counts.failed, counts.written, counts.deleted) == (3, 1, 0)
    assert set_aside(lab) == dict.fromkeys(
        ("abc", "1x", ""), "no row of the table can have this id: not an integer"
    )
    assert buffered(lab) == 0

    # A retry tells the same, and a sync forgets them: there is no such row.
    job = lifecycle.retry_failed(lab.project, ENV, lab.name)
    assert job is not None
    assert lab.run(job).counts.failed == 3
    lab.sync()
    assert set_aside(lab) == {}
    assert titles(lab).keys() == {"0", "1", "7"}


def test_a_delete_of_a_row_that_is_gone_is_resolved_without_it(
    source: SourceDatabase, tmp_path: Path
) -> None:
    lab = lab_of(source, tmp_path, "INTEGER", 1, 7, 8)
    source.run("DELETE FROM items WHERE id IN (7, 8)")

    assert apply(lab, ("007", DELETE), ("8.0", DELETE), ("009", DELETE)).deleted == 2
    assert titles(lab).keys() == {"1"}


def test_a_row_that_was_set_aside_under_another_spelling_is_off_the_list_when_it_goes_through(
    mariadb_source: SourceDatabase, tmp_path: Path
) -> None:
    lab = lab_of(mariadb_source, tmp_path, "INTEGER", 7)
    with lab.project.registry.begin() as db:
        failed_rows.record(
            db,
            lab.lens.id,
            {"007": ("reading", "a reason of old")},
            job_id="before",
            now=lab.project.clock(),
        )

    apply(lab, ("007", UPSERT))

    assert set_aside(lab) == {}


def test_an_upsert_of_a_small_number_never_deletes_its_row(
    mariadb_source: SourceDatabase, tmp_path: Path
) -> None:
    lab = lab_of(mariadb_source, tmp_path, "TINYINT(1)", 0, 1, 2)
    mariadb_source.run("UPDATE items SET title = 'new'")

    counts = apply(lab, ("02", UPSERT), ("true", UPSERT), ("0", UPSERT), ("yes", UPSERT))

    assert titles(lab) == {"0": "new", "1": "new", "2": "new"}
    assert (counts.deleted, list(set_aside(lab))) == (0, ["yes"])


def test_parts_of_a_composite_key_are_each_resolved(source: SourceDatabase, tmp_path: Path) -> None:
    text = source.type("text")
    source.run(
        f"CREATE TABLE items (doc INTEGER, lang {text}, title {text}, PRIMARY KEY (doc, lang))"
    )
    source.insert("items", [(7, "en", "old"), (7, "de", "old"), (8, "en", "old")])
    lab = indexed(source, tmp_path)
    source.run(
        "UPDATE items SET title = 'new' WHERE doc = 7 AND lang = 'en'",
        "DELETE FROM items WHERE doc = 8",
    )

    counts = apply(lab, ('[7, "en"]', UPSERT), ('[8,"en"]', DELETE), ("[7]", DELETE))

    assert titles(lab) == {'["7","de"]': "old", '["7","en"]': "new"}
    assert (counts.written, counts.deleted, list(set_aside(lab))) == (1, 1, ["[7]"])


def test_a_uuid_in_capitals_is_upserted_and_deleted(
    postgres_source: SourceDatabase, tmp_path: Path
) -> None:
    one, two = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    lab = lab_of(postgres_source, tmp_path, "uuid", one, two)
    postgres_source.run(
        f"UPDATE items SET title = 'new' WHERE id = '{one}'",
        f"DELETE FROM items WHERE id = '{two}'",
    )

    apply(lab, (one.upper(), UPSERT), (two.replace("-", "").upper(), DELETE))

    assert titles(lab) == {one: "new"}
