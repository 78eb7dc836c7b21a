"""What a server does not let us do is known before anything is ingested, and nothing is written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from semilayer_pipelines.errors import ConfigError, StoreRefused, StoreUnavailable
from semilayer_pipelines.stores import open_store
from semilayer_pipelines.stores.protocol import Store
from tests.weaviate_double.server import Double

VERBS = ("create", "read", "update", "delete")
ACTIONS = [
    f"{verb}_{what}"
    for what in ("collections", "data", "aliases")
    for verb in VERBS
    if (verb, what) != ("update", "collections")
]
ARTICLES = {"articles": False}


def role(actions: list[str], of: str = "Development_*", *, name: str = "lens") -> dict[str, Any]:
    """Return a role as the server tells it: each action on what the pattern names."""

    def resource(action: str) -> dict[str, Any]:
        match action.partition("_")[2]:
            case "collections":
                return {"collections": {"collection": of}}
            case "data":
                return {"data": {"collection": of, "object": "*", "tenant": "*"}}
            case "tenants":
                return {"tenants": {"collection": of, "tenant": "*"}}
            case _:
                return {"aliases": {"alias": of, "collection": of}}

    permissions = [{"action": action} | resource(action) for action in actions]
    return {"name": name, "permissions": permissions}


@pytest.fixture
def double() -> Iterator[Double]:
    with Double.serving() as running:
        yield running
        # A check writes nothing, whatever comes of it.
        assert running.state.classes == {}
        assert not running.faults.calls.get("BatchObjects")


@pytest.fixture
def store(double: Double, tmp_path: Path) -> Store:
    return open_store("weaviate", tmp_path, "development", environ=double.environ)


def test_a_server_without_roles_lets_everybody_do_all(double: Double, store: Store) -> None:
    store.check(ARTICLES)  # an anonymous user
    double.role.told = []
    store.check(ARTICLES)  # a key, and no authorisation


def test_a_role_with_what_a_lens_needs_is_enough(double: Double, store: Store) -> None:
    double.role.told = [role(ACTIONS)]
    store.check(ARTICLES)
    # Whoever it is may have several, and more than is needed.
    double.role.told = [role(ACTIONS[:5]), role(ACTIONS[5:], of="*", name="other")]
    store.check(ARTICLES)


@pytest.mark.parametrize("lacking", ACTIONS)
def test_each_permission_that_is_lacking_is_named_as_the_server_names_it(
    double: Double, store: Store, lacking: str
) -> None:
    double.role.told = [role([action for action in ACTIONS if action != lacking])]
    with pytest.raises(StoreRefused, match=rf"\(lens\) lacks {lacking} for Development_") as found:
        store.check(ARTICLES)
    assert "docs/weaviate.md" in found.value.cure


def test_a_role_for_other_names_is_none_for_ours(double: Double, store: Store) -> None:
    double.role.told = [role(ACTIONS, of="Production_*")]
    with pytest.raises(StoreRefused, match="create_collections, read_collections"):
        store.check(ARTICLES)
    # One for a single lens is one for no other.
    double.role.told = [role(ACTIONS, of="Development_articles*")]
    store.check(ARTICLES)
    with pytest.raises(StoreRefused, match=r"for Development_orders\*"):
        store.check(ARTICLES | {"orders": False})


def test_tenants_are_asked_about_only_where_a_lens_has_some(double: Double, store: Store) -> None:
    double.role.told = [role(ACTIONS)]
    store.check(ARTICLES)
    with pytest.raises(StoreRefused, match="lacks create_tenants, read_tenants"):
        store.check({"articles": True})
    double.role.told = [role([*ACTIONS, "create_tenants", "read_tenants"])]
    store.check({"articles": True})


@pytest.mark.parametrize("roles", [None, []])
def test_who_may_only_read_is_told_where_the_server_tells_no_roles(
    double: Double, store: Store, roles: list[dict[str, Any]] | None
) -> None:
    double.role.told, double.role.denied = roles, frozenset({"create_collections"})
    with pytest.raises(StoreRefused, match="create_collections"):
        store.check(ARTICLES)


def test_a_server_whose_grpc_port_is_another_is_told_with_the_setting(
    double: Double, store: Store
) -> None:
    double.stop_grpc()
    with pytest.raises(StoreUnavailable, match="WEAVIATE_GRPC_URL"):
        store.check(ARTICLES)
    double.start_grpc()


def test_a_wrong_key_is_told_before_anything_else(tmp_path: Path) -> None:
    with Double.serving(api_key="right-key") as double:
        environ = double.environ | {"WEAVIATE_API_KEY": "wrong-key"}
        with pytest.raises(StoreRefused, match="WEAVIATE_API_KEY"):
            open_store("weaviate", tmp_path, "development", environ=environ).check(ARTICLES)


@pytest.mark.parametrize("quantization", ["sq", "pq"])
def test_a_quantizer_that_flat_cannot_have_is_refused_without_asking(
    tmp_path: Path, quantization: str
) -> None:
    environ = {"WEAVIATE_URL": "http://127.0.0.1:9", "WEAVIATE_QUANTIZATION": quantization}
    with pytest.raises(ConfigError, match="does not go with WEAVIATE_INDEX=flat"):
        open_store(
            "weaviate", tmp_path, "development", environ=environ | {"WEAVIATE_INDEX": "flat"}
        )
    for index in ("hnsw", "dynamic"):
        open_store("weaviate", tmp_path, "development", environ=environ | {"WEAVIATE_INDEX": index})


def test_the_page_names_each_permission_that_is_asked_for_and_no_other() -> None:
    page = (Path(__file__).parents[3] / "docs" / "weaviate.md").read_text(encoding="utf-8")
    roles = page.partition("\n## Roles\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in roles.splitlines() if line.startswith("| `")]
    named = {action for row in rows for action in re.findall(r"`(\w+)`", row)}
    not_required = {"read_nodes", "read_cluster", "update_collections"}
    assert named == {*ACTIONS, "create_tenants", "read_tenants"} | not_required
