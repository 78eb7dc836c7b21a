"""A field or a vector that was changed in the index by hand is found out, told, and written."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.control.verify import verify_lens
from semilayer_pipelines.counts import Counts
from semilayer_pipelines.queries.findings import Audit, Depth, Kind
from tests.lab import ENV, Lab
from tests.meddling import Meddled

ROWS = 60
DEEP = Depth(deep=True)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full()
    return lab


def by_hand(lab: Lab, key: str, **values: Any) -> None:
    """Change an object in the index, as a stranger would: no lock, no hashes."""
    table = lancedb.connect(lab.project.settings.home / "lance" / ENV).open_table(lab.index.name)
    [row] = table.search().where(f"_key = '{key}'").limit(2).to_arrow().to_pylist()
    changed = pa.Table.from_pylist([row | values], schema=table.schema)
    table.merge_insert("_key").when_matched_update_all().execute(changed)


def verified(lab: Lab, depth: Depth = DEEP, *, heal: bool = False) -> Audit:
    return verify_lens(lab.project, lab.lens, depth, heal=heal)


def healed(lab: Lab) -> Counts:
    return lab.run(lifecycle.request_heal(lab.project, ENV, "items", rebuild=False)).counts


def test_an_index_that_nobody_touched_is_in_sync(lab: Lab) -> None:
    found = verified(lab)

    assert found.in_line
    assert (found.looked.read, found.looked.embedded) == (ROWS, ROWS)


def test_altered_fields_are_told_by_row_and_written_without_embedding(lab: Lab) -> None:
    # given
    by_hand(lab, "4", price=-1.5)
    by_hand(lab, "9", name="nobody", category="nothing")
    by_hand(lab, "11", price=None)
    assert verified(lab, Depth()).in_line
    assert lab.sync().counts.written == 0

    # when
    found = verified(lab)

    # then
    assert not found.in_line
    assert found.found[Kind.ALTERED].count == 3
    assert found.altered == {"4": ("price",), "9": ("name", "category"), "11": ("price",)}

    # and only a wish to heal changes that
    assert healed(lab).written == 0
    verified(lab, heal=True)
    counts = healed(lab)
    assert (counts.written, counts.reused, counts.embedded) == (3, 3, 0)
    assert verified(lab).in_line
    assert lab.audit().clean

    # and the marks are gone
    assert healed(lab).written == 0


def test_a_vector_of_another_text_is_told_and_embedded_again(lab: Lab) -> None:
    # given one of another row, and one that is no vector at all
    by_hand(lab, "4", _vector=lab.object_of("5")["_vector"])
    by_hand(lab, "7", _vector=[0.0] * lab.index.dimension)
    by_hand(lab, "8", price=-1.0, _vector=(-np.asarray(lab.object_of("8")["_vector"])).tolist())

    # when
    found = verified(lab, heal=True)

    # then
    assert found.altered == {"4": ("vector",), "7": ("vector",), "8": ("price", "vector")}
    counts = healed(lab)
    assert (counts.written, counts.reused, counts.embedded) == (3, 0, 3)
    assert verified(lab).in_line
    assert lab.audit().clean


@pytest.mark.parametrize("number", [0.0, float("inf")])
def test_a_vector_that_no_search_can_compare_is_found_without_embedding_it(
    number: float, lab: Lab
) -> None:
    by_hand(lab, "7", _vector=[number] * lab.index.dimension)
    texts: list[str] = []
    lab.project = Meddled.of(lab.project, during=texts.extend)

    found = verified(lab, Depth(deep=True, sample=1))

    assert found.altered["7"] == ("vector",)
    assert len(texts) <= 1


def test_a_sample_says_how_many_texts_are_embedded(lab: Lab) -> None:
    found = verified(lab, Depth(deep=True, sample=7))

    assert (found.looked.read, found.looked.embedded) == (ROWS, 7)


def test_a_rebuild_takes_no_vector_over_that_is_known_to_be_another_texts(lab: Lab) -> None:
    by_hand(lab, "4", _vector=lab.object_of("5")["_vector"])
    verified(lab, heal=True)

    counts = lab.full().counts

    assert (counts.reused, counts.embedded) == (ROWS - 1, 1)
    assert lab.audit().clean


def test_a_row_that_changed_too_is_stale_and_no_second_kind(lab: Lab) -> None:
    by_hand(lab, "4", price=-1.0)
    with lab.source() as db:
        db.execute("UPDATE items SET price = 99 WHERE id = 4")

    found = verified(lab)

    assert found.found[Kind.STALE].ids == ("4",)
    assert found.found[Kind.ALTERED].count == 0


def test_a_run_that_dies_before_its_end_leaves_the_marks_to_the_next(lab: Lab) -> None:
    by_hand(lab, "4", price=-1.0)
    verified(lab, heal=True)

    def stop(verb: str) -> None:
        if verb == "upsert":
            raise KeyboardInterrupt

    job = lifecycle.request_heal(lab.project, ENV, "items", rebuild=False)
    whole = lab.project
    lab.project = Meddled.of(whole, before=stop)
    with pytest.raises(KeyboardInterrupt):
        lab.run(job)
    lab.project = whole

    assert healed(lab).written == 1
    assert verified(lab).in_line


def test_every_kind_of_value_reads_back_as_what_was_written(tmp_path: Path) -> None:
    # given values that stores keep in ways of their own
    lab = Lab.opened(tmp_path, {})
    lab.folder.mkdir(exist_ok=True)
    db = sqlite3.connect(lab.database)
    with db:
        db.execute(
            "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, number REAL, whole INTEGER, "
            "yes INTEGER, day TEXT, doc TEXT, kind TEXT, tags TEXT, numbers TEXT)"
        )
        db.executemany(
            "INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (1, "Straße", 0.1, 2**53 + 1, 1, "2024-02-29 23:59:59.123456", '{"a": [1, null]}',
                 "one", "a,b,,c", "1,2,3"),
                (2, "two\nlines", -0.0, -(2**63), 0, "0001-01-01", "[]", "two", "",
                 "9007199254740993"),
                (3, "照片 😀", 1e308, 0, None, None, None, None, None, None),
                (4, " spaces ", None, None, 1, "9999-12-31 23:59:59", '"x"', "one", ",", "0"),
            ],
        )  # fmt: skip
    db.close()
    split = {"type": "split", "separator": ","}
    lab.push(
        fields={
            "name": {"type": "text", "searchable": True},
            "number": {"type": "number"},
            "whole": {"type": "number"},
            "yes": {"type": "boolean"},
            "day": {"type": "date"},
            "doc": {"type": "json"},
            "kind": {"type": "enum", "values": ["one", "two"]},
            "tags": {"type": "text", "array": True, "transform": split},
            "numbers": {"type": "number", "array": True, "transform": split},
        }
    )
    assert lab.full().counts.written == 4

    # when, then
    found = verified(lab)
    assert found.altered == {}
    assert found.looked.read == 4
