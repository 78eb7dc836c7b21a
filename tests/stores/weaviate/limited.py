"""A user of a real server who has every permission but one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

_RESOURCES: dict[str, dict[str, str]] = {
    "collections": {"collection": "*"},
    "data": {"collection": "*", "tenant": "*", "object": "*"},
    "tenants": {"collection": "*", "tenant": "*"},
    "aliases": {"collection": "*", "alias": "*"},
}


@contextmanager
def limited_user(http: httpx.Client, name: str, denied: str) -> Iterator[str]:
    """Make a user and a role, give the user's key, and remove both afterwards."""
    made = http.post("/v1/authz/roles", json={"name": name, "permissions": _all_but(denied)})
    user = http.post(f"/v1/users/db/{name}")
    if (made.status_code, user.status_code) != (201, 201):
        pytest.skip(
            "a real server: WEAVIATE_API_KEY must be the key of a user who may make users and "
            "roles, and the server must have AUTHORIZATION_RBAC_ENABLED=true and "
            "AUTHENTICATION_DB_USERS_ENABLED=true"
        )
    try:
        assigned = {"roles": [name], "userType": "db"}
        http.post(f"/v1/authz/users/{name}/assign", json=assigned).raise_for_status()
        yield str(user.json()["apikey"])
    finally:
        http.delete(f"/v1/users/db/{name}")
        http.delete(f"/v1/authz/roles/{name}")


def _all_but(denied: str) -> list[dict[str, Any]]:
    permissions: list[dict[str, Any]] = [
        {"action": f"{verb}_{name}", name: where}
        for name, where in _RESOURCES.items()
        for verb in ("create", "read", "update", "delete")
    ]
    permissions += [
        {"action": "read_cluster", "cluster": {}},
        {"action": "read_nodes", "nodes": {"verbosity": "minimal"}},
        {"action": "read_nodes", "nodes": {"verbosity": "verbose", "collection": "*"}},
    ]
    return [each for each in permissions if each["action"] != denied]
