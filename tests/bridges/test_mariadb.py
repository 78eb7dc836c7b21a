"""What is peculiar to MariaDB and MySQL: loose types, loose comparisons, and how they say no."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from pymysql.err import OperationalError
from sqlalchemy.engine import make_url

from semilayer_pipelines.bridges.failures import mariadb_failure
from semilayer_pipelines.bridges.protocol import Selection, Window
from semilayer_pipelines.bridges.row_key import key_text_expr
from semilayer_pipelines.bridges.sql import SqlBridge
from semilayer_pipelines.bridges.unfit import unfit_name
from semilayer_pipelines.errors import SourceRefused, SourceUnreachable
from tests.sources import SourceDatabase

ITEMS = Selection("items", ("id",), ("id",))


def _read(source: SourceDatabase, declared: str, *values: str) -> pl.Series:
    source.run(f"CREATE TABLE items (id INTEGER PRIMARY KEY AUTO_INCREMENT, v {declared} NULL)")
    with source.engine.connect() as connection:
        connection.exec_driver_sql("SET SESSION sql_mode = '', time_zone = '+02:00'")
        for value in values:
            connection.exec_driver_sql(f"INSERT INTO items (v) VALUES ({value})")
    frame = source.bridge.read_page(Selection("items", ("id",), ("id", "v")), Window(), 9).frame
    return frame["v"]


@pytest.mark.parametrize(
    ("declared", "value", "dtype", "expected"),
    [
        ("TINYINT", "-128", pl.Int64(), -128),
        ("BIGINT", "-9223372036854775808", pl.Int64(), -(2**63)),
        ("BIGINT UNSIGNED", "18446744073709551615", pl.UInt64(), 2**64 - 1),
        ("INT UNSIGNED", "4294967295", pl.Int64(), 2**32 - 1),
        ("YEAR", "2024", pl.Int64(), 2024),
        ("BIT(8)", "b'10000001'", pl.UInt64(), 129),
        ("BIT(1)", "b'1'", pl.Boolean(), True),
        ("BOOLEAN", "TRUE", pl.Int64(), 1),
        ("TINYINT(1)", "-7", pl.Int64(), -7),
        ("FLOAT", "16777217", pl.Float64(), 16777216.0),
        ("FLOAT", "19.99", pl.Float64(), 19.99),
        ("FLOAT(7,2)", "1234.56", pl.Float64(), 1234.56),
        ("CHAR(5)", "'DE'", pl.String(), "DE"),
        ("VARCHAR(5)", "'DE  '", pl.String(), "DE  "),
        ("DOUBLE", "0.1", pl.Float64(), 0.1),
        ("DECIMAL(40,2)", "12345678901234567890123456789012345678.90", pl.String(), None),
        ("VARCHAR(20) CHARACTER SET latin1", "'é'", pl.String(), "é"),
        ("TEXT", "'\U0001f389'", pl.String(), "\U0001f389"),
        ("ENUM('b','a')", "'a'", pl.String(), "a"),
        ("SET('b','a')", "'a,b'", pl.String(), "b,a"),
        ("DATE", "'2024-02-29'", pl.Date(), date(2024, 2, 29)),
        (
            "DATETIME(6)",
            "'2024-05-01 10:00:00.123456'",
            pl.Datetime("us"),
            datetime(2024, 5, 1, 10, 0, 0, 123456),
        ),
        (
            "TIMESTAMP(6)",
            "'2024-05-01 12:00:00.5'",
            pl.Datetime("us", "UTC"),
            datetime(2024, 5, 1, 10, 0, 0, 500000, UTC),
        ),
        ("TIME", "'-100:00:01'", pl.String(), "-100:00:01"),
        ("JSON", "'{\"a\": 1}'", pl.String(), '{"a": 1}'),
        ("VARBINARY(9)", "x'00ff'", pl.Binary(), b"\x00\xff"),
        (
            "UUID",
            "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
            pl.String(),
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ),
        ("POINT", "ST_GeomFromText('POINT(1 2)')", pl.String(), "POINT(1 2)"),
    ],
)
def test_each_type_arrives_whole_and_so_does_null(
    mariadb_source: SourceDatabase,
    declared: str,
    value: str,
    dtype: pl.DataType,
    expected: object,
) -> None:
    mariadb_source.skip_in_mysql(declared, "UUID")
    got = _read(mariadb_source, declared, value, "NULL")

    assert got.dtype == dtype
    wanted = pl.Series("v", [value if expected is None else expected, None], dtype=dtype)
    assert got.equals(wanted)


@pytest.mark.parametrize("ends", ["hidden", "shown"])
def test_the_end_of_a_rows_time_is_no_part_of_its_key(
    mariadb_source: SourceDatabase, ends: str
) -> None:
    # Given a table of which the server keeps the history, and puts a row's end into each key
    mariadb_source.skip_in_mysql("SYSTEM VERSIONING", "SYSTEM VERSIONING")
    columns = (
        ", since TIMESTAMP(6) GENERATED ALWAYS AS ROW START, until TIMESTAMP(6) GENERATED ALWAYS "
        "AS ROW END, PERIOD FOR SYSTEM_TIME (since, until)"
        if ends == "shown"
        else ""
    )
    mariadb_source.run(
        f"CREATE TABLE items (id INT PRIMARY KEY, nr INT NOT NULL UNIQUE{columns}) "
        "WITH SYSTEM VERSIONING",
        f"CREATE TABLE others (nr INT NOT NULL UNIQUE{columns}) WITH SYSTEM VERSIONING",
        "INSERT INTO items (id, nr) VALUES (1, 10), (2, 20), (3, 30)",
        "UPDATE items SET nr = 11 WHERE id = 1",
        "DELETE FROM items WHERE id = 2",
    )
    bridge = mariadb_source.bridge

    assert bridge.table("items").key == ("id",)
    assert bridge.unique_keys("items") == (("id",), ("nr",))
    assert bridge.table("others").unique == (("nr",),)
    frame, _ = mariadb_source.walk(Selection("items", ("id",), ("id", "nr")), 1)
    assert frame.rows() == [(1, 11), (3, 30)]
    assert bridge.read_rows(ITEMS, ["1", "2"]).frame["id"].to_list() == [1]


@pytest.mark.parametrize("zero", ["0000-00-00", "2024-00-00", "2024-02-30"])
def test_a_date_that_is_none_stands_beside_the_others_as_text(
    mariadb_source: SourceDatabase, zero: str
) -> None:
    with mariadb_source.engine.connect() as connection:
        connection.exec_driver_sql("SET SESSION sql_mode = 'ALLOW_INVALID_DATES'")
        connection.exec_driver_sql("CREATE TABLE items (id INTEGER PRIMARY KEY, v DATE NULL)")
        values = f"(1, '2024-05-01'), (2, '{zero}'), (3, NULL)"
        connection.exec_driver_sql(f"INSERT INTO items VALUES {values}")

    frame = mariadb_source.bridge.read_page(
        Selection("items", ("id",), ("id", "v")), Window(), 9
    ).frame

    assert frame["v"].to_list() == [date(2024, 5, 1), None, None]
    assert frame[unfit_name("v")].to_list() == [None, zero, None]


@pytest.mark.parametrize(
    ("declared", "values"),
    [
        ("BIGINT UNSIGNED", ["18446744073709551615", "9007199254740993", "9007199254740992", "0"]),
        ("DECIMAL(30,0)", ["123456789012345678901234567890", "123456789012345678901234567891"]),
        ("DECIMAL(10,2)", ["1.10", "-1.10"]),
        ("FLOAT", ["16777216", "0.1", "1234567.5"]),
        ("BINARY(4)", ["\x01\x02\x03\x04", "abcd"]),
        ("DATETIME(6)", ["2024-05-01 10:00:00.000001", "2024-05-01 10:00:00.000002"]),
        ("TIMESTAMP(6)", ["2024-05-01 10:00:00.000001", "2024-05-01 10:00:00.000002"]),
        ("ENUM('small','big','huge')", ["huge", "small", "big"]),
        ("BIT(9)", ["a", "b"]),
        ("YEAR", ["2024", "1999"]),
        ("TINYINT(1)", ["0", "1", "7"]),
    ],
)
def test_keys_of_rarer_types_are_walked_and_found(
    mariadb_source: SourceDatabase, declared: str, values: list[str]
) -> None:
    mariadb_source.run(f"CREATE TABLE items (a INTEGER, id {declared}, PRIMARY KEY (a, id))")
    mariadb_source.insert("items", [(1, value) for value in values])
    selection = Selection("items", ("a", "id"), ("a", "id"))

    frame, _ = mariadb_source.walk(selection, 1)
    ids = frame.select(key_text_expr(selection.key)).to_series().to_list()

    assert len(set(ids)) == len(values)
    found = mariadb_source.bridge.read_rows(selection, ids)
    assert (found.frame.height, found.malformed) == (len(values), {})


def test_a_server_that_pads_its_texts_gives_them_without_the_blanks(
    mariadb_source: SourceDatabase,
) -> None:
    mariadb_source.run("CREATE TABLE items (id CHAR(8) PRIMARY KEY)")
    mariadb_source.insert("items", [("AB12",), ("B",)])
    url = f"{mariadb_source.url}?sql_mode=PAD_CHAR_TO_FULL_LENGTH,STRICT_TRANS_TABLES"
    bridge = SqlBridge(url, timeout_ms=60_000, name="shop")

    assert bridge.read_page(ITEMS, Window(), 9).frame["id"].to_list() == ["AB12", "B"]
    assert bridge.read_rows(ITEMS, ["AB12"]).frame["id"].to_list() == ["AB12"]
    bridge.close()


def test_a_key_that_ignores_case_is_found_and_keeps_its_own_text(
    mariadb_source: SourceDatabase,
) -> None:
    mariadb_source.run("CREATE TABLE items (id VARCHAR(20) PRIMARY KEY)")
    mariadb_source.insert("items", [(key,) for key in ("b", "A", "C", "a2")])

    assert mariadb_source.walk(ITEMS, 1)[0]["id"].to_list() == ["A", "a2", "b", "C"]
    assert mariadb_source.bridge.read_rows(ITEMS, ["a", "A"]).frame["id"].to_list() == ["A"]


def test_the_same_row_found_by_two_spellings_in_two_statements_comes_once(
    mariadb_source: SourceDatabase,
) -> None:
    mariadb_source.run("CREATE TABLE items (id VARCHAR(20) PRIMARY KEY)")
    mariadb_source.insert("items", [("KEY",)])

    ids = ["key", *(f"x{n}" for n in range(700)), "KEY"]

    assert mariadb_source.bridge.read_rows(ITEMS, ids).frame["id"].to_list() == ["KEY"]


def test_a_text_key_is_never_compared_as_a_number(mariadb_source: SourceDatabase) -> None:
    mariadb_source.run("CREATE TABLE items (id VARCHAR(20) PRIMARY KEY)")
    mariadb_source.insert("items", [("7",), ("7abc",), ("07",)])

    assert mariadb_source.bridge.read_rows(ITEMS, ["7"]).frame["id"].to_list() == ["7"]


def test_an_id_the_column_cannot_hold_fails_nothing_but_itself(
    mariadb_source: SourceDatabase,
) -> None:
    mariadb_source.run("CREATE TABLE items (id VARCHAR(20) CHARACTER SET latin1 PRIMARY KEY)")
    mariadb_source.insert("items", [("é",), ("b",)])

    found = mariadb_source.bridge.read_rows(ITEMS, ["é", "\U0001f389", "b"])

    assert sorted(found.frame["id"].to_list()) == ["b", "é"]


def test_a_composite_key_is_paged_by_its_index(mariadb_source: SourceDatabase) -> None:
    mariadb_source.skip_in_mysql("EXPLAIN in these columns", "EXPLAIN")
    mariadb_source.run("CREATE TABLE items (a INTEGER, b INTEGER, PRIMARY KEY (a, b))")
    mariadb_source.insert("items", [(1, n) for n in range(1, 5_001)])
    mariadb_source.run("ANALYZE TABLE items")
    selection = Selection("items", ("a", "b"), ("a", "b"))
    cursor = mariadb_source.bridge.read_page(selection, Window(), 4000).cursor

    tail = mariadb_source.bridge._rows_in(selection, Window(cursor))
    with mariadb_source.engine.connect() as connection:
        plan = connection.exec_driver_sql(
            f"EXPLAIN SELECT a, b{tail.text} ORDER BY a, b LIMIT 10", tail.params
        ).mappings()
        step = dict(plan.one())

    assert step["type"] == "range"
    assert int(step["rows"]) < 2_000
    assert "filesort" not in str(step["Extra"])


def test_a_statement_that_takes_too_long_is_ended_and_may_pass(
    mariadb_source: SourceDatabase,
) -> None:
    mariadb_source.run(
        "CREATE TABLE t (id INTEGER PRIMARY KEY)",
        "INSERT INTO t VALUES (1)",
        "CREATE VIEW items AS SELECT id, SLEEP(5) AS slow FROM t",
    )
    bridge = mariadb_source.another_bridge(timeout_ms=200)

    with pytest.raises(SourceUnreachable, match="longer than 200 ms"):
        bridge.read_page(Selection("items", ("id",), ("id", "slow")), Window(), 1)


def test_a_broken_connection_may_pass_and_the_next_call_reconnects(
    mariadb_source: SourceDatabase,
) -> None:
    mariadb_source.run("CREATE TABLE items (id INTEGER PRIMARY KEY)")
    mariadb_source.insert("items", [(n,) for n in range(4)])
    first = mariadb_source.bridge.read_page(ITEMS, Window(), 2)

    with mariadb_source.engine.connect() as connection:
        others = connection.exec_driver_sql(
            "SELECT id FROM information_schema.processlist "
            "WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        ).scalars()
        for other in others.all():
            connection.exec_driver_sql(f"KILL {other}")

    with pytest.raises(SourceUnreachable, match="'shop'"):
        mariadb_source.bridge.read_page(ITEMS, Window(first.cursor), 2)
    rest = mariadb_source.bridge.read_page(ITEMS, Window(first.cursor), 2)
    assert rest.frame["id"].to_list() == [2, 3]


@pytest.mark.parametrize("part", [{"database": "no_such_database"}, {"username": "no_such_user"}])
def test_a_server_that_says_no_is_not_asked_again(
    mariadb_source: SourceDatabase, part: dict[str, str]
) -> None:
    url = make_url(mariadb_source.url).set(password="", **part)  # type: ignore[arg-type]
    if "username" in part:
        url = url.set(password="s3cret")
    bridge = SqlBridge(url.render_as_string(hide_password=False), timeout_ms=60_000, name="shop")

    with pytest.raises(SourceRefused, match="no_such") as failure:
        bridge.table("items")

    assert "s3cret" not in str(failure.value)


@pytest.mark.parametrize("password", ["p@:/ü%w", "пароль 密码"])
def test_a_password_may_have_letters_of_any_script(
    mariadb_source: SourceDatabase, password: str
) -> None:
    written = password.replace("%", "%%")
    mariadb_source.run(
        "CREATE TABLE items (id INTEGER PRIMARY KEY)",
        f"CREATE USER reader@'%%' IDENTIFIED BY '{written}'",
        "GRANT SELECT ON items TO reader@'%%'",
    )
    url = make_url(mariadb_source.url).set(username="reader", password=password)
    bridge = SqlBridge(url.render_as_string(hide_password=False), timeout_ms=60_000, name="shop")
    try:
        assert bridge.count(ITEMS) == 0
    finally:
        bridge.close()
        mariadb_source.run("DROP USER reader@'%%'")


def test_a_server_that_is_set_to_leave_rows_out_of_an_answer_leaves_none_out(
    mariadb_source: SourceDatabase,
) -> None:
    mariadb_source.run("CREATE TABLE items (id INTEGER PRIMARY KEY, a INT, b INT, c INT)")
    mariadb_source.insert("items", [(n, n, n, n) for n in range(9)])
    mariadb_source.run("SET GLOBAL sql_select_limit = 2")
    try:
        bridge = mariadb_source.another_bridge()

        assert [column.name for column in bridge.table("items").columns] == ["id", "a", "b", "c"]
        assert bridge.read_rows(ITEMS, [str(n) for n in range(9)]).frame.height == 9
    finally:
        mariadb_source.run("SET GLOBAL sql_select_limit = DEFAULT")


def test_a_user_who_has_as_many_connections_as_allowed_may_have_one_later(
    mariadb_source: SourceDatabase,
) -> None:
    mariadb_source.run(
        "CREATE TABLE items (id INTEGER PRIMARY KEY)",
        "CREATE OR REPLACE USER few@'%%' WITH MAX_USER_CONNECTIONS 1",
        "GRANT SELECT ON items TO few@'%%'",
    )
    url = make_url(mariadb_source.url).set(username="few", password=None).render_as_string()
    first, second = (SqlBridge(url, timeout_ms=60_000, name="shop") for _ in range(2))

    assert first.count(ITEMS) == 0
    with pytest.raises(SourceUnreachable, match="max_user_connections"):
        second.count(ITEMS)
    first.close()
    assert second.count(ITEMS) == 0
    second.close()
    mariadb_source.run("DROP USER few@'%%'")


@pytest.mark.parametrize("code", [1047, 1135, 3032, 3169, 4031, 9001, 9501])
def test_what_only_other_servers_and_proxies_say_may_pass(code: int) -> None:
    of_the_driver: Any = OperationalError  # without types
    error = of_the_driver(code, "The client was disconnected because of inactivity")

    assert isinstance(mariadb_failure(error, "shop", 1_000), SourceUnreachable)


def test_nothing_listening_may_pass(mariadb_source: SourceDatabase) -> None:
    bridge = SqlBridge("mariadb://u:s3cret@127.0.0.1:1/shop", timeout_ms=1_000, name="shop")

    with pytest.raises(SourceUnreachable) as failure:
        bridge.table("items")

    assert "s3cret" not in str(failure.value)
