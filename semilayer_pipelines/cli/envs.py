"""`semilayer envs`: environments, and what each may ask for."""

from __future__ import annotations

import click

from semilayer_pipelines.cli.context import (
    Here,
    SuggestingGroup,
    env_option,
    json_option,
    say,
    say_json,
)
from semilayer_pipelines.registry import environments
from semilayer_pipelines.registry.environments import CALLS_PER_MINUTE, Environment, Tier

__all__ = ["envs"]


@click.group(cls=SuggestingGroup)
def envs() -> None:
    """Create and list environments, and set their tiers."""


@envs.command()
@click.argument("name")
@json_option
@click.pass_obj
def create(here: Here, name: str, as_json: bool) -> None:
    """Create an environment: a stage with lenses and keys of its own.

    Every key of the environment contains NAME. A push to an environment that does not exist creates
    it too.
    """
    project = here.project
    with project.registry.begin(durable=True) as db:
        created = environments.create(db, name, project.clock())
    if as_json:
        say_json(_as_json(created))
        return
    say(f"Created {created.slug}. Register its lenses: semilayer push --env {created.slug}")


@envs.command("list")
@json_option
@click.pass_obj
def list_(here: Here, as_json: bool) -> None:
    """List environments, each with its limit of ingest calls."""
    with here.project.registry.read() as db:
        known = environments.list_all(db)
    if as_json:
        say_json([_as_json(env) for env in known])
        return
    for env in known:
        say(_line(env))
    if not known:
        say("No environment yet; make one: semilayer envs create development")


@envs.command("set")
@click.option(
    "--tier",
    required=True,
    type=click.Choice(list(Tier), case_sensitive=False),
    help="Ingest calls per minute and lens: free 10, pro 60, team 300, enterprise any number.",
)
@env_option
@json_option
@click.pass_obj
def set_(here: Here, tier: Tier, env: str, as_json: bool) -> None:
    """Put an environment into a tier; its limit holds from the next call on."""
    with here.project.registry.begin(durable=True) as db:
        changed = environments.set_tier(db, env, tier)
    _tell(changed, as_json)


def _tell(env: Environment, as_json: bool) -> None:
    if as_json:
        say_json(_as_json(env))
    else:
        say(_line(env))


def _as_json(env: Environment) -> dict[str, object]:
    return {"env": env.slug, "tier": env.tier, "callsPerMinute": CALLS_PER_MINUTE[env.tier]}


def _line(env: Environment) -> str:
    limit = CALLS_PER_MINUTE[env.tier]
    calls = "any number of ingest calls" if limit is None else f"{limit} ingest calls a minute"
    return f"{env.slug}: {env.tier.value if env.tier else 'no tier'}, {calls} for each lens"
