"""Batches of objects, and deletes.

A batch has two steps, as a real server's: objects are stored one by one, each of which takes an old
vector out of search; the new vectors are found when the request reaches its end.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from weaviate.proto.v1 import batch_delete_pb2, batch_pb2

from tests.weaviate_double.faults import Fault, Kind
from tests.weaviate_double.roles import Denied, Role
from tests.weaviate_double.rules import Refused, checked
from tests.weaviate_double.search import matching
from tests.weaviate_double.shard import Collection, Stored
from tests.weaviate_double.state import State
from tests.weaviate_double.wire import incoming, vector_of

MOST_DELETED = 10_000


@dataclass
class Batch:
    """One request of objects; call `store` and then `index`, each with the state's lock held."""

    state: State
    role: Role
    fault: Fault | None
    errors: list[Any] = field(default_factory=list)
    _stored: list[tuple[Collection, bytes]] = field(default_factory=list)
    _first: set[int] = field(default_factory=set)  # collections that had no vector before

    def store(self, objects: Any) -> None:
        for index, sent in enumerate(objects):
            try:
                self._check_role(sent)
                self._store(sent)
            except (Refused, Denied) as refused:
                self.errors.append(
                    batch_pb2.BatchObjectsReply.BatchError(index=index, error=str(refused))
                )

    def index(self) -> None:
        due = self.state.due()
        for collection, id_ in self._stored:
            collection.index(id_, due)

    def _check_role(self, sent: Any) -> None:
        name = self.state.resolved(sent.collection)
        for verb in ("update", "create"):
            self.role.check_data(verb, name, sent.tenant)

    def _store(self, sent: Any) -> None:
        found = self.state.find(sent.collection)
        if found is None:
            raise Refused(f"class '{self.state.resolved(sent.collection)}' not present in schema")
        collection = found.tenant(sent.tenant, create=True)
        properties = _properties(sent, collection.config)
        self._refuse_on_order(properties)
        if collection.read_only:
            raise Refused("store is read-only due to: resource pressure")
        vector, id_ = vector_of(sent), uuid.UUID(sent.uuid).bytes
        fits = vector is None or self._fits(collection, len(vector), sent.uuid)
        if collection.store(id_, Stored(properties, vector, time.time_ns() // 1_000_000)) and fits:
            self._stored.append((collection, id_))
        if vector is not None and not fits:
            # As the server does it: refused, and kept all the same.
            raise Refused(
                f"insert to vector index: insert doc id 0 to vector index for target vector "
                f"default: find and connect neighbors: at level 0: pick entrypoint at level "
                f"beginning: calculate distance between insert node and entrypoint: "
                f"{collection.dimension} vs {len(vector)}: vector lengths don't match"
            )

    def _refuse_on_order(self, properties: dict[str, Any]) -> None:
        fault = self.fault
        if fault is None or fault.kind is not Kind.OBJECTS:
            return
        if not fault.keys or properties.get("_key") in fault.keys:
            raise Refused(fault.text)

    def _fits(self, collection: Collection, length: int, id_: str) -> bool:
        """Say whether a vector has the length of the others; refuse it when they are older."""
        if collection.dimension is None:
            collection.dimension = length
            self._first.add(id(collection))
        if length == collection.dimension:
            return True
        if id(collection) in self._first:
            return False
        raise Refused(
            f"Validate vector index default for target vector {id_}: new node has a vector with "
            f"length {length}. Existing nodes have vectors with length {collection.dimension}: "
            "vector dimensions do not match the index dimensions"
        )


def check_auto_tenants(state: State, role: Role, objects: Any) -> None:
    """Refuse a whole request for a tenant that cannot be made, or must not be."""
    for sent in objects:
        found = state.find(sent.collection)
        if found is None or not found.config["multiTenancyConfig"]["autoTenantCreation"]:
            continue
        adding = (
            f'auto create tenants: auto-tenant: add tenants to collection "{found.config["class"]}"'
        )
        if not sent.tenant:
            raise Refused(f"{adding}: tenant name at index 0: empty tenant name")
        try:
            role.check_tenants("create", found.config["class"], sent.tenant)
            found.add_tenant(sent.tenant)
        except Denied as denied:
            raise Denied(f"{adding}: {denied}") from None
        except Refused as refused:
            raise Refused(f"{adding}: {refused}") from None


def delete(state: State, role: Role, request: Any, half: bool) -> Any:
    """Delete what matches, at most 10,000; only half of it when told to."""
    name = state.resolved(request.collection)
    role.check_data("delete", name, request.tenant)
    role.check_data("read", name, request.tenant, said_before="batch delete params: ")
    if state.find(name) is None:
        raise Refused(f"batch delete params: could not find class {name} in schema")
    try:
        collection = state.collection(name).tenant(request.tenant)
    except Refused as refused:
        raise Refused(f"batch delete: cannot find objects: {refused}") from None
    matches = matching(collection, request.filters)
    if collection.read_only:
        # No error, no sentence: one failure, however many match.
        return batch_delete_pb2.BatchDeleteReply(matches=len(matches), successful=0, failed=1)
    doomed = matches[: min(MOST_DELETED, len(matches) // 2 if half else MOST_DELETED)]
    for id_ in doomed:
        collection.remove(id_)
    return batch_delete_pb2.BatchDeleteReply(matches=len(matches), successful=len(doomed), failed=0)


def _properties(sent: Any, config: dict[str, Any]) -> dict[str, Any]:
    kinds = {each["name"]: each["dataType"][0] for each in config["properties"]}
    properties = {}
    for name, value in incoming(sent.properties).items():
        if name not in kinds:
            # No auto-schema: what was not declared is refused.
            raise Refused(
                f"no such prop with name '{name}' found in class '{config['class']}' in the "
                "schema. Check your schema files for which properties in this class are available"
            )
        properties[name] = checked(kinds[name], name, config["class"], value)
    return properties
