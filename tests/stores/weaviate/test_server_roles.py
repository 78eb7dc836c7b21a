"""What a bare server says to a user who lacks one permission."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from weaviate.classes.query import Filter
from weaviate.exceptions import InsufficientPermissionsError, WeaviateInsertManyAllFailedError

from tests.stores.weaviate.bare import Server, cause_of, id_of, vectors

LACKING = "insufficient permissions to"


def prepared(server: Server) -> None:
    """Make a class with an object, one with a tenant, and an alias."""
    server.make("plain").data.insert_many(server.objects([0], vectors(1)))
    parted = server.make("parted", tenants=True)
    parted.with_tenant("one").data.insert_many(server.objects([0], vectors(1)))
    body = {"alias": server.name("alias"), "class": server.name("plain")}
    assert server.ask("POST", "/aliases", body)[0] == 200


def collection(server: Server, short: str) -> Any:
    return server.client.collections.use(server.name(short))


REST: list[tuple[str, str, str, Callable[[Server], Any], str]] = [
    ("read_cluster", "GET", "/cluster/statistics", lambda s: None, "[]"),
    ("read_nodes", "GET", "/nodes", lambda s: None, "Domain: nodes, Verbosity: minimal"),
    ("read_nodes", "GET", "/nodes/{plain}?output=verbose", lambda s: None, "Collection: {plain}"),
    ("create_collections", "POST", "/schema", lambda s: s.declared("new"), "Collection: {new}"),
    ("read_collections", "GET", "/schema/{plain}", lambda s: None, "Collection: {plain}"),
    (
        "update_collections",
        "POST",
        "/schema/{plain}/properties",
        lambda s: {"name": "late", "dataType": ["text"]},
        "Collection: {plain}",
    ),
    ("delete_collections", "DELETE", "/schema/{plain}", lambda s: None, "Collection: {plain}"),
    (
        "create_aliases",
        "POST",
        "/aliases",
        lambda s: {"alias": s.name("new"), "class": s.name("plain")},
        "Collection: {plain}, Alias: {new}",
    ),
    ("read_aliases", "GET", "/aliases/{alias}", lambda s: None, "Alias: {alias}"),
    (
        "update_aliases",
        "PUT",
        "/aliases/{alias}",
        lambda s: {"class": s.name("plain")},
        "Alias: {alias}",
    ),
    ("delete_aliases", "DELETE", "/aliases/{alias}", lambda s: None, "Alias: {alias}"),
    ("read_tenants", "GET", "/schema/{plain}/shards", lambda s: None, "Tenant: *"),
    (
        "create_tenants",
        "POST",
        "/schema/{parted}/tenants",
        lambda s: [{"name": "two"}],
        "Tenant: two",
    ),
]


@pytest.mark.parametrize(
    ("permission", "verb", "path", "body", "about"), REST, ids=[f"{e[1]} {e[2]}" for e in REST]
)
def test_a_request_without_its_permission_is_forbidden(
    any_server: Server,
    permission: str,
    verb: str,
    path: str,
    body: Callable[[Server], Any],
    about: str,
) -> None:
    prepared(any_server)
    names = {each: any_server.name(each) for each in ("plain", "parted", "alias", "new")}
    with any_server.without(permission) as limited:
        status, said = limited.ask(verb, path.format(**names), body(any_server))
    assert status == 403, said
    assert f"{LACKING} {permission} [" in said
    assert about.format(**names) in said


@pytest.mark.parametrize(
    ("permission", "path", "listed"),
    [
        ("read_collections", "/schema", "classes"),
        ("read_aliases", "/aliases", "aliases"),
        ("read_nodes", "/nodes?output=verbose", "shards"),
        ("read_tenants", "/schema/{parted}/tenants", ""),
    ],
)
def test_what_may_not_be_read_is_left_out_of_lists_without_a_word(
    any_server: Server, permission: str, path: str, listed: str
) -> None:
    prepared(any_server)

    def told(server: Server) -> list[Any]:
        answer = server.told(path.format(parted=any_server.name("parted")))
        if listed == "shards":
            (answer,) = answer["nodes"]
        found: list[Any] = answer[listed] if listed else answer
        return found

    assert told(any_server)
    with any_server.without(permission) as limited:
        assert told(limited) == []


def test_tenants_that_may_not_be_read_are_not_listed_over_grpc_either(any_server: Server) -> None:
    prepared(any_server)
    assert list(collection(any_server, "parted").tenants.get()) == ["one"]
    with any_server.without("read_tenants") as limited:
        assert collection(limited, "parted").tenants.get() == {}
        part = collection(limited, "parted").with_tenant("one")
        assert part.aggregate.over_all(total_count=True).total_count == 1


ASKED: dict[str, Callable[[Any], Any]] = {
    "search": lambda plain: plain.query.near_vector(vectors(1)[0].tolist()),
    "fetch": lambda plain: plain.query.fetch_objects(),
    "aggregate": lambda plain: plain.aggregate.over_all(total_count=True),
    "delete": lambda plain: plain.data.delete_many(where=Filter.by_id().contains_any([id_of(5)])),
}


@pytest.mark.parametrize("how", ASKED)
def test_data_that_may_not_be_read_is_forbidden(any_server: Server, how: str) -> None:
    prepared(any_server)
    with any_server.without("read_data") as limited:
        with pytest.raises(InsufficientPermissionsError, match=f"{LACKING} read_data") as denied:
            ASKED[how](collection(limited, "plain"))
        assert cause_of(denied.value).code() is grpc.StatusCode.PERMISSION_DENIED


def test_data_that_may_not_be_deleted_is_forbidden(any_server: Server) -> None:
    prepared(any_server)
    with (
        any_server.without("delete_data") as limited,
        pytest.raises(InsufficientPermissionsError, match=f"{LACKING} delete_data"),
    ):
        ASKED["delete"](collection(limited, "plain"))


@pytest.mark.parametrize("permission", ["create_data", "update_data"])
def test_data_that_may_not_be_written_fails_object_by_object(
    any_server: Server, permission: str
) -> None:
    prepared(any_server)
    objects = any_server.objects([1], vectors(1))
    with (
        any_server.without(permission) as limited,
        pytest.raises(WeaviateInsertManyAllFailedError, match=f"{LACKING} {permission}"),
    ):
        collection(limited, "plain").data.insert_many(objects)


def test_without_create_tenants_not_even_a_tenant_that_is_there_is_written_to(
    any_server: Server,
) -> None:
    prepared(any_server)
    objects = any_server.objects([1], vectors(1))
    with (
        any_server.without("create_tenants") as limited,
        pytest.raises(InsufficientPermissionsError, match=f"{LACKING} create_tenants"),
    ):
        collection(limited, "parted").with_tenant("one").data.insert_many(objects)
