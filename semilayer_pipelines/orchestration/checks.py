"""The asset checks of all lenses, as one op: two hundred lenses have a thousand of them.

They run every hour, or when a person runs some of them in the UI. A check that fails turns its lens
yellow or red and stops nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from random import Random

import dagster as dg

from semilayer_pipelines.errors import SemilayerError
from semilayer_pipelines.orchestration.catalogue import LensEntry
from semilayer_pipelines.orchestration.dagster_run import failure
from semilayer_pipelines.orchestration.names import CHECKS, HOURLY, asset_key
from semilayer_pipelines.project import Project
from semilayer_pipelines.redaction import redact
from semilayer_pipelines.registry import lenses

__all__ = ["CHECK_JOB", "lens_checks"]

CHECK_JOB = "lens_checks"


def lens_checks(
    entries: Sequence[LensEntry],
) -> tuple[
    list[dg.AssetChecksDefinition],
    list[dg.ScheduleDefinition],
]:
    """Return the checks of the lenses and the schedule that runs them; nothing without a lens."""
    if not entries:
        return [], []
    checks = _checks(entries)
    job = dg.define_asset_job(
        CHECK_JOB,
        # Not every check there is: a person's own definitions may hold others beside these.
        selection=dg.AssetSelection.checks(checks),
        description="Looks at every lens: its counts, failed rows, freshness, a sample, its model.",
        executor_def=dg.in_process_executor,
        tags=HOURLY,
    )
    schedule = dg.ScheduleDefinition(
        name=f"{CHECK_JOB}_hourly",
        job=job,
        cron_schedule="47 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    return [checks], [schedule]


def _checks(entries: Iterable[LensEntry]) -> dg.AssetChecksDefinition:
    specs = [
        dg.AssetCheckSpec(
            name, asset=dg.AssetKey(asset_key(entry.env, entry.name)), description=text
        )
        for entry in entries
        for name, text in CHECKS.items()
    ]

    @dg.multi_asset_check(specs=specs, can_subset=True, name="check_lenses")
    def check_lenses(
        context: dg.AssetCheckExecutionContext, semilayer: dg.ResourceParam[Project]
    ) -> Iterator[dg.AssetCheckResult]:
        asked: defaultdict[dg.AssetKey, set[str]] = defaultdict(set)
        for key in context.selected_asset_check_keys:
            asked[key.asset_key].add(key.name)
        try:
            with semilayer.registry.read() as db:
                known = {tuple(asset_key(one.env, one.name)): one for one in lenses.list_all(db)}
        except SemilayerError as error:
            raise failure(None, error) from None
        # In another order in every run: one that is ended as too long has looked at other lenses.
        turn = list(asked.items())
        Random(context.run.run_id).shuffle(turn)
        for key, names in turn:
            lens = known.get(tuple(key.path))
            if lens is None:
                yield from (_gone(key, name) for name in sorted(names))
            else:
                yield from _results(context, semilayer, lens, key, names)

    return check_lenses


def _results(
    context: dg.AssetCheckExecutionContext,
    project: Project,
    lens: lenses.Lens,
    key: dg.AssetKey,
    names: set[str],
) -> Iterator[dg.AssetCheckResult]:
    from semilayer_pipelines.queries.checks import Check, Verdict, check_lens

    # Another sample in every run, and the same when a run is looked at again.
    seed = int(context.run.run_id[:8], 16)
    checks = frozenset(map(Check, names))
    try:
        found = check_lens(project, lens, checks, seed=seed)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one lens, the rest go on
        told = f"It cannot be looked at: {type(error).__name__}: {redact(str(error))}"
        found = dict.fromkeys(checks, Verdict(False, told))
    for check, verdict in sorted(found.items()):
        if not verdict.passed:
            context.log.warning(f"{lens.env}/{lens.name}, {check}: {verdict.told}")
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=check.value,
            passed=verdict.passed,
            severity=_severity(check in (Check.MODEL, Check.HEALTHY)),
            description=redact(verdict.told),
            metadata=dict(verdict.numbers),
        )


def _severity(serious: bool) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.ERROR if serious else dg.AssetCheckSeverity.WARN


def _gone(key: dg.AssetKey, name: str) -> dg.AssetCheckResult:
    told = "The lens was removed; the UI shows it until the definitions are loaded again."
    return dg.AssetCheckResult(asset_key=key, check_name=name, passed=True, description=told)
