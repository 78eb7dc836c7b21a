"""What is peculiar to PostgreSQL: its types, its session, and how it says no."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

import polars as pl
import pytest
from sqlalchemy.engine import make_url

from semilayer_pipelines.bridges import open_bridge
from semilayer_pipelines.bridges.cursors import encode
from semilayer_pipelines.bridges.database import Sql
from semilayer_pipelines.bridges.protocol import Selection, Window
from semilayer_pipelines.bridges.row_key import key_text_expr
from semilayer_pipelines.bridges.sql import SqlBridge
from semilayer_pipelines.bridges.unfit import unfit_name
from semilayer_pipelines.config.models import SourceConfig
from semilayer_pipelines.errors import SchemaMismatch, SourceRefused, SourceUnreachable
from tests import servers
from tests.sources import SourceDatabase

ITEMS = Selection("items", ("id",), ("id",))


def _frame(source: SourceDatabase, declared: str, *values: str) -> pl.DataFrame:
    source.run(f"CREATE TABLE items (id SERIAL PRIMARY KEY, v {declared})")
    source.run(*(f"INSERT INTO items (v) VALUES ({value})" for value in values))
    return source.bridge.read_page(Selection("items", ("id",), ("id", "v")), Window(), 9).frame


_UTC = pl.Datetime("us", "UTC")


@pytest.mark.parametrize(
    ("declared", "value", "dtype", "expected"),
    [
        ("smallint", "-32768", pl.Int64(), -32768),
        ("bigint", "9223372036854775807", pl.Int64(), 2**63 - 1),
        ("real", "0.1", pl.Float64(), 0.1),
        ("real", "19.99", pl.Float64(), 19.99),
        ("real", "'-infinity'", pl.Float64(), float("-inf")),
        ("real", "'NaN'", pl.Float64(), float("nan")),
        ("real", "16777217", pl.Float64(), 16777216.0),
        ("real", "1e-45", pl.Float64(), 1e-45),
        ("double precision", "'NaN'", pl.Float64(), float("nan")),
        ("numeric(40,2)", "12345678901234567890123456789012345678.90", pl.String(), None),
        ("numeric", "'NaN'", pl.String(), "NaN"),
        ("boolean", "true", pl.Boolean(), True),
        ("text", "'é\U0001f389'", pl.String(), "é\U0001f389"),
        ("char(4)", "'ab'", pl.String(), "ab"),
        ("char(4)", "'    '", pl.String(), ""),
        ("char(4)", "' a b'", pl.String(), " a b"),
        ("varchar(4)", "'ab  '", pl.String(), "ab  "),
        ("char(4)[]", "ARRAY['ab',NULL]", pl.String(), '["ab",null]'),
        (
            "timestamptz",
            "'2024-05-01 12:00:00.123456+02'",
            _UTC,
            datetime(2024, 5, 1, 10, 0, 0, 123456, UTC),
        ),
        (
            "timestamp",
            "'1969-12-31 23:59:59.5'",
            pl.Datetime("us"),
            datetime(1969, 12, 31, 23, 59, 59, 500000),
        ),
        ("date", "'2024-02-29'", pl.Date(), date(2024, 2, 29)),
        (
            "uuid",
            "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
            pl.String(),
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ),
        ("jsonb", "'{\"a\":[1,null]}'", pl.String(), '{"a": [1, null]}'),
        ("bytea", "'\\x00ff'", pl.Binary(), b"\x00\xff"),
        ("text[]", "ARRAY['a','b,c',NULL]", pl.String(), '["a","b,c",null]'),
        ("int[]", "ARRAY[1,2]", pl.String(), "[1,2]"),
        ("int[]", "'[2:3]={1,2}'::int[]", pl.String(), "[1,2]"),
        ("interval", "'1 day 2 hours'", pl.String(), "1 day 02:00:00"),
        ("inet", "'10.0.0.1'", pl.String(), "10.0.0.1/32"),
        ("int4range", "'[1,3)'", pl.String(), "[1,3)"),
    ],
)
def test_each_type_arrives_whole_and_so_does_null(
    postgres_source: SourceDatabase,
    declared: str,
    value: str,
    dtype: pl.DataType,
    expected: object,
) -> None:
    got = _frame(postgres_source, declared, value, "NULL")["v"]

    assert got.dtype == dtype
    wanted = pl.Series("v", [value if expected is None else expected, None], dtype=dtype)
    assert got.equals(wanted)


@pytest.mark.parametrize("value", ["infinity", "-infinity", "0044-03-15 00:00:00 BC"])
def test_a_time_without_a_place_in_the_calendar_stands_beside_the_others_as_text(
    postgres_source: SourceDatabase, value: str
) -> None:
    frame = _frame(postgres_source, "timestamp", "'2024-05-01 10:00:00'", f"'{value}'", "NULL")

    assert frame["v"].to_list() == [datetime(2024, 5, 1, 10), None, None]
    assert frame[unfit_name("v")].to_list() == [None, value, None]


def test_an_infinite_time_is_tracked_in_its_place(postgres_source: SourceDatabase) -> None:
    postgres_source.run("CREATE TABLE items (id INTEGER PRIMARY KEY, at TIMESTAMPTZ)")
    times = ["infinity", "2024-05-01 10:00:00.000001+00", "-infinity", "infinity"]
    postgres_source.insert("items", list(enumerate(times)))

    assert postgres_source.walk_changed(ITEMS, "at", 1)["id"].to_list() == [2, 1, 0, 3]
    assert postgres_source.bridge.high_water(ITEMS, "at") == encode(["infinity"])


def test_an_enum_key_is_walked_in_its_own_order(postgres_source: SourceDatabase) -> None:
    postgres_source.run(
        "CREATE TYPE size AS ENUM ('small', 'big', 'huge')",
        "CREATE TABLE items (id size PRIMARY KEY)",
        "INSERT INTO items VALUES ('huge'), ('small'), ('big')",
    )

    assert postgres_source.walk(ITEMS, 1)[0]["id"].to_list() == ["small", "big", "huge"]


def test_an_id_the_server_cannot_read_fails_nothing_but_itself(
    postgres_source: SourceDatabase,
) -> None:
    postgres_source.run(
        "CREATE TYPE size AS ENUM ('small', 'big')",
        "CREATE TABLE items (id size PRIMARY KEY)",
        "INSERT INTO items VALUES ('small'), ('big')",
    )

    found = postgres_source.bridge.read_rows(ITEMS, ["big", "tiny", "small", "wee", "a\0b"])

    assert sorted(found.frame["id"].to_list()) == ["big", "small"]
    assert sorted(found.malformed) == ["a\0b", "tiny", "wee"]
    assert "enum" in found.malformed["tiny"]
    assert "NUL" in found.malformed["a\0b"]


@pytest.mark.parametrize(
    ("declared", "values"),
    [
        ("bytea", [r"\x00ff", r"\x01", r"\x"]),
        ("timestamptz", ["2024-05-01 10:00:00.000001+00", "2024-05-01 10:00:00+00"]),
        ("date", ["2024-05-01", "0001-01-01"]),
        ("numeric", ["1.10", "-12345678901234567890.5"]),
        ("real", ["0.1", "16777216", "-0.3"]),
        ("char(8)", ["AB12", "AB1", "ab12"]),
        ("boolean", ["t", "f"]),
    ],
)
def test_keys_of_rarer_types_are_walked_and_found(
    postgres_source: SourceDatabase, declared: str, values: list[str]
) -> None:
    postgres_source.run(f"CREATE TABLE items (a INTEGER, id {declared}, PRIMARY KEY (a, id))")
    postgres_source.insert("items", [(1, value) for value in values])
    selection = Selection("items", ("a", "id"), ("a", "id"))

    frame, _ = postgres_source.walk(selection, 1)
    ids = frame.select(key_text_expr(selection.key)).to_series().to_list()

    assert len(set(ids)) == len(values)
    found = postgres_source.bridge.read_rows(selection, ids)
    assert (found.frame.height, found.malformed) == (len(values), {})


@pytest.mark.parametrize("name", ["timeframe", "timestep", "time_of_year"])
def test_a_key_of_a_type_that_is_only_called_like_a_time_is_found(
    postgres_source: SourceDatabase, name: str
) -> None:
    postgres_source.run(
        f"CREATE TYPE {name} AS ENUM ('1m', '5m', '1h')",
        f"CREATE TABLE items (id {name} PRIMARY KEY)",
        "INSERT INTO items VALUES ('1h'), ('1m')",
    )

    found = postgres_source.bridge.read_rows(ITEMS, ["1m", "1h", "5m", "9m"])

    assert sorted(found.frame["id"].to_list()) == ["1h", "1m"]
    assert list(found.malformed) == ["9m"]


def test_columns_that_a_key_only_includes_are_none_of_it(postgres_source: SourceDatabase) -> None:
    postgres_source.run(
        "CREATE TABLE items (v TEXT, id INTEGER, w TEXT, PRIMARY KEY (id) INCLUDE (w, v))",
        "INSERT INTO items VALUES ('x', 1, 'y'), (NULL, 2, NULL)",
        "CREATE TABLE goods (nr INTEGER NOT NULL, v TEXT, UNIQUE (nr) INCLUDE (v))",
    )
    bridge = postgres_source.bridge

    assert bridge.table("items").key == ("id",)
    assert bridge.table("goods").unique == (("nr",),)
    assert postgres_source.walk(ITEMS, 1)[0]["id"].to_list() == [1, 2]
    assert bridge.read_rows(ITEMS, ["2"]).frame["id"].to_list() == [2]


@pytest.fixture
def elsewhere(postgres_source: SourceDatabase) -> Iterator[SourceDatabase]:
    """A database with an extension in a schema that the search path leaves out."""
    postgres_source.run("CREATE SCHEMA extensions", "CREATE EXTENSION citext SCHEMA extensions")
    yield postgres_source
    postgres_source.run("DROP SCHEMA extensions CASCADE")


def test_a_type_whose_operators_are_out_of_sight_is_sorted_as_it_is_compared(
    elsewhere: SourceDatabase,
) -> None:
    # Given texts that the type would sort without regard to case
    elsewhere.run(
        "CREATE TABLE items (shop INTEGER, id extensions.citext, at extensions.citext, "
        "PRIMARY KEY (id, shop))",
        "INSERT INTO items SELECT 1, word, word FROM unnest(ARRAY['b', 'A', 'c', 'D', 'e']) word",
    )
    selection = Selection("items", ("id", "shop"), ("id", "shop", "at"))

    walked = elsewhere.walk(selection, 1)[0]["id"].to_list()
    changed = elsewhere.walk_changed(selection, "at", 1)["id"].to_list()
    found = elsewhere.bridge.read_rows(selection, ['["A","1"]', '["e","1"]'])

    assert walked == changed == ["A", "D", "b", "c", "e"]
    assert sorted(found.frame["id"].to_list()) == ["A", "e"]
    bounds = elsewhere.bridge.bounds(selection, 2)
    assert elsewhere.bridge.count(selection, Window(None, bounds[0])) == 2


def test_a_padded_text_is_the_same_without_its_blanks_wherever_it_stands(
    postgres_source: SourceDatabase,
) -> None:
    postgres_source.run(
        "CREATE DOMAIN land AS char(5)",
        "CREATE TABLE items (id char(8) PRIMARY KEY, v land, at char(14))",
        "INSERT INTO items VALUES ('AB12', 'DE', '2024-05-01'), ('B', 'F', '2024-05-02')",
    )
    selection = Selection("items", ("id",), ("id", "v"))

    frame, _ = postgres_source.walk(selection, 1)

    assert frame.rows() == [("AB12", "DE"), ("B", "F")]
    assert postgres_source.bridge.read_rows(selection, ["AB12"]).frame.rows() == [("AB12", "DE")]
    assert postgres_source.walk_changed(selection, "at", 1)["id"].to_list() == ["AB12", "B"]
    assert postgres_source.bridge.high_water(selection, "at") == encode(["2024-05-02"])
    assert postgres_source.bridge.bounds(selection, 2) == (encode(["AB12"]),)


def test_json_cannot_be_a_key_or_tracked(postgres_source: SourceDatabase) -> None:
    postgres_source.run("CREATE TABLE items (id INTEGER PRIMARY KEY, doc JSONB, list INTEGER[])")

    for column in ("doc", "list"):
        with pytest.raises(SchemaMismatch, match="cannot be a key"):
            postgres_source.bridge.count(Selection("items", (column,), (column,)))
        with pytest.raises(SchemaMismatch, match="no order"):
            postgres_source.bridge.read_changed(ITEMS, column, None, 1)


def test_the_row_version_of_the_server_is_no_column_to_track(
    postgres_source: SourceDatabase,
) -> None:
    postgres_source.run("CREATE TABLE items (id INTEGER PRIMARY KEY)")

    with pytest.raises(SchemaMismatch, match="xmin"):
        postgres_source.bridge.read_changed(ITEMS, "xmin", None, 1)


def test_a_composite_key_is_paged_by_its_index(postgres_source: SourceDatabase) -> None:
    postgres_source.run(
        "CREATE TABLE items (a INTEGER, b INTEGER, PRIMARY KEY (a, b))",
        "INSERT INTO items SELECT 1, n FROM generate_series(1, 5000) n",
        "ANALYZE items",
    )
    selection = Selection("items", ("a", "b"), ("a", "b"))
    cursor = postgres_source.bridge.read_page(selection, Window(), 2500).cursor

    tail = postgres_source.bridge._rows_in(selection, Window(cursor))
    plan = postgres_source.bridge._db.scalars(
        Sql("EXPLAIN (ANALYZE, FORMAT JSON) SELECT a, b") + tail + Sql(" ORDER BY a, b LIMIT 10")
    )

    assert "Rows Removed by Filter" not in str(plan)
    assert "Index" in str(plan)


def test_a_materialized_view_and_another_schema_can_be_read(
    postgres_source: SourceDatabase,
) -> None:
    postgres_source.run(
        'CREATE SCHEMA IF NOT EXISTS "Other.One"',
        'CREATE TABLE "Other.One".items (id INTEGER PRIMARY KEY)',
        'INSERT INTO "Other.One".items VALUES (1), (2)',
        'CREATE MATERIALIZED VIEW live AS SELECT id FROM "Other.One".items',
    )
    try:
        assert postgres_source.bridge.table("Other.One.items").key == ("id",)
        for name in ("Other.One.items", "live"):
            assert postgres_source.bridge.count(Selection(name, ("id",), ("id",))) == 2
    finally:
        postgres_source.run('DROP SCHEMA "Other.One" CASCADE')


def test_a_statement_that_takes_too_long_is_ended_and_may_pass(
    postgres_source: SourceDatabase,
) -> None:
    postgres_source.run("CREATE VIEW items AS SELECT 1 AS id, pg_sleep(5)::text AS slow")
    bridge = postgres_source.another_bridge(timeout_ms=200)

    with pytest.raises(SourceUnreachable, match="longer than 200 ms"):
        bridge.read_page(Selection("items", ("id",), ("id", "slow")), Window(), 1)


def test_a_broken_connection_may_pass_and_the_next_call_reconnects(
    postgres_source: SourceDatabase,
) -> None:
    postgres_source.run("CREATE TABLE items (id INTEGER PRIMARY KEY)")
    postgres_source.insert("items", [(n,) for n in range(4)])
    first = postgres_source.bridge.read_page(ITEMS, Window(), 2)

    postgres_source.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    with pytest.raises(SourceUnreachable, match="'shop'"):
        postgres_source.bridge.read_page(ITEMS, Window(first.cursor), 2)
    rest = postgres_source.bridge.read_page(ITEMS, Window(first.cursor), 2)
    assert rest.frame["id"].to_list() == [2, 3]


def test_nothing_listening_may_pass(postgres_source: SourceDatabase) -> None:
    bridge = SqlBridge("postgresql://u:s3cret@127.0.0.1:1/shop", timeout_ms=1_000, name="shop")

    with pytest.raises(SourceUnreachable) as failure:
        bridge.table("items")

    assert "s3cret" not in str(failure.value)


@pytest.mark.parametrize("part", [{"database": "no_such_database"}, {"username": "no_such_user"}])
def test_a_server_that_says_no_is_not_asked_again(
    postgres_source: SourceDatabase, part: dict[str, str]
) -> None:
    url = make_url(postgres_source.url).set(password="s3cret", **part)  # type: ignore[arg-type]
    bridge = SqlBridge(url.render_as_string(hide_password=False), timeout_ms=60_000, name="shop")

    with pytest.raises(SourceRefused, match="no_such") as failure:
        bridge.table("items")

    assert "s3cret" not in str(failure.value)


@pytest.fixture
def stranger(postgres_source: SourceDatabase) -> Iterator[str]:
    """URL of a user who may connect and nothing else."""
    name = f"semilayer_stranger_{make_url(postgres_source.url).database}"
    postgres_source.run(
        "CREATE TABLE items (id INTEGER PRIMARY KEY)", f"CREATE ROLE {name} LOGIN PASSWORD 's3cret'"
    )
    url = make_url(postgres_source.url).set(username=name, password="s3cret")
    yield url.render_as_string(hide_password=False)
    servers.execute(postgres_source.url, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def test_a_table_without_permission_is_refused_by_name(
    postgres_source: SourceDatabase, stranger: str
) -> None:
    postgres_source.run("GRANT USAGE ON SCHEMA public TO PUBLIC")
    bridge = SqlBridge(stranger, timeout_ms=60_000, name="shop")

    with pytest.raises(SourceRefused, match="permission denied for table items"):
        bridge.count(ITEMS)
    bridge.close()


def test_what_to_do_about_a_refusal_is_a_sentence_of_its_own(postgres_database: str) -> None:
    url = make_url(postgres_database).set(username="nobody_of_that_name")
    config = SourceConfig.model_validate({"bridge": "sql", "connection": "${SHOP_URL}"})
    shop = url.render_as_string(hide_password=False)

    with pytest.raises(SourceRefused) as failure:
        open_bridge(config, name="shop", environ={"SHOP_URL": shop}).tables()

    assert ". Check the user, its password" in str(failure.value)


@pytest.fixture
def raw_bytes() -> Iterator[SourceDatabase]:
    """A database that checks no text: whatever bytes an old program wrote are in it."""
    server = servers.postgres_url()
    name = "semilayer_test_ascii"
    how = "ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    servers.execute(server, f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name} {how}")
    url = make_url(server).set(database=name, query={"client_encoding": "utf8"})
    yield from SourceDatabase.opened("postgres", url.render_as_string(hide_password=False))
    servers.execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def test_bytes_that_are_no_text_cost_their_own_row(raw_bytes: SourceDatabase) -> None:
    raw_bytes.run(
        "CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT)",
        r"INSERT INTO items SELECT n, CASE n WHEN 5 THEN E'a\xff' ELSE 'fine' END "
        "FROM generate_series(1, 9) n",
    )
    selection = Selection("items", ("id",), ("id", "v"))

    page = raw_bytes.bridge.read_page(selection, Window(), 9)

    assert page.frame["id"].to_list() == [1, 2, 3, 4, 6, 7, 8, 9]
    assert list(page.refused) == ["5"]
    assert "0xff" in page.refused["5"]


def test_a_key_that_is_no_text_is_told_with_its_neighbours(raw_bytes: SourceDatabase) -> None:
    raw_bytes.run(
        "CREATE TABLE items (id TEXT PRIMARY KEY)",
        r"INSERT INTO items VALUES ('a'), ('b'), ('c'), (E'c\xff'), ('d'), ('e')",
    )

    with pytest.raises(SourceRefused, match="even read id of a row of 'items', between c and d: "):
        raw_bytes.bridge.read_page(ITEMS, Window(), 6)
