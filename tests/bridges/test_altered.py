"""A table that is altered after it was described is told as such, whichever question meets it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from semilayer_pipelines.bridges.protocol import Bridge, Selection, Window
from semilayer_pipelines.errors import TableAltered
from tests.sources import SourceDatabase

ITEMS = Selection("items", ("id",), ("id", "version"))

QUESTIONS: dict[str, Callable[[Bridge], object]] = {
    "a page": lambda bridge: bridge.read_page(ITEMS, Window(), 10),
    "rows by id": lambda bridge: bridge.read_rows(ITEMS, ["1"]),
    "what changed": lambda bridge: bridge.read_changed(ITEMS, "version", None, 10),
    "the largest tracked value": lambda bridge: bridge.high_water(ITEMS, "version"),
}


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_a_column_of_numbers_that_became_texts_is_told_as_altered(
    kind: str, ask: Callable[[Bridge], object], request: pytest.FixtureRequest
) -> None:
    # given a bridge that has described a table
    source: SourceDatabase = request.getfixturevalue(f"{kind}_source")
    source.run("CREATE TABLE items (id INTEGER PRIMARY KEY, version INTEGER)")
    source.insert("items", [(1, 5)])
    ask(source.bridge)

    # when the column becomes one of texts
    renamed = "ALTER TABLE items ALTER version TYPE text USING 'v' || version"
    source.run(
        *(
            [renamed]
            if kind == "postgres"
            else ["ALTER TABLE items MODIFY version TEXT", "UPDATE items SET version = 'v5'"]
        )
    )

    # then that is what is said, and what a run starts over for
    with pytest.raises(TableAltered, match="'items' was altered"):
        ask(source.bridge)


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_a_key_of_numbers_that_became_texts_is_told_as_altered(
    kind: str, request: pytest.FixtureRequest
) -> None:
    source: SourceDatabase = request.getfixturevalue(f"{kind}_source")
    source.run("CREATE TABLE items (id INTEGER PRIMARY KEY, version INTEGER)")
    source.insert("items", [(1, 5)])
    assert source.bridge.last_key(ITEMS) is not None

    source.run(
        *(
            ["ALTER TABLE items ALTER id TYPE text USING 'k' || id"]
            if kind == "postgres"
            else ["ALTER TABLE items MODIFY id VARCHAR(20)", "UPDATE items SET id = 'k1'"]
        )
    )

    with pytest.raises(TableAltered, match="'items' was altered"):
        source.bridge.last_key(ITEMS)
