"""What the buttons of a lens do: what the command does, and then back to where the button was."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.registry import lenses
from semilayer_pipelines.registry.lenses import Lens
from webhook.console.web import At, Go, Page
from webhook.service.problems import Code, Problem

__all__ = ["ORIGIN", "act", "ask"]

ORIGIN = "console"


async def act(at: At) -> Go:
    """Do what a button says."""
    name, action = at.lens, str(at.request.path_params["action"])
    do = _ACTIONS.get(action)
    if do is None:
        raise Problem(Code.NOT_FOUND, "There is no such button.")
    # A rollback asks the source and the store; all others write to the registry alone.
    said = await (at.slow if action == "rollback" else at.read)(lambda: do(at, name))
    at.console.kept.forget()
    return Go(_back(at), said)


async def ask(at: At) -> Page:
    """Say what something does before it is done."""
    name, action = at.lens, str(at.request.path_params["action"])
    project, env = at.console.service.project, at.env

    def look() -> Lens:
        with project.registry.read() as db:
            return lenses.get(db, env, name)

    lens = await at.read(look)
    data = {"lens": lens, "action": action, "back": _back(at)}
    match action:
        case "rebuild":
            # Loads a store.
            from semilayer_pipelines.queries.rebuild_price import rebuild_price

            price = await at.slow(lambda: rebuild_price(project, env, name))
            return Page("ask_rebuild.html", data | {"price": price})
        case "rollback":
            from semilayer_pipelines.control.rollback import index_before

            await at.slow(lambda: index_before(project, env, name))
            return Page("ask_rollback.html", data)
        case "allow-deletes":
            return Page("ask_deletes.html", data)
        case _:
            raise Problem(Code.NOT_FOUND, "There is no such button.")


def _pause(at: At, name: str) -> str:
    lifecycle.pause(at.console.service.project, at.env, name)
    return f"{name} is paused. It stops after the page it is at, and keeps its place."


def _resume(at: At, name: str, *, confirmed: bool = False) -> str:
    done = lifecycle.resume(at.console.service.project, at.env, name, confirmed=confirmed)
    jobs = [*([done.job] if done.job else []), *done.held]
    if not jobs:
        return f"{name} goes on. There is nothing to catch up with."
    return f"{name} goes on: {', '.join(_mode(job.mode.value) for job in jobs)}, queued."


def _allow_deletes(at: At, name: str) -> str:
    return _resume(at, name, confirmed=True)


def _sync(at: At, name: str) -> str:
    job = lifecycle.request_sync(at.console.service.project, at.env, name, origin=ORIGIN)
    return f"A sync of {name} is {job.status.value}: every row is compared with the index."


def _rebuild(at: At, name: str) -> str:
    job = lifecycle.request_rebuild(at.console.service.project, at.env, name, origin=ORIGIN)
    return f"A rebuild of {name} is {job.status.value}."


def _retry(at: At, name: str) -> str:
    job = lifecycle.retry_failed(at.console.service.project, at.env, name)
    if job is None:
        return "No row is set aside any more."
    return f"The failed rows of {name} are tried again, by a job that is {job.status.value}."


def _rollback(at: At, name: str) -> str:
    # Loads a bridge and the store.
    from semilayer_pipelines.control.rollback import rollback

    done = rollback(at.console.service.project, at.env, name)
    return (
        f"Index {done.now.number} of {name} serves again, and a sync brings it up to date. "
        f"Index {done.before.number} is kept until {done.kept_until:%H:%M} UTC."
    )


def _mode(mode: str) -> str:
    return {"full": "a full ingest", "smart_sync": "a sync"}.get(mode, f"the {mode} ingest")


_ACTIONS: dict[str, Callable[[At, str], str]] = {
    "pause": _pause,
    "resume": _resume,
    "allow-deletes": _allow_deletes,
    "sync": _sync,
    "rebuild": _rebuild,
    "retry": _retry,
    "rollback": _rollback,
}


def _back(at: At) -> str:
    """Return the page of the console that a button was on, else the lens's."""
    asked = at.given("back") or urlsplit(at.request.headers.get("referer", "")).path
    return asked if asked.startswith(f"{at.base}/") else f"{at.base}/lenses/{at.lens}"
