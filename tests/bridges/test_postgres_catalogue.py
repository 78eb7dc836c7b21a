"""What PostgreSQL's catalogue says of a column, and what is not to be taken at its word."""

from __future__ import annotations

from datetime import UTC, datetime

from semilayer_pipelines.bridges.cursors import encode
from semilayer_pipelines.bridges.protocol import Selection
from tests.sources import SourceDatabase


def test_a_domain_over_a_domain_is_what_it_is_made_of(postgres_source: SourceDatabase) -> None:
    postgres_source.run(
        "CREATE DOMAIN whole AS int CHECK (VALUE > 0)",
        "CREATE DOMAIN number AS whole",
        "CREATE DOMAIN moment AS timestamptz",
        "CREATE DOMAIN change AS moment",
        "CREATE DOMAIN words AS text[]",
        "CREATE DOMAIN tags AS words",
        "CREATE TABLE items (id number PRIMARY KEY, at change, tags tags)",
        "INSERT INTO items VALUES (10, '2024-05-01', '{a,b}'), (9, '2100-01-01', NULL)",
    )
    bridge = postgres_source.bridge
    selection = Selection("items", ("id",), ("id", "at", "tags"))

    kinds = [column.kind for column in bridge.table("items").columns]
    frame, _ = postgres_source.walk(selection, 1)
    found = bridge.read_rows(selection, ["010", "x"])

    assert kinds == ["integer", "datetime", "json"]
    assert frame["id"].to_list() == [9, 10]
    assert frame["at"].to_list() == [
        datetime(2100, 1, 1, tzinfo=UTC),
        datetime(2024, 5, 1, tzinfo=UTC),
    ]
    assert frame["tags"].to_list() == [None, '["a","b"]']
    assert (found.frame["id"].to_list(), [*found.malformed]) == ([10], ["x"])
    horizon = datetime(2030, 1, 1, tzinfo=UTC)
    assert bridge.high_water(selection, "at", horizon) == encode(["2024-05-01 00:00:00+00"])


def test_a_key_with_nulls_from_before_a_constraint_that_is_not_valid_is_none(
    postgres_source: SourceDatabase,
) -> None:
    # Given a NOT NULL that was not checked for the rows there were, as PostgreSQL 18 has it
    postgres_source.run(
        "CREATE TABLE items (id INTEGER UNIQUE, v TEXT)",
        "INSERT INTO items VALUES (2, 'b'), (NULL, 'x'), (1, 'a'), (NULL, 'y')",
    )
    with postgres_source.engine.connect() as connection:
        (version,) = connection.exec_driver_sql("SHOW server_version_num").one()
    if int(version) >= 180_000:
        postgres_source.run("ALTER TABLE items ADD CONSTRAINT filled NOT NULL id NOT VALID")
    else:  # as the catalogue of 18 tells it
        postgres_source.run(
            "ALTER TABLE items ADD CONSTRAINT filled CHECK (id IS NOT NULL) NOT VALID",
            "UPDATE pg_constraint SET contype = 'n' WHERE conrelid = 'items'::regclass "
            "AND conname = 'filled'",
            "UPDATE pg_attribute SET attnotnull = true WHERE attrelid = 'items'::regclass "
            "AND attname = 'id'",
        )
    selection = Selection("items", ("id",), ("id", "v"))

    table = postgres_source.bridge.table("items")
    frame, _ = postgres_source.walk(selection, 1)

    assert table.unique == ()
    assert [column.nullable for column in table.columns] == [True, True]
    assert frame["id"].to_list() == [1, 2]
    assert postgres_source.bridge.count(selection) == 2
    assert postgres_source.bridge.null_keys(selection) == 2
