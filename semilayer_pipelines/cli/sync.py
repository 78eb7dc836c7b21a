"""`semilayer sync`: smart sync now, or what it would do."""

from __future__ import annotations

import click

from semilayer_pipelines.cli.audit_report import audit_json, found_lines, reporting
from semilayer_pipelines.cli.context import Here, env_option, json_option, say, say_aside, say_json
from semilayer_pipelines.cli.follow import follow
from semilayer_pipelines.cli.lens_selection import takes_lens
from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.queries.dry_run import DryRun, dry_run
from semilayer_pipelines.queries.findings import Kind
from semilayer_pipelines.queries.state import AS_IT_WAS_BUILT
from semilayer_pipelines.registry import lenses
from semilayer_pipelines.registry.lenses import Needs

__all__ = ["sync"]

_WORDS = {
    Kind.MISSING: "would add",
    Kind.STALE: "would replace",
    Kind.WRONG_MODEL: "would embed anew (vectors of another model)",
    Kind.CHUNKS: "would cut again (chunks are lost, or others)",
    Kind.DOUBLED: "would make one of two vectors",
    Kind.ORPHAN: "would delete",
    Kind.HIDDEN: "would write again (no search finds them)",
    Kind.PENDING: "left to accepted changes that wait",
    Kind.TEXTLESS: "left out (no text)",
    Kind.SET_ASIDE: "would set aside (cannot be mapped)",
}


@click.command()
@takes_lens("Lens.", required=True)
@click.option(
    "--dry-run", "dry", is_flag=True, help="Only say what it would do and what that takes."
)
@click.option(
    "--confirm-deletes",
    is_flag=True,
    help="The rows are really gone: let this job pass the guard.",
)
@click.option("--wait", is_flag=True, help="Follow the job to its end; fails if it fails.")
@env_option
@json_option
@click.pass_obj
def sync(
    here: Here, lens: str, dry: bool, confirm_deletes: bool, wait: bool, env: str, as_json: bool
) -> None:
    """Make the index of a lens equal to its table (smart sync).

    Compares every row, embeds what changed, and deletes what is gone. The command returns at once;
    Dagster does the work. --dry-run compares here and now, and writes nothing.
    """
    if dry:
        found = dry_run(here.project, env, lens, reporting(say_aside, lens))
        if as_json:
            say_json(_as_json(lens, found))
        else:
            for line in _lines(lens, found, confirm_deletes):
                say(line)
        return
    job = lifecycle.request_sync(here.project, env, lens, confirmed=confirm_deletes)
    if as_json:
        say_json({"lens": lens, "job": job.id})
    tell = say_aside if as_json else say
    tell(f"{lens}: smart sync queued, job {job.id[:8]}.")
    with here.project.registry.read() as db:
        needs = lenses.by_id(db, job.lens_id).needs
    if needs is Needs.REBUILD:
        tell(f"{lens}: {AS_IT_WAS_BUILT} semilayer resume --lens {lens}")
    if wait:
        follow(here.project, [job.id], tell=tell)


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


def _as_json(lens: str, found: DryRun) -> dict[str, object]:
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
