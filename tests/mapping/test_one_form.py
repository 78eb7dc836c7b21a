"""A row becomes the same whatever is beside it: on any page, of any size, in every mode."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from semilayer_pipelines.bridges.cursors import encode
from semilayer_pipelines.bridges.protocol import Selection, Window
from semilayer_pipelines.mapping.compile import compile_mapping
from semilayer_pipelines.mapping.mapped import LensMapping
from semilayer_pipelines.stores.protocol import KEY
from tests.mapping.making import lens, mapping, page
from tests.sources import SourceDatabase

ROWS = 24

# Declared type to the SQL literals of its rows: ordinary ones and those that do not fit.
COLUMNS: dict[str, dict[str, list[str]]] = {
    "sqlite": {
        "INTEGER": ["1", "0", "9007199254740993", "'x'", "'5'", "2.5", "x'3031'"],
        "BOOLEAN": ["0", "1", "2", "'yes'", "0.5"],
        "REAL": ["9.9", "1", "0.1 + 0.2", "'n/a'", "x'00'"],
        "DECIMAL(9,2)": ["9.9", "1", "9007199254740993", "1e300", "'n/a'"],
        "TEXT": [
            "'a'",
            "'2024-05-01'",
            "'2024-05-01T10:00:00Z'",
            "x'6162'",
            "CAST(x'61ff' AS TEXT)",
        ],
        "DATETIME": ["'2024-05-01 10:00:00'", "1700000000", "'soon'", "2460432.5"],
        "BLOB": ["x'6162'", "x'00ff'", "'a'", "7", "1.5", "CAST(x'61ff' AS TEXT)"],
        "": ["1", "'1'", "9.9", "x'6162'", "'{\"a\": 1}'"],
    },
    "postgres": {
        "integer": ["1", "0", "-5"],
        "boolean": ["true", "false"],
        "numeric": ["1.50", "'NaN'", "12345678901234567890.5"],
        "real": ["19.99", "0.1", "'infinity'"],
        "timestamptz": [
            "'2024-05-01 12:00:00.5+02'",
            "'infinity'",
            "'-infinity'",
            "'0044-03-15 BC'",
        ],
        "date": ["'2024-05-01'", "'infinity'", "'12024-01-01'"],
        "text": ["'a'", "'2024-05-01'", "'2024-05-01 10:00'", "'[1]'"],
        "char(5)": ["'DE'", "'a b'"],
    },
    "mariadb": {
        "TINYINT(1)": ["0", "1", "2", "-1"],
        "BIT(1)": ["b'0'", "b'1'"],
        "BIGINT UNSIGNED": ["0", "18446744073709551615"],
        "FLOAT": ["19.99", "0.1", "16777216"],
        "DATETIME": ["'2024-05-01 10:00:00'", "'0000-00-00 00:00:00'", "'2024-00-00 00:00:00'"],
        "DATE": ["'2024-05-01'", "'0000-00-00'"],
        "VARCHAR(30)": ["'a'", "'2024-05-01'", "'2024-05-01 10:00'", "'[1]'"],
        "TIME": ["'10:00:00'", "'-100:00:01'"],
    },
}
FIELDS: list[dict[str, Any]] = [
    {"type": "text", "searchable": True},
    {"type": "number"},
    {"type": "boolean"},
    {"type": "date"},
    {"type": "json"},
    {"type": "enum", "values": ["0", "1", "2", "true"]},
    {"type": "text", "array": True},
    {"type": "date", "transform": "toDate"},
    {"type": "text", "transform": "toString"},
]


def _table(source: SourceDatabase, declared: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    names = ", ".join(f"c{i} {kind}{' NULL' if kind else ''}" for i, kind in enumerate(declared))
    values = ", ".join(f"({n}, {', '.join(row)})" for n, row in enumerate(rows))
    # One session for all of it, so that MariaDB takes a zero date.
    with source.engine.connect() as connection:
        if source.kind == "mariadb":
            connection.exec_driver_sql("SET SESSION sql_mode = ''")
        connection.exec_driver_sql("DROP TABLE IF EXISTS items")
        connection.exec_driver_sql(f"CREATE TABLE items (id INTEGER PRIMARY KEY, {names})")
        connection.exec_driver_sql(f"INSERT INTO items VALUES {values}".replace("%", "%%"))


def _mapping(source: SourceDatabase, columns: int, dice: st.DataObject) -> LensMapping:
    fields = {
        f"f{i}": {**dice.draw(st.sampled_from(FIELDS)), "from": f"c{i}"} for i in range(columns)
    }
    table = source.bridge.table("items")
    return compile_mapping(lens(**fields), table, key=("id",), model_fingerprint="m")


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mariadb"])
def test_a_row_becomes_the_same_on_every_page_and_in_every_mode(
    kind: str, request: pytest.FixtureRequest
) -> None:
    source: SourceDatabase = request.getfixturevalue(f"{kind}_source")
    pools = COLUMNS[kind]

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(dice=st.data())
    def holds(dice: st.DataObject) -> None:
        declared = dice.draw(st.lists(st.sampled_from(sorted(pools)), min_size=1, max_size=4))
        value = [st.sampled_from(["NULL", *pools[one]]) for one in declared]
        rows = dice.draw(st.lists(st.tuples(*value), min_size=ROWS, max_size=ROWS))
        _table(source, declared, rows)
        compiled = _mapping(source, len(declared), dice)
        selection = Selection("items", ("id",), compiled.columns)

        alone = _mapped(compiled, _pages(source, selection, [1] * ROWS))
        sizes = dice.draw(st.lists(st.integers(1, ROWS), min_size=1, max_size=6))
        together = _mapped(compiled, _pages(source, selection, sizes))
        sharded = Selection("items", ("id",), compiled.columns, (encode([5]), encode([11])))
        by_id = source.bridge.read_rows(sharded, [str(n) for n in range(ROWS)]).frame
        changed = source.bridge.read_changed(selection, "id", None, ROWS).frame

        for other in (together, _mapped(compiled, [by_id]), _mapped(compiled, [changed])):
            assert_frame_equal(alone[0], other[0])
            assert alone[1] == other[1]

    holds()


def _pages(source: SourceDatabase, selection: Selection, sizes: list[int]) -> list[pl.DataFrame]:
    window, pages = Window(), []
    for size in [*sizes, *[ROWS] * ROWS]:
        read = source.bridge.read_page(selection, window, size)
        pages.append(read.frame)
        if read.cursor is None:
            return pages
        window = Window(read.cursor)
    raise AssertionError("the walk does not end")


def _mapped(
    compiled: LensMapping, pages: list[pl.DataFrame]
) -> tuple[pl.DataFrame, dict[str, str]]:
    """Return all mapped rows in the order of their keys, and why the others were set aside."""
    mapped = [compiled.apply(part) for part in pages]
    frame = pl.concat([one.frame.drop("_shard", strict=False) for one in mapped])
    failed = {key: why for one in mapped for key, _, why in one.failed.iter_rows()}
    return frame.sort(pl.col(KEY).cast(pl.Int64)), failed


TEXTS = st.sampled_from(
    [
        "2024-05-01",
        " 2024-05-01 ",
        "2024-5-1",
        "2024-05-01 10:20",
        "2024-05-01T10:20:30",
        "2024-05-01T10:20:30.5Z",
        "2024-05-01 10:20:30+02",
        "2024-05-01 10:20:30.123456789+02:00",
        "2024-05-0110:20",
        "10:20",
        "20240501",
        "24-05-01",
        "",
        "+2024-05-01",
        "2024-05-01 24:00:00",
        "2024-05-01T10:20:60Z",
    ]
)


@settings(deadline=None)
@given(texts=st.lists(TEXTS, min_size=2, max_size=12))
def test_a_text_is_the_same_time_whatever_texts_are_beside_it(texts: list[str]) -> None:
    compiled = mapping({"type": "date", "transform": "toDate"})

    together = compiled.apply(page(texts)).frame["v"].to_list()

    assert together == [compiled.apply(page([text])).frame["v"][0] for text in texts]


def test_what_a_function_of_ones_own_gives_does_not_depend_on_the_rows_that_it_fails_on(
    tmp_path: Path,
) -> None:
    (tmp_path / "mixed_forms.py").write_text(
        "import polars as pl\n"
        "def mixed(values):\n"
        "    return pl.Series([None if v is None else eval(v) for v in values])\n"
    )
    compiled = mapping({"type": "text", "transform": "mixed_forms:mixed"}, project_dir=tmp_path)
    values = ["1", "2.0", "True", "'a'", None, "1/0", "9007199254740993"]

    result = compiled.apply(page(values))

    alone = [compiled.apply(page([value])).frame["v"].to_list() for value in values]
    assert result.frame["v"].to_list() == ["1", "2", "true", "a", None, "9007199254740993"]
    assert result.frame["v"].to_list() == [value for one in alone for value in one]
    assert result.failed[KEY].to_list() == ["5"]
