"""`semilayer push`."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from semilayer_pipelines.cli.context import Here, env_option, json_option, say, say_aside, say_json
from semilayer_pipelines.cli.follow import follow
from semilayer_pipelines.config.load import load_config
from semilayer_pipelines.errors import Refused
from semilayer_pipelines.lifecycle import request_rebuild, resume
from semilayer_pipelines.orchestration.reload import reload_definitions
from semilayer_pipelines.push import Change, LensPush, apply_push, plan_push
from semilayer_pipelines.registry.lenses import Needs

__all__ = ["push"]

_NEEDS = {
    Needs.NOTHING: "",
    Needs.SMART_SYNC: "  a smart sync brings its index in line: semilayer sync --lens {name}",
    Needs.REBUILD: "  its index needs a rebuild: semilayer resume --lens {name}",
}


@click.command()
@click.option("--lens", "only", multiple=True, help="Push only this lens (may be repeated).")
@click.option("--resume-ingest", is_flag=True, help="Start ingest of what was created or updated.")
@click.option("--rebuild", is_flag=True, help="Rebuild the index of every pushed lens; asks first.")
@click.option(
    "--skip-confirmation-dangerously", "unasked", is_flag=True, help="Do not ask (for CI)."
)
@click.option("--wait", is_flag=True, help="Follow the ingest to its end.")
@env_option
@json_option
@click.pass_obj
def push(
    here: Here,
    only: tuple[str, ...],
    resume_ingest: bool,
    rebuild: bool,
    unasked: bool,
    wait: bool,
    env: str,
    as_json: bool,
) -> None:
    """Register the lenses of sl.config.yaml. No ingest starts unless asked for."""
    project = here.project
    config = load_config(project.settings.config)
    plan = plan_push(project, config, env, only=only)
    if plan.deleted and not unasked:
        _confirm(f"Remove {', '.join(plan.deleted)} with its indexed data?")
    if rebuild and not unasked:
        _confirm(f"Rebuild the index of {', '.join(p.name for p in plan.lenses if p.config)}?")
    apply_push(project, plan)
    changed = [lens for lens in plan.lenses if lens.change is not Change.UNCHANGED]
    jobs = []
    for lens in plan.lenses:
        if rebuild and lens.config:
            jobs.append(request_rebuild(project, env, lens.name))
        elif resume_ingest and lens.change in (Change.CREATED, Change.UPDATED):
            job = resume(project, env, lens.name).job
            jobs += [job] if job else []
    if as_json:
        say_json([{**asdict(lens), "config": None} for lens in plan.lenses])
    # With --json, standard output is one document and nothing else.
    tell = say_aside if as_json else say
    for lens in plan.lenses:
        tell(_line(lens))
    if changed:
        tell(reload_definitions(project.settings.dagster_url))
    if not jobs and any(lens.change is Change.CREATED for lens in plan.lenses):
        tell("Nothing is ingested yet. Start it: semilayer resume")
    if wait:
        follow(project, [job.id for job in jobs], tell=tell)


def _line(lens: LensPush) -> str:
    paused = " (paused)" if lens.change is Change.CREATED else ""
    return f"{lens.change.value:9}  {lens.name}{paused}{_NEEDS[lens.needs].format(name=lens.name)}"


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise Refused(
            f"{question} There is nobody to ask here.",
            cure="Pass --skip-confirmation-dangerously to go on unasked.",
        )
    if not click.confirm(question):
        raise Refused("Nothing was done.")
