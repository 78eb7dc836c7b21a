"""When a ledger is believed: only where the server's sums say all of it, and nothing else."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from semilayer_pipelines.stores.protocol import IndexSchema
from semilayer_pipelines.stores.weaviate import index as indexes
from semilayer_pipelines.stores.weaviate.schema import LATER
from tests.stores.objects import DIMENSION, ONE_FIELD, hash_of, names, objects
from tests.stores.weaviate.doubled import (
    MemoryStamps,
    changed,
    collection_of,
    keys_of,
    known,
    opened,
    write,
)
from tests.weaviate_double.server import Double

BY_TITLE = IndexSchema(ONE_FIELD.fields, DIMENSION, "title")


def as_an_older_build_writes(double: Double, key: str, *, row: str) -> None:
    """Write one object over, as a build of before the check numbers does."""
    part = collection_of(double)
    id_, stored = next(
        (id_, each) for id_, each in part.objects.items() if each.properties["_key"] == key
    )
    for name in LATER:
        stored.properties.pop(name, None)
    stored.properties["_row_hash"] = hash_of(row).hex()
    part.put(id_, stored)


def test_objects_without_check_numbers_are_not_believed_by_their_number_alone(
    double: Double, tmp_path: Path
) -> None:
    # given a collection to which an older build writes, between our scans
    index = opened(double, tmp_path).create("lens-g1", ONE_FIELD)
    write(index, objects(names(10)))
    as_an_older_build_writes(double, "key-000003", row="first")
    assert known(index)["key-000003"][0] == hash_of("first")

    # when it writes the same object again
    as_an_older_build_writes(double, "key-000003", row="second")

    # then a scan tells what the server holds
    assert known(index)["key-000003"][0] == hash_of("second")


def test_tenants_that_a_person_removed_to_the_last_are_not_in_a_scan(
    double: Double, tmp_path: Path
) -> None:
    index = opened(double, tmp_path, MemoryStamps()).create("lens-g1", BY_TITLE)
    write(index, pl.concat([objects([f"k{n}"], title=f"t{n}") for n in range(3)]))
    assert keys_of(index) == ["k0", "k1", "k2"]

    collection_of(double).tenants.clear()

    assert keys_of(index) == []
    assert keys_of(index) == []


def test_what_another_machine_wrote_again_is_known_to_be_written_last(
    double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart hides by the time of the vector, and a row's hashes do not tell that."""
    # given two machines, each of which knows all
    monkeypatch.setattr(indexes, "TAIL_ROWS", 2)
    here = opened(double, tmp_path / "here").create("lens-g1", ONE_FIELD)
    write(here, objects(names(5)))
    write(here, changed(names(5, 5), "later"))
    there = opened(double, tmp_path / "there").open("lens-g1")
    assert keys_of(there) == keys_of(here) == names(10)

    # when one writes rows again with all that they hold
    time.sleep(0.01)
    since = datetime.now(UTC)
    with there.lock():
        assert there.rewrite(names(2)) == 2

    # then the other knows as well that their vectors are new
    assert {*names(2)} <= {*here.last_written(since)}
    assert {*names(2)} <= {*there.last_written(since)}


def test_scans_of_one_state_replace_each_other_however_often(
    double: Double, tmp_path: Path
) -> None:
    """As when writes failed in between: the state stays, and its stamp does not."""
    # given a ledger that was made again at one number, under stamps in any order
    stamps = MemoryStamps()
    index = opened(double, tmp_path, stamps).create("lens-g1", BY_TITLE)
    write(index, pl.concat([objects([f"k{n}"], title=f"t{n}") for n in range(3)]))
    part = collection_of(double)
    for turn, stamp in enumerate("f3e1d2c4b5a"):
        stamps.take("Development_lens_g1", stamp * 32)
        tenant = part.tenants[f"t{turn % 3}"]
        (id_, stored) = next(iter(tenant.objects.items()))
        stored.properties["_row_hash"] = hash_of(f"turn {turn}").hex()
        stored.properties["_check_a"] = float(turn)
        tenant.put(id_, stored)

        # when it is read, then the next scan needs not read
        keys_of(index)
        before = double.faults.calls.get("Search", 0)
        assert known(index)[f"k{turn % 3}"][0] == hash_of(f"turn {turn}")
        assert double.faults.calls.get("Search", 0) == before, turn


def test_a_copy_does_not_stand_for_the_object_that_another_machine_took_out(
    double: Double, tmp_path: Path
) -> None:
    # given a copy of an object, numbers and all, and two machines that know of it
    stamps = MemoryStamps()
    here = opened(double, tmp_path / "here", stamps).create("lens-g1", ONE_FIELD)
    write(here, objects(["a"]))
    there = opened(double, tmp_path / "there", stamps).open("lens-g1")
    assert keys_of(there) == ["a"]
    part = collection_of(double)
    (stored,) = part.objects.values()
    part.put(uuid.uuid4().bytes, replace(stored, properties=dict(stored.properties)))

    # when one of them deletes the row
    with here.lock():
        here.delete(["a"])

    # then the other does not take the copy for it: what it tells of is no row's
    assert known(there)["a"][0] is None
