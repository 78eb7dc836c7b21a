"""`semilayer alerts`: what is wrong and who was told, and a message that tries the addresses."""

from __future__ import annotations

import click
from rich.markup import escape

from semilayer_pipelines.cli.context import (
    Here,
    SuggestingGroup,
    console,
    env_option,
    json_option,
    say,
    say_json,
)
from semilayer_pipelines.cli.tables import table_of
from semilayer_pipelines.config.alerts import AlertConfig
from semilayer_pipelines.control.alerts import Tried, send_test
from semilayer_pipelines.counts import utc_text
from semilayer_pipelines.registry import alerts as notes
from semilayer_pipelines.registry import environments
from semilayer_pipelines.registry.alerts import Notice

__all__ = ["alerts"]


@click.group(cls=SuggestingGroup)
def alerts() -> None:
    """See what is wrong and who was told, and try the addresses of `alerts:`."""


@alerts.command("list")
@env_option
@json_option
@click.pass_obj
def list_(here: Here, env: str, as_json: bool) -> None:
    """List what is wrong, and when each address was told.

    Says too what an address did not take.
    """
    with here.project.registry.read() as db:
        env_id = environments.get(db, env).id
        named = {to.url: to for one in notes.addresses(db, env) for to in one.to}
        found = [(named[x.target], x) for x in notes.notices(db, env_id) if x.target in named]
    if as_json:
        addresses = [{"address": to.shown, "form": to.form.value} for to in named.values()]
        listed = [_as_json(to, notice) for to, notice in found]
        say_json({"env": env, "addresses": addresses, "alerts": listed})
        return
    if not found:
        say(_nothing(env, list(named.values())))
        return
    table = table_of("lens", "what", "since (UTC)", "address", "told (UTC)")
    for to, one in found:
        since = f"{one.alert.since:%Y-%m-%d %H:%M}"
        name = escape(one.alert.lens)
        table.add_row(name, one.alert.kind.value, since, escape(to.shown), _told(one))
    console().print(table)
    for to, one in found:
        if one.trouble:
            say(f"\n{to.shown} did not take it. {one.trouble} {_next(one)}")


@alerts.command()
@env_option
@json_option
@click.pass_context
def test(ctx: click.Context, env: str, as_json: bool) -> None:
    """Send one message to each address, and say what came back."""
    here = ctx.ensure_object(Here)
    sent = send_test(here.project, env)
    if as_json:
        say_json([_sent_json(one) for one in sent])
    else:
        for one in sent:
            came = one.trouble or f"It took the message (HTTP {one.status})."
            say(f"{one.to.shown} ({one.to.form.value}): {came}")
    if any(one.trouble for one in sent):
        ctx.exit(1)


def _nothing(env: str, named: list[AlertConfig]) -> str:
    if not named:
        return f"{env!r} names no address to tell. Write `alerts:` into sl.config.yaml, and push."
    return f"Nothing is wrong. {', '.join(to.shown for to in named)} would be told."


def _told(one: Notice) -> str:
    if one.told_at is not None:
        over = ", it is over" if one.over else ""
        return f"{one.told_at:%Y-%m-%d %H:%M}{over}"
    return "given up" if one.given_up else "not yet"


def _next(one: Notice) -> str:
    if one.next_try_at is None:
        return "It is not sent again."
    return f"Tries: {one.tries}; the next is at {one.next_try_at:%H:%M} (UTC)."


def _as_json(to: AlertConfig, one: Notice) -> dict[str, object]:
    return {
        "address": to.shown,
        "lens": one.alert.lens or None,
        "kind": one.alert.kind.value,
        "message": one.alert.message,
        "cure": one.alert.cure,
        "since": utc_text(one.alert.since),
        "toldAt": utc_text(one.told_at) if one.told_at else None,
        "over": one.over,
        "trouble": one.trouble,
        "nextTryAt": utc_text(one.next_try_at) if one.next_try_at else None,
    }


def _sent_json(one: Tried) -> dict[str, object]:
    return {
        "address": one.to.shown,
        "form": one.to.form.value,
        "status": one.status,
        "trouble": one.trouble,
    }
