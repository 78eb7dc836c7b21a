"""Telling somebody: look at what is wrong, and send what an address has not been told.

A sensor of Dagster and the webhook both do it now and then. Any number of them may: one of them
looks at a time, and each message is claimed before it is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from semilayer_pipelines.config.alerts import AlertConfig
from semilayer_pipelines.control.alert_post import Message, NotTaken, post
from semilayer_pipelines.errors import NotFound
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.alerts import PASSES_BY_ITSELF, alerts_of, standing_of
from semilayer_pipelines.registry import alerts, environments, heartbeats
from semilayer_pipelines.registry.alerts import Addresses, Notice

__all__ = ["LOOK_EVERY_SECONDS", "NOBODY", "Tried", "look", "send_due", "send_test", "tell"]

LOOK_EVERY_SECONDS = 30.0
"""How often somebody looks whether anything is to be told."""

TURN_SECONDS = 30.0
"""A look that has sent messages for so long leaves the rest to the next one."""

_A_LOOK_SERVES = timedelta(seconds=LOOK_EVERY_SECONDS * 2 / 3)

NOBODY = "No environment names an address to tell."
NOTHING = "There was nothing to tell."

_Destinations = dict[tuple[int, str], tuple[Addresses, AlertConfig]]


def tell(
    project: Project, *, within: bool = False, stop: Callable[[], bool] = lambda: False
) -> str:
    """Look, and send what is to be sent; say what was told.

    `within`: Dagster's daemon asks. `stop` says that the caller has to end. Where somebody else
    looked a moment ago, nothing is done. Raises `RegistryUnavailable`.
    """
    with project.registry.read() as db:
        named = alerts.addresses(db)
    if not named:
        return NOBODY
    with project.registry.begin() as db:
        mine = heartbeats.take_turn(db, heartbeats.ALERTS, project.clock(), _A_LOOK_SERVES)
    if not mine:
        return "Another program looked a moment ago."
    look(project, named, within=within)
    return " ".join(send_due(project, named, stop=stop)) or NOTHING


def look(project: Project, named: Sequence[Addresses], *, within: bool = False) -> None:
    """Bring what the registry says of alerts up to date; nothing is sent."""
    for one in named:
        now = project.clock()
        with project.registry.read() as db:
            standing = standing_of(db, one.env, now, within=within)
        with project.registry.begin() as db:
            # A push may have taken an address out since.
            environments.lock(db, one.env.id)
            still = [each for each in alerts.addresses(db, one.env.slug) if each.env == one.env]
            for to in still[0].to if still else ():
                wrong = alerts_of(standing, failed_rows=to.failed_rows)
                alerts.note(
                    db,
                    one.env.id,
                    to.url,
                    wrong.alerts,
                    wrong.unsure,
                    well_for=PASSES_BY_ITSELF,
                    now=now,
                )


def send_due(
    project: Project, named: Sequence[Addresses], *, stop: Callable[[], bool] = lambda: False
) -> list[str]:
    """Send what is due, to the addresses that are named; return what was told, a sentence each.

    An address that did not take a message is left alone until the next call.
    """
    to: _Destinations = {(one.env.id, each.url): (one, each) for one in named for each in one.to}
    late = time.monotonic() + TURN_SECONDS
    done = list[str]()
    while to and time.monotonic() < late and not stop():
        with project.registry.begin() as db:
            notice = alerts.claim(db, project.clock(), among=to.keys())
        if notice is None:
            break
        where = notice.env_id, notice.target
        trouble = _send(project, *to[where], notice)
        done.append(_said(to[where], notice, trouble))
        if trouble is not None:
            del to[where]
    return done


def _send(project: Project, one: Addresses, to: AlertConfig, notice: Notice) -> str | None:
    """Send a claimed message and note what came of it; return why it was not taken."""
    alert = notice.alert
    message = Message(
        notice.over,
        one.project,
        one.env.slug,
        alert.lens,
        alert.kind.value,
        alert.message,
        alert.cure,
        alert.since,
        project.clock(),
    )
    try:
        post(to, message, project.environ)
    except NotTaken as error:
        trouble = str(error)
        with project.registry.begin() as db:
            alerts.failed(db, notice, trouble, project.clock())
        return trouble
    with project.registry.begin() as db:
        alerts.told(db, notice, project.clock())
    return None


def _said(where: tuple[Addresses, AlertConfig], notice: Notice, trouble: str | None) -> str:
    one, to = where
    state = "over" if notice.over else "open"
    name = f"{one.env.slug}/{notice.alert.lens}".rstrip("/")
    what = f"{name}: {notice.alert.kind} ({state})"
    if trouble is not None:
        return f"{what} was not taken by {to.shown}: {trouble}"
    return f"Told {to.shown} of {what}."


@dataclass(frozen=True)
class Tried:
    """What came back from an address: the status of its answer, or why it took nothing."""

    to: AlertConfig
    status: int | None
    trouble: str | None


def send_test(project: Project, env: str) -> list[Tried]:
    """Send each address of an environment one message that says so.

    Raises `NotFound` for no such environment, or one that names no address.
    """
    with project.registry.read() as db:
        environments.get(db, env)
        named = alerts.addresses(db, env)
    if not named:
        raise NotFound(
            f"{env!r} names no address to tell.",
            cure="Write `alerts:` into sl.config.yaml, then push: docs/alerts.md.",
        )
    [one] = named
    return [_test(project, one, to) for to in one.to]


def _test(project: Project, one: Addresses, to: AlertConfig) -> Tried:
    now = project.clock()
    message = Message(
        True,  # Nothing that a receiver opens for it would ever be closed.
        one.project,
        one.env.slug,
        "",
        "test",
        "This is a test of `semilayer alerts test`; nothing is wrong.",
        "",
        now,
        now,
    )
    try:
        return Tried(to, post(to, message, project.environ), None)
    except NotTaken as error:
        return Tried(to, None, str(error))
