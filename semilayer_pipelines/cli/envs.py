"""`semilayer envs`: environments, their first keys, and what each may ask for."""

from __future__ import annotations

import sys

import click

from semilayer_pipelines.cli.context import (
    Here,
    SuggestingGroup,
    env_option,
    json_option,
    say,
    say_json,
)
from semilayer_pipelines.cli.issued_keys import issued_json, tell_issued
from semilayer_pipelines.control.environments import (
    Contents,
    contents,
    create_environment,
    delete_environment,
)
from semilayer_pipelines.errors import Refused
from semilayer_pipelines.registry import environments
from semilayer_pipelines.registry.environments import CALLS_PER_MINUTE, Environment, Tier

__all__ = ["envs"]


@click.group(cls=SuggestingGroup)
def envs() -> None:
    """Create, list and delete environments, and set their tiers."""


@envs.command()
@click.argument("name")
@json_option
@click.pass_obj
def create(here: Here, name: str, as_json: bool) -> None:
    """Create an environment: a stage with lenses and keys of its own.

    It gets one key of each type, printed only this once. Every key of the environment contains
    NAME. A push to an environment that does not exist creates it too.
    """
    created, issued = create_environment(here.project, name)
    if as_json:
        say_json(_as_json(created) | {"keys": issued_json(issued)})
        return
    say(f"Created {created.slug}. Register its lenses: semilayer push --env {created.slug}")
    tell_issued(created.slug, issued, say)


@envs.command()
@click.argument("name")
@click.option(
    "--allow-deletes", is_flag=True, help="Do not ask for the name to be typed again (for CI)."
)
@json_option
@click.pass_obj
def delete(here: Here, name: str, allow_deletes: bool, as_json: bool) -> None:
    """Delete an environment with its lenses, indexes, keys and jobs.

    Asks for its name to be typed again. Waits for running jobs to stop after their page. Your
    databases are not touched.
    """
    if not allow_deletes:
        _have_typed(name, contents(here.project, name))
    gone = delete_environment(here.project, name)
    if as_json:
        say_json({"env": name, "lenses": gone.lenses, "keys": gone.keys})
        return
    say(f"Deleted {name} with {_told(gone)}.")


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


def _have_typed(name: str, held: Contents) -> None:
    """Have a person type the name of what is deleted; raise `Refused` for another, or nobody."""
    question = f"Delete {name} with {_told(held)}, for good?"
    if not sys.stdin.isatty():
        raise Refused(
            f"{question} There is nobody to ask here.",
            cure="Pass --allow-deletes to go on unasked.",
        )
    if click.prompt(f"{question} Type its name", err=True) != name:
        raise Refused("That is not its name. Nothing was done.")


def _told(held: Contents) -> str:
    names = ", ".join(held.lenses)
    lenses = f"its lenses ({names}) and their indexed data, " if names else ""
    return f"{lenses}its jobs and its keys ({held.keys})"


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
