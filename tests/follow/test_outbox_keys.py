"""A key that triggers note is the key that a walk gives the row, for every type of PostgreSQL."""

from __future__ import annotations

from semilayer_pipelines.bridges.protocol import Selection
from tests.follow.outboxes import installed
from tests.sources import SourceDatabase, key_texts

UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
KEYS: list[tuple[str, tuple[str, ...]]] = [
    ("smallint", ("-32768", "0", "32767")),
    ("integer", ("-7", "0")),
    ("bigint", (str(-(2**63)), str(2**63 - 1))),
    ("numeric", ("0", "2.50", "NaN", "Infinity", "-1e-30", "12345678901234567890123456789")),
    ("numeric(10,2)", ("2.5", "-0.01")),
    ("real", ("0.1", "-1.5", "3.4e38", "NaN")),
    ("double precision", ("0.1", "1e-300", "-1e16", "123456789", "Infinity")),
    ("boolean", ("true", "false")),
    ("text", ("", "ab ", "Ä日🎉", "it's \\", 'with "quotes"')),
    ("varchar(20)", ("a", "A")),
    ("char(8)", ("", "AB12", "Ä")),
    ("citext", ("Apple", "pear")),
    ("uuid", (UUID, UUID.replace("a", "b"))),
    ("bytea", ("\\x", "\\x00ff", "\\x0100")),
    ("date", ("2024-05-01", "0044-03-15 BC", "infinity", "12024-01-01")),
    ("timestamp", ("2024-05-01 10:00", "2024-05-01 10:00:00.000001", "-infinity")),
    ("timestamp(3)", ("2024-05-01 10:00:00.5",)),
    ("timestamptz", ("2024-05-01 12:00:00.5+02", "1900-01-01 00:00+00", "infinity")),
    ("time", ("10:00", "23:59:59.999999")),
    ("timetz", ("10:00+02",)),
    ("interval", ("1 day", "-1 mon 2 days 03:04:05.6")),
    ("inet", ("::1", "10.0.0.1", "10.0.0.0/8")),
    ("cidr", ("10.0.0.0/8",)),
    ("macaddr", ("08:00:2b:01:02:03",)),
    ("money", ("12.50",)),
    ("int4range", ("[1,5)",)),
    ("tstzrange", ("[2024-05-01 12:00+02,2024-06-01 12:00+02)",)),
    ("bit(3)", ("101",)),
    ("varbit", ("10",)),
    ("size", ("small", "extra large")),
    ("positive", ("7",)),
]


def test_a_key_of_every_type_is_noted_as_a_walk_gives_it(postgres_source: SourceDatabase) -> None:
    source = postgres_source
    tables = {f"items{number}": case for number, case in enumerate(KEYS)}
    source.run(
        "CREATE EXTENSION IF NOT EXISTS citext",
        "CREATE TYPE size AS ENUM ('small', 'extra large')",
        "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
        *(
            f"CREATE TABLE {table} (id {declared} PRIMARY KEY, version int)"
            for table, (declared, _) in tables.items()
        ),
    )
    selections = {table: Selection(table, ("id",), ("id",)) for table in tables}
    with installed(source, dict.fromkeys(tables, ("id",))) as outbox:
        # A session of the application may write in any style.
        settings = (
            "SET TimeZone = 'Asia/Kolkata'; SET DateStyle = 'SQL, DMY'; SET bytea_output = escape;"
            "SET IntervalStyle = iso_8601; SET extra_float_digits = -5; {}; RESET ALL"
        )
        for table, (declared, keys) in tables.items():
            rows = ", ".join(f"($k${key}$k$, 1)" for key in keys)
            with source.engine.connect() as session:
                session.exec_driver_sql(
                    f"INSERT INTO {table} SELECT id::{declared}, version "
                    f"FROM (VALUES {rows}) AS given (id, version)"
                )
        walked = {
            table: sorted(key_texts(source.walk(selection, 50)[0], selection))
            for table, selection in selections.items()
        }
        for table in tables:
            source.run(settings.format(f"UPDATE {table} SET version = 2; DELETE FROM {table}"))
        changes = [change for batch in outbox.drained() for change in batch.changes]

    told: dict[str, list[str]] = {table: [] for table in tables}
    for change in changes:
        parts = [part for part in change.row if part is not None]
        told[change.table] += source.bridge.spell(selections[change.table], [parts])
    for table, (declared, keys) in tables.items():
        number = len(keys)
        assert len(walked[table]) == number
        for stretch in range(3):  # inserted, updated, deleted
            found = told[table][stretch * number : (stretch + 1) * number]
            assert sorted(found) == walked[table], declared


def test_a_composite_key_is_noted_whole_in_the_order_of_the_lens(
    postgres_source: SourceDatabase,
) -> None:
    parts = ("en", 'with "quotes" \\ and, comma', "é🜚", "line\nbreak\u0001", "NULL", "{}")
    postgres_source.run('CREATE TABLE "Odd Texts" (language text, "No" int)')
    with installed(postgres_source, {"Odd Texts": ("No", "language")}) as outbox:
        postgres_source.insert('"Odd Texts"', [(part, 7) for part in parts])

        told = outbox.changes()

    selection = Selection("Odd Texts", ("No", "language"), ("No", "language"))
    keys = postgres_source.bridge.spell(selection, [key for _, *key in told])
    walked = key_texts(postgres_source.walk(selection, 50)[0], selection)
    assert sorted(keys) == sorted(walked)
    assert '["7","en"]' in keys


def test_a_row_without_a_key_is_told_as_such(postgres_source: SourceDatabase) -> None:
    postgres_source.run("CREATE TABLE items (id int UNIQUE, version int)")
    with installed(postgres_source) as outbox:
        postgres_source.run("INSERT INTO items VALUES (NULL, 1)")

        assert outbox.changes() == [("upsert", "None")]
