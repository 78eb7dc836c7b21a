"""`semilayer sync`: smart sync now, or what it would do."""

from __future__ import annotations

from collections.abc import Callable

import click

from semilayer_pipelines.cli.audit_report import audit_json, found_lines, reporting
from semilayer_pipelines.cli.combinations import not_with
from semilayer_pipelines.cli.context import Here, env_option, json_option, say, say_aside, say_json
from semilayer_pipelines.cli.follow import follow
from semilayer_pipelines.cli.lens_selection import check_confirmed, chosen_lenses, takes_lens
from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.errors import Refused
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.dry_run import DryRun, dry_run
from semilayer_pipelines.queries.findings import Kind
from semilayer_pipelines.queries.state import AS_IT_WAS_BUILT, require_syncable
from semilayer_pipelines.registry import lenses
from semilayer_pipelines.registry.jobs import Job
from semilayer_pipelines.registry.lenses import Needs

__all__ = ["dry_run_json", "sync"]

Tell = Callable[[str], None]

_WORDS = {
    Kind.MISSING: "would add",
    Kind.STALE: "would replace",
    Kind.WRONG_MODEL: "would embed anew (vectors of another model)",
    Kind.CHUNKS: "would cut again (chunks are lost, or others)",
    Kind.DOUBLED: "would make one of two vectors",
    Kind.ORPHAN: "would delete",
    Kind.ORPHAN_CHUNK: "would delete chunks of no row",
    Kind.HIDDEN: "would write again (no search finds them)",
    Kind.PENDING: "left to accepted changes that wait",
    Kind.TEXTLESS: "left out (no text)",
    Kind.SET_ASIDE: "would set aside (cannot be mapped)",
}


@click.command()
@takes_lens("Only this lens; by default all that are indexed and not paused.")
@click.option(
    "--dry-run", "dry", is_flag=True, help="Only say what it would do and what that takes."
)
@click.option(
    "--confirm-deletes",
    is_flag=True,
    help="The rows are really gone: let this job pass the guard. Needs --lens.",
)
@click.option(
    "--full-walk",
    is_flag=True,
    help="Read every row, though the source proves that it is unchanged.",
)
@click.option("--wait", is_flag=True, help="Follow the job to its end; fails if it fails.")
@env_option
@json_option
@click.pass_obj
def sync(
    here: Here,
    lens: str | None,
    dry: bool,
    confirm_deletes: bool,
    full_walk: bool,
    wait: bool,
    env: str,
    as_json: bool,
) -> None:
    """Make the indexes of lenses equal to their tables (smart sync).

    Compares every row that the source does not prove to be unchanged, embeds what changed, and
    deletes what is gone. The command returns at once; Dagster does the work. --dry-run compares
    here and now, and writes nothing.
    """
    not_with("--dry-run", "--wait", "--full-walk")
    check_confirmed(confirm_deletes, lens)
    project = here.project
    tell = say_aside if as_json else say
    names = _syncable(project, env, tell) if lens is None else [lens]
    if dry:
        told = [_dry(project, env, name, confirm_deletes, as_json) for name in names]
        started: list[Job] = []
    else:
        started = [_start(project, env, name, confirm_deletes, full_walk, tell) for name in names]
        told = [{"lens": job.lens, "job": job.id} for job in started]
    if as_json:
        say_json(told if lens is None else told[0])
    if wait:
        follow(project, [job.id for job in started], tell=tell)


def _syncable(project: Project, env: str, tell: Tell) -> list[str]:
    """Return the lenses that a sync can be asked for; tell why the others are skipped."""
    names = []
    with project.registry.read() as db:
        for one in chosen_lenses(db, env, None):
            try:
                require_syncable(db, env, one.name)
            except Refused as refused:
                tell(f"{one.name}: skipped. {refused.message} {refused.cure}")
            else:
                names.append(one.name)
    if not names:
        tell(f"There is no lens to sync in {env!r}.")
    return names


def _start(
    project: Project, env: str, name: str, confirmed: bool, full_walk: bool, tell: Tell
) -> Job:
    job = lifecycle.request_sync(project, env, name, confirmed=confirmed, full_walk=full_walk)
    tell(f"{name}: smart sync queued, job {job.id[:8]}.")
    with project.registry.read() as db:
        needs = lenses.by_id(db, job.lens_id).needs
    if needs is Needs.REBUILD:
        tell(f"{name}: {AS_IT_WAS_BUILT} semilayer resume --lens {name}")
    return job


def _dry(
    project: Project, env: str, name: str, confirmed: bool, as_json: bool
) -> dict[str, object]:
    found = dry_run(project, env, name, reporting(say_aside, name))
    if not as_json:
        for line in _lines(name, found, confirmed):
            say(line)
    return dry_run_json(name, found)


def _lines(lens: str, found: DryRun, confirmed: bool) -> list[str]:
    audit, takes = found.audit, found.embedding
    compared = f"{audit.rows:,} rows compared with {audit.objects:,} that are indexed"
    lines = [f"{lens}: {compared}; not written:"]
    lines += found_lines(audit, _WORDS) or ["  nothing: the index is in sync"]
    lines += [f"  {problem}" for problem in audit.problems]
    lines.append(
        f"  takes about {found.seconds:,.1f} s: {takes.texts:,} texts to embed, about "
        f"{takes.tokens:,} tokens" + ("" if takes.money is None else f" for {takes.money:,.6f}")
    )
    if found.guarded and not confirmed:
        share = found.deletes / max(1, audit.objects)
        lines.append(
            f"  the guard would stop it: it deletes {found.deletes:,} ({share:.1%} of the index) "
            f"and may delete {found.guard_limit:,}. If the rows are really gone: "
            f"semilayer sync --lens {lens} --confirm-deletes"
        )
    return lines


def dry_run_json(lens: str, found: DryRun) -> dict[str, object]:
    """Return a dry run as it is printed with `--json`."""
    takes = found.embedding
    return {
        "lens": lens,
        **audit_json(found.audit),
        "textsToEmbed": takes.texts,
        "tokens": takes.tokens,
        "money": takes.money,
        "seconds": round(found.seconds, 3),
        "guardLimit": found.guard_limit,
        "guardStops": found.guarded,
    }
