"""`semilayer verify`: is every index what its source says it should be?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import click

from semilayer_pipelines.cli.audit_report import (
    audit_json,
    found_lines,
    reporting,
    reporting_search,
)
from semilayer_pipelines.cli.combinations import only_with
from semilayer_pipelines.cli.context import (
    Here,
    env_option,
    exit_code,
    json_option,
    say,
    say_aside,
    say_json,
)
from semilayer_pipelines.cli.follow import follow
from semilayer_pipelines.cli.lens_selection import check_confirmed, chosen_lenses, takes_lens
from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.control.verify import verify_lens
from semilayer_pipelines.errors import SemilayerError
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.altered import EMBEDDED
from semilayer_pipelines.queries.findings import OUT_OF_REACH, Audit, Depth, Kind
from semilayer_pipelines.redaction import redact
from semilayer_pipelines.registry.jobs import Job
from semilayer_pipelines.registry.lenses import Lens, LensStatus

__all__ = ["verify"]

OUT_OF_LINE_CODE = 3

_WORDS = {
    Kind.MISSING: "missing: rows without a vector",
    Kind.STALE: "stale: rows that changed since",
    Kind.WRONG_MODEL: "wrong model: vectors of another one",
    Kind.CHUNKS: "chunks: rows with lost chunks, or cut otherwise",
    Kind.DOUBLED: "doubled: rows with two vectors",
    Kind.ORPHAN: "orphan: vectors that no row should have",
    Kind.ORPHAN_CHUNK: "orphan chunks: of rows that are gone, or other",
    Kind.HIDDEN: "hidden: rows that no search finds",
    Kind.UNREACHABLE: "out of reach: hidden, also when written again",
    Kind.ALTERED: "altered: other fields or vector than the row's",
    Kind.PENDING: "pending: an accepted change waits",
    Kind.SET_ASIDE: "set aside: rows that cannot be mapped",
    Kind.TEXTLESS: "no text: rows left out of the search",
    Kind.NO_KEY: "no key: rows with NULL in it are left out",
}


@click.command()
@takes_lens("Only this lens.")
@click.option(
    "--search",
    is_flag=True,
    help="Ask the index for every row by its own vector: is it found?",
)
@click.option(
    "--deep",
    is_flag=True,
    help="Read fields and vectors back and compare them with the rows; embed some texts.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="ROWS",
    help="With --search: ask for so many rows, chosen at random, and not for all. With --deep: "
    f"embed the texts of so many rows; {EMBEDDED} by default.",
)
@click.option("--heal", is_flag=True, help="Queue the job that repairs what is wrong.")
@click.option(
    "--confirm-deletes",
    is_flag=True,
    help="With --heal: the rows are really gone, let the job pass the guard. Needs --lens.",
)
@click.option("--wait", is_flag=True, help="With --heal: follow the jobs to their end.")
@env_option
@json_option
@click.pass_obj
def verify(
    here: Here,
    lens: str | None,
    search: bool,
    deep: bool,
    sample: int | None,
    heal: bool,
    confirm_deletes: bool,
    wait: bool,
    env: str,
    as_json: bool,
) -> None:
    """Compare indexes with their sources, row by row, without writing.

    Exit code 0 when all indexes are in sync, and 3 when one is not. If one could not be compared,
    the exit code is that of its error. With --heal, 0 once the jobs are queued or, with --wait,
    have put all in sync. Rows that a buffered change will write, rows that cannot be mapped and
    rows without a text or a key do not count as differences.

    A vector index may lose rows that are held all the same, as in a crash of its server. Such rows
    are counted, and no search finds them: --search does. If the store was started again since the
    last write, the rows written last are asked for without it.
    """
    only_with("--sample", "--search", "--deep")
    only_with("--confirm-deletes", "--heal")
    only_with("--wait", "--heal")
    check_confirmed(confirm_deletes, lens)
    project = here.project
    depth = Depth(search, deep, sample)
    with project.registry.read() as db:
        known = chosen_lenses(db, env, lens)
    tell = say_aside if as_json else say
    results: list[_Result] = []
    for one in known:
        result = _compare(project, one, depth, heal=heal)
        if heal:
            result = _healed(project, env, result, confirmed=confirm_deletes)
        results.append(result)
        if not as_json:
            for line in _lines(result):
                say(line)
    if as_json:
        in_line = all(result.audit and result.audit.in_line for result in results)
        say_json({"inLine": in_line, "lenses": [_as_json(result) for result in results]})
    if wait:
        follow(project, [result.job.id for result in results if result.job], tell=tell)
    code = _code(results, healed=heal)
    if code:
        raise click.exceptions.Exit(code)


@dataclass(frozen=True)
class _Result:
    """What came of one lens: an audit or an error, and the job that mends what was found.

    An audit and an error: it was compared, and cannot be mended now.
    """

    lens: str
    paused: bool
    audit: Audit | None = None
    error: SemilayerError | None = None
    job: Job | None = None


def _compare(project: Project, lens: Lens, depth: Depth, *, heal: bool) -> _Result:
    paused = lens.status is LensStatus.PAUSED
    try:
        found = verify_lens(
            project,
            lens,
            depth,
            heal=heal,
            compared=reporting(say_aside, lens.name),
            searched=reporting_search(say_aside, lens.name),
        )
        return _Result(lens.name, paused, found)
    except SemilayerError as error:
        # The others are compared all the same.
        return _Result(lens.name, paused, error=error)


def _healed(project: Project, env: str, result: _Result, *, confirmed: bool) -> _Result:
    """Queue what mends a lens; one that is refused keeps no other from being mended."""
    if result.audit is None or result.audit.in_line:
        return result
    try:
        job = lifecycle.request_heal(
            project, env, result.lens, rebuild=result.audit.rebuild, confirmed=confirmed
        )
    except SemilayerError as error:
        return replace(result, error=error)
    return replace(result, job=job)


def _code(results: Sequence[_Result], *, healed: bool) -> int:
    errors = [exit_code(result.error) for result in results if result.error]
    if errors:
        return errors[0]
    out_of_line = any(result.audit and not result.audit.in_line for result in results)
    return OUT_OF_LINE_CODE if out_of_line and not healed else 0


def _as_json(result: _Result) -> dict[str, object]:
    wrong: dict[str, object] = {}
    if result.error:
        wrong = {"error": redact(result.error.message), "cure": redact(result.error.cure)}
    if result.audit is None:
        return {"lens": result.lens, "inLine": None} | wrong
    return {
        "lens": result.lens,
        "inLine": result.audit.in_line,
        **audit_json(result.audit),
        "seconds": round(result.audit.seconds, 3),
        "job": result.job.id if result.job else None,
    } | wrong


def _lines(result: _Result) -> list[str]:
    said = redact(f"{result.error.message} {result.error.cure}") if result.error else ""
    if result.audit is None:
        return [f"{result.lens}: NOT COMPARED: {said}"]
    found = result.audit
    verdict = "in sync" if found.in_line else "OUT OF SYNC"
    counts = f"{found.rows:,} rows, {found.objects:,} indexed, {found.seconds:.1f} s"
    lines = [
        f"{result.lens}: {verdict} ({counts})",
        *(f"  {problem}" for problem in found.problems),
        *found_lines(found, _WORDS),
        *([f"  note: {found.hidden.reason}"] if found.hidden and found.rows else []),
        *_looked_lines(found),
        *([f"  left empty: values that do not fit  {_by_field(found)}"] if found.nulled else []),
    ]
    if result.job:
        lines.append(f"{result.lens}: {result.job.mode.value} queued, job {result.job.id[:8]}.")
    elif said:
        lines.append(f"  NOT MENDED: {said}")
    elif not found.in_line:
        # A paused lens is not healed, and often has only to be resumed.
        lines.append(
            f"  go on with it: semilayer resume --lens {result.lens}"
            if result.paused
            else f"  mend it: semilayer verify --lens {result.lens} --heal"
        )
    return lines


def _looked_lines(found: Audit) -> list[str]:
    looked, lines = found.looked, []
    if looked.restarted:
        lines.append("  note: the store was started again since the last write")
    if looked.searched:
        lines.append(f"  asked for by their own vectors: {looked.searched:,} rows")
    if looked.crowded:
        lines.append(
            f"  not asked for: {looked.crowded:,} rows; a search shows some and not all of so many "
            "with one text"
        )
    if found.found[Kind.UNREACHABLE].count:
        lines.append(f"  note on those out of reach: {OUT_OF_REACH}")
    if looked.read:
        lines.append(f"  read back: {looked.read:,} rows, {looked.embedded:,} texts embedded")
    return lines


def _by_field(found: Audit) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in sorted(found.nulled.items()))
