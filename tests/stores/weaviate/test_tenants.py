"""Rows kept apart in Weaviate: names of tenants, rows that move, and what each verb asks."""

from __future__ import annotations

import shutil
import threading
from datetime import timedelta
from pathlib import Path

import grpc
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.errors import ConfigError, ObjectsRejected, StoreUnavailable
from semilayer_pipelines.stores import open_store
from semilayer_pipelines.stores.protocol import (
    INDEXED_AT,
    KEY,
    TEXT_HASH,
    Index,
    IndexField,
    IndexSchema,
    Store,
)
from semilayer_pipelines.stores.weaviate.connection import connected
from semilayer_pipelines.stores.weaviate.settings import WeaviateSettings
from semilayer_pipelines.stores.weaviate.tenants import tenant_name
from semilayer_pipelines.stores.where import parse_where
from tests.stores.objects import DIMENSION, hash_of, names, objects
from tests.weaviate_double.faults import Kind
from tests.weaviate_double.server import Double
from tests.weaviate_double.state import Collection

ENV = "development"
BY_TITLE = IndexSchema((IndexField("title", FieldType.TEXT),), DIMENSION, tenant="title")


@pytest.fixture
def store(double: Double, tmp_path: Path) -> Store:
    return open_store("weaviate", tmp_path, ENV, environ=double.environ)


@pytest.fixture
def index(store: Store) -> Index:
    return store.create("lens-g1", BY_TITLE)


def write(index: Index, frame: pl.DataFrame) -> int:
    with index.lock():
        return index.upsert(frame)


def tenants(double: Double) -> dict[str, Collection]:
    return double.state.classes["Development_lens_g1"].tenants


def where_to(double: Double) -> dict[str, list[str]]:
    """Return the keys that each tenant has."""
    return {
        name: sorted(stored.properties[KEY] for stored in part.objects.values())
        for name, part in tenants(double).items()
    }


def found(index: Index, title: object, **more: object) -> list[str]:
    where = parse_where({"title": title} | more, ["title"])
    return sorted(index.search([1.0] * DIMENSION, limit=10, where=where)[KEY])


def scanned(index: Index) -> list[str]:
    return sorted(key for frame in index.scan() for key in frame[KEY])


@pytest.mark.parametrize("value", ["acme", "A-1_b", "x" * 64, "0", "-", "_short"])
def test_a_value_that_weaviate_takes_for_a_name_is_its_own(value: str) -> None:
    assert tenant_name(value) == value


@pytest.mark.parametrize("value", ["x" * 65, "a b", " a", "a.b", "日本", "a\n", "\ud800"])
def test_any_other_value_gets_a_name_that_stays_the_same(value: str) -> None:
    assert tenant_name(value) == tenant_name(value)
    assert tenant_name(value) != tenant_name(value + "!")


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_values_never_share_a_tenant(one: str, other: str) -> None:
    assert (tenant_name(one) == tenant_name(other)) == (one == other)
    # Nor does a value that looks like the name of another.
    assert tenant_name(tenant_name("a b")) != tenant_name("a b")


def test_each_value_is_a_tenant_of_its_own_and_is_searched_alone(
    double: Double, index: Index
) -> None:
    write(index, pl.concat([objects(["a"], title="acme"), objects(["b", "c"], title="Bee & Co")]))

    assert where_to(double) == {"acme": ["a"], tenant_name("Bee & Co"): ["b", "c"]}
    assert found(index, "acme") == ["a"]
    assert found(index, "Bee & Co") == ["b", "c"]
    # Upper and lower case, white space: what is another value is another tenant.
    assert found(index, "Acme") == found(index, "acme ") == found(index, "nobody") == []
    assert (index.count(), scanned(index)) == (3, ["a", "b", "c"])


@pytest.mark.parametrize(
    "where", [{}, {"title": None}, {"title": ["acme"]}, {"title": " "}], ids=str
)
def test_a_search_that_names_no_tenant_is_the_callers_error(
    index: Index, where: dict[str, object]
) -> None:
    write(index, objects(["a"], title="acme"))
    with pytest.raises(ConfigError, match="title must be named"):
        index.search([1.0] * DIMENSION, limit=10, where=parse_where(where, ["title"]))


def test_the_other_conditions_of_a_search_hold_as_well(index: Index) -> None:
    write(index, objects(["a"], title="acme"))
    assert found(index, {"$eq": "acme", "$ne": "acme"}) == []
    assert found(index, {"$eq": "acme", "$ne": "other"}) == ["a"]
    with pytest.raises(ConfigError, match="title is of type text"):
        found(index, 5)


def test_integers_are_tenants_too_and_no_fraction_is_one(double: Double, store: Store) -> None:
    schema = IndexSchema((IndexField("team", FieldType.NUMBER, integer=True),), DIMENSION, "team")
    index = store.create("lens-g1", schema)
    teams = pl.Series("team", [7, -7, 2**53 + 1], dtype=pl.Int64)
    write(index, objects(["a", "b", "c"]).drop("title").with_columns(teams))

    def of(team: float) -> list[str]:
        where = parse_where({"team": team}, ["team"])
        return index.search([1.0] * DIMENSION, limit=9, where=where)[KEY].to_list()

    assert sorted(where_to(double)) == ["-7", "7", "9007199254740993"]
    assert (of(7), of(7.0), of(-7), of(7.5), of(2**53 + 1)) == (["a"], ["a"], ["b"], [], ["c"])


def test_a_row_without_a_tenant_is_a_programming_error(index: Index) -> None:
    nobody = objects(["a"]).with_columns(title=pl.lit(None, pl.String))
    with index.lock(), pytest.raises(ValueError, match="'title' names the tenant"):
        index.upsert(nobody)


def test_whoever_opens_an_index_learns_of_its_tenants_from_the_collection(
    double: Double, index: Index, tmp_path: Path
) -> None:
    write(index, objects(["a"], title="acme"))
    again = open_store("weaviate", tmp_path, ENV, environ=double.environ).open("lens-g1")
    assert again.schema == BY_TITLE
    assert found(again, "acme") == ["a"]


def test_a_row_that_moves_is_in_its_new_tenant_alone(double: Double, index: Index) -> None:
    write(index, objects(names(4), title="old"))

    assert write(index, objects(names(2), title="new")) == 2

    assert where_to(double) == {"old": names(4)[2:], "new": names(2)}
    assert (index.count(), scanned(index)) == (4, names(4))
    assert index.fetch(names(4)).height == 4
    row = index.get(names(1)[0])
    assert row is not None
    assert row["title"] == "new"


def test_what_only_a_scan_finds_is_deleted_from_its_tenant(double: Double, index: Index) -> None:
    write(index, pl.concat([objects(["a", "b"], title="one"), objects(["c"], title="two")]))
    tenants(double)["one"].lose(lambda key: key == "a")

    with index.lock():
        assert index.delete(["a", "c"], scanned=True) == 2

    assert where_to(double) == {"one": ["b"], "two": []}


def test_a_write_that_was_killed_before_it_took_the_old_row_out_is_mended_by_the_next(
    double: Double, index: Index
) -> None:
    # given a row in two tenants: it was written to the new one, and not yet taken out of the old
    write(index, objects(["a", "b"], title="old"))
    late = pl.col(INDEXED_AT) + timedelta(seconds=1)
    with index.lock():
        index.add(objects(["a"], title="new").with_columns(late))
    assert where_to(double) == {"old": ["a", "b"], "new": ["a"]}

    # then whoever compares sees that it is there twice, and the newer one is what it is
    assert sorted(index.fetch(["a"])[TEXT_HASH]) == sorted([hash_of("old"), hash_of("new")])
    assert scanned(index) == ["a", "a", "b"]
    row = index.get("a")
    assert row is not None
    assert row["title"] == "new"

    # and the next write leaves one, a delete none
    write(index, objects(["a"], title="new"))
    assert where_to(double) == {"old": ["b"], "new": ["a"]}
    with index.lock():
        index.add(objects(["a"], title="old"))
        index.delete(["a"])
    assert where_to(double) == {"old": ["b"], "new": []}


def test_a_write_whose_clearing_away_fails_says_so_and_may_be_repeated(
    double: Double, index: Index
) -> None:
    write(index, objects(["a"], title="old"))
    double.faults.add("BatchDelete", Kind.STATUS, times=4)
    with index.lock():
        with pytest.raises(StoreUnavailable):
            index.upsert(objects(["a"], title="new"))
        assert index.upsert(objects(["a"], title="new")) == 1
    assert where_to(double) == {"old": [], "new": ["a"]}


def test_a_row_that_cannot_be_written_stays_where_it_was(double: Double, index: Index) -> None:
    write(index, objects(["a", "b"], title="old"))
    double.faults.add(
        "BatchObjects", Kind.OBJECTS, times=9, keys=frozenset({"a"}), text="invalid text property"
    )
    with index.lock(), pytest.raises(ObjectsRejected) as rejected:
        index.upsert(objects(["a", "b"], title="new"))
    assert (rejected.value.written, list(rejected.value.reasons)) == (1, ["a"])
    assert where_to(double) == {"old": ["a"], "new": ["b"]}


def test_a_tenant_that_sleeps_is_woken_and_one_that_was_removed_holds_nothing(
    double: Double, index: Index, tmp_path: Path
) -> None:
    write(index, pl.concat([objects([title], title=title) for title in ("one", "two", "three")]))
    client = connected(WeaviateSettings.from_environ(double.environ), tmp_path)
    ours = client.collections.use("Development_lens_g1").tenants
    ours.deactivate(["one", "two"])
    assert not tenants(double)["one"].active

    assert found(index, "one") == ["one"]
    assert tenants(double)["one"].active
    assert scanned(index) == ["one", "three", "two"]

    ours.remove(["three"])
    assert found(index, "three") == []
    assert scanned(index) == ["one", "two"]
    write(index, objects(["again"], title="three"))
    assert found(index, "three") == ["again"]


def test_a_tenant_that_goes_while_a_scan_is_under_way_holds_nothing(
    double: Double, index: Index, tmp_path: Path
) -> None:
    write(index, pl.concat([objects([title], title=title) for title in ("one", "two")]))
    shutil.rmtree(tmp_path / "ledgers")  # so that the server is asked
    frames = index.scan()
    assert next(frames)[KEY].to_list() == ["one"]
    with double.state.lock:
        del tenants(double)["two"]
    assert list(frames) == []
    assert index.count() == 1


def test_a_tenant_that_goes_before_its_keys_are_deleted_has_none_of_them(
    double: Double, index: Index
) -> None:
    write(index, pl.concat([objects([title], title=title) for title in ("one", "two")]))
    double.faults.add("BatchDelete", Kind.DELAY, times=2, seconds=0.5)

    def remove() -> None:
        with double.state.lock:
            del tenants(double)["two"]

    removing = threading.Timer(0.2, remove)
    with index.lock():
        removing.start()
        assert index.delete(["one", "two"]) == 1
    removing.join()


def test_a_node_that_does_not_know_a_tenant_yet_has_deleted_nothing(
    double: Double, index: Index
) -> None:
    write(index, objects(["a"], title="one"))
    unknown = 'tenant not found: "one"'
    double.faults.add("BatchDelete", Kind.STATUS, code=grpc.StatusCode.UNKNOWN, text=unknown)
    with index.lock():
        with pytest.raises(StoreUnavailable, match="does not know the tenant one yet"):
            index.delete(["a"])
        assert index.delete(["a"]) == 1


def test_what_each_verb_asks_of_how_many_tenants(double: Double, index: Index) -> None:
    """The numbers that the documentation gives."""
    count = 5
    frame = pl.concat([objects(names(2, 2 * n), title=f"t{n}") for n in range(count)])
    with index.lock():
        double.faults.calls.clear()
        index.add(frame)
        assert double.faults.calls == {"BatchObjects": count}
        double.faults.calls.clear()
        index.upsert(objects(names(2), title="t0"))
        assert double.faults.calls == {
            "Search": 1,
            "BatchObjects": 1,
            "TenantsGet": 1,
            "BatchDelete": count - 1,
        }
        double.faults.calls.clear()
        index.delete(names(1))
        assert double.faults.calls == {"TenantsGet": 1, "BatchDelete": count}
        double.faults.calls.clear()
        index.fetch(names(4))
        assert double.faults.calls == {"TenantsGet": 1, "Search": count}
        double.faults.calls.clear()
        found(index, "t1")
        assert double.faults.calls == {"Search": 1, "Aggregate": 1}  # fewer than asked for


def test_an_index_without_tenants_is_as_it_was(double: Double, store: Store) -> None:
    store.create("lens-g1", IndexSchema(BY_TITLE.fields, DIMENSION))
    assert not double.state.classes["Development_lens_g1"].config["multiTenancyConfig"]["enabled"]
