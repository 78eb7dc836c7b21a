"""The keys of an environment: made, shown once, and revoked."""

from __future__ import annotations

import secrets

from semilayer_pipelines.errors import NotFound
from semilayer_pipelines.registry import api_keys
from semilayer_pipelines.registry.api_key import KeyKind, shown
from semilayer_pipelines.registry.api_keys import ApiKey
from webhook.console.web import At, Go, Page
from webhook.service.problems import bad_request

__all__ = ["all_keys", "ask_revoke", "create", "revoke"]

_KINDS = {
    KeyKind.INGEST: "only tells of changes: for programs that write to the table",
    KeyKind.SEARCH: "only searches: for an application's server",
    KeyKind.SERVICE: "everything in this environment, this console too",
}


async def all_keys(at: At) -> Page:
    """Show the keys, without their secrets."""
    return await _page(at, None)


async def create(at: At) -> Page:
    """Make a key, and show it this once."""
    kind, name = at.given("kind"), at.given("name")
    if kind not in list(KeyKind):
        raise bad_request("Choose what the key may do.")
    project, env = at.console.service.project, at.env

    def make() -> tuple[ApiKey, str]:
        with project.registry.begin(durable=True) as db:
            now = project.clock()
            return api_keys.create(db, env, KeyKind(kind), name, choose=secrets.choice, now=now)

    return await _page(at, await at.read(make))


async def ask_revoke(at: At) -> Page:
    """Say what revoking does before it is done."""
    id = str(at.request.path_params["id"])
    key = next((one for one in await _keys(at) if one.id == id), None)
    if key is None:
        raise NotFound("There is no key with this id.")
    return Page("ask_revoke.html", {"key": key, "own": key.id == at.key.id, "shown": _shown})


async def revoke(at: At) -> Go:
    """Revoke a key for good."""
    id, env, project = str(at.request.path_params["id"]), at.env, at.console.service.project

    def do() -> ApiKey:
        with project.registry.begin(durable=True) as db:
            return api_keys.revoke(db, env, id, project.clock())

    key = await at.read(do)
    return Go(f"{at.base}/keys", f"{key.name} is revoked. Calls with it are refused from now on.")


async def _page(at: At, made: tuple[ApiKey, str] | None) -> Page:
    data = {
        "keys": (await _keys(at))[::-1],
        "made": made,
        "kinds": _KINDS,
        "shown": _shown,
        "own": at.key.id,
    }
    return Page("keys.html", data)


async def _keys(at: At) -> list[ApiKey]:
    project, env = at.console.service.project, at.env

    def look() -> list[ApiKey]:
        with project.registry.read() as db:
            return api_keys.list_all(db, env)

    return await at.read(look)


def _shown(key: ApiKey) -> str:
    return shown(key.kind, key.env, key.id)
