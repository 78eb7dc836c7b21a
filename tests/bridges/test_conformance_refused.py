"""What every SQL source does with rows that the database itself cannot read."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from semilayer_pipelines.bridges.database import Fetched, Query
from semilayer_pipelines.bridges.protocol import Selection, Window
from semilayer_pipelines.errors import SourceRefused, SourceUnreachable
from tests.sources import SourceDatabase

ITEMS = Selection("shaped", ("id",), ("id", "v"))

# What no database can compute where `raw.v` is 'bad'. MariaDB divides by zero, and casts what it
# likes; a sub-select of several rows it refuses. MySQL makes every row for one with a sub-select.
BROKEN = {
    "sqlite": "json('{')",
    "postgres": "(1 / length(substr(v, 4)))::text",
    "mariadb": "(SELECT twice.v FROM raw twice WHERE twice.id < 2 OR twice.v = raw.v)",
    "mysql": "JSON_UNQUOTE(JSON_EXTRACT(v, '$.a'))",
}


def broken(source: SourceDatabase) -> str:
    return BROKEN["mysql" if source.is_mysql else source.kind]


def shaped(source: SourceDatabase, rows: int, bad: set[int]) -> None:
    """Make a view `shaped` over so many rows, whose `v` fails for some of them."""
    source.run(
        f"CREATE TABLE raw (id INTEGER PRIMARY KEY, v {source.type('text')})",
        f"CREATE VIEW shaped AS SELECT id, CASE WHEN v = 'bad' THEN {broken(source)} "
        "ELSE v END AS v FROM raw",
    )
    source.insert("raw", [(n, "bad" if n in bad else f"v{n}") for n in range(rows)])


def counted(source: SourceDatabase, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count the statements for rows from now on."""
    calls: list[Query] = []
    read = source.bridge._db.read

    def told(query: Query) -> Fetched:
        calls.append(query)
        return read(query)

    monkeypatch.setattr(source.bridge._db, "read", told)
    return lambda: len(calls)


@pytest.mark.parametrize(
    "bad", [{0}, {150}, {299}, {0, 1, 2}, {7, 150, 151, 298}, set(range(5, 60))]
)
@pytest.mark.parametrize("limit", [1, 40, 1000])
def test_a_walk_goes_past_the_rows_that_cannot_be_read_and_names_them(
    source: SourceDatabase, bad: set[int], limit: int
) -> None:
    rows = 300 if limit > 1 else 9
    bad = {n for n in bad if n < rows}
    shaped(source, rows, bad)

    seen: list[int] = []
    refused: dict[str, str] = {}
    window = Window()
    while True:
        page = source.bridge.read_page(ITEMS, window, limit)
        seen += page.frame["id"].to_list()
        refused |= page.refused
        assert page.frame.height + len(page.refused) <= limit
        if page.cursor is None:
            break
        window = Window(page.cursor)

    assert seen == [n for n in range(rows) if n not in bad]
    assert refused.keys() == {str(n) for n in bad}
    assert all("cannot read it: " in why for why in refused.values())


def test_rows_by_id_say_which_are_there_and_cannot_be_read(source: SourceDatabase) -> None:
    shaped(source, 50, {7, 8, 30})

    found = source.bridge.read_rows(ITEMS, ["1", "7", "30", "49", "99", "x"])

    assert sorted(found.frame["id"].to_list()) == [1, 49]
    assert found.refused.keys() == {"7", "30"}
    # In SQLite a column of a view may hold anything.
    assert found.malformed.keys() == (set() if source.kind == "sqlite" else {"x"})


def test_changed_rows_come_past_those_that_cannot_be_read(source: SourceDatabase) -> None:
    shaped(source, 50, {7, 8})

    page = source.bridge.read_changed(ITEMS, "id", None, 20)

    assert page.frame["id"].to_list() == [n for n in range(20) if n not in (7, 8)]
    assert page.refused.keys() == {"7", "8"}
    assert page.cursor is not None
    assert page.cursor == page.last
    rest = source.bridge.read_changed(ITEMS, "id", page.cursor, 100)
    assert (rest.frame["id"].to_list(), rest.refused, rest.cursor) == ([*range(20, 50)], {}, None)


def test_the_shard_of_a_row_stays_right_beside_one_that_cannot_be_read(
    source: SourceDatabase,
) -> None:
    shaped(source, 20, {3})
    bounds = source.bridge.bounds(ITEMS, 2)
    selection = Selection("shaped", ("id",), ("id", "v"), bounds)

    frame = source.bridge.read_changed(selection, "id", None, 50).frame

    assert frame["_shard"].to_list() == [0] * 9 + [1] * 10


def test_one_bad_row_costs_few_statements(
    source: SourceDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    shaped(source, 1000, {500})
    statements = counted(source, monkeypatch)

    source.bridge.read_page(ITEMS, Window(), 1000)

    assert statements() < 30


def test_a_source_that_can_read_hardly_any_row_is_refused_soon(
    source: SourceDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    shaped(source, 1000, set(range(1000)))
    statements = counted(source, monkeypatch)

    with pytest.raises(
        SourceRefused, match=r"most of the rows; the first, 0: .+\. Correct the view"
    ):
        source.bridge.read_page(ITEMS, Window(), 1000)
    assert statements() < 250
    with pytest.raises(SourceRefused, match="most of the rows"):
        source.bridge.read_rows(ITEMS, [str(n) for n in range(1000)])


def test_an_outage_is_met_once(source: SourceDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    shaped(source, 100, {50})
    calls: list[Query] = []

    def gone(query: Query) -> Fetched:
        calls.append(query)
        raise SourceUnreachable("the server is away")

    monkeypatch.setattr(source.bridge._db, "read", gone)

    with pytest.raises(SourceUnreachable):
        source.bridge.read_page(ITEMS, Window(), 100)
    with pytest.raises(SourceUnreachable):
        source.bridge.read_rows(ITEMS, ["1", "2", "50"])
    assert len(calls) == 2


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_key_that_cannot_be_read_is_told_with_the_one_before_it(
    kind: str, request: pytest.FixtureRequest
) -> None:
    source: SourceDatabase = request.getfixturevalue(f"{kind}_source")
    broken = {"sqlite": "json('{')", "postgres": "1 / (n - 30)"}[kind]
    source.run(
        "CREATE TABLE raw (n INTEGER PRIMARY KEY)",
        f"CREATE VIEW shaped AS SELECT n, CASE WHEN n = 30 THEN {broken} ELSE n END AS m FROM raw",
    )
    source.insert("raw", [(n,) for n in range(50)])
    selection = Selection("shaped", ("n", "m"), ("n", "m"))

    with pytest.raises(SourceRefused, match=r"even read n, m of a row of 'shaped', between"):
        source.bridge.read_page(selection, Window(), 40)
