"""What a bare server says of classes, their properties, aliases and tenants."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from weaviate.classes.query import Filter
from weaviate.exceptions import (
    WeaviateQueryError,
    WeaviateTenantGetError,
)

from tests.stores.weaviate.bare import Server, cause_of, id_of, refusal, vectors


def class_of(server: Server, short: str) -> Any:
    return server.told(f"/schema/{server.name(short)}")


@pytest.mark.parametrize("quantizer", ["sq", "pq"])
def test_a_flat_index_takes_no_scalar_and_no_product_quantization(
    any_server: Server, quantizer: str
) -> None:
    asked = any_server.declared("flat", index="flat", quantizer=quantizer)
    status, said = any_server.ask("POST", "/schema", asked)
    assert status == 422
    assert f"{quantizer.upper()} is not currently supported for flat indices" in said
    assert any_server.ask("GET", f"/schema/{any_server.name('flat')}")[0] == 404
    asked = any_server.declared("flat", index="flat", quantizer="bq")
    assert any_server.ask("POST", "/schema", asked)[0] == 200


def test_a_dynamic_index_needs_asynchronous_indexing(server: Server) -> None:
    status, said = server.ask("POST", "/schema", server.declared("dynamic", index="dynamic"))
    assert status == 422
    assert "the dynamic index can only be created when async indexing is enabled" in said


def test_a_name_is_taken_whatever_its_case(any_server: Server) -> None:
    any_server.make("things")
    name = any_server.name("things")
    status, said = any_server.ask("POST", "/schema", any_server.declared("things"))
    assert (status, f"class name {name} already exists" in said) == (422, True)
    status, said = any_server.ask("POST", "/schema", any_server.declared("THINGS"))
    assert (status, f'found similar class "{name}"' in said) == (422, True)


def test_an_alias_named_like_a_class_and_the_other_way_round(any_server: Server) -> None:
    any_server.make("things")
    things, other = any_server.name("things"), any_server.name("other")
    status, said = any_server.ask("POST", "/aliases", {"alias": things, "class": things})
    # No outage, whatever the number says.
    assert (status, f"class {things} already exists" in said) == (500, True)
    assert any_server.ask("POST", "/aliases", {"alias": other, "class": things})[0] == 200
    status, said = any_server.ask("POST", "/aliases", {"alias": other, "class": things})
    assert (status, f"{other}, alias already exists" in said) == (422, True)
    status, said = any_server.ask("POST", "/schema", any_server.declared("other"))
    assert (status, f"alias name {other} already exists" in said) == (422, True)
    status, said = any_server.ask("POST", "/schema", any_server.declared("OTHER"))
    assert (status, f'found similar alias "{other}"' in said) == (422, True)


def test_an_alias_needs_a_class_to_lead_to(any_server: Server) -> None:
    any_server.make("things")
    alias, nothing = any_server.name("alias"), any_server.name("nothing")
    missing = f'target class "{nothing}" does not exist'
    status, said = any_server.ask("POST", "/aliases", {"alias": alias, "class": nothing})
    assert (status, missing in said) == (422, True)
    any_server.ask("POST", "/aliases", {"alias": alias, "class": any_server.name("things")})
    status, said = any_server.ask("PUT", f"/aliases/{alias}", {"class": nothing})
    assert (status, missing in said) == (422, True)
    assert any_server.ask("PUT", f"/aliases/{nothing}", {"class": nothing})[0] == 404
    assert any_server.ask("DELETE", f"/aliases/{nothing}")[0] == 404
    assert any_server.ask("GET", f"/aliases/{nothing}")[0] == 404


def test_a_class_is_not_deleted_through_an_alias(any_server: Server) -> None:
    any_server.make("things")
    alias = any_server.name("alias")
    any_server.ask("POST", "/aliases", {"alias": alias, "class": any_server.name("things")})
    assert any_server.ask("DELETE", f"/schema/{alias}")[0] == 200
    assert class_of(any_server, "things")["class"] == any_server.name("things")
    assert class_of(any_server, "alias")["class"] == any_server.name("things")
    assert any_server.ask("DELETE", f"/schema/{any_server.name('nothing')}")[0] == 200


def test_dropping_a_class_leaves_its_alias_dangling(any_server: Server) -> None:
    any_server.make("things").data.insert_many(any_server.objects([0], vectors(1)))
    things, alias = any_server.name("things"), any_server.name("alias")
    any_server.ask("POST", "/aliases", {"alias": alias, "class": things})
    through = any_server.client.collections.use(alias)
    assert through.aggregate.over_all(total_count=True).total_count == 1

    any_server.ask("DELETE", f"/schema/{things}")

    # It is there, though not in the list of its class, and its name is taken.
    assert any_server.told(f"/aliases/{alias}") == {"alias": alias, "class": things}
    assert any_server.told(f"/aliases?class={things}")["aliases"] == []
    assert any_server.ask("GET", f"/schema/{alias}")[0] == 404
    other = any_server.make("other")
    assert any_server.ask("POST", "/aliases", {"alias": alias, "class": other.name})[0] == 422
    missing = f"could not find class {things}"
    for ask in (
        lambda: through.query.fetch_objects(),
        lambda: through.query.near_vector([1.0]),
        lambda: through.aggregate.over_all(total_count=True),
    ):
        with pytest.raises(WeaviateQueryError, match=missing):
            ask()
    # It may lead elsewhere.
    assert any_server.ask("PUT", f"/aliases/{alias}", {"class": other.name})[0] == 200
    assert through.aggregate.over_all(total_count=True).total_count == 0


def test_a_class_that_was_dropped_says_so_in_five_ways(any_server: Server) -> None:
    made = any_server.make("things", tenants=True)
    any_server.ask("DELETE", f"/schema/{made.name}")
    part = made.with_tenant("one")

    with pytest.raises(WeaviateTenantGetError) as failed:
        made.tenants.get()
    cause = cause_of(failed.value)
    assert (cause.code(), "class not found" in cause.details()) == (grpc.StatusCode.UNKNOWN, True)
    assert made.name not in cause.details()
    with pytest.raises(WeaviateQueryError, match=f"could not find class {made.name}"):
        part.query.fetch_objects()
    with pytest.raises(Exception, match=f"could not find class {made.name}"):
        part.data.delete_many(where=Filter.by_id().contains_any([id_of(0)]))
    status, said = any_server.ask("GET", f"/schema/{made.name}/tenants")
    assert (status, "class not found" in said) == (422, True)
    status, said = any_server.ask("GET", f"/schema/{made.name}/shards")
    assert (status, "non-existing index" in said) == (404, True)


def test_a_write_to_a_class_that_was_dropped_fails_for_each_object(any_server: Server) -> None:
    made = any_server.make("things")
    any_server.ask("DELETE", f"/schema/{made.name}")
    said = refusal(made, any_server.objects([0], vectors(1)))
    assert f"class '{made.name}' not present in schema" in said


def test_a_property_is_added_to_a_class_with_objects(server: Server) -> None:
    made = server.make("things")
    made.data.insert_many(server.objects(range(3), vectors(3)))
    path = f"/schema/{made.name}/properties"
    late = {"name": "late", "dataType": ["text"], "tokenization": "field"}
    assert server.ask("POST", path, late)[0] == 200
    for name in ("late", "LATE"):
        status, said = server.ask("POST", path, late | {"name": name})
        assert (status, "already in use or provided multiple times" in said) == (422, True)
    # Older objects have none. Written again they have it, with an equal vector too.
    made.data.insert_many(server.objects([1], vectors(3)[1:2], late="now"))
    made.data.insert_many(server.objects([3], vectors(1, 5), late="now"))

    def found(condition: Any) -> set[int]:
        objects = made.query.fetch_objects(filters=condition).objects
        return {each.uuid.int - 1 for each in objects}

    assert found(Filter.by_property("late").equal("now")) == {1, 3}
    assert found(Filter.by_property("late").contains_any(["now", "then"])) == {1, 3}
    assert found(Filter.by_property("late").not_equal("now")) == {0, 2}
    # Not through an alias.
    alias = server.name("alias")
    server.ask("POST", "/aliases", {"alias": alias, "class": made.name})
    status, said = server.ask("POST", f"/schema/{alias}/properties", late | {"name": "more"})
    assert (status, f'class "{alias}": not found' in said) == (422, True)


def test_of_a_class_only_descriptions_change(any_server: Server) -> None:
    made = any_server.make("things")
    made.config.update(description="another")
    assert class_of(any_server, "things")["description"] == "another"
    whole = class_of(any_server, "things")
    whole["properties"].append({"name": "more", "dataType": ["text"]})
    status, said = any_server.ask("PUT", f"/schema/{made.name}", whole)
    assert (status, "Use the add property feature" in said) == (422, True)
    other = class_of(any_server, "things") | {"class": any_server.name("other")}
    status, said = any_server.ask("PUT", f"/schema/{made.name}", other)
    assert (status, "class name is immutable" in said) == (422, True)
    assert any_server.ask("PUT", f"/schema/{any_server.name('nothing')}", other)[0] == 404


def test_a_class_without_tenants_and_one_with_are_told_apart(any_server: Server) -> None:
    plain, parted = any_server.make("plain"), any_server.make("parted", tenants=True)
    with pytest.raises(WeaviateQueryError, match="multi-tenancy disabled, but request was with"):
        plain.with_tenant("one").query.fetch_objects()
    with pytest.raises(WeaviateQueryError, match="multi-tenancy enabled, but request was without"):
        parted.query.fetch_objects()
    with pytest.raises(WeaviateQueryError, match='tenant not found: "one"'):
        parted.with_tenant("one").aggregate.over_all(total_count=True)
    with pytest.raises(Exception, match="'a b' is not a valid tenant name"):
        parted.with_tenant("a b").data.insert_many(any_server.objects([0], vectors(1)))
    with pytest.raises(WeaviateTenantGetError, match="multi-tenancy is not enabled for class"):
        plain.tenants.get()


def test_a_tenant_is_made_by_its_first_object_and_woken_by_a_question(any_server: Server) -> None:
    made = any_server.make(tenants=True)
    made.with_tenant("one").data.insert_many(any_server.objects([0], vectors(1)))
    path = f"/schema/{made.name}/tenants"
    assert any_server.told(path) == [{"activityStatus": "HOT", "name": "one"}]
    made.tenants.deactivate("one")
    assert any_server.told(path) == [{"activityStatus": "COLD", "name": "one"}]
    assert made.with_tenant("one").aggregate.over_all(total_count=True).total_count == 1
    assert any_server.told(path) == [{"activityStatus": "HOT", "name": "one"}]
    made.tenants.remove(["one", "nobody"])
    assert any_server.told(path) == []
