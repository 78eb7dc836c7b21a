"""The triggers note every change, in the transaction that makes it, under the index's own id."""

from __future__ import annotations

import uuid

import psycopg
import pytest

from tests.examples.workers import EXAMPLES, Index, indexed_key


@pytest.fixture
def database(outbox: Index) -> psycopg.Connection:
    return outbox.connection


def noted(database: psycopg.Connection, lens: str = "products") -> list[tuple[str, str]]:
    rows = database.execute(
        "DELETE FROM semilayer_changes WHERE lens = %s RETURNING seq, id, action", (lens,)
    )
    return [(id, action) for _, id, action in sorted(rows.fetchall())]


def test_inserts_updates_and_deletes_are_noted_in_order(database: psycopg.Connection) -> None:
    database.execute("INSERT INTO products VALUES (1, 1), (2, 2)")
    database.execute("UPDATE products SET version = 3 WHERE id = 1")
    database.execute("DELETE FROM products WHERE id = 2")
    assert noted(database) == [
        ("1", "upsert"),
        ("2", "upsert"),
        ("1", "upsert"),
        ("2", "delete"),
    ]


def test_what_is_rolled_back_is_not_noted(database: psycopg.Connection) -> None:
    with database.transaction(force_rollback=True):
        database.execute("INSERT INTO products VALUES (1, 1)")
    assert noted(database) == []


def test_keys_that_move_in_one_statement_never_end_in_a_delete(
    database: psycopg.Connection,
) -> None:
    database.execute("ALTER TABLE products DROP CONSTRAINT products_pkey")
    database.execute("ALTER TABLE products ADD PRIMARY KEY (id) DEFERRABLE INITIALLY DEFERRED")
    database.execute("INSERT INTO products VALUES (1, 1), (2, 2)")
    noted(database)
    database.execute("UPDATE products SET id = id + 1")
    assert set(noted(database)) == {("1", "upsert"), ("2", "upsert"), ("3", "upsert")}


def test_truncate_is_noted_as_the_delete_of_every_row(database: psycopg.Connection) -> None:
    database.execute("INSERT INTO products VALUES (1, 1), (2, 2)")
    noted(database)
    database.execute("TRUNCATE products")
    assert noted(database) == [("1", "delete"), ("2", "delete")]


@pytest.mark.parametrize("part", ["en", 'with "quotes" \\ and, comma', "é🜚", "line\nbreak\u0001"])
def test_a_composite_key_is_written_as_the_index_writes_it(
    database: psycopg.Connection, part: str
) -> None:
    database.execute('CREATE TABLE "Odd Texts" (language text, "No" int)')
    database.execute("""SELECT semilayer_watch('"Odd Texts"', 'texts', 'No', 'language')""")
    database.execute('INSERT INTO "Odd Texts" VALUES (%s, 7)', (part,))
    assert noted(database, "texts") == [(indexed_key("7", part), "upsert")]


def test_a_role_without_rights_on_the_outbox_can_still_write(
    database: psycopg.Connection,
) -> None:
    with database.transaction(force_rollback=True):
        role = f"semilayer_test_{uuid.uuid4().hex}"
        database.execute(f"CREATE ROLE {role}")
        database.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
        database.execute(f"GRANT INSERT ON products TO {role}")
        database.execute(f"SET LOCAL ROLE {role}")
        database.execute("INSERT INTO products VALUES (1, 1)")
        database.execute("RESET ROLE")
        assert noted(database) == [("1", "upsert")]


def test_a_column_that_is_not_there_is_refused(database: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="products has no column sku"):
        database.execute("SELECT semilayer_watch('products', 'products', 'sku')")


def test_setting_up_again_changes_nothing(database: psycopg.Connection) -> None:
    database.execute("INSERT INTO products VALUES (1, 1)")
    database.execute((EXAMPLES / "cdc_outbox/setup.sql").read_text())
    database.execute("SELECT semilayer_watch('products', 'products', 'id')")
    database.execute("INSERT INTO products VALUES (2, 2)")
    assert noted(database) == [("1", "upsert"), ("2", "upsert")]
