"""`semilayer rollback`: back to the index that a rebuild replaced."""

from __future__ import annotations

import click

from semilayer_pipelines.cli.context import Here, env_option, json_option, say, say_json
from semilayer_pipelines.cli.lens_selection import takes_lens

__all__ = ["rollback"]


@click.command()
@takes_lens("Lens.", required=True)
@env_option
@json_option
@click.pass_obj
def rollback(here: Here, lens: str, env: str, as_json: bool) -> None:
    """Go back to the index that the last rebuild replaced.

    That index is kept for an hour. A smart sync then applies what changed meanwhile. The index that
    was in use is also kept for an hour. A rebuild that is queued or running goes on, and switches
    to its own index when it is done.
    """
    # Here, because it loads a bridge and the store.
    from semilayer_pipelines.control.rollback import rollback as go_back
    from semilayer_pipelines.registry.lenses import Needs

    done = go_back(here.project, env, lens)
    if as_json:
        say_json(
            {
                "lens": lens,
                "before": done.before.number,
                "now": done.now.number,
                "job": done.sync.id,
                "needs": done.needs.value,
                "keptUntil": done.kept_until,
                "rebuild": done.rebuild.id if done.rebuild else None,
            }
        )
        return
    say(
        f"{lens}: generation {done.now.number} serves again; generation {done.before.number} is "
        f"kept until {done.kept_until:%Y-%m-%d %H:%M} UTC."
    )
    say(f"A smart sync brings it in sync with what changed meanwhile: job {done.sync.id[:8]}.")
    if done.needs is Needs.REBUILD:
        say(
            "It was built with another configuration, and follows its table by that one until the "
            "next rebuild."
        )
    if done.rebuild:
        say(
            f"A rebuild is {done.rebuild.status.value} (job {done.rebuild.id[:8]}), and its index "
            f"takes the place of generation {done.now.number} when it is done. To keep this one, "
            "cancel the rebuild's runs in Dagster's UI."
        )
