"""A page of every SQL source ends where its rows weigh too much; the walk goes on from there."""

from __future__ import annotations

import pytest

from semilayer_pipelines.bridges.protocol import PAGE_BYTES, Selection, Window
from tests.bridges.test_conformance_refused import broken
from tests.sources import SourceDatabase

HEAVY = PAGE_BYTES // 8
ITEMS = Selection("items", ("id",), ("id", "v"))


def heavy(source: SourceDatabase, weights: list[int]) -> None:
    """Make a table of rows with texts of these lengths."""
    declared = "LONGTEXT" if source.kind == "mariadb" else "TEXT"
    source.run(f"CREATE TABLE items (id INTEGER PRIMARY KEY, v {declared})")
    text = "hex(zeroblob({n} / 2))" if source.kind == "sqlite" else "repeat('x', {n})"
    source.run(
        *(f"INSERT INTO items VALUES ({i}, {text.format(n=n)})" for i, n in enumerate(weights))
    )


def pages(source: SourceDatabase, limit: int) -> list[list[int]]:
    found: list[list[int]] = []
    window = Window()
    while True:
        page = source.bridge.read_page(ITEMS, window, limit)
        found.append(page.frame["id"].to_list())
        if page.cursor is None:
            return found
        window = Window(page.cursor)


def test_a_page_ends_before_it_weighs_much_more_than_it_may(source: SourceDatabase) -> None:
    weights = [HEAVY] * 40
    heavy(source, weights)

    found = pages(source, 1_000)

    assert [id for page in found for id in page] == list(range(40))
    assert all(page for page in found)
    # A few rows more than fit may come in one go from a server, and only once.
    assert max(len(page) for page in found) <= 8 + 16
    assert max(len(page) for page in found[1:]) <= 9


def test_rows_that_are_heavier_than_a_page_come_one_by_one(source: SourceDatabase) -> None:
    if source.kind == "mariadb":
        pytest.skip("the server takes no statement that makes such a row")
    heavy(source, [5, PAGE_BYTES + 1, PAGE_BYTES + 1, 5])

    found = pages(source, 1_000)

    assert [id for page in found for id in page] == [0, 1, 2, 3]


def test_light_rows_are_not_parted(source: SourceDatabase) -> None:
    heavy(source, [10] * 100)

    assert [len(page) for page in pages(source, 60)] == [60, 40]
    assert [len(page) for page in pages(source, 100)] == [100]


def test_rows_by_id_come_as_many_as_a_page_holds(source: SourceDatabase) -> None:
    heavy(source, [HEAVY] * 30)
    waiting: tuple[str, ...] = tuple(str(n) for n in [*range(30), 99])
    found: list[int] = []
    looks = 0

    while waiting:
        rows = source.bridge.read_rows(ITEMS, waiting)
        assert len(rows.left) < len(waiting)
        assert rows.frame.height <= 16
        found += rows.frame["id"].to_list()
        waiting = rows.left
        looks += 1

    assert sorted(found) == list(range(30))
    assert looks > 1


def test_changed_rows_are_parted_by_weight_in_their_order(source: SourceDatabase) -> None:
    heavy(source, [HEAVY] * 30)
    found: list[int] = []
    cursor = None

    while True:
        page = source.bridge.read_changed(ITEMS, "id", cursor, 1_000)
        found += page.frame["id"].to_list()
        cursor = page.cursor
        if cursor is None:
            break

    assert found == list(range(30))


def test_heavy_rows_beside_one_that_cannot_be_read_are_parted_too(source: SourceDatabase) -> None:
    heavy(source, [HEAVY] * 30)
    fails = broken(source).replace("raw", "items")
    source.run(
        "UPDATE items SET v = 'bad' WHERE id = 3",
        f"CREATE VIEW shaped AS SELECT id, CASE WHEN v = 'bad' THEN {fails} ELSE v END AS v "
        "FROM items",
    )
    selection = Selection("shaped", ("id",), ("id", "v"))
    found: list[int] = []
    refused: list[str] = []
    window = Window()

    while True:
        page = source.bridge.read_page(selection, window, 1_000)
        assert page.frame.height <= 8 + 16
        found += page.frame["id"].to_list()
        refused += page.refused
        if page.cursor is None:
            break
        window = Window(page.cursor)

    assert found == [n for n in range(30) if n != 3]
    assert refused == ["3"]


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_a_server_is_as_good_as_new_after_a_page_that_ended_early(
    kind: str, request: pytest.FixtureRequest
) -> None:
    source: SourceDatabase = request.getfixturevalue(f"{kind}_source")
    heavy(source, [HEAVY] * 30)

    for _ in range(5):
        page = source.bridge.read_page(ITEMS, Window(), 1_000)
        assert page.cursor is not None
        assert source.bridge.count(ITEMS) == 30
