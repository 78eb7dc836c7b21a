"""What a server says before anything is ingested: is it there, and may we do all that a lens needs?

Nothing is written. A server with roles tells everybody their own. One without them is asked for a
collection whose name no server takes: whoever may not make collections is told so first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import weaviate
from weaviate.exceptions import InsufficientPermissionsError, UnexpectedStatusCodeError
from weaviate.rbac.models import Role

from semilayer_pipelines.errors import NotFound, StoreRefused
from semilayer_pipelines.stores.weaviate.connection import persistently

__all__ = ["Names", "check_roles", "check_search"]

_VERBS = {
    "collections": ("create_collections", "read_collections", "delete_collections"),
    "data": ("create_data", "read_data", "update_data", "delete_data"),
    "aliases": ("create_aliases", "read_aliases", "update_aliases", "delete_aliases"),
}
_OF_TENANTS = ("create_tenants", "read_tenants")
_CURE = "Give it a role as in docs/weaviate.md, under Roles."


@dataclass(frozen=True)
class Names:
    """A collection and the alias that a lens will have, by which a role's patterns are tried."""

    collection: str
    alias: str
    tenants: bool


def check_search(client: weaviate.WeaviateClient, shown: str, collection: str) -> None:
    """Ask for a search, to know whether gRPC is reached as well; there need be no collection.

    Raises `StoreUnavailable`.
    """
    asked = client.collections.use(collection)
    doing = f"Weaviate at {shown}: asking it by gRPC (WEAVIATE_GRPC_URL)"
    with suppress(NotFound, StoreRefused):  # answers; `check_roles` knows what may not be done
        persistently(doing, lambda: asked.query.fetch_objects(limit=1))


def check_roles(client: weaviate.WeaviateClient, shown: str, names: Iterable[Names]) -> None:
    """Raise `StoreRefused` with the permissions that the client's user lacks for these lenses."""
    roles = _own_roles(client, shown)
    if not roles:
        _check_creating(client, shown)
        return
    held = _held(roles)
    lacking: dict[str, list[str]] = {}
    for each in names:
        for action, resource in _needed(each).items():
            if not any(_covers(pattern, resource) for pattern in held.get(action, ())):
                lacking.setdefault(f"{each.alias}*", []).append(action)
    if lacking:
        told = "; ".join(f"{', '.join(actions)} for {name}" for name, actions in lacking.items())
        raise StoreRefused(
            f"Weaviate at {shown}: what we are ({', '.join(sorted(roles))}) lacks {told}.",
            cure=_CURE,
        )


def _needed(names: Names) -> dict[str, str]:
    tenants = _OF_TENANTS if names.tenants else ()
    of_collection = (*_VERBS["collections"], *_VERBS["data"], *tenants)
    return dict.fromkeys(of_collection, names.collection) | dict.fromkeys(
        _VERBS["aliases"], names.alias
    )


def _own_roles(client: weaviate.WeaviateClient, shown: str) -> Mapping[str, Role]:
    """Return the roles of whoever we are; none where the server has none, or does not tell."""

    def ask() -> Mapping[str, Role]:
        try:
            found: Mapping[str, Role] = client.users.get_my_user().roles
        except UnexpectedStatusCodeError as error:
            # An anonymous user has no roles to be told, and an older server does not tell them.
            if error.status_code in (401, 404, 405, 501):
                return {}
            raise
        return found

    return persistently(f"Weaviate at {shown}: asking for our roles", ask)


def _held(roles: Mapping[str, Role]) -> dict[str, list[str]]:
    """Return for each action the patterns of what it may be done to."""
    held: dict[str, list[str]] = {}
    for role in roles.values():
        for permissions, resource in (
            (role.collections_permissions, "collection"),
            (role.data_permissions, "collection"),
            (role.tenants_permissions, "collection"),
            (role.alias_permissions, "alias"),
        ):
            for each in permissions:
                for action in each.actions:
                    held.setdefault(action.value, []).append(getattr(each, resource))
    return held


def _covers(pattern: str, name: str) -> bool:
    try:
        return re.fullmatch(pattern.replace("*", ".*"), name) is not None
    except re.error:
        return True  # a server that takes such a pattern may refuse it later


def _check_creating(client: weaviate.WeaviateClient, shown: str) -> None:
    def ask() -> None:
        try:
            client.collections.create_from_dict({"class": "no name for a collection"})
        except InsufficientPermissionsError:
            raise
        except UnexpectedStatusCodeError as error:
            if error.status_code != 422:
                raise

    try:
        persistently(f"Weaviate at {shown}: asking whether collections may be made", ask)
    except StoreRefused as refused:
        refused.cure = _CURE
        raise
