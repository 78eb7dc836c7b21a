"""Permissions: which are denied, and how the real server says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class Denied(Exception):
    """A permission is missing; the text is what the server says."""


@dataclass
class Role:
    """What a user may not do, by the server's names: `read_tenants`, `update_data` and so on.

    `told` are the roles that the server tells the user of, `None` where it knows no user.
    """

    denied: frozenset[str] = frozenset()
    user: str = "tester"
    told: list[dict[str, Any]] | None = None

    def may(self, permission: str) -> bool:
        return permission not in self.denied

    def check(self, permission: str, *, said_before: str = "", **where: str) -> None:
        """Raise `Denied` for a permission that is missing; `where` is what it is about."""
        if self.may(permission):
            return
        about = ", ".join(f"{name.capitalize()}: {value}" for name, value in where.items())
        raise Denied(
            f"{said_before}rbac: authorization, forbidden action: user '{self.user}' has "
            f"insufficient permissions to {permission} [{f'[{about}]' if about else ''}]"
        )

    def check_data(self, verb: str, collection: str, tenant: str, *, said_before: str = "") -> None:
        self.check(
            f"{verb}_data",
            said_before=said_before,
            domain="data",
            collection=collection,
            tenant=tenant or "*",
            object="*",
        )

    def check_tenants(self, verb: str, collection: str, tenant: str) -> None:
        self.check(f"{verb}_tenants", domain="tenants", collection=collection, tenant=tenant)

    def check_collection(self, verb: str, collection: str) -> None:
        self.check(f"{verb}_collections", domain="collections", collection=collection)

    def check_alias(self, verb: str, collection: str, alias: str) -> None:
        self.check(f"{verb}_aliases", domain="aliases", collection=collection, alias=alias)
