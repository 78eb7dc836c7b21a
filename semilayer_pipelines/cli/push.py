"""`semilayer push`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import click

from semilayer_pipelines.cli.combinations import not_with, only_with
from semilayer_pipelines.cli.context import (
    Here,
    ask,
    env_option,
    json_option,
    say,
    say_aside,
    say_json,
)
from semilayer_pipelines.cli.follow import follow
from semilayer_pipelines.cli.issued_keys import tell_issued
from semilayer_pipelines.cli.lifecycle import queued_line, resumed_lines
from semilayer_pipelines.config.edits import as_json as edit_json
from semilayer_pipelines.config.edits import concern_embedding, lines
from semilayer_pipelines.config.load import load_config
from semilayer_pipelines.control.drift import Drift
from semilayer_pipelines.control.environments import first_keys
from semilayer_pipelines.control.lifecycle import catch_up, request_rebuild
from semilayer_pipelines.control.push import LensPush, Plan, PushAction, plan_push
from semilayer_pipelines.control.push_config import push_agreed
from semilayer_pipelines.counts import span, utc_text
from semilayer_pipelines.project import Project
from semilayer_pipelines.quick_imports import import_httpx
from semilayer_pipelines.registry import environments
from semilayer_pipelines.registry.jobs import Job
from semilayer_pipelines.registry.lenses import Needs

__all__ = ["push"]

_NEEDS = {
    Needs.NOTHING: None,
    Needs.SMART_SYNC: "semilayer sync --lens {name}",
    Needs.REBUILD: "semilayer resume --lens {name}",
}


@click.command()
@click.argument("named", metavar="[LENS]...", nargs=-1)
@click.option("--lens", "only", multiple=True, help="Push only this lens (may be repeated).")
@click.option(
    "--resume-ingest", is_flag=True, help="Start what each lens needs, else read what changed."
)
@click.option("--rebuild", is_flag=True, help="Rebuild the index of every pushed lens; asks first.")
@click.option(
    "--skip-confirmation-dangerously",
    "unasked",
    is_flag=True,
    help="Do not ask before a rebuild (for CI).",
)
@click.option(
    "--allow-deletes",
    is_flag=True,
    help="Do not ask before lenses that left the file are removed with their indexes (for CI).",
)
@click.option(
    "--force",
    is_flag=True,
    help="Undo what was changed elsewhere since the last push, without asking.",
)
@click.option("--dry-run", "dry", is_flag=True, help="Only say what it would do; exit code 0.")
@click.option("--wait", is_flag=True, help="Follow the ingest to its end.")
@env_option
@json_option
@click.pass_obj
def push(
    here: Here,
    named: tuple[str, ...],
    only: tuple[str, ...],
    resume_ingest: bool,
    rebuild: bool,
    unasked: bool,
    allow_deletes: bool,
    force: bool,
    dry: bool,
    wait: bool,
    env: str,
    as_json: bool,
) -> None:
    """Register the lenses of sl.config.yaml. No ingest starts unless asked for.

    Asks when a lens was changed elsewhere since the last push: on the console, by a program or an
    agent. Also asks before it removes a lens that left the file, and before a rebuild. Without a
    terminal it ends with exit code 3 instead.

    With --resume-ingest each lens does what it needs: its first ingest, the rest of a paused one,
    a retry, a sync or a rebuild. A lens that needs nothing reads the rows changed since its cursor.
    """
    only_with("--wait", "--resume-ingest", "--rebuild")
    not_with("--wait", "--dry-run")
    only = (*named, *only)
    project = here.project
    config = load_config(project.settings.config)
    tell = say_aside if as_json else say
    if dry:
        plan = plan_push(project, config, env, only=only)
        _tell_drift(plan.drift, project.clock(), tell)
        _tell(plan, tell)
        starts = _would_start(plan, rebuild=rebuild, resume_ingest=resume_ingest)
        for name, what in starts.items():
            tell(f"starts     {name}: {what}")
        if as_json:
            say_json(_as_json(plan, dry=True, jobs=[]) | {"starts": starts})
        return
    allowed = _Allowed(drift=force, deletes=allow_deletes, rebuild=unasked or not rebuild)
    agreed = partial(_agree, clock=project.clock, allowed=allowed)
    is_new = not _is_known(project, env)
    plan = push_agreed(project, config, env, only=only, agreed=agreed)
    _tell(plan, tell)
    if is_new:
        _tell_keys(project, env, tell)
    jobs = _started(project, plan, tell, rebuild=rebuild, resume_ingest=resume_ingest)
    if any(lens.change is not PushAction.UNCHANGED for lens in plan.lenses):
        # With it comes a client of HTTP, which a dry run has no use for.
        import_httpx()
        from semilayer_pipelines.orchestration.remote.reload import reload_definitions

        tell(reload_definitions(project))
    if not jobs and any(lens.change is PushAction.CREATED for lens in plan.lenses):
        tell("Nothing is ingested yet. Start it: semilayer resume")
    if as_json:
        say_json(_as_json(plan, dry=False, jobs=jobs))
    if wait:
        follow(project, [job.id for job in jobs], tell=tell)


@dataclass(frozen=True)
class _Allowed:
    """What a push may do without asking: undo drift, remove lenses, rebuild."""

    drift: bool
    deletes: bool
    rebuild: bool


def _agree(plan: Plan, *, clock: Callable[[], datetime], allowed: _Allowed) -> None:
    """Ask a person about everything that this push would undo, remove or rebuild.

    Raises `Refused` for a no, and where there is nobody to ask.
    """
    if plan.drift and not allowed.drift:
        _tell_drift(plan.drift, clock(), say_aside)
        ask(
            f"Push and undo what was changed in {', '.join(d.lens for d in plan.drift)}?",
            cure="Take it into the file with `semilayer export config`, or pass --force.",
        )
    if plan.deleted and not allowed.deletes:
        ask(
            f"Remove {', '.join(plan.deleted)} with its indexed data?",
            cure="Pass --allow-deletes to go on unasked.",
        )
    if not allowed.rebuild:
        names = [lens.name for lens in plan.lenses if lens.config]
        ask(
            f"Rebuild the index of {', '.join(names)}?",
            cure="Pass --skip-confirmation-dangerously to go on unasked.",
        )


def _is_known(project: Project, env: str) -> bool:
    with project.registry.read() as db:
        return any(one.slug == env for one in environments.list_all(db))


def _tell_keys(project: Project, env: str, tell: Callable[[str], None]) -> None:
    """Give the environment that this push made its keys, where a person reads them.

    The log of a CI job is no place for a key.
    """
    if sys.stdout.isatty():
        tell_issued(env, first_keys(project, env), tell)
    else:
        tell(
            f"{env} has no key yet: semilayer keys create --env {env} --type ingest "
            "--name my-worker"
        )


def _started(
    project: Project,
    plan: Plan,
    tell: Callable[[str], None],
    *,
    rebuild: bool,
    resume_ingest: bool,
) -> list[Job]:
    jobs: list[Job] = []
    for lens in plan.lenses:
        if rebuild and lens.config:
            job = request_rebuild(project, plan.env, lens.name)
            tell(queued_line(job))
            jobs.append(job)
        elif resume_ingest and lens.config:
            resumed = catch_up(project, plan.env, lens.name)
            for line in resumed_lines(resumed):
                tell(line)
            jobs += [*([resumed.job] if resumed.job else []), *resumed.held]
    return jobs


def _would_start(plan: Plan, *, rebuild: bool, resume_ingest: bool) -> dict[str, str]:
    """Return what a push would start in each lens; a dry run starts nothing."""
    pushed = [lens for lens in plan.lenses if lens.config]
    if rebuild:
        return {lens.name: "a rebuild of its index" for lens in pushed}
    return {lens.name: _would_resume(lens) for lens in pushed} if resume_ingest else {}


def _would_resume(lens: LensPush) -> str:
    match lens.change, lens.needs:
        case PushAction.CREATED, _:
            return "its first ingest"
        case _, Needs.REBUILD:
            return "a rebuild of its index"
        case _, Needs.SMART_SYNC:
            return "a smart sync"
        case _:
            return "what is left to be done, else the rows changed since its cursor"


def _tell(plan: Plan, tell: Callable[[str], None]) -> None:
    for lens in plan.lenses:
        paused = " (paused)" if lens.change is PushAction.CREATED else ""
        tell(f"{lens.change.value:9}  {lens.name}{paused}{_next(lens)}")
        for line in lines(lens.edits):
            tell(f"             {line}")
        if lens.advice:
            tell(f"           {lens.advice} semilayer push --rebuild --lens {lens.name}")
        if lens.key:
            which = ", ".join(lens.key)
            tell(f"           no primary key; rows are told apart by the unique index on {which}")
        if lens.unchecked:
            tell(f"           warning: {lens.unchecked}")
        if lens.hidden:
            tell(f"           warning: {lens.hidden.reason} {lens.hidden.cure}")
    _tell_followed(plan, tell)
    _tell_alerts(plan, tell)


def _tell_followed(plan: Plan, tell: Callable[[str], None]) -> None:
    for name, source in plan.sources.items():
        known = plan.seen.sources.get(name)
        before = None if known is None else known.cdc
        if source.cdc is before:
            continue
        tell(f"source     {name}: cdc: {source.cdc or 'none'}, was {before or 'none'}")
        if before is not None:
            tell(f"           take away what it needed: semilayer cdc uninstall --source {name}")
        if source.cdc is not None:
            tell(f"           make what it needs: semilayer cdc install --source {name}")


def _tell_alerts(plan: Plan, tell: Callable[[str], None]) -> None:
    if plan.tells is None or plan.tells.to == plan.told:
        return
    named = ", ".join(to.shown for to in plan.tells.to) or "nobody any more"
    tell(f"alerts     tell {named}")
    if plan.tells.to:
        tell("           try it: semilayer alerts test")


def _next(lens: LensPush) -> str:
    cure = _NEEDS[lens.needs]
    if cure is None:
        return ""
    fields = lens.config.fields if lens.config else {}
    searchable = {name for name, field in fields.items() if field.searchable}
    if lens.needs is Needs.SMART_SYNC:
        why = "what is indexed changed; a smart sync brings it in sync"
    elif concern_embedding(lens.edits, searchable):
        why = "what is embedded changed; its index needs a rebuild"
    elif any(edit.path[-1] == "keyword" for edit in lens.edits):
        why = "its keywords need a rebuild, which takes all vectors over"
    else:
        why = "its index needs a rebuild"
    return f"  {why}: {cure.format(name=lens.name)}"


def _tell_drift(drift: Sequence[Drift], now: datetime, tell: Callable[[str], None]) -> None:
    if not drift:
        return
    tell("Changed elsewhere since the last push, and not in the file:")
    for one in drift:
        tell(f"  {one.lens}  by {one.origin}, {_ago(now - one.at)}")
        for line in lines(one.edits):
            tell(f"    {line}")


def _ago(age: timedelta) -> str:
    return "just now" if age < timedelta(minutes=1) else f"{span(age.total_seconds())} ago"


def _as_json(plan: Plan, *, dry: bool, jobs: Sequence[Job]) -> dict[str, object]:
    return {
        "env": plan.env,
        "dryRun": dry,
        "lenses": [
            {
                "name": lens.name,
                "change": lens.change.value,
                "needs": lens.needs.value,
                "next": (_NEEDS[lens.needs] or "").format(name=lens.name) or None,
                "edits": [edit_json(edit) for edit in lens.edits],
                "advice": lens.advice,
                "foundKey": list(lens.key),
                "unchecked": lens.unchecked,
                "hidden": lens.hidden and {"reason": lens.hidden.reason, "cure": lens.hidden.cure},
            }
            for lens in plan.lenses
        ],
        "drift": [
            {
                "lens": one.lens,
                "by": one.origin,
                "at": utc_text(one.at),
                "edits": [edit_json(edit) for edit in one.edits],
            }
            for one in plan.drift
        ],
        "jobs": [{"id": job.id, "lens": job.lens, "mode": job.mode.value} for job in jobs],
    }
