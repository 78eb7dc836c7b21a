"""Pages of PostgreSQL are read in binary, and hold what the server's own texts say."""

from __future__ import annotations

import _thread
import threading

import numpy as np
import polars as pl
import psycopg
import pytest
from polars.testing import assert_frame_equal
from psycopg.types.string import TextLoader

from semilayer_pipelines.bridges import copied_page
from semilayer_pipelines.bridges import copy_out as pieces
from semilayer_pipelines.bridges.copy_out import CopiedRows, copy_out
from semilayer_pipelines.bridges.database import Query, Sql
from semilayer_pipelines.bridges.frames import frame_of
from semilayer_pipelines.bridges.protocol import PAGE_BYTES, Selection, Window
from semilayer_pipelines.bridges.unfit import unfit_name
from semilayer_pipelines.errors import SourceUnreachable, TableAltered
from tests.patience import eventually
from tests.sources import SourceDatabase

ITEMS = Selection("items", ("id",), ("id", "v"))

VALUES: dict[str, list[str]] = {
    "smallint": ["-32768", "0", "32767"],
    "integer": ["-2147483648", "2147483647"],
    "bigint": ["-9223372036854775808", "9223372036854775807", "-1"],
    "real": ["0.1", "19.99", "-0.0", "1e-45", "3.4028235e38", "NaN", "-infinity", "16777217"],
    "double precision": ["0.1", "-0.0", "5e-324", "1.7976931348623157e308", "NaN", "infinity"],
    "numeric": ["NaN", "-0.00", "12345678901234567890123456789012345678901.50", "1e-20"],
    "boolean": ["true", "false"],
    "text": ["", '"', "a,b", "line\nbreak\r\n", "\\", "\\N", "NULL", "tab\t", "ü" * 6, "日本" * 9],
    "varchar(40)": ["'", "ab  ", "twelve bytes", "thirteen byte"],
    "char(8)": ["ab", "", " a b"],
    "name": ["a name"],
    "bytea": [r"\x", r"\x00ff", r"\x" + "00" * 12, r"\x" + "ff" * 13, r"\x5c4e"],
    "timestamp": [
        "2024-05-01 10:00:00.1",
        "1969-12-31 23:59:59.999999",
        "0001-01-01",
        "2024-05-01 24:00",
    ],
    "timestamptz": ["2024-05-01 12:00:00.123456+02", "9999-12-31 23:59:59.999999+00"],
    "date": ["0001-01-01", "9999-12-31", "1970-01-01", "2000-02-29"],
    "uuid": ["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"],
    "json": ['{"a" : [1, null]}', '"x"'],
    "jsonb": ['{"b":1,"a":[1,null]}'],
    "text[]": ['{a,"b,c",NULL}', "{{a,b},{c,d}}"],
    "interval": ["1 day 2 hours"],
    "inet": ["10.0.0.1"],
    "money": ["12.50"],
}

BEYOND = {
    "timestamp": ["infinity", "-infinity", "0044-03-15 00:00:00 BC", "10000-01-01"],
    "timestamptz": ["infinity", "-infinity", "294276-12-31 23:59:59.999999+00"],
    "date": ["infinity", "-infinity", "4713-01-01 BC", "5874897-12-31"],
}


def made(source: SourceDatabase, declared: str, values: list[str]) -> None:
    """Make a table of these values, with a NULL before and behind each."""
    source.run(f"CREATE TABLE items (id SERIAL PRIMARY KEY, v {declared})")
    rows = [None, *(each for value in values for each in (value, None))]
    # From a text: the driver must not decide what is written.
    with source.engine.begin() as connection:
        connection.exec_driver_sql(
            f"INSERT INTO items (v) VALUES (CAST(CAST(%s AS text) AS {declared}))",
            [(row,) for row in rows],
        )


def as_texts(source: SourceDatabase, query: Query) -> pl.DataFrame:
    """Read as the driver's objects, and times as the server's texts."""
    url = source.url.replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as db:
        for name in ("numeric", "timestamp", "timestamptz", "date", "uuid", "json", "jsonb"):
            db.adapters.register_loader(name, TextLoader)
        db.execute("SET TimeZone = 'UTC'; SET extra_float_digits = 3")
        expressions = ", ".join(column.expression for column in query.columns)
        return frame_of(query, db.execute(f"SELECT {expressions}{query.tail.text}").fetchall())


def assert_same(found: pl.DataFrame, wanted: pl.DataFrame) -> None:
    assert_frame_equal(found, wanted, check_exact=True)
    for name, dtype in wanted.schema.items():
        if dtype.is_float():
            bits = [frame[name].drop_nulls().to_numpy().view(np.int64) for frame in (found, wanted)]
            assert (bits[0] == bits[1]).all()


@pytest.mark.parametrize("declared", VALUES)
def test_every_value_is_the_one_that_the_servers_text_stands_for(
    postgres_source: SourceDatabase, declared: str
) -> None:
    made(postgres_source, declared, VALUES[declared])
    columns = tuple(postgres_source.bridge._catalogue.columns(ITEMS))
    query = Query(columns, columns[:1], ITEMS.key, Sql(' FROM "items" ORDER BY id'), None)

    fetched = postgres_source.bridge._db.read(query)

    assert_same(fetched.frame, as_texts(postgres_source, query))


@pytest.mark.parametrize("declared", BEYOND)
def test_a_column_whose_later_page_has_a_time_beyond_the_calendar_stays_exact(
    postgres_source: SourceDatabase, declared: str
) -> None:
    # given a first page that frames can hold, and others that they cannot
    made(postgres_source, declared, [*VALUES[declared], *BEYOND[declared], *VALUES[declared]])
    columns = tuple(postgres_source.bridge._catalogue.columns(ITEMS))
    tail = Sql(' FROM "items" ORDER BY id')
    wanted = as_texts(postgres_source, Query(columns, (), ITEMS.key, tail, None))

    # when it is walked, twice
    walks = [postgres_source.walk(ITEMS, 2)[0] for _ in range(2)]

    # then each value is the server's, beside the others where it does not fit
    for walk in walks:
        assert_same(walk, wanted)
    assert wanted[unfit_name("v")].drop_nulls().len() == len(BEYOND[declared])


@pytest.mark.parametrize("declared", ["text", "bytea", "real", "boolean", "timestamptz"])
@pytest.mark.parametrize("piece_bytes", [1, 100])
def test_a_page_that_comes_in_pieces_is_what_it_is_as_a_whole(
    postgres_source: SourceDatabase,
    monkeypatch: pytest.MonkeyPatch,
    declared: str,
    piece_bytes: int,
) -> None:
    # given pieces of one row, or of a few; and a time that no frame can hold in a later one
    made(postgres_source, declared, [*VALUES[declared], *BEYOND.get(declared, [])] * 3)
    monkeypatch.setattr(pieces, "_PIECE_BYTES", piece_bytes)
    columns = tuple(postgres_source.bridge._catalogue.columns(ITEMS))
    query = Query(columns, columns[:1], ITEMS.key, Sql(' FROM "items" ORDER BY id'), None)

    fetched = postgres_source.bridge._db.read(query)

    assert_same(fetched.frame, as_texts(postgres_source, query))
    assert fetched.last == (str(fetched.frame.height),)


def test_a_piece_that_cannot_be_taken_leaves_nobody_with_the_rest_of_its_page(
    postgres_source: SourceDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "_PIECE_BYTES", 1)
    taken: list[CopiedRows] = []

    def take(rows: CopiedRows) -> None:
        taken.append(rows)
        if len(taken) == 7:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text")

    url = postgres_source.url.replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as db:
        with pytest.raises(UnicodeDecodeError):
            copy_out(db, "SELECT generate_series(1, 99)", PAGE_BYTES, take)

        assert db.closed
    assert len(taken) == 7


def test_a_text_that_is_none_costs_no_connection(
    postgres_source: SourceDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fields(*_: object) -> None:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text")

    monkeypatch.setattr(pieces, "_PIECE_BYTES", 1)
    monkeypatch.setattr(copied_page, "fields", fields)
    page = copied_page._Pieces([], [], [])
    url = postgres_source.url.replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as db:
        assert not copy_out(db, "SELECT generate_series(1, 9)", PAGE_BYTES, page.take)

        with pytest.raises(UnicodeDecodeError):
            page.columns()
        assert not db.closed


def test_texts_of_every_length_keep_their_ends(postgres_source: SourceDatabase) -> None:
    texts = ["ä" * (n // 2) + "x" * (n % 2) for n in range(40)]
    made(postgres_source, "text", texts)

    frame, _ = postgres_source.walk(ITEMS, 7)

    assert frame["v"].to_list() == [None, *(each for text in texts for each in (text, None))]


def test_bytes_in_a_key_are_named_by_their_digits_and_walked_as_bytes(
    postgres_source: SourceDatabase,
) -> None:
    postgres_source.run(
        "CREATE TABLE items (id BYTEA PRIMARY KEY, v BYTEA)",
        r"INSERT INTO items VALUES ('\x', '\x01'), ('\x00', NULL), ('\xff5c', '\x')",
    )

    frame, _ = postgres_source.walk(ITEMS, 1)

    assert frame.rows() == [("", b"\x01"), ("00", None), ("ff5c", b"")]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("bigint", "text USING 'eight ch'"),
        ("double precision", "bigint USING v::bigint"),
        ("bigint", "timestamp USING '2024-05-01'"),
        ("bytea", "text USING 'text'"),
        ("timestamp", "timestamptz USING v"),
    ],
)
def test_bytes_of_a_column_that_was_altered_are_never_taken_for_its_old_type(
    postgres_source: SourceDatabase, before: str, after: str
) -> None:
    postgres_source.run(
        f"CREATE TABLE items (id INTEGER PRIMARY KEY, v {before})",
        "INSERT INTO items VALUES (1, NULL)",
    )
    postgres_source.bridge.read_page(ITEMS, Window(), 9)

    postgres_source.run(f"ALTER TABLE items ALTER v TYPE {after}")

    with pytest.raises(TableAltered, match="'items' was altered"):
        postgres_source.bridge.read_page(ITEMS, Window(), 9)


def failing(source: SourceDatabase, fault: str) -> None:
    """Make a view that does something in its middle, behind rows that fill the buffers."""
    source.run(
        "CREATE TABLE raw (id INTEGER PRIMARY KEY, v TEXT)",
        "INSERT INTO raw SELECT n, repeat('x', 999) FROM generate_series(1, 1000) n",
        "ANALYZE raw",
        # Called stable, or the server would call it for all rows before it sorts them.
        "CREATE FUNCTION fault() RETURNS text STABLE LANGUAGE sql COST 1 "
        f"AS $$ SELECT ({fault})::text $$",
        "CREATE VIEW items AS SELECT id, CASE id WHEN 500 THEN fault() ELSE v END AS v FROM raw",
    )


def test_a_server_that_dies_in_the_middle_of_a_page_may_be_back_for_the_next(
    postgres_source: SourceDatabase,
) -> None:
    failing(postgres_source, "pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(SourceUnreachable, match=r"'shop'.*terminating connection"):
        postgres_source.bridge.read_page(ITEMS, Window(), 1_000)

    assert postgres_source.bridge.read_page(ITEMS, Window(), 400).frame.height == 400


def test_a_page_that_takes_too_long_in_its_middle_is_ended(
    postgres_source: SourceDatabase,
) -> None:
    failing(postgres_source, "pg_sleep(30)")
    bridge = postgres_source.another_bridge(timeout_ms=500)

    with pytest.raises(SourceUnreachable, match="longer than 500 ms"):
        bridge.read_page(ITEMS, Window(), 1_000)

    assert bridge.read_page(ITEMS, Window(), 400).frame.height == 400


def test_a_person_who_stops_a_slow_page_stops_it_in_the_server_too(
    postgres_source: SourceDatabase,
) -> None:
    failing(postgres_source, "pg_sleep(60)")
    bridge = postgres_source.another_bridge(timeout_ms=60_000)
    after = Window(bridge.read_page(ITEMS, Window(), 400).cursor)
    running = Sql(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'COPY %%' "
        "AND datname = current_database()"
    )

    def stop_it_once_it_runs() -> None:
        eventually(lambda: postgres_source.bridge._db.scalars(running) == (1,))
        _thread.interrupt_main()

    person = threading.Thread(target=stop_it_once_it_runs)
    person.start()
    with pytest.raises(KeyboardInterrupt):
        bridge.read_page(ITEMS, after, 100)

    person.join()
    assert postgres_source.bridge._db.scalars(running) == (0,)
    assert bridge.count(ITEMS) == 1_000


def test_a_page_that_ends_early_leaves_its_connection_for_the_next(
    postgres_source: SourceDatabase,
) -> None:
    postgres_source.run(
        "CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT)",
        f"INSERT INTO items SELECT n, repeat('x', {PAGE_BYTES // 8}) FROM generate_series(1, 10) n",
    )
    db, backend = postgres_source.bridge._db, Sql("SELECT pg_backend_pid()")
    before = db.scalars(backend)

    page = postgres_source.bridge.read_page(ITEMS, Window(), 30)

    assert page.frame.height == 8
    assert db.scalars(backend) == before


def test_no_text_in_a_statement_is_a_second_statement(postgres_source: SourceDatabase) -> None:
    postgres_source.run("CREATE TABLE items (id INTEGER)")

    url = postgres_source.url.replace("+psycopg", "")
    several = "SELECT 1) TO STDOUT; DROP TABLE items; COPY (SELECT 1"

    with (
        psycopg.connect(url, autocommit=True) as db,
        pytest.raises(psycopg.errors.SyntaxError, match="multiple commands"),
    ):
        copy_out(db, several, PAGE_BYTES, lambda rows: None)

    assert postgres_source.bridge.table("items").name == "items"
