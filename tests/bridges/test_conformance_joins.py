"""Rows with columns of the rows that they join: the same in every verb, and in every database."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from semilayer_pipelines.bridges import moved
from semilayer_pipelines.bridges.catalogue import Catalogue
from semilayer_pipelines.bridges.cursors import shown
from semilayer_pipelines.bridges.database import Sql
from semilayer_pipelines.bridges.moved import moved_rows
from semilayer_pipelines.bridges.protocol import Join, Selection, Untracked, Window
from semilayer_pipelines.errors import SchemaMismatch, TableAltered
from tests.sources import SourceDatabase

CATEGORY = Join("category", "categories", (("category_id", "id"),), ("updated_at",))
AUTHOR = Join("author", "people", (("author", "email"),))
POSTS = Selection(
    "posts",
    ("id",),
    ("id", "name", "category.name", "category.joined0", "author.name"),
    joins=(CATEGORY, AUTHOR),
)
HORIZON = datetime(2024, 6, 1, tzinfo=UTC)


def at(second: int) -> str:
    return f"2024-05-01 10:00:{second:02d}.000000"


@pytest.fixture
def shop(source: SourceDatabase) -> SourceDatabase:
    """Five posts in two categories, by two people; all three tables have a `name`."""
    text, moment = source.type("text"), source.type("moment")
    source.run(
        f"CREATE TABLE categories (id INTEGER PRIMARY KEY, name {text}, joined0 {text}, "
        f"status {text}, updated_at {moment})",
        f"CREATE TABLE people (id INTEGER PRIMARY KEY, email {text} UNIQUE, name {text})",
        f"CREATE TABLE posts (id INTEGER PRIMARY KEY, name {text}, category_id INTEGER, "
        f"author {text}, status {text}, joined_at {moment}, updated_at {moment})",
    )
    source.insert(
        "categories",
        [(1, "tea", "a", "closed", at(10)), (2, "coffee", None, "open", at(20))],
    )
    source.insert("people", [(1, "ann@x", "Ann"), (2, "bob@x", None)])
    source.insert(
        "posts",
        [
            (1, "one", 1, "ann@x", "open", None, at(1)),
            (2, "two", 2, "bob@x", "open", None, at(30)),
            (3, "three", None, "nobody@x", "closed", None, at(3)),
            (4, "four", 9, None, "open", None, at(4)),
            (5, "five", 1, "ann@x", None, None, None),
        ],
    )
    return source


READ: list[tuple[Any, ...]] = [
    (1, "one", "tea", "a", "Ann"),
    (2, "two", "coffee", None, None),
    (3, "three", None, None, None),
    (4, "four", None, None, None),
    (5, "five", "tea", "a", "Ann"),
]


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_a_walk_has_the_columns_of_joined_rows_and_null_where_there_is_none(
    shop: SourceDatabase, limit: int
) -> None:
    frame, _ = shop.walk(POSTS, limit)

    assert frame.columns == list(POSTS.columns)
    assert frame.rows() == READ


def test_rows_by_id_are_read_like_a_walk(shop: SourceDatabase) -> None:
    found = shop.bridge.read_rows(POSTS, ["3", "1", "77", "x"])

    assert sorted(found.frame.rows()) == [READ[0], READ[2]]
    assert list(found.malformed) == ["x"]


def test_a_condition_names_the_columns_of_the_table_itself(shop: SourceDatabase) -> None:
    chosen = replace(POSTS, where="status = 'open' AND name <> 'four' AND updated_at IS NOT NULL")

    frame, _ = shop.walk(chosen, 10)
    assert frame["id"].to_list() == [1, 2]
    assert shop.bridge.read_rows(chosen, ["1", "3"]).outside == ("3",)
    page = shop.bridge.read_changed(chosen, "updated_at", None, 10)
    assert sorted(page.outside) == ["3", "4", "5"]
    assert page.frame["id"].to_list() == [1, 2]
    shop.bridge.check_where(chosen)


def test_count_keys_and_bounds_are_those_of_the_table(shop: SourceDatabase) -> None:
    bare = replace(POSTS, columns=("id",), joins=())

    assert shop.bridge.count(POSTS) == 5
    assert shop.bridge.null_keys(POSTS) == 0
    assert shop.bridge.bounds(POSTS, 2) == shop.bridge.bounds(bare, 2)
    assert shop.bridge.last_key(POSTS) == shop.bridge.last_key(bare)
    assert shop.bridge.name_rows(POSTS, ["1"]) == shop.bridge.name_rows(bare, ["1"])


def test_a_shard_reads_its_range_of_the_joined_rows(shop: SourceDatabase) -> None:
    bounds = shop.bridge.bounds(POSTS, 2)
    sharded = replace(POSTS, bounds=bounds)

    found = shop.bridge.read_rows(sharded, ["1", "5"]).frame
    assert found["_shard"].to_list() == [0, 1]
    frame, _ = shop.walk(POSTS, 10, Window(after=bounds[0]))
    assert frame.rows() == [row for row in READ if row[0] > len(READ) // 2]


def test_joined_values_are_those_that_a_read_of_their_own_table_gives(
    source: SourceDatabase,
) -> None:
    # given a table with a column of each kind, and one row in it of values that are hard to carry
    kinds = ("INTEGER", "moment", "zoned moment", "text", "binary", "uuid", "DECIMAL(30,10)")
    declared = ", ".join(f"c{n} {source.type(kind)}" for n, kind in enumerate(kinds))
    more = {
        "postgres": ", f REAL, b BOOLEAN, j JSONB, a TEXT[], ch CHAR(5), t TIME",
        "mariadb": ", f FLOAT, b BOOLEAN, j JSON, e ENUM('x','y'), bits BIT(9), t TIME",
        "sqlite": ", f REAL, b BOOLEAN, j JSON, n, t TIMESTAMP",
    }[source.kind]
    uuid = "11111111-2222-4333-8444-555555555555"
    rest: dict[str, list[Any]] = {
        "postgres": [19.99, True, '{"a": 1}', ["x", "y"], "ab", "10:00"],
        "mariadb": [19.99, 1, '{"a": 1}', "y", 300, "-10:00"],
        "sqlite": [19.99, "maybe", '{"a": 1}', 2**53 + 1, 1.5],
    }
    source.run(f"CREATE TABLE things (id INTEGER PRIMARY KEY, {declared}{more})")
    source.run("CREATE TABLE uses (id INTEGER PRIMARY KEY, thing INTEGER)")
    moment = "2024-05-01 10:00:00.123456"
    first = "infinity" if source.kind == "postgres" else moment
    values = [7, first, moment, "é %s `", b"\x00\xff", uuid, "12345678901234567890.1234567891"]
    source.insert("things", [(1, *values, *rest[source.kind])])
    names = [column.name for column in source.bridge.table("things").columns]
    source.insert("uses", [(10, 1), (11, None)])

    # when it is read by itself, and as a joined one
    own, _ = source.walk(Selection("things", ("id",), tuple(names)), 10)
    join = Join("thing", "things", (("thing", "id"),))
    columns = tuple(f"thing.{name}" for name in names)
    uses = Selection("uses", ("id",), ("id", *columns), joins=(join,))
    joined, _ = source.walk(uses, 10)

    # then the values and their types are the same, those that do not fit their column included
    assert joined["id"].to_list() == [10, 11]
    read = joined.filter(pl.col("id") == 10).drop("id")
    assert read.rename(lambda name: name.replace("thing.", "")).equals(own)
    assert set(joined.filter(pl.col("id") == 11).drop("id").row(0)) == {None}


def walked(source: SourceDatabase, limit: int, since: str | None = None) -> list[int]:
    return source.walk_changed(POSTS, "updated_at", limit, since)["id"].to_list()


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_changes_come_in_the_order_of_the_later_of_both_values(
    source: SourceDatabase, limit: int
) -> None:
    dice = random.Random(limit)

    def some() -> str | None:
        return at(dice.randrange(20)) if dice.random() < 0.7 else None

    moment = source.type("moment")
    source.run(
        f"CREATE TABLE categories (id INTEGER PRIMARY KEY, updated_at {moment}, "
        f"created_at {moment})",
        f"CREATE TABLE posts (id INTEGER PRIMARY KEY, category_id INTEGER, updated_at {moment})",
    )
    categories = {n: (some(), some()) for n in range(6)}
    posts = {n: (dice.choice([*categories, 77, 78]), some()) for n in range(40)}
    source.insert("categories", [(n, *row) for n, row in categories.items()])
    source.insert("posts", [(n, *row) for n, row in posts.items()])
    join = replace(CATEGORY, tracked=("updated_at", "created_at"))
    rows = Selection("posts", ("id",), ("id",), joins=(join,))
    values: dict[int, str] = {}
    for n, (category, own) in posts.items():
        updated, created = categories.get(category, (None, None))
        found = [value for value in (own, updated or created) if value is not None]
        if found:
            values[n] = max(found)
    in_order = sorted(values, key=lambda n: (values[n], n))

    # the walk has every row with a value once, from whichever value on
    assert source.walk_changed(rows, "updated_at", limit)["id"].to_list() == in_order
    largest = source.bridge.high_water(rows, "updated_at", HORIZON)
    assert largest is not None
    assert shown(largest)[:19] == max(values.values())[:19]
    since = source.bridge.read_changed(rows, "updated_at", None, 15).cursor
    assert since is not None
    after = source.bridge.read_changed(rows, "updated_at", since, 100).frame["id"].to_list()
    assert after == in_order[15:]
    ended = source.walk_changed(rows, "updated_at", limit, upto=largest)
    assert ended["id"].to_list() == in_order


def test_rows_move_with_their_own_table_and_with_the_joined_one(shop: SourceDatabase) -> None:
    since = shop.bridge.high_water(POSTS, "updated_at")
    assert since is not None
    assert shown(since)[:19] == at(30)[:19]
    assert walked(shop, 10) == [3, 4, 1, 5, 2]

    shop.run(f"UPDATE categories SET name = 'green tea', updated_at = '{at(40)}' WHERE id = 1")
    shop.run(f"UPDATE posts SET updated_at = '{at(41)}' WHERE id = 3")

    assert walked(shop, 2, since) == [2, 1, 5, 3]
    largest = shop.bridge.high_water(POSTS, "updated_at")
    assert largest is not None
    assert shown(largest)[:19] == at(41)[:19]


@pytest.mark.parametrize("name", ["moved", "joined0"])
def test_a_table_may_be_called_like_a_part_of_a_statement(shop: SourceDatabase, name: str) -> None:
    shop.run(f"ALTER TABLE posts RENAME TO {name}")
    rows = replace(POSTS, table=name)
    since = shop.bridge.high_water(rows, "updated_at")
    shop.run(f"UPDATE categories SET updated_at = '{at(40)}' WHERE id = 1")

    assert shop.walk(rows, 2)[0].rows() == READ
    assert shop.walk_changed(rows, "updated_at", 2, since)["id"].to_list() == [2, 1, 5]


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables of which the rows that moved were looked for, in order."""
    found: list[str] = []

    def looking(catalogue: Catalogue, selection: Selection, conditions: Sequence[Sql]) -> Sql:
        found.append(selection.table)
        return moved_rows(catalogue, selection, conditions)

    monkeypatch.setattr(moved, "moved_rows", looking)
    return found


def moving(shop: SourceDatabase) -> str:
    """Add posts 100 to 120, one a second from 31 on; return the value from which they are read."""
    since = shop.bridge.high_water(POSTS, "updated_at")
    assert since is not None
    shop.insert("posts", [(n, "x", 9, None, None, None, at(n - 69)) for n in range(100, 121)])
    return since


MOVING = [2, *range(100, 121)]


def test_the_rows_that_moved_are_looked_for_once_a_walk(
    shop: SourceDatabase, scans: list[str]
) -> None:
    since = moving(shop)

    for walks in (1, 2):
        assert walked(shop, 4, since) == MOVING
        assert len(scans) == walks


def test_rows_beyond_those_that_are_remembered_are_looked_for_again(
    shop: SourceDatabase, scans: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moved, "MOST_POSITIONS", 10)
    since = moving(shop)

    assert walked(shop, 4, since) == MOVING
    assert len(scans) == 3


@pytest.mark.parametrize("where", [None, "id <> 103 AND id <> 107"])
def test_rows_that_move_or_go_while_others_are_read_are_seen_where_they_are(
    shop: SourceDatabase, where: str | None, scans: list[str]
) -> None:
    # given a walk that has read its first page
    rows, since = replace(POSTS, where=where), moving(shop)
    first = shop.bridge.read_changed(rows, "updated_at", None, 4, since=since)
    outside = [int(key) for key in first.outside]
    assert sorted([*first.frame["id"], *outside]) == MOVING[:4]

    # when one row of the next moves on, another is gone, and one of a later page too
    shop.run(
        f"UPDATE posts SET updated_at = '{at(58)}' WHERE id = 104",
        "DELETE FROM posts WHERE id IN (105, 115)",
    )
    assert first.cursor is not None
    shop.insert("categories", [(9, "herbs", None, None, at(1))])

    # then the rest of the walk has every other row, and it in its new place
    seen: list[int] = []
    cursor: str | None = first.cursor
    while cursor is not None:
        page = shop.bridge.read_changed(rows, "updated_at", cursor, 4, since=since)
        seen += [*page.frame["id"], *map(int, page.outside)]
        assert page.last is not None
        cursor = page.cursor
    left = [n for n in MOVING[4:] if n not in (104, 105, 115)]
    assert sorted(seen) == sorted([*left, 104])
    assert seen[-1] == 104


def test_a_row_that_was_not_there_moves_the_rows_that_waited_for_it(shop: SourceDatabase) -> None:
    since = shop.bridge.high_water(POSTS, "updated_at")

    shop.insert("categories", [(9, "herbs", None, None, at(50))])

    assert walked(shop, 10, since) == [2, 4]


def test_a_joined_row_that_no_row_points_to_is_no_largest_value(shop: SourceDatabase) -> None:
    shop.insert("categories", [(7, "empty", None, None, at(59))])

    largest = shop.bridge.high_water(POSTS, "updated_at", HORIZON)

    assert largest is not None
    assert shown(largest)[:19] == at(30)[:19]


def test_values_that_are_missing_or_ahead_in_either_table_are_counted_once(
    shop: SourceDatabase,
) -> None:
    later = "2025-01-01 00:00:00.000000"
    assert shop.bridge.untracked(POSTS, "updated_at", HORIZON) == Untracked(1, 0)

    shop.run("UPDATE categories SET updated_at = NULL WHERE id = 1")
    assert shop.bridge.untracked(POSTS, "updated_at", HORIZON) == Untracked(2, 0)

    shop.run(f"UPDATE categories SET updated_at = '{later}' WHERE id = 2")
    shop.run(f"UPDATE posts SET updated_at = '{later}' WHERE id IN (2, 3)")
    assert shop.bridge.untracked(POSTS, "updated_at", HORIZON) == Untracked(2, 2)
    largest = shop.bridge.high_water(POSTS, "updated_at", HORIZON)
    assert largest is not None
    assert shown(largest)[:19] == at(4)[:19]


def test_a_table_may_join_itself(shop: SourceDatabase) -> None:
    join = Join("other", "posts", (("category_id", "id"),), ("updated_at",))
    posts = Selection("posts", ("id",), ("id", "name", "other.name"), joins=(join,))

    frame, _ = shop.walk(posts, 2)

    assert frame["other.name"].to_list() == ["one", "two", None, None, "one"]
    assert shop.walk_changed(posts, "updated_at", 2)["id"].to_list() == [1, 5, 3, 4, 2]


def test_the_parts_of_a_composite_key_join(source: SourceDatabase) -> None:
    text = source.type("text")
    source.run(
        f"CREATE TABLE names (shop INTEGER NOT NULL, lang {text} NOT NULL, name {text}, "
        "PRIMARY KEY (shop, lang))",
        f"CREATE TABLE goods (shop INTEGER NOT NULL, code {text} NOT NULL, lang {text}, "
        "PRIMARY KEY (shop, code))",
    )
    source.insert("names", [(1, "de", "Tee"), (1, "en", "tea"), (2, "de", "Kaffee")])
    source.insert("goods", [(1, "a", "en"), (1, "b", None), (2, "a", "de"), (2, "b", "en")])
    join = Join("label", "names", (("shop", "shop"), ("lang", "lang")))
    goods = Selection("goods", ("shop", "code"), ("shop", "code", "label.name"), joins=(join,))

    frame, _ = source.walk(goods, 3)

    assert frame["label.name"].to_list() == ["tea", None, "Kaffee", None]
    assert parents(source, goods, "label", '["1","en"]', '["2","de"]') == ['["1","a"]', '["2","a"]']


def parents(source: SourceDatabase, rows: Selection, join: str, *ids: str) -> list[str]:
    found: Iterator[tuple[str, ...]] = source.bridge.parents_of(rows, join, ids, at_once=2)
    return sorted({key for page in found for key in page})


def test_the_rows_that_join_certain_rows_are_found_by_their_keys(shop: SourceDatabase) -> None:
    assert parents(shop, POSTS, "category", "1") == ["1", "5"]
    assert parents(shop, POSTS, "category", "1", "02", "404", "no number") == ["1", "2", "5"]
    # those whose joined row is gone
    assert parents(shop, POSTS, "category", "9") == ["4"]
    # by the joined table's own key, which is not what they are joined by
    assert parents(shop, POSTS, "author", "1") == ["1", "5"]
    assert parents(shop, POSTS, "author", "3") == []
    assert parents(shop, replace(POSTS, where="status = 'open'"), "category", "1") == ["1"]


def test_a_condition_that_fails_for_one_row_hides_none_of_the_others(
    postgres_source: SourceDatabase,
) -> None:
    postgres_source.run(
        "CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT)",
        "CREATE TABLE goods (id INTEGER PRIMARY KEY, amount TEXT, name_id INTEGER)",
    )
    postgres_source.insert("names", [(1, "tea"), (2, "coffee")])
    postgres_source.insert("goods", [(1, "7", 1), (2, "many", 1), (3, "9", 1), (4, "-1", 2)])
    join = Join("label", "names", (("name_id", "id"),))
    goods = Selection("goods", ("id",), ("id", "label.name"), joins=(join,))
    goods = replace(goods, where="CAST(amount AS integer) > 0")

    assert parents(postgres_source, goods, "label", "1", "2") == ["1", "2", "3"]


def test_more_rows_than_fit_a_page_join_one_row(shop: SourceDatabase) -> None:
    shop.insert("posts", [(n, "x", 2, None, None, None, None) for n in range(100, 107)])

    found = list(shop.bridge.parents_of(POSTS, "category", ["2"], at_once=3))

    assert [len(page) for page in found] == [3, 3, 2]
    assert sorted(int(key) for page in found for key in page) == [2, *range(100, 107)]


def test_unique_keys_are_told_beside_the_primary_one(shop: SourceDatabase) -> None:
    assert shop.bridge.unique_keys("people") == (("id",), ("email",))
    assert shop.bridge.unique_keys("categories") == (("id",),)
    shop.run("CREATE VIEW shown AS SELECT * FROM people")
    assert shop.bridge.unique_keys("shown") == ()


def test_a_row_that_joins_several_is_an_error_and_never_read_twice(shop: SourceDatabase) -> None:
    several = Join("author", "posts", (("author", "author"),))
    posts = Selection("posts", ("id",), ("id", "author.name"), joins=(several,))

    with pytest.raises(SchemaMismatch, match=r"row 1 of 'posts' has several rows.*'posts'"):
        shop.bridge.read_page(posts, Window(), 10)
    with pytest.raises(SchemaMismatch, match="row 1 of 'posts'"):
        shop.bridge.read_rows(posts, ["1"])


def test_tables_that_cannot_be_joined_are_refused(shop: SourceDatabase) -> None:
    shop.bridge.check_joins(POSTS, ("updated_at",))
    shop.bridge.check_joins(POSTS, ())
    gone = Join("category", "categories", (("category_id", "idd"),))

    with pytest.raises(SchemaMismatch, match=r"no column 'idd' \(joins\).*'id'"):
        shop.bridge.check_joins(replace(POSTS, joins=(gone,)), ())
    if shop.kind == "postgres":
        mixed = Join("category", "categories", (("name", "id"),))
        with pytest.raises(SchemaMismatch, match="cannot be joined"):
            shop.bridge.check_joins(replace(POSTS, joins=(mixed,)), ())


def test_a_column_that_a_joined_table_lacks_is_named_with_the_nearest(
    shop: SourceDatabase,
) -> None:
    posts = replace(POSTS, columns=("id", "category.name", "category.nmae"))

    with pytest.raises(SchemaMismatch, match=r"'category\.nmae'.*'category\.name'"):
        shop.bridge.read_page(posts, Window(), 10)


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_a_joined_column_that_got_another_type_is_told_as_altered(
    kind: str, request: pytest.FixtureRequest
) -> None:
    source: SourceDatabase = request.getfixturevalue(f"{kind}_source")
    source.run(
        "CREATE TABLE things (id INTEGER PRIMARY KEY, size INTEGER)",
        "CREATE TABLE uses (id INTEGER PRIMARY KEY, thing INTEGER)",
    )
    source.insert("things", [(1, 5)])
    source.insert("uses", [(1, 1)])
    join = Join("thing", "things", (("thing", "id"),))
    uses = Selection("uses", ("id",), ("id", "thing.size"), joins=(join,))
    source.bridge.read_page(uses, Window(), 10)

    source.run(
        *(
            ["ALTER TABLE things ALTER size TYPE text USING 'v' || size"]
            if kind == "postgres"
            else ["ALTER TABLE things MODIFY size TEXT", "UPDATE things SET size = 'v5'"]
        )
    )

    with pytest.raises(TableAltered, match=r"thing\.size"):
        source.bridge.read_page(uses, Window(), 10)


def test_times_of_both_notations_compare_across_tables_in_sqlite(
    sqlite_source: SourceDatabase,
) -> None:
    # given a table whose times have a T, and a joined one whose times have a blank
    source = sqlite_source
    source.run(
        "CREATE TABLE categories (id INTEGER PRIMARY KEY, name TEXT, updated_at TEXT)",
        "CREATE TABLE posts (id INTEGER PRIMARY KEY, category_id INTEGER, updated_at TEXT)",
    )
    source.insert("categories", [(1, "tea", "2024-05-01 08:00:00"), (2, "x", "2024-05-01 07:00")])
    source.insert("posts", [(1, 1, "2024-05-01T09:00:00"), (2, 2, "2024-05-01T10:00:00")])
    rows = Selection("posts", ("id",), ("id",), joins=(CATEGORY,))
    since = source.bridge.high_water(rows, "updated_at", HORIZON)

    # when the joined row moves later on the same day
    source.run("UPDATE categories SET updated_at = '2024-05-01 12:00:00' WHERE id = 1")

    # then that is the largest value, and its row has moved
    assert since is not None
    assert shown(since) == "2024-05-01 10:00:00"
    assert source.walk_changed(rows, "updated_at", 10, since)["id"].to_list() == [2, 1]
    largest = source.bridge.high_water(rows, "updated_at", HORIZON)
    assert largest is not None
    assert shown(largest) == "2024-05-01 12:00:00"
    # also for a walk that begins at a cursor of before the join
    old = replace(rows, joins=())
    cursor = source.bridge.read_changed(old, "updated_at", None, 1).cursor
    assert source.bridge.read_changed(rows, "updated_at", cursor, 9).frame["id"].to_list() == [2, 1]


def test_a_table_that_is_known_by_the_numbers_of_its_rows_joins_in_sqlite(
    sqlite_source: SourceDatabase,
) -> None:
    source = sqlite_source
    source.run(
        "CREATE TABLE categories (id INTEGER, name TEXT, updated_at TEXT)",
        "CREATE UNIQUE INDEX one_id ON categories (id)",
        "CREATE TABLE posts (category_id INTEGER, updated_at TEXT)",
    )
    source.insert("categories", [(1, "tea", at(9)), (2, "coffee", at(1))])
    source.insert("posts", [(2, at(2)), (1, at(3)), (None, None)])
    rows = Selection("posts", ("rowid",), ("rowid", "category.name"), joins=(CATEGORY,))

    frame, _ = source.walk(rows, 2)

    assert frame.rows() == [(1, "coffee"), (2, "tea"), (3, None)]
    assert source.bridge.read_rows(rows, ["2"]).frame.rows() == [(2, "tea")]
    since = source.bridge.high_water(rows, "updated_at")
    assert source.walk_changed(rows, "updated_at", 1)["rowid"].to_list() == [1, 2]
    assert source.walk_changed(rows, "updated_at", 1, since)["rowid"].to_list() == [2]
    assert parents(source, rows, "category", "1") == ["2"]


def test_nothing_is_proven_of_rows_that_several_tables_make(shop: SourceDatabase) -> None:
    assert shop.bridge.written(POSTS) is None
