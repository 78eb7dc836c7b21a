"""What a change would do to a lens, and doing it: the same calls as the `semilayer` command's."""

from __future__ import annotations

from typing import Any

from semilayer_pipelines.agents.arguments import Change
from semilayer_pipelines.config.edits import lines
from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.control.patch import CHANGEABLE, change_lens, preview_change
from semilayer_pipelines.errors import ConfigError, Refused, nearest
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.state import LensState, read_lens
from semilayer_pipelines.registry.jobs import Job

__all__ = ["ORIGIN", "make_change", "preview"]

ORIGIN = "mcp"
"""Who changed a lens or asked for a job, as drift and jobs tell it."""

_GUARDED = frozenset({"sync", "resume"})


def preview(project: Project, env: str, change: Change) -> dict[str, Any]:
    """Return what a change would do, in words and numbers; nothing is changed.

    Raises `NotFound`, `Refused` for what cannot be done now, `ConfigError` for arguments that do
    not go together, and what the source, store and model raise.
    """
    _check(change)
    state = read_lens(project, change.lens, env=env)
    match change.action:
        case "sync":
            return _sync(project, env, change, state)
        case "rebuild":
            return _rebuild(project, env, change.lens)
        case "pause":
            return _told(
                "Stops its ingest after the current page. Changes that are pushed meanwhile are "
                "kept and wait. Searches go on, and grow older."
            )
        case "resume":
            return _told(_resume(state), needs=state.lens.needs.value)
        case "rollback":
            # Here, because it loads a bridge and the store.
            from semilayer_pipelines.control.rollback import index_before

            _, _, before = index_before(project, env, change.lens)
            return _told(
                "Lets the index that the last rebuild replaced serve again, and starts a smart "
                "sync of it.",
                generation=before.number,
            )
        case "retryFailed":
            return _told(
                f"Tries {state.failed:,} rows again that were set aside.", rows=state.failed
            )
        case "configure":
            push = preview_change(project, env, change.lens, change.settings)
            return _told(
                "Changes the registered lens, not the file: the next push tells of it as drift.",
                edits=lines(push.edits),
                needs=push.needs.value,
            )


def make_change(project: Project, env: str, change: Change) -> dict[str, Any]:
    """Do it; return what was started. Raises like `preview`."""
    _check(change)
    name, confirmed = change.lens, change.confirm_deletes
    match change.action:
        case "sync":
            ask = lifecycle.request_sync
            return _started(ask(project, env, name, confirmed=confirmed, origin=ORIGIN))
        case "rebuild":
            return _started(lifecycle.request_rebuild(project, env, name, origin=ORIGIN))
        case "pause":
            return {"lens": name, "status": lifecycle.pause(project, env, name).status.value}
        case "resume":
            resumed = lifecycle.resume(project, env, name, confirmed=confirmed)
            started = [*([resumed.job] if resumed.job else []), *resumed.held]
            return {"lens": name, "status": resumed.lens.status.value} | _started(*started)
        case "rollback":
            # Here, because it loads a bridge and the store.
            from semilayer_pipelines.control.rollback import rollback

            done = rollback(project, env, name)
            return {"lens": name, "generation": done.now.number} | _started(done.sync)
        case "retryFailed":
            job = lifecycle.retry_failed(project, env, name)
            return _started(*([job] if job else []))
        case "configure":
            changed = change_lens(project, env, name, change.settings, origin=ORIGIN)
            return {"lens": name, "needs": changed.needs.value}


def _check(change: Change) -> None:
    if change.confirm_deletes and change.action not in _GUARDED:
        raise ConfigError(
            f"confirmDeletes means nothing for {change.action}.",
            cure=f"It is for {' and '.join(sorted(_GUARDED))}.",
        )
    if (change.action == "configure") != bool(change.settings):
        raise ConfigError(
            "settings go with the action configure, and configure needs some.",
            cure=f"They are {', '.join(CHANGEABLE)}.",
        )
    for name in change.settings:
        if name not in CHANGEABLE:
            raise ConfigError(
                f"settings has an unknown key {name[:80]!a}{nearest(name, CHANGEABLE)}.",
                cure=f"What may be changed here: {', '.join(CHANGEABLE)}.",
            )


def _sync(project: Project, env: str, change: Change, state: LensState) -> dict[str, Any]:
    # Here, because they load a bridge, a store and a model.
    from semilayer_pipelines.cli.sync import dry_run_json
    from semilayer_pipelines.queries.dry_run import dry_run

    found = dry_run(project, env, change.lens, lambda rows: None)
    if found.guarded and not change.confirm_deletes:
        raise Refused(
            f"The guard would stop it: it deletes {found.deletes:,} of {found.audit.objects:,} "
            f"rows and may delete {found.guard_limit:,}.",
            cure="If the rows are really gone from the table, plan it with confirmDeletes.",
            lens=state.lens.name,
        )
    return _told(
        "Compares every row, embeds what changed and deletes what is gone.",
        numbers=dry_run_json(change.lens, found),
    )


def _resume(state: LensState) -> str:
    if state.active is None:
        return "Starts its first ingest: every row is read and embedded."
    return "Goes on where it was paused or failed, and starts what its index needs."


def _rebuild(project: Project, env: str, lens: str) -> dict[str, Any]:
    # Here, because it loads the store.
    from semilayer_pipelines.queries.rebuild_price import rebuild_price

    price = rebuild_price(project, env, lens)
    embedded = (
        "Texts that did not change keep their vectors; the others are embedded."
        if price.reuses
        else "Every text is embedded."
    )
    serves = (
        "The old index is dropped first: searches find nothing until the new one is complete."
        if price.gap
        else "Searches use the index of today until the new one is complete; the disk holds both "
        "meanwhile."
    )
    return _told(
        f"Reads the whole table into a new index. {embedded} {serves}",
        rows=price.rows,
        vectors=price.vectors,
        textsToEmbed=price.texts,
        tokens=price.tokens,
        price=price.money,
        seconds=price.seconds,
    )


def _told(would: str, **numbers: Any) -> dict[str, Any]:
    return {"would": would} | numbers


def _started(*started: Job) -> dict[str, Any]:
    return {
        "jobs": [
            {"id": job.id, "lens": job.lens, "mode": job.mode.value, "status": job.status.value}
            for job in started
        ]
    }
