"""`semilayer verify`: is every index what its source says it should be?"""

from __future__ import annotations

from collections.abc import Mapping

import click

from semilayer_pipelines import lifecycle
from semilayer_pipelines.cli.context import Here, env_option, json_option, say, say_aside, say_json
from semilayer_pipelines.cli.follow import follow
from semilayer_pipelines.cli.out_of_line import audit_json, found_lines, reporting
from semilayer_pipelines.ingest.audit import Audit, Kind, audit
from semilayer_pipelines.registry import lenses

__all__ = ["verify"]

OUT_OF_LINE_CODE = 3

_WORDS = {
    Kind.MISSING: "missing: rows without a vector",
    Kind.STALE: "stale: rows that changed since",
    Kind.WRONG_MODEL: "wrong model: vectors of another one",
    Kind.DOUBLED: "doubled: rows with two vectors",
    Kind.ORPHAN: "orphan: vectors without a row",
    Kind.PENDING: "pending: an accepted change waits",
    Kind.SET_ASIDE: "set aside: rows that cannot be mapped",
}


@click.command()
@click.option("--lens", help="Only this lens.")
@click.option("--heal", is_flag=True, help="Queue the job that brings what is wrong in line.")
@click.option(
    "--confirm-deletes", is_flag=True, help="With --heal: the rows are really gone, pass the guard."
)
@click.option("--wait", is_flag=True, help="With --heal: follow the jobs to their end.")
@env_option
@json_option
@click.pass_obj
def verify(
    here: Here,
    lens: str | None,
    heal: bool,
    confirm_deletes: bool,
    wait: bool,
    env: str,
    as_json: bool,
) -> None:
    """Compare indexes with their sources, row by row, without writing.

    Exit code 0 when all are in line, 3 when one is not. With --heal, 0 once the jobs are queued
    or, with --wait, have brought them in line. Rows that a buffered change will bring in and rows
    that cannot be mapped are told and count as in line.
    """
    project = here.project
    with project.registry.read() as db:
        known = [lenses.get(db, env, lens)] if lens else lenses.list_all(db, env)
    tell = say_aside if as_json else say
    told: list[Mapping[str, object]] = []
    queued: list[str] = []
    in_line = True
    for one in known:
        found = audit(project, one, reporting(say_aside, one.name))
        in_line &= found.in_line
        job = None
        if heal and not found.in_line:
            job = lifecycle.request_heal(
                project, env, one.name, rebuild=found.rebuild, confirmed=confirm_deletes
            )
            queued.append(job.id)
        if not as_json:
            for line in _lines(one.name, found):
                say(line)
        told.append(
            {
                "lens": one.name,
                "inLine": found.in_line,
                **audit_json(found),
                "seconds": round(found.seconds, 3),
                "job": job.id if job else None,
            }
        )
        if job is not None:
            tell(f"{one.name}: {job.mode.value} queued, job {job.id[:8]}.")
    if as_json:
        say_json({"inLine": in_line, "lenses": told})
    if wait:
        follow(project, queued, tell=tell)
    if not in_line and not heal:
        raise click.exceptions.Exit(OUT_OF_LINE_CODE)


def _lines(name: str, found: Audit) -> list[str]:
    verdict = "in line" if found.in_line else "OUT OF LINE"
    counts = f"{found.rows:,} rows, {found.objects:,} vectors, {found.seconds:.1f} s"
    lines = [f"{name}: {verdict} ({counts})", *(f"  {problem}" for problem in found.problems)]
    lines += found_lines(found, _WORDS)
    if not found.in_line:
        lines.append(f"  mend it: semilayer verify --lens {name} --heal")
    return lines
