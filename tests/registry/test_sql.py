from __future__ import annotations

from sqlalchemy import select

from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.sql import among, rows_of

ODD = ["", "7", "007", "1e3", "null", "true", '["7","en"]', '{"a":1}', "O'Brien", 'say "hi"']
ODD += [
    "back\\slash",
    "a,b",
    "{}",
    "ünï",
    "日本",
    "😀",
    "tab\tline\n",
    "%s :x ?",
    " padded ",
    "\x01",
]


def test_texts_become_rows_in_their_order_unchanged(registry: Registry) -> None:
    with registry.read() as db:
        given = rows_of(db, key=ODD, other=ODD[::-1])
        rows = db.execute(select(given).order_by(given.c.position)).all()

    assert [tuple(row) for row in rows] == [
        (key, other, position)
        for position, (key, other) in enumerate(zip(ODD, ODD[::-1], strict=True), 1)
    ]


def test_one_column_of_texts_becomes_rows_in_their_order_unchanged(registry: Registry) -> None:
    with registry.read() as db:
        given = rows_of(db, key=ODD)
        rows = db.execute(select(given).order_by(given.c.position)).all()

    assert [tuple(row) for row in rows] == [(key, at) for at, key in enumerate(ODD, 1)]


def test_a_value_is_found_among_texts_by_its_very_text(registry: Registry) -> None:
    with registry.read() as db:
        given = rows_of(db, key=ODD)
        for text in ODD:
            found = db.scalars(select(given.c.key).where(among(db, given.c.key, [text, "other"])))
            assert list(found) == [text]


def test_no_texts_are_no_rows_and_contain_nothing(registry: Registry) -> None:
    with registry.read() as db:
        given = rows_of(db, key=ODD)
        assert db.execute(select(rows_of(db, key=[]))).all() == []
        assert db.execute(select(given).where(among(db, given.c.key, []))).all() == []
