"""Environments: made, compared side by side, given each other's lenses, and deleted.

A key opens one environment, so a person sees those whose keys they showed, and no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from semilayer_pipelines.config.edits import edits, lines
from semilayer_pipelines.errors import Overtaken, Refused
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import lenses
from semilayer_pipelines.registry.api_key import KeyKind
from semilayer_pipelines.registry.lenses import Lens
from semilayer_pipelines.registry.stored_config import with_defaults
from webhook.console.pages.actions import ORIGIN
from webhook.console.sign_in import PATH, Visit, add_key
from webhook.console.web import SLOW_SECONDS, At, Go, Page
from webhook.service.problems import Code, Problem

if TYPE_CHECKING:
    # Loads Polars, so it is imported when something is changed.
    from semilayer_pipelines.control.push import Plan

__all__ = [
    "all_environments",
    "ask_delete",
    "ask_promote",
    "compare",
    "create",
    "delete",
    "promote",
]

DELETE_SECONDS = 90.0
"""How long a page of the console waits for an environment to be deleted, whose runs stop first."""


@dataclass(frozen=True)
class Compared:
    """One lens in two environments, `None` where it is not; `edits` lead from left to right."""

    name: str
    left: Lens | None
    right: Lens | None
    edits: tuple[str, ...]


async def all_environments(at: At) -> Page:
    """Show the environments of the session."""
    project, visit = at.console.service.project, _visit(at)

    def look() -> dict[str, int]:
        with project.registry.read() as db:
            return {env: len(lenses.list_all(db, env)) for env in visit.keys}

    return Page("environments.html", {"held": await at.read(look)})


async def create(at: At) -> Page:
    """Make an environment, show its keys this once, and open it to the session."""
    from semilayer_pipelines.control.environments import create_environment

    project, visit, name = at.console.service.project, _visit(at), at.given("name")
    made, issued = await at.slow(lambda: create_environment(project, name))
    service = next(one.key for one in issued if one.key.kind is KeyKind.SERVICE)
    await at.read(lambda: add_key(project, visit, service))
    return Page("environment_made.html", {"made": made, "issued": issued})


async def compare(at: At) -> Page:
    """Show the lenses of two environments side by side."""
    left, right = _of_session(at, at.asked("left")), _of_session(at, at.asked("right"))
    project = at.console.service.project
    found = await at.read(lambda: _compared(project, left, right))
    return Page("compare.html", {"left": left, "right": right, "found": found})


async def ask_promote(at: At) -> Page:
    """Say what taking a lens over would change."""
    plan = await at.slow(lambda: _promotion(at), seconds=2 * SLOW_SECONDS)
    return Page(
        "ask_promote.html",
        {
            "push": plan.lenses[0],
            "changes": lines(plan.lenses[0].edits),
            "source": at.asked("from"),
            "target": plan.env,
            "seen": _seen(plan),
        },
    )


async def promote(at: At) -> Go:
    """Take a lens over."""
    project = at.console.service.project

    def do() -> Plan:
        from semilayer_pipelines.control.push import apply_push

        plan = _promotion(at)
        if at.given("seen") != _seen(plan):
            raise Overtaken(
                "One of the two lenses was changed since you were asked; nothing was done.",
                cure="Compare them again.",
            )
        apply_push(project, plan, origin=ORIGIN)
        return plan

    plan = await at.slow(do, seconds=2 * SLOW_SECONDS)
    at.console.kept.forget()
    name = plan.lenses[0].name
    return Go(f"{PATH}/{plan.env}/lenses/{name}", f"{plan.env} has {name} of {_given(at, 'from')}.")


async def ask_delete(at: At) -> Page:
    """Say what goes with an environment."""
    from semilayer_pipelines.control.environments import contents

    project, env = at.console.service.project, at.env
    held = await at.slow(lambda: contents(project, env))
    return Page("ask_delete.html", {"held": held})


async def delete(at: At) -> Go:
    """Delete an environment whose name was typed."""
    from semilayer_pipelines.control.environments import delete_environment

    project, env, visit = at.console.service.project, at.env, _visit(at)
    if at.given("typed") != env:
        raise Refused(
            f"You typed {at.given('typed')!r}, so nothing was deleted.",
            cure=f"The environment is called {env!r}.",
        )
    gone = await at.slow(lambda: delete_environment(project, env), seconds=DELETE_SECONDS)
    at.console.kept.forget()
    told = f"{env} is deleted, with {len(gone.lenses)} lenses and {gone.keys} keys."
    return Go(f"{PATH}/-/environments" if len(visit.keys) > 1 else f"{PATH}/-/sign-in", told)


def _visit(at: At) -> Visit:
    assert at.visit is not None, "the address is for those who are signed in"
    return at.visit


def _of_session(at: At, env: str) -> str:
    """Return an environment that the session opens; raises `Problem` for any other."""
    if env not in _visit(at).keys:
        raise Problem(
            Code.FORBIDDEN,
            f"You are not signed in to {env!r}.",
            "Add its key on the page Environments.",
        )
    return env


def _given(at: At, name: str) -> str:
    return at.given(name) or at.asked(name)


def _promotion(at: At) -> Plan:
    from semilayer_pipelines.control.promote import plan_promotion

    source, target = _of_session(at, _given(at, "from")), _of_session(at, _given(at, "to"))
    project, name = at.console.service.project, _given(at, "lens")
    return plan_promotion(project, name, source=source, target=target)


def _seen(plan: Plan) -> str:
    """Return what tells this plan from one that was made of other configurations."""
    push = plan.lenses[0]
    known = plan.seen.lenses.get(push.name)
    wanted = lenses.config_hash(push.config) if push.config else ""
    return f"{known.config_hash if known else 'none'}-{wanted}"


def _compared(project: Project, left: str, right: str) -> list[Compared]:
    with project.registry.read() as db:
        ours = {lens.name: lens for lens in lenses.list_all(db, left)}
        theirs = {lens.name: lens for lens in lenses.list_all(db, right)}
    found = []
    for name in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(name), theirs.get(name)
        changed: tuple[str, ...] = ()
        if one and other:
            changed = tuple(lines(edits(with_defaults(one.config), with_defaults(other.config))))
        found.append(Compared(name, one, other, changed))
    return found
