"""`semilayer keys`: the keys that callers of the webhook show."""

from __future__ import annotations

import secrets

import click
from rich.markup import escape

from semilayer_pipelines.cli.context import (
    Here,
    SuggestingGroup,
    console,
    env_option,
    json_option,
    say,
    say_aside,
    say_json,
)
from semilayer_pipelines.cli.tables import table_of
from semilayer_pipelines.counts import utc_text
from semilayer_pipelines.registry import api_keys
from semilayer_pipelines.registry.api_key import KeyKind, shown
from semilayer_pipelines.registry.api_keys import ApiKey

__all__ = ["keys"]


@click.group(cls=SuggestingGroup)
def keys() -> None:
    """Issue, list and revoke the keys of an environment."""


@keys.command()
@click.option(
    "--type",
    "kind",
    required=True,
    type=click.Choice(list(KeyKind), case_sensitive=False),
    help="ingest: can only trigger ingest. search: can only search. service: everything in its "
    "environment.",
)
@click.option("--name", required=True, help="The program that uses it, such as ci-cdc-pipeline.")
@env_option
@json_option
@click.pass_obj
def create(here: Here, kind: KeyKind, name: str, env: str, as_json: bool) -> None:
    """Issue a key and print it, only this once: just its hash is kept."""
    project = here.project
    with project.registry.begin(durable=True) as db:
        key, text = api_keys.create(db, env, kind, name, choose=secrets.choice, now=project.clock())
    if as_json:
        say_json(_as_json(key) | {"key": text})
        return
    click.echo(text)
    say_aside("Keep it now: it cannot be shown again.")


@keys.command("list")
@env_option
@json_option
@click.pass_obj
def list_(here: Here, env: str, as_json: bool) -> None:
    """List the keys of an environment, without their secrets."""
    with here.project.registry.read() as db:
        known = api_keys.list_all(db, env)
    if as_json:
        say_json([_as_json(key) for key in known])
        return
    if not known:
        say(f"No key in {env!r} yet: semilayer keys create --type ingest --name my-worker")
        return
    table = table_of("id", "key", "type", "name", "created (UTC)", "last used (UTC)", "")
    for key in known:
        table.add_row(
            key.id,
            shown(key.kind, key.env, key.id),
            key.kind.value,
            escape(key.name),
            f"{key.created_at:%Y-%m-%d %H:%M}",
            f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never",
            "revoked" if key.revoked_at else "",
        )
    console().print(table)


@keys.command()
@click.argument("key_id")
@env_option
@json_option
@click.pass_obj
def revoke(here: Here, key_id: str, env: str, as_json: bool) -> None:
    """Revoke the key with this id, for good and at once."""
    project = here.project
    with project.registry.begin(durable=True) as db:
        key = api_keys.revoke(db, env, key_id, project.clock())
    if as_json:
        say_json(_as_json(key))
        return
    say(f"Revoked {key.name}: calls with it get 401 from now on.")


def _as_json(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "env": key.env,
        "type": key.kind.value,
        "name": key.name,
        "createdAt": utc_text(key.created_at),
        "lastUsedAt": utc_text(key.last_used_at) if key.last_used_at else None,
        "revokedAt": utc_text(key.revoked_at) if key.revoked_at else None,
    }
