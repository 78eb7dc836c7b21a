"""A key that the log of MariaDB tells is the key that a walk gives the row."""

from __future__ import annotations

import pytest

from semilayer_pipelines.bridges.protocol import Selection
from tests.follow.binlogs import begun
from tests.sources import SourceDatabase, key_texts

UUIDS = (
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380000",
    "a0eebc99-9c0b-1ef8-bb6d-6bb9bd380a00",
    "a0eebc99-9c0b-7ef8-bb6d-6bb9bd380a11",
    "00000000-0000-0000-0000-000000000000",
)
KEYS: list[tuple[str, tuple[object, ...]]] = [
    ("TINYINT", (-128, 0, 127)),
    ("TINYINT(1)", (0, 1, 2)),
    ("SMALLINT UNSIGNED", (0, 65535)),
    ("MEDIUMINT", (-8388608, 8388607)),
    ("MEDIUMINT UNSIGNED", (0, 16777215)),
    ("INT UNSIGNED", (0, 4294967295)),
    ("BIGINT", (-(2**63), -1, 2**63 - 1)),
    ("BIGINT UNSIGNED", (0, 2**63, 2**64 - 1)),
    ("BIGINT(20) ZEROFILL", (7,)),
    ("YEAR", (0, 1901, 1999, 2155)),
    ("BIT(1)", (0, 1)),
    ("BIT(9)", (0, 1, 257)),
    ("BIT(64)", (0, 2**64 - 1)),
    ("DECIMAL(10,2)", ("0", "-12.5", "0.01", "99999999.99")),
    ("DECIMAL(30,0)", ("0", "-123456789012345678901234567890")),
    ("DECIMAL(65,30)", ("1", "12345678901234567890123456789012345.123456789012345678901234567891")),
    ("FLOAT", (0.1, -1.5, 3.4e38)),
    ("DOUBLE", (0.1, 1e-300, -1e16, 123456789.0)),
    ("CHAR(8)", ("", "ab", "Ä日🎉")),
    ("VARCHAR(20)", ("", "ab ", "\t", "Ä日🎉", "it's \\")),
    ("VARCHAR(20) COLLATE utf8mb4_bin", ("a", "A")),
    ("VARCHAR(20) COLLATE utf8mb4_uca1400_ai_ci", ("ä", "ß")),
    ("VARCHAR(300)", ("x" * 300, "é")),
    ("VARCHAR(20) CHARACTER SET latin1", ("é€ü",)),
    ("VARCHAR(20) CHARACTER SET utf8mb3", ("é日",)),
    ("VARCHAR(20) CHARACTER SET ascii", ("plain",)),
    ("ENUM('Big','sm''all','é')", ("Big", "sm'all", "é")),
    ("UUID", UUIDS),
    ("BINARY(4)", (b"\x01\0\0\0", b"\0\0\0\0", b"\0\x01\x02\x03", b"\xff\xfe\0\x01")),
    ("BINARY(16)", (bytes(16), bytes(range(16)), bytes(range(15, -1, -1)))),
    ("VARBINARY(8)", (b"", b"\x01\0", b"\0", b"\x01")),
    ("DATE", ("2024-05-01", "1000-01-01", "9999-12-31")),
    ("DATETIME", ("2024-05-01 10:00:00", "1000-01-01 00:00:00")),
    ("DATETIME(3)", ("2024-05-01 10:00:00.5", "2024-05-01 10:00:00")),
    ("DATETIME(6)", ("2024-05-01 10:00:00.000001", "9999-12-31 23:59:59.999999")),
    ("TIMESTAMP", ("1970-01-01 00:00:01", "2038-01-19 03:14:07")),
    ("TIMESTAMP(6)", ("2024-05-01 10:00:00.123456",)),
]


def test_a_key_of_every_type_is_told_as_a_walk_gives_it(
    logging_mariadb_source: SourceDatabase,
) -> None:
    source = logging_mariadb_source
    tables = {
        f"items{number}": case
        for number, case in enumerate(KEYS)
        if not (source.is_mysql and any(word in case[0] for word in ("UUID", "uca1400")))
    }
    source.run(
        *(
            f"CREATE TABLE {table} (id {declared} NOT NULL PRIMARY KEY, version INT)"
            for table, (declared, _) in tables.items()
        )
    )
    with begun(source, dict.fromkeys(tables, ("id",))) as log:
        with source.engine.connect() as session:
            session.exec_driver_sql("SET time_zone = '+00:00', sql_mode = ''")
            for table, (_, keys) in tables.items():
                for key in keys:
                    session.exec_driver_sql(f"INSERT INTO {table} VALUES (%s, 1)", (key,))
        selections = {table: Selection(table, ("id",), ("id",)) for table in tables}
        walked = {
            table: sorted(key_texts(source.walk(selection, 50)[0], selection))
            for table, selection in selections.items()
        }
        for table in tables:
            source.run(f"UPDATE {table} SET version = 2", f"DELETE FROM {table}")

        batches = log.read()

    told: dict[str, list[str]] = {table: [] for table in tables}
    for change in (one for batch in batches for one in batch.changes):
        key = source.bridge.spell(selections[change.table], [change.row])  # type: ignore[list-item]
        told[change.table] += key
    assert {table: why for batch in batches for table, why in batch.missed.items()} == {}
    for table, (declared, keys) in tables.items():
        number = len(keys)
        assert len(walked[table]) == number
        # inserted, updated (the key before alone is in the log) and deleted
        for stretch in range(3):
            found = told[table][stretch * number : (stretch + 1) * number]
            assert sorted(found) == walked[table], declared


def test_a_composite_key_is_told_whole_where_one_part_changed(
    logging_mariadb_source: SourceDatabase,
) -> None:
    source = logging_mariadb_source
    source.run(
        "CREATE TABLE items (a INT, b BINARY(2), version INT, PRIMARY KEY (a, b))",
    )
    selection = Selection("items", ("b", "a"), ("b", "a"))
    with begun(source, {"items": ("b", "a")}) as log:
        source.insert("items", [(7, b"\x01\0", 1)])
        source.run("UPDATE items SET a = 8")

        told = log.changes()

    assert [action for action, *_ in told] == ["upsert", "delete", "upsert"]
    keys = source.bridge.spell(selection, [key for _, *key in told])
    assert keys == ['["0100","7"]', '["0100","7"]', '["0100","8"]']


@pytest.mark.parametrize(
    ("declared", "key"),
    [
        ("DATE", "0000-00-00"),
        ("DATETIME", "2024-00-00 00:00:00"),
        ("VARCHAR(20) CHARACTER SET latin1", b"\x81"),
    ],
)
def test_a_key_that_cannot_be_read_is_missed_and_never_guessed(
    logging_mariadb_source: SourceDatabase, declared: str, key: object
) -> None:
    source = logging_mariadb_source
    source.run(f"CREATE TABLE items (id {declared} NOT NULL PRIMARY KEY)")
    with begun(source) as log:
        with source.engine.connect() as session:
            session.exec_driver_sql("SET sql_mode = ''")
            session.exec_driver_sql("INSERT INTO items VALUES (%s)", (key,))

        changes, missed = log.told()

    assert changes == []
    assert list(missed) == ["items"]


def test_the_zero_timestamp_is_told_as_such(logging_mariadb_source: SourceDatabase) -> None:
    source = logging_mariadb_source
    source.run("CREATE TABLE items (id TIMESTAMP(3) NOT NULL PRIMARY KEY)")
    selection = Selection("items", ("id",), ("id",))
    with begun(source) as log:
        with source.engine.connect() as session:
            session.exec_driver_sql("SET sql_mode = ''")
            session.exec_driver_sql("INSERT INTO items VALUES ('0000-00-00')")
        told = log.changes()

    walked = key_texts(source.walk(selection, 50)[0], selection)
    assert source.bridge.spell(selection, [[key] for _, key in told]) == walked
