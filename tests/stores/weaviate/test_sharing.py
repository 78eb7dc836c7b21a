"""Names on a server that others use as well: aliases, prefixes, collections of somebody else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from semilayer_pipelines.errors import (
    ConfigError,
    StoreRefused,
)
from semilayer_pipelines.stores import open_store
from semilayer_pipelines.stores.protocol import Index, Store
from tests.stores.objects import ONE_FIELD, objects
from tests.stores.weaviate.doubled import ENV, opened, write
from tests.weaviate_double.server import Double


@pytest.fixture
def store(double: Double, tmp_path: Path) -> Store:
    return opened(double, tmp_path)


@pytest.fixture
def index(store: Store) -> Index:
    return store.create("lens-g1", ONE_FIELD)


def test_an_alias_whose_name_a_collection_has_is_told(double: Double, store: Store) -> None:
    store.create("lens-g1", ONE_FIELD)
    double.state.create({"class": "Development_lens", "properties": []})
    with pytest.raises(ConfigError, match="a collection of that name") as told:
        store.point("lens", "lens-g1")
    assert "WEAVIATE_PREFIX" in told.value.cure


def test_an_alias_and_a_collection_whose_answers_were_lost_are_there(
    double: Double, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a server that does what it is asked and then loses the answer, once each
    kept: dict[str, Callable[..., Any]] = {
        "create": double.state.create,
        "alias": double.state.alias,
    }

    def losing(verb: str) -> Callable[..., Any]:
        def lose(*asked: Any) -> Any:
            made = kept[verb](*asked)
            monkeypatch.setattr(double.state, verb, kept[verb])
            raise ConnectionResetError(made)

        return lose

    for verb in kept:
        monkeypatch.setattr(double.state, verb, losing(verb))

    # when
    index = store.create("lens-g1", ONE_FIELD)
    store.point("lens", "lens-g1")

    # then
    assert index.count() == 0
    assert double.state.aliases == {"Development_lens": "Development_lens_g1"}


def test_an_alias_leads_to_the_index_it_was_pointed_at_and_goes_with_it(
    double: Double, store: Store
) -> None:
    store.create("lens-g1", ONE_FIELD)
    store.create("lens-g2", ONE_FIELD)
    store.point("lens", "lens-g1")
    store.point("lens", "lens-g1")
    assert double.state.aliases == {"Development_lens": "Development_lens_g1"}
    store.point("lens", "lens-g2")
    assert double.state.aliases == {"Development_lens": "Development_lens_g2"}
    store.drop("lens-g1")
    assert double.state.aliases == {"Development_lens": "Development_lens_g2"}
    store.drop("lens-g2")
    assert double.state.aliases == {}


def test_a_collection_of_somebody_else_is_left_alone(double: Double, store: Store) -> None:
    with double.state.lock:
        double.state.create({"class": "Development_lens_g1", "properties": []})
    for verb in (store.find, store.open, store.exists, store.drop):
        with pytest.raises(ConfigError, match="WEAVIATE_PREFIX"):
            verb("lens-g1")
    with pytest.raises(ConfigError, match="WEAVIATE_PREFIX"):
        store.create("lens-g1", ONE_FIELD)
    assert store.names() == []


def test_two_projects_that_forgot_the_prefix_never_write_into_each_other(
    double: Double, tmp_path: Path
) -> None:
    def project(name: str) -> Store:
        return open_store(
            "weaviate", tmp_path / name, ENV, environ=double.environ, owner=lambda: name
        )

    write(project("one").create("lens-g1", ONE_FIELD), objects(["a"]))
    for verb in (project("two").open, project("two").drop, project("two").exists):
        with pytest.raises(ConfigError, match="WEAVIATE_PREFIX"):
            verb("lens-g1")
    with pytest.raises(ConfigError, match="WEAVIATE_PREFIX"):
        project("two").create("lens-g1", ONE_FIELD)
    assert project("two").names() == []
    assert project("one").open("lens-g1").count() == 1


def test_projects_with_prefixes_of_their_own_share_a_server(double: Double, tmp_path: Path) -> None:
    one = opened(double, tmp_path / "1", WEAVIATE_PREFIX="One")
    two = opened(double, tmp_path / "2", WEAVIATE_PREFIX="Two")
    write(one.create("lens-g1", ONE_FIELD), objects(["a"]))
    assert two.names() == []
    two.create("lens-g1", ONE_FIELD)
    two.drop("lens-g1")
    assert one.open("lens-g1").count() == 1


def test_indexes_whose_names_differ_only_in_case_are_refused(store: Store) -> None:
    store.create("lens-g1", ONE_FIELD)
    with pytest.raises((StoreRefused, ConfigError), match="already exists"):
        store.create("LENS-g1", ONE_FIELD)
