"""The outbox tells every change of its tables once, in the order of the commits of each row."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests.follow.outboxes import Outbox, installed
from tests.sources import SourceDatabase


@pytest.fixture
def outbox(postgres_source: SourceDatabase) -> Iterator[Outbox]:
    postgres_source.run("CREATE TABLE items (id int PRIMARY KEY, version int)")
    with installed(postgres_source) as found:
        yield found


def connected(source: SourceDatabase) -> psycopg.Connection:
    """A session of the application's own, with its transactions in its hands."""
    url = make_url(source.url).set(drivername="postgresql")
    return psycopg.connect(url.render_as_string(hide_password=False))


def test_reading_begins_with_the_word_that_all_tables_may_have_changed(
    postgres_source: SourceDatabase,
) -> None:
    postgres_source.run("CREATE TABLE items (id int PRIMARY KEY)")
    outbox = Outbox(postgres_source, {"items": ("id",)})
    outbox.install()

    first = outbox.drained()
    again = outbox.drained()
    outbox.uninstall()

    assert [dict(batch.missed) for batch in first] == [{"items": "reading begins"}]
    assert again == []


def test_inserts_updates_and_deletes_are_told_in_order_and_leave_the_outbox(
    outbox: Outbox,
) -> None:
    outbox.source.run(
        "INSERT INTO items VALUES (1, 1), (2, 2)",
        "UPDATE items SET version = 3 WHERE id = 1",
        "INSERT INTO items VALUES (1, 4) ON CONFLICT (id) DO UPDATE SET version = 4",
        "DELETE FROM items WHERE id = 2",
    )

    assert outbox.changes() == [
        ("upsert", "1"),
        ("upsert", "2"),
        ("upsert", "1"),
        ("upsert", "1"),
        ("delete", "2"),
    ]
    assert outbox.left() == 0


def test_what_is_not_confirmed_is_told_again(outbox: Outbox) -> None:
    outbox.source.run("INSERT INTO items VALUES (1, 1)")
    killed = outbox.feed()
    assert killed.read(0) is not None
    killed.close()

    assert outbox.changes() == [("upsert", "1")]


def test_what_is_rolled_back_is_not_told(outbox: Outbox) -> None:
    with connected(outbox.source) as session:
        session.execute("INSERT INTO items VALUES (1, 1)")
        session.rollback()

    assert outbox.changes() == []


def test_a_transaction_that_commits_after_later_ones_is_told_too(outbox: Outbox) -> None:
    with connected(outbox.source) as late:
        late.execute("INSERT INTO items VALUES (1, 1)")
        outbox.source.run("INSERT INTO items VALUES (2, 2)")
        before = outbox.changes()

        feed = outbox.feed()
        outbox.source.run("INSERT INTO items VALUES (3, 3)")
        batch = feed.read(0)
        late.commit()  # between what was read and what is deleted
        assert batch is not None
        feed.confirm(batch.position)
        feed.close()

    assert before == [("upsert", "2")]
    assert [change.row for change in batch.changes] == [("3",)]
    assert outbox.changes() == [("upsert", "1")]


def test_a_changed_key_is_the_delete_of_the_old_one_and_the_upsert_of_the_new(
    outbox: Outbox,
) -> None:
    outbox.source.run("INSERT INTO items VALUES (1, 1), (2, 2)")
    outbox.drained()

    outbox.source.run(
        "UPDATE items SET id = 9 WHERE id = 1", "UPDATE items SET id = 1 WHERE id = 2"
    )

    told = [("delete", "1"), ("upsert", "9"), ("delete", "2"), ("upsert", "1")]
    assert outbox.changes() == told


def test_keys_that_move_up_in_one_statement_never_end_in_a_delete(outbox: Outbox) -> None:
    outbox.source.run(
        "ALTER TABLE items DROP CONSTRAINT items_pkey",
        "ALTER TABLE items ADD PRIMARY KEY (id) DEFERRABLE",
        "INSERT INTO items VALUES (1, 1), (2, 2)",
    )
    outbox.install()
    outbox.drained()

    outbox.source.run("UPDATE items SET id = id + 1")

    last = {key: action for action, key in outbox.changes()}
    assert last == {"1": "upsert", "2": "upsert", "3": "upsert"}


def test_a_truncate_names_the_table(outbox: Outbox) -> None:
    outbox.source.run("INSERT INTO items VALUES (1, 1)", "TRUNCATE items")

    assert outbox.missed() == {"items": "it was truncated"}


def test_a_tables_triggers_find_the_outbox_whatever_the_search_path_is(outbox: Outbox) -> None:
    outbox.source.run(
        "CREATE SCHEMA other",
        "CREATE TABLE other.changes (seq int)",
        "SET search_path = other; INSERT INTO public.items VALUES (1, 1); RESET search_path",
        "DROP SCHEMA other CASCADE",
    )

    assert outbox.changes() == [("upsert", "1")]


def test_a_role_without_rights_on_the_outbox_can_still_write(outbox: Outbox) -> None:
    role = f"{outbox.name}_writer"
    outbox.source.run(
        f"CREATE ROLE {role}",
        f"GRANT USAGE ON SCHEMA public TO {role}",
        f"GRANT INSERT ON items TO {role}",
        f"SET ROLE {role}; INSERT INTO items VALUES (1, 1); RESET ROLE",
        f"DROP OWNED BY {role}",
        f"DROP ROLE {role}",
    )

    assert outbox.changes() == [("upsert", "1")]


def test_a_session_that_was_open_when_the_type_of_a_key_changed_can_still_write(
    outbox: Outbox,
) -> None:
    with connected(outbox.source) as session:
        session.execute("INSERT INTO items VALUES (1, 1)")
        session.commit()
        outbox.source.run("ALTER TABLE items ALTER COLUMN id TYPE bigint")
        session.execute("INSERT INTO items VALUES (5000000000, 1)")
        session.commit()

    assert outbox.changes() == [("upsert", "1"), ("upsert", "5000000000")]


def test_a_key_column_that_was_renamed_keeps_nobody_from_writing(outbox: Outbox) -> None:
    outbox.source.run(
        "ALTER TABLE items RENAME COLUMN id TO number",
        "INSERT INTO items VALUES (1, 1)",
    )

    feed = outbox.feed()
    batch = feed.read(0)
    feed.close()

    assert batch is not None
    assert batch.changes == []
    assert batch.missed == {"items": "a column of its key was renamed or dropped"}


@pytest.mark.parametrize(
    "lost",
    [
        "ALTER TABLE items DISABLE TRIGGER ALL",
        "DROP TABLE items; CREATE TABLE items (id int PRIMARY KEY, version int)",
    ],
)
def test_changes_that_are_not_noted_any_more_are_said_to_be_and_install_mends_it(
    outbox: Outbox, lost: str
) -> None:
    outbox.source.run(lost)

    # given that it is seen, and that somebody writes meanwhile
    assert "semilayer cdc install" in outbox.missed()["items"]
    outbox.source.run("INSERT INTO items VALUES (7, 1)")
    assert outbox.drained() == []

    # then what was not noted is missed, and what comes is told
    outbox.install()
    outbox.source.run("INSERT INTO items VALUES (1, 1)")
    changes, missed = outbox.told()
    assert changes == [("upsert", "1")]
    assert set(missed) == {"items"}


def test_a_partition_that_comes_or_goes_is_missed_and_its_rows_are_told(
    postgres_source: SourceDatabase,
) -> None:
    postgres_source.run(
        "CREATE TABLE items (id int PRIMARY KEY, version int) PARTITION BY RANGE (id)",
        "CREATE TABLE low PARTITION OF items FOR VALUES FROM (0) TO (10)",
    )
    with installed(postgres_source) as outbox:
        postgres_source.run(
            "CREATE TABLE high PARTITION OF items FOR VALUES FROM (10) TO (20)",
            "INSERT INTO items VALUES (1, 1)",
            "INSERT INTO high VALUES (11, 1)",
            "UPDATE items SET id = 12 WHERE id = 1",
        )
        batches = outbox.drained()
        assert [(c.action.value, *c.row) for batch in batches for c in batch.changes] == [
            ("upsert", "1"),
            ("upsert", "11"),
            ("delete", "1"),
            ("upsert", "12"),
        ]
        assert list(batches[0].missed) == ["items"]

        # and a TRUNCATE of one partition alone is heard of, once it has its trigger
        outbox.install()
        postgres_source.run("TRUNCATE high")
        assert outbox.missed() == {"items": "it was truncated"}

        postgres_source.run("ALTER TABLE items DETACH PARTITION low")
        assert list(outbox.missed()) == ["items"]


def test_rows_of_a_table_that_inherits_are_told_too(postgres_source: SourceDatabase) -> None:
    postgres_source.run(
        "CREATE TABLE items (id int PRIMARY KEY)",
        "CREATE TABLE heir (more text) INHERITS (items)",
    )
    with installed(postgres_source) as outbox:
        postgres_source.run("INSERT INTO heir VALUES (1)", "TRUNCATE heir")

        batches = outbox.drained()

    assert [c.row for batch in batches for c in batch.changes] == [("1",)]
    assert batches[0].missed == {"items": "it was truncated"}


@pytest.mark.parametrize(
    ("made", "watched"),
    [
        (["CREATE TABLE items (id int PRIMARY KEY)"], ["items", "public.items"]),
        (
            [
                "CREATE TABLE items (id int PRIMARY KEY) PARTITION BY RANGE (id)",
                "CREATE TABLE few PARTITION OF items FOR VALUES FROM (0) TO (9)",
            ],
            ["items", "few"],
        ),
        (
            [
                "CREATE TABLE items (id int PRIMARY KEY) PARTITION BY RANGE (id)",
                "CREATE TABLE few PARTITION OF items FOR VALUES FROM (0) TO (9)",
            ],
            ["few", "items"],
        ),
        (
            [
                "CREATE TABLE items (id int PRIMARY KEY)",
                "CREATE TABLE few (PRIMARY KEY (id)) INHERITS (items)",
            ],
            ["items", "few"],
        ),
    ],
    ids=["two spellings", "whole first", "partition first", "heir"],
)
def test_several_names_that_stand_for_one_table_are_each_told(
    postgres_source: SourceDatabase, made: list[str], watched: list[str]
) -> None:
    # Given lenses that read a table by two names, or a table and a part of it
    postgres_source.run(*made)
    part = "items" if "few" not in watched else "few"
    with installed(postgres_source, {name: ("id",) for name in watched}) as outbox:
        setup = outbox.setup()
        assert setup.to_install() == ()
        setup.close()

        # When a row of the part is written, and then all of them go
        postgres_source.run(f"INSERT INTO {part} VALUES (1)", f"TRUNCATE {part}")

        # Then each name is told of both
        batches = outbox.drained()
        changes = {(one.table, one.row) for batch in batches for one in batch.changes}
        assert changes == {(name, ("1",)) for name in watched}
        assert {table for batch in batches for table in batch.missed} == set(watched)


def test_notes_of_other_key_columns_are_never_read_as_keys(
    postgres_source: SourceDatabase,
) -> None:
    postgres_source.run("CREATE TABLE items (id int PRIMARY KEY, sku text UNIQUE)")
    with installed(postgres_source) as outbox:
        postgres_source.run("INSERT INTO items VALUES (1, '7')")
        outbox.watched = {"items": ("sku",)}
        outbox.install()
        postgres_source.run("INSERT INTO items VALUES (2, '8')")

        batches = outbox.drained()

    assert [c.row for batch in batches for c in batch.changes] == [("8",)]
    assert dict(batches[0].missed) == {"items": "the columns of its key were others"}


def test_many_notes_come_in_batches_each_of_which_leaves_the_outbox(outbox: Outbox) -> None:
    outbox.source.run("INSERT INTO items SELECT g, 0 FROM generate_series(1, 12000) AS g")

    batches = outbox.drained()

    told = [change.row[0] for batch in batches for change in batch.changes]
    assert told == [str(number) for number in range(1, 12_001)]
    assert [len(batch.changes) for batch in batches] == [5_000, 5_000, 2_000]
    assert outbox.left() == 0


def test_the_lag_is_the_age_of_the_oldest_note(outbox: Outbox) -> None:
    feed = outbox.feed()
    assert feed.lag().seconds == 0.0
    outbox.source.run("INSERT INTO items VALUES (1, 1)")

    behind = feed.lag()
    feed.close()

    assert behind.size is not None
    assert behind.size > 0
    assert behind.seconds is not None
    assert behind.seconds > 0
