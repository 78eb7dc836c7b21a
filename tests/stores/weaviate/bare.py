"""A server met without our store in between: the real one at `WEAVIATE_URL`, or our double.

What it answers is what the store is built on, so each test of it runs against either.
"""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import weaviate
from weaviate.auth import Auth
from weaviate.classes.data import DataObject
from weaviate.exceptions import WeaviateInsertManyAllFailedError

from semilayer_pipelines.stores.weaviate.settings import WeaviateSettings
from tests.stores.weaviate.limited import limited_user
from tests.weaviate_double.server import Double

RESTART = "SEMILAYER_TEST_WEAVIATE_RESTART"
FILL, EMPTY = "SEMILAYER_TEST_WEAVIATE_FILL", "SEMILAYER_TEST_WEAVIATE_EMPTY"
DIMENSION = 32
PROPERTIES: list[dict[str, Any]] = [
    {"name": "_key", "dataType": ["text"], "tokenization": "field", "indexSearchable": False},
    {"name": "whole", "dataType": ["int"]},
    {"name": "share", "dataType": ["number"]},
    {"name": "kept", "dataType": ["text"], "indexFilterable": False, "indexSearchable": False},
]
MULTI_TENANT = {"enabled": True, "autoTenantCreation": True, "autoTenantActivation": True}


@dataclass
class Server:
    """A server, one user's connection to it, and the classes that a test made."""

    settings: dict[str, str]
    client: weaviate.WeaviateClient
    http: httpx.Client
    double: Double | None
    prefix: str = field(default_factory=lambda: f"Bare{uuid.uuid4().hex[:10]}")

    def name(self, short: str) -> str:
        """Return the whole name of a class or an alias of this test."""
        return f"{self.prefix}_{short}"

    def make(self, short: str = "things", *, tenants: bool = False, index: str = "hnsw") -> Any:
        """Make a class; return the client's collection."""
        status, said = self.ask("POST", "/schema", self.declared(short, tenants, index=index))
        assert status == 200, said
        return self.client.collections.use(self.name(short))

    def declared(
        self,
        short: str,
        tenants: bool = False,
        *,
        index: str = "hnsw",
        quantizer: str | None = None,
    ) -> dict[str, Any]:
        vector: dict[str, Any] = {"vectorizer": {"none": {}}, "vectorIndexType": index}
        if quantizer:
            vector["vectorIndexConfig"] = {quantizer: {"enabled": True}}
        return {
            "class": self.name(short),
            "properties": PROPERTIES,
            "vectorConfig": {"default": vector},
        } | ({"multiTenancyConfig": MULTI_TENANT} if tenants else {})

    def ask(self, verb: str, path: str, body: Any = None) -> tuple[int, str]:
        """Ask over REST; return the status and the text of the answer."""
        answer = self.http.request(verb, f"/v1{path}", json=body)
        return answer.status_code, answer.text.replace('\\"', '"')

    def told(self, path: str) -> Any:
        """Return what a path tells over REST."""
        answer = self.http.get(f"/v1{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    @property
    def indexes_later(self) -> bool:
        """Whether it has asynchronous indexing, without which there is no dynamic index."""
        if self.double is not None:
            return self.double.state.async_indexing
        status, _ = self.ask("POST", "/schema", self.declared("dynamic", index="dynamic"))
        return status == 200

    def kill_and_restart(self, hide: int = 25) -> None:
        """Kill it and return when it is back; `hide` is how many vectors the double then loses."""
        if self.double is not None:
            self.double.kill_and_restart(hide)
        else:
            self._run(RESTART, "kills the server with SIGKILL, starts it and waits until ready")
        self.client.close()
        self.client = connect(self.settings)

    @contextmanager
    def out_of_room(self) -> Iterator[None]:
        """Have no room for writes meanwhile."""
        if self.double is not None:
            self.double.state.run_out_of_room()
            yield
            self.double.state.make_room()
            return
        self._run(FILL, "fills the server's disk and returns when its shards are read-only")
        yield
        self._run(EMPTY, "gives the room back and returns when the shards are ready")

    @contextmanager
    def without(self, permission: str) -> Iterator[Server]:
        """Give the connection of a user who has every permission but one."""
        if self.double is not None:
            self.double.role.denied = frozenset({permission})
            yield self
            self.double.role.denied = frozenset()
            return
        with ExitStack() as opened:
            key = opened.enter_context(limited_user(self.http, self.prefix.lower(), permission))
            limited = opened.enter_context(connected(self.settings | {"WEAVIATE_API_KEY": key}))
            yield replace(limited, prefix=self.prefix)

    def objects(
        self, numbers: Sequence[int], vectors: np.ndarray, **properties: Any
    ) -> list[DataObject[Any, Any]]:
        """Return objects whose ids follow from their numbers, `vectors` beside them."""
        return [
            DataObject(
                properties={"_key": f"key {number}", "whole": number} | properties,
                uuid=id_of(number),
                vector={"default": vector.tolist()},
            )
            for number, vector in zip(numbers, vectors, strict=True)
        ]

    def clean_up(self) -> None:
        for alias in self.told("/aliases")["aliases"] or ():
            if alias["alias"].startswith(self.prefix):
                self.ask("DELETE", f"/aliases/{alias['alias']}")
        for each in self.told("/schema")["classes"] or ():
            if each["class"].startswith(self.prefix):
                self.ask("DELETE", f"/schema/{each['class']}")

    def _run(self, variable: str, what: str) -> None:
        if variable not in os.environ:
            pytest.skip(f"a real server: {variable} must name a command that {what}")
        subprocess.run(os.environ[variable], shell=True, check=True, timeout=120)


def refusal(collection: Any, objects: list[DataObject[Any, Any]]) -> str:
    """Return what a server says that refuses to make up what was not declared."""
    try:
        collection.data.insert_many(objects)
    except WeaviateInsertManyAllFailedError as failed:
        return str(failed)
    pytest.skip("a real server: it must run with AUTOSCHEMA_ENABLED=false for this test")


def cause_of(error: BaseException | None) -> grpc.Call:
    """Return the answer over gRPC that an error of the client is made of."""
    while error is not None and not isinstance(error, grpc.Call):
        error = error.__cause__ or error.__context__
    assert error is not None, "no answer over gRPC"
    return error


def id_of(number: int) -> uuid.UUID:
    return uuid.UUID(int=number + 1)


def vectors(count: int, seed: int = 0, dimension: int = DIMENSION) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)


def connect(settings: dict[str, str]) -> weaviate.WeaviateClient:
    where = WeaviateSettings.from_environ(settings)
    key = settings.get("WEAVIATE_API_KEY")
    return weaviate.connect_to_custom(
        http_host=where.http.host,
        http_port=where.http.port,
        http_secure=where.http.secure,
        grpc_host=where.grpc.host,
        grpc_port=where.grpc.port,
        grpc_secure=where.grpc.secure,
        auth_credentials=Auth.api_key(key) if key else None,
        skip_init_checks=True,
    )


@contextmanager
def connected(settings: dict[str, str], double: Double | None = None) -> Iterator[Server]:
    """Connect to a server as the user whose key is in the settings."""
    key = settings.get("WEAVIATE_API_KEY")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(base_url=settings["WEAVIATE_URL"], headers=headers, timeout=60) as http:
        server = Server(settings, connect(settings), http, double)
        try:
            yield server
        finally:
            server.client.close()
