"""The REST side: what the server is, its schema, its tenants and its aliases."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.weaviate_double.rules import Refused
from tests.weaviate_double.state import Collection, State

Reply = tuple[int, Any]


def handler(
    state: State, *, version: str, api_key: str | None, asked: list[str]
) -> type[BaseHTTPRequestHandler]:
    """Return what answers requests; every path is noted in `asked`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length) or "null")
            parts = urlsplit(self.path)
            path, query = parts.path.removeprefix("/v1"), dict(parse_qsl(parts.query))
            asked.append(path)
            if api_key and self.headers.get("authorization") != f"Bearer {api_key}":
                status, reply = 401, _error("anonymous access not enabled")
            else:
                try:
                    with state.lock:
                        status, reply = _route(state, version, self.command, path, query, body)
                except Refused as refused:
                    status, reply = 422, _error(str(refused))
            sent = b"" if reply is None else json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _handle

        def log_message(self, *_: Any) -> None:
            """Keep the test output clean."""

    return Handler


def _route(
    state: State, version: str, verb: str, path: str, query: dict[str, str], body: Any
) -> Reply:
    match path.strip("/").split("/"):
        case ["meta"]:
            told = {"hostname": "http://[::]:8080", "version": version, "modules": {}}
            return 200, told | {"grpcMaxMessageSize": 104858000}
        case [".well-known", "ready" | "live"]:
            return 200, None
        case ["schema"]:
            return _schema(state, verb, body)
        case ["schema", name, "shards"]:
            whole = state.collection(name)
            parts = whole.tenants or {"one": whole}
            return 200, [
                {"name": each, "status": "READY", "vectorQueueSize": part.take_in()}
                for each, part in parts.items()
            ]
        case ["schema", name, "tenants"]:
            return _tenants(state.collection(name), verb, body)
        case ["schema", name]:
            return _class(state, verb, name)
        case ["aliases"]:
            return _aliases(state, verb, query.get("class"), body)
        case ["aliases", name]:
            return _alias(state, verb, name, body)
    return 404, _error("not found")


def _schema(state: State, verb: str, body: Any) -> Reply:
    if verb == "POST":
        return 200, state.create(body)
    return 200, {"classes": [collection.config for collection in state.classes.values()]}


def _class(state: State, verb: str, name: str) -> Reply:
    if verb == "DELETE":
        state.drop(name)
        return 200, None
    found = state.classes.get(state.aliases.get(name, name))
    return (404, None) if found is None else (200, found.config)


def _tenants(collection: Collection, verb: str, body: Any) -> Reply:
    known = collection.known_tenants()
    for each in body or []:
        match verb:
            case "POST":
                collection.add_tenant(each["name"])
            case "PUT":
                known[each["name"]].active = each["activityStatus"] in ("ACTIVE", "HOT")
            case "DELETE":
                known.pop(each, None)
    return 200, [
        {"name": name, "activityStatus": "ACTIVE" if part.active else "INACTIVE"}
        for name, part in known.items()
    ]


def _aliases(state: State, verb: str, of: str | None, body: Any) -> Reply:
    if verb == "POST":
        state.alias(body["alias"], body["class"])
        return 200, body
    found = [{"alias": a, "class": c} for a, c in state.aliases.items() if of in (None, c)]
    return 200, {"aliases": found}


def _alias(state: State, verb: str, name: str, body: Any) -> Reply:
    if name not in state.aliases:
        return 404, _error(f"alias {name} not found")
    answers: dict[str, Callable[[], Reply]] = {
        "GET": lambda: (200, {"alias": name, "class": state.aliases[name]}),
        "PUT": lambda: _moved(state, name, body["class"]),
        "DELETE": lambda: (204, state.aliases.pop(name) and None),
    }
    return answers[verb]()


def _moved(state: State, name: str, class_: str) -> Reply:
    if class_ not in state.classes:
        raise Refused(f"replace alias: class {class_} does not exist")
    state.aliases[name] = class_
    return 200, {"alias": name, "class": class_}


def _error(message: str) -> dict[str, Any]:
    return {"error": [{"message": message}]}
