"""Which unique indexes are keys: those that every row is in, with whole columns, at any moment."""

from __future__ import annotations

import pytest

from tests.sources import SourceDatabase

WRONG = {
    "sqlite": (
        "CREATE UNIQUE INDEX no1 ON goods (nr) WHERE nr > 5",
        "CREATE UNIQUE INDEX no2 ON goods (lower(code))",
        "CREATE UNIQUE INDEX no3 ON goods (maybe)",
        "CREATE INDEX no4 ON goods (nr)",
    ),
    "postgres": (
        "CREATE UNIQUE INDEX no1 ON goods (nr) WHERE nr > 5",
        "CREATE UNIQUE INDEX no2 ON goods (lower(code))",
        "CREATE UNIQUE INDEX no3 ON goods (maybe)",
        "ALTER TABLE goods ADD CONSTRAINT no4 UNIQUE (nr) DEFERRABLE",
        "ALTER TABLE goods ADD CONSTRAINT no5 UNIQUE (code) DEFERRABLE INITIALLY DEFERRED",
        "CREATE INDEX no6 ON goods (nr)",
    ),
    "mariadb": (
        "CREATE UNIQUE INDEX no1 ON goods (code(5))",
        "CREATE UNIQUE INDEX no2 ON goods (nr, code(5))",
        "CREATE UNIQUE INDEX no3 ON goods (maybe)",
        "CREATE INDEX no4 ON goods (nr)",
    ),
}


@pytest.fixture
def goods(source: SourceDatabase) -> SourceDatabase:
    text = source.type("text")
    source.run(
        f"CREATE TABLE goods (nr INTEGER NOT NULL, code {text} NOT NULL, maybe INTEGER, a {text})"
    )
    return source


def test_a_unique_index_over_whole_columns_that_are_never_null_is_one(
    goods: SourceDatabase,
) -> None:
    goods.run("CREATE UNIQUE INDEX yes ON goods (nr, code)")

    assert goods.bridge.table("goods").unique == (("nr", "code"),)


def test_no_other_is_one(goods: SourceDatabase) -> None:
    goods.run(*WRONG[goods.kind])

    assert goods.bridge.table("goods").unique == ()
