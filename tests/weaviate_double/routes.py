"""What each path of the REST side answers: the schema, tenants, aliases, nodes."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.weaviate_double.cluster import Cluster
from tests.weaviate_double.roles import Role
from tests.weaviate_double.rules import Refused
from tests.weaviate_double.schema import capital, changed, property_added
from tests.weaviate_double.shard import Collection
from tests.weaviate_double.state import State

Reply = tuple[int, Any]
_TENANTS = "failed to execute query: could not get tenants: could not get tenants: "


@dataclass(frozen=True)
class Routes:
    """Answers requests; call it with the state's lock held. Raises `Refused` and `Denied`."""

    state: State
    cluster: Cluster
    role: Role
    message_bytes: int

    def answer(self, verb: str, path: str, query: dict[str, str], body: Any) -> Reply:
        verbose = query.get("output") == "verbose"
        match path.strip("/").split("/"):
            case ["meta"]:
                told = {"hostname": "http://[::]:8080", "version": self.cluster.version}
                return 200, told | {"modules": {}, "grpcMaxMessageSize": self.message_bytes}
            case ["users", "own-info"]:
                if self.role.told is None:
                    return 401, None
                roles = self.role.told or None
                return 200, {"username": self.role.user, "groups": None, "roles": roles}
            case ["cluster", "statistics"]:
                self.role.check("read_cluster")
                return 200, self.cluster.statistics()
            case ["nodes"]:
                return 200, self.cluster.nodes(self.state, self.role, of=None, verbose=verbose)
            case ["nodes", name]:
                return 200, self.cluster.nodes(self.state, self.role, of=name, verbose=verbose)
            case ["objects", name, id_] if verb == "DELETE":
                return self._delete(self.state.resolved(name), id_, query.get("tenant", ""))
            case ["schema", *rest]:
                reply = self._schema(verb, rest, body)
            case ["aliases"]:
                reply = self._aliases(verb, query.get("class"), body)
            case ["aliases", name]:
                reply = self._alias(verb, capital(name), body)
            case _:
                return 404, {"code": 404, "message": f"path /v1{path} was not found"}
        if verb != "GET":
            self.cluster.note_change()
        return reply

    def _schema(self, verb: str, path: list[str], body: Any) -> Reply:
        match verb, path:
            case "POST", []:
                self.role.check_collection("create", capital(body["class"]))
                return 200, self.state.create(body)
            case "GET", []:
                seen = self.state.classes if self.role.may("read_collections") else {}
                return 200, {"classes": [each.config for each in seen.values()]}
            case "GET", [name]:
                self.role.check_collection("read", self.state.resolved(name))
                found = self.state.find(name)
                return (404, None) if found is None else (200, found.config)
            case "PUT", [name]:
                self.role.check_collection("update", capital(name))
                if name not in self.state.classes:
                    return 404, None
                changed(self.state.classes[name].config, body)
                return 200, self.state.classes[name].config
            case "DELETE", [name]:
                self.role.check_collection("delete", capital(name))
                self.state.drop(capital(name))
                return 200, None
            case "GET", [name, "shards"]:
                return self._shards(name)
            case "POST", [name, "properties"]:
                return self._add_property(capital(name), body)
            case _, [name, "tenants"]:
                return self._tenants(verb, self.state.resolved(name), body)
        return 404, None

    def _delete(self, name: str, id_: str, tenant: str) -> Reply:
        """Delete one object by its address, whatever indexes it is in; say so of none, too."""
        self.role.check_data("delete", name, tenant)
        found = self.state.find(name)
        if found is None:
            said = "could not delete object from vector repo: delete from non-existing index for"
            raise Refused(f"{said} {name}", status=500)
        found.tenant(tenant).remove(uuid.UUID(id_).bytes)
        return 204, None

    def _shards(self, name: str) -> Reply:
        class_ = self.state.resolved(name)
        self.role.check_tenants("read", class_, "*")
        found = self.state.find(name)
        if found is None:
            missing = "cannot get shards status for a non-existing index for"
            raise Refused(f"{missing} {class_}: not found", status=404)
        # The size of the queue is 0 whatever waits: the real server never fills it in.
        return 200, [
            {
                "name": each,
                "per_node_status": {"node1": shard.status()},
                "status": shard.status(),
                "vectorQueueSize": 0,
            }
            for each, shard in found.shards().items()
        ]

    def _add_property(self, name: str, body: Any) -> Reply:
        self.role.check_collection("update", name)
        self.role.check_collection("read", name)
        found = self.state.classes.get(name)  # not through an alias
        if found is None:
            raise Refused(f'class "{name}": not found')
        if any(shard.read_only for shard in found.shards().values()):
            raise Refused(
                f"updating db: TYPE_ADD_PROPERTY: extend idx '{name.lower()}' with properties: "
                f'init prop "{body["name"]}": value index: store is read-only due to: '
                "resource pressure"
            )
        return 200, property_added(found.config, body)

    def _tenants(self, verb: str, name: str, body: Any) -> Reply:
        permission = {"GET": "read", "POST": "create", "PUT": "update", "DELETE": "delete"}[verb]
        if verb != "GET":
            for each in body:
                self.role.check_tenants(
                    permission, name, each if verb == "DELETE" else each["name"]
                )
        found = self.state.find(name)
        if found is None:
            raise Refused(f"{_TENANTS}class not found")
        match verb:
            case "POST":
                known = _tenants_of(found, "updating schema: TYPE_ADD_TENANT: ")
                for each in body:
                    found.add_tenant(each["name"])
                return 200, [{"name": each["name"]} for each in body]
            case "PUT":
                known = _tenants_of(found, "updating schema: TYPE_UPDATE_TENANT: ")
                return 200, [_activity(known, each) for each in body]
            case "DELETE":
                known = _tenants_of(found, "updating schema: TYPE_DELETE_TENANT: ")
                for each in body:
                    known.pop(each, None)
                return 200, None
        known = _tenants_of(found, _TENANTS)
        seen = known if self.role.may("read_tenants") else {}
        return 200, [_told(name, part) for name, part in seen.items()]

    def _aliases(self, verb: str, of: str | None, body: Any) -> Reply:
        if verb == "POST":
            alias, class_ = capital(body["alias"]), capital(body["class"])
            self.role.check_alias("create", class_, alias)
            self.state.alias(alias, class_)
            return 200, {"alias": alias, "class": class_}
        seen = self.state.aliases if self.role.may("read_aliases") else {}
        # Of a class that was dropped none is told, though its aliases are still there.
        found = seen if of is None else {a: c for a, c in seen.items() if c == of}
        if of is not None and of not in self.state.classes:
            found = {}
        return 200, {"aliases": [{"alias": a, "class": c} for a, c in found.items()]}

    def _alias(self, verb: str, name: str, body: Any) -> Reply:
        permission = {"GET": "read", "PUT": "update", "DELETE": "delete"}[verb]
        self.role.check_alias(permission, self.state.resolved(name), name)
        if name not in self.state.aliases:
            return 404, None
        answers: dict[str, Callable[[], Reply]] = {
            "GET": lambda: (200, {"alias": name, "class": self.state.aliases[name]}),
            "PUT": lambda: self._point(name, capital(body["class"])),
            "DELETE": lambda: (204, self.state.aliases.pop(name) and None),
        }
        return answers[verb]()

    def _point(self, name: str, class_: str) -> Reply:
        self.state.check_target(class_)
        self.state.aliases[name] = class_
        return 200, {"alias": name, "class": class_}


def _tenants_of(found: Collection, doing: str) -> dict[str, Collection]:
    try:
        return found.known_tenants()
    except Refused as refused:
        raise Refused(f"{doing}{refused}") from None


def _activity(known: dict[str, Collection], each: dict[str, str]) -> dict[str, str]:
    name = each["name"]
    if name not in known:
        raise Refused(f"updating schema: TYPE_UPDATE_TENANT: shard not found: {name}")
    known[name].active = each["activityStatus"] in ("ACTIVE", "HOT")
    return _told(name, known[name])


def _told(name: str, part: Collection) -> dict[str, str]:
    return {"activityStatus": "HOT" if part.active else "COLD", "name": name}
