"""What every SQL source does with a condition on its rows: false and NULL are not there."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from semilayer_pipelines.bridges.protocol import Selection, Window
from semilayer_pipelines.errors import SchemaMismatch, SourceRefused
from tests.bridges.test_conformance_refused import shaped
from tests.sources import SourceDatabase, key_texts

POSTS = Selection("posts", ("id",), ("id", "title"), where="status = 'published'")
HORIZON = datetime(2100, 1, 1, tzinfo=UTC)

# Of every three rows one is published, one is a draft, and of one nobody said.
STATES = ("published", "draft", None)


def posts(source: SourceDatabase, rows: int) -> list[int]:
    """Make a table of so many rows; return the ids of those that are published."""
    source.run(
        f"CREATE TABLE posts (id INTEGER PRIMARY KEY, title {source.type('text')}, "
        f"status {source.type('text')}, moved INTEGER)"
    )
    source.insert("posts", [(n, f"post {n}", STATES[n % 3], n // 2) for n in range(rows)])
    return [n for n in range(rows) if n % 3 == 0]


def chosen(source: SourceDatabase, where: str) -> list[int]:
    """Return the ids that a condition chooses, after it was checked."""
    selection = replace(POSTS, where=where)
    source.bridge.check_where(selection)
    return source.walk(selection, 100)[0]["id"].to_list()


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_a_walk_its_count_and_its_last_key_have_only_the_rows_for_which_it_is_true(
    source: SourceDatabase, limit: int
) -> None:
    published = posts(source, 50)

    rows, pages = source.walk(POSTS, limit)

    assert rows["id"].to_list() == published
    assert rows.columns == ["id", "title"]
    assert max(pages) <= limit
    assert source.bridge.count(POSTS) == len(published)
    assert source.bridge.last_key(POSTS) == source.bridge.last_key(replace(POSTS, where="id = 48"))


def test_shards_are_of_the_rows_that_are_there(source: SourceDatabase) -> None:
    published = posts(source, 90)

    bounds = source.bridge.bounds(POSTS, 3)

    windows = [Window(None, bounds[0]), Window(bounds[0], bounds[1]), Window(bounds[1], None)]
    assert [source.bridge.count(POSTS, window) for window in windows] == [10, 10, 10]
    read = [source.walk(POSTS, 4, window)[0]["id"].to_list() for window in windows]
    assert [id for shard in read for id in shard] == published


def test_rows_that_are_asked_for_by_id_and_left_out_are_told(source: SourceDatabase) -> None:
    posts(source, 2_000)

    found = source.bridge.read_rows(POSTS, [*(str(n) for n in range(1200)), "5000", "x"])

    assert found.frame["id"].sort().to_list() == [n for n in range(1200) if n % 3 == 0]
    assert sorted(map(int, found.outside)) == [n for n in range(1200) if n % 3]
    assert found.malformed.keys() == {"x"}


def test_a_row_that_is_left_out_can_still_be_named(source: SourceDatabase) -> None:
    posts(source, 10)

    assert source.bridge.name_rows(POSTS, ["01", "1.0", "77"]).rows == {"01": "1", "1.0": "1"}


@pytest.mark.parametrize("limit", [1, 4, 1000])
def test_a_walk_by_what_changed_tells_of_the_rows_that_are_left_out(
    source: SourceDatabase, limit: int
) -> None:
    published = posts(source, 40)

    read: list[int] = []
    outside: list[str] = []
    cursor = None
    while True:
        page = source.bridge.read_changed(POSTS, "moved", cursor, limit)
        read += page.frame["id"].to_list()
        outside += page.outside
        assert page.frame.height + len(page.outside) <= limit
        cursor = page.cursor
        if cursor is None:
            break

    assert read == published
    assert outside == [str(n) for n in range(40) if n % 3]
    # the largest value is one of a row that is left out
    assert source.bridge.high_water(POSTS, "moved") == source.bridge.high_water(
        replace(POSTS, where=None), "moved"
    )


def test_a_walk_by_what_changed_has_shards_and_a_condition(source: SourceDatabase) -> None:
    published = posts(source, 40)
    bounds = source.bridge.bounds(POSTS, 2)

    page = source.bridge.read_changed(replace(POSTS, bounds=bounds), "moved", None, 100)

    assert page.frame["id"].to_list() == published
    assert page.frame["_shard"].to_list() == [0] * 7 + [1] * 7
    assert page.frame.columns == ["id", "title", "_shard"]


def test_rows_without_a_tracked_value_or_a_key_count_only_if_they_are_there(
    source: SourceDatabase,
) -> None:
    source.run(
        f"CREATE TABLE posts (id INTEGER, title {source.type('text')}, "
        f"status {source.type('text')}, moved INTEGER)"
    )
    source.insert(
        "posts",
        [
            *((n, "t", STATES[n % 3], None) for n in range(9)),
            *((None, "t", STATES[n % 3], 1) for n in range(6)),
        ],
    )

    assert source.bridge.null_keys(POSTS) == 2
    assert source.bridge.untracked(POSTS, "moved", HORIZON).missing == 3


def test_a_composite_key_and_a_condition(source: SourceDatabase) -> None:
    source.run(
        f"CREATE TABLE texts (shop INTEGER NOT NULL, lang {source.type('text')} NOT NULL, "
        "visible INTEGER, PRIMARY KEY (shop, lang))"
    )
    source.insert("texts", [(s, lang, s % 2) for s in range(6) for lang in ("de", "en")])
    selection = Selection("texts", ("shop", "lang"), ("shop", "lang"), where="visible <> 0")

    rows, _ = source.walk(selection, 2)

    wanted = [f'["{s}","{lang}"]' for s in (1, 3, 5) for lang in ("de", "en")]
    assert key_texts(rows, selection) == wanted
    found = source.bridge.read_rows(selection, ['["2","de"]', '["3","en"]'])
    assert key_texts(found.frame, selection) == ['["3","en"]']
    assert found.outside == ('["2","de"]',)


@pytest.mark.parametrize("limit", [1, 40])
def test_what_is_wrong_with_a_row_that_is_left_out_is_nobodys_business(
    source: SourceDatabase, limit: int
) -> None:
    shaped(source, 30, {3, 7, 20})
    shown = Selection("shaped", ("id",), ("id", "v"), where="id <> 7")

    refused: dict[str, str] = {}
    outside: list[str] = []
    rows = 0
    cursor = None
    while True:
        page = source.bridge.read_changed(shown, "id", cursor, limit)
        refused |= page.refused
        outside += page.outside
        rows += page.frame.height
        cursor = page.cursor
        if cursor is None:
            break

    assert (rows, [*refused], outside) == (27, ["3", "20"], ["7"])
    looked_up = source.bridge.read_rows(shown, ["3", "7", "8"])
    assert looked_up.refused.keys() == {"3"}
    assert looked_up.outside == ("7",)
    assert looked_up.frame["id"].to_list() == [8]


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ("status = 'published' OR title = 'post 1'", [0, 1, 3, 6, 9]),
        ("status LIKE 'pub%'", [0, 3, 6, 9]),
        ("status LIKE '%%li%%'", [0, 3, 6, 9]),
        ("title <> ':id' AND status = 'draft'", [1, 4, 7]),
        ("title <> '?%s%(name)s;--' AND id < 2", [0, 1]),
        ("status = 'draft' -- what we want", [1, 4, 7]),
        ("status = 'draft' /* and\nnothing else */", [1, 4, 7]),
        ("posts.status = 'draft'", [1, 4, 7]),
        ("NOT (status = 'draft')", [0, 3, 6, 9]),
        ("status IS NULL", [2, 5, 8]),
        ("title = 'it''s' OR id = 4", [4]),
        ("id IN (SELECT moved FROM posts WHERE moved > 3)", [4]),
        ("EXISTS (SELECT 1 FROM posts other WHERE other.moved = posts.id + 3)", [0, 1]),
        ("\n  status = 'draft'\n  AND id > 1\n", [4, 7]),
        ("CASE WHEN status = 'draft' THEN id > 4 ELSE id = 0 END", [0, 7]),
    ],
)
def test_a_condition_means_what_the_database_says(
    source: SourceDatabase, where: str, ids: list[int]
) -> None:
    posts(source, 10)

    assert chosen(source, where) == ids
    looked_up = source.bridge.read_rows(replace(POSTS, where=where), [str(n) for n in range(10)])
    assert looked_up.frame["id"].sort().to_list() == ids
    assert len(looked_up.outside) == 10 - len(ids)


@pytest.mark.parametrize(
    "where",
    [
        "status = 'published') OR (status = 'draft'",
        "status = 'published') --",
        "status = 'published') /*",
        "status = 'published' /*",
        "status = 'published'; SELECT 1",
        "status = 'published'); SELECT (1",
        "id = 1 THEN 1 ELSE 0 END = 1 OR CASE WHEN id = 2",
        "status = 'published",
        'status = "published',
        "status = :name",
        "status = ?",
        "status = %s",
        "status = $1",
        "statsu = 'published'",
        "other.status = 'published'",
        "count(*) > 1",
        "SELECT id FROM posts",
        "status = 'published' LIMIT 1",
        "status = 'published' ORDER BY id",
        "status = 'published' GROUP BY id",
        "WHERE status = 'published'",
        "status = 'published', id = 1",
        "*",
        "-- status = 'published'",
        "   ",
        "no_such_function(id) = 1",
    ],
)
def test_what_is_no_single_condition_is_refused_and_changes_nothing(
    source: SourceDatabase, where: str
) -> None:
    posts(source, 10)

    with pytest.raises(SchemaMismatch, match="'where' is no condition over 'posts'") as refused:
        source.bridge.check_where(replace(POSTS, where=where))

    assert "Columns: id, title, status, moved" in refused.value.cure
    assert source.bridge.count(replace(POSTS, where=None)) == 10


@pytest.mark.parametrize(
    "where",
    [
        "id = 1); COMMIT; DELETE FROM posts; SELECT 1 FROM posts WHERE (id = 1",
        "id = 1; COMMIT; DROP TABLE posts",
        "id = 1 THEN 1 END; COMMIT; DELETE FROM posts; SELECT CASE WHEN id = 1",
    ],
)
def test_several_statements_are_never_run(source: SourceDatabase, where: str) -> None:
    posts(source, 10)

    with pytest.raises(SchemaMismatch):
        source.bridge.check_where(replace(POSTS, where=where))

    assert source.bridge.count(replace(POSTS, where=None)) == 10


@pytest.mark.parametrize("where", ["1 = 1", "true", "'a' = 'b'", "(SELECT 1) = 1", "NULL IS NULL"])
def test_a_condition_that_names_no_column_is_refused(source: SourceDatabase, where: str) -> None:
    posts(source, 3)

    with pytest.raises(SchemaMismatch, match="names no column of 'posts'") as refused:
        source.bridge.check_where(replace(POSTS, where=where))

    assert "leave 'where' out" in refused.value.cure


def test_the_databases_own_words_are_told(source: SourceDatabase) -> None:
    posts(source, 3)

    with pytest.raises(SchemaMismatch, match="statsu"):
        source.bridge.check_where(replace(POSTS, where="statsu = 'published'"))


def test_a_condition_that_fails_for_a_row_is_refused_when_it_is_checked_and_names_it_later(
    postgres_source: SourceDatabase,
) -> None:
    posts(postgres_source, 10)
    fails = replace(POSTS, where="CAST(title AS INTEGER) > 3")

    with pytest.raises(SchemaMismatch, match="invalid input syntax for type integer"):
        postgres_source.bridge.check_where(fails)

    with pytest.raises(SourceRefused, match="invalid input syntax") as refused:
        postgres_source.bridge.read_page(fails, Window(), 5)
    assert "correct 'where'" in refused.value.cure
    # It is there, and nobody takes it for gone.
    assert postgres_source.bridge.read_rows(fails, ["4"]).refused.keys() == {"4"}


def test_sqlite_takes_no_unknown_column_for_a_text(sqlite_source: SourceDatabase) -> None:
    posts(sqlite_source, 10)

    with pytest.raises(SchemaMismatch, match="no such column: published"):
        sqlite_source.bridge.check_where(replace(POSTS, where='status = "published"'))

    assert chosen(sqlite_source, "\"status\" = 'draft' AND title <> 'a \"quoted\" text'") == [
        1,
        4,
        7,
    ]
    assert chosen(sqlite_source, "[status] = 'draft' AND `id` > 1 -- \"x") == [4, 7]


def test_mariadb_has_texts_in_double_quotes(mariadb_source: SourceDatabase) -> None:
    posts(mariadb_source, 10)

    assert chosen(mariadb_source, 'status = "draft" # and nothing else') == [1, 4, 7]


def test_a_condition_of_another_type_is_refused_by_postgresql(
    postgres_source: SourceDatabase,
) -> None:
    posts(postgres_source, 3)

    with pytest.raises(SchemaMismatch, match="must be type boolean"):
        postgres_source.bridge.check_where(replace(POSTS, where="length(title)"))
    assert chosen(postgres_source, "title ~ '^post [12]$' AND id::text = '1'") == [1]
