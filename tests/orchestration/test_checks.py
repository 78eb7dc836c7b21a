"""What a lens's asset checks say, of lenses that are well and of lenses that are not."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.orchestration.build_definitions import build_definitions
from semilayer_pipelines.orchestration.checks import CHECK_JOB
from semilayer_pipelines.orchestration.names import CHECKS
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.checks import Check, Verdict, check_lens
from semilayer_pipelines.registry import changes
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Mode
from tests.ingest.strangers import double
from tests.lab import ENV, Lab
from tests.meddling import Meddled
from tests.orchestration.conftest import MakeLab
from tests.workload import FIELDS

ALL = frozenset(Check)


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    lab = make_lab(150, shards=2, syncInterval="5m", smartSyncInterval="1h")
    lab.full()
    lab.run(lab.request(Mode.INCREMENTAL))
    return lab


def checked(lab: Lab, project: Project | None = None) -> dict[Check, Verdict]:
    return check_lens(project or lab.project, lab.lens, ALL, seed=1)


def failing(found: dict[Check, Verdict]) -> set[Check]:
    return {check for check, verdict in found.items() if not verdict.passed}


def number(verdict: Verdict, name: str) -> float:
    found = verdict.numbers[name]
    assert isinstance(found, int | float)
    return found


def test_a_lens_in_line_passes_all_of_them(lab: Lab) -> None:
    found = checked(lab)

    assert found.keys() == ALL
    assert failing(found) == set()
    assert found[Check.ROWS].numbers["vectors"] == 150
    assert number(found[Check.SAMPLE], "compared") >= 100
    assert found[Check.MODEL].numbers["dimension"] == 384


def test_rows_that_are_missing_fail_the_count_unless_something_explains_them(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id <= 3")

    assert failing(checked(lab)) == {Check.ROWS}

    with lab.project.registry.begin() as db:
        named = [(str(n), Action.DELETE) for n in (1, 2, 3)]
        changes.append(db, lab.lens.id, named, lab.project.clock())
    assert failing(checked(lab)) == set()


def test_rows_without_a_key_are_told_and_fail_nothing(make_lab: MakeLab) -> None:
    lab = make_lab(20)
    with lab.source() as db:
        db.execute("CREATE TABLE others AS SELECT * FROM items")
        db.execute("INSERT INTO others (name) VALUES ('nobody'), ('no one')")
    lab.push(table="others", primaryKey="id")
    lab.full()

    found = checked(lab)

    assert failing(found) == set()
    assert found[Check.ROWS].numbers["rows_without_key"] == 2
    assert found[Check.ROWS].told == (
        "20 rows are indexed, 20 are in the source; 2 rows have no key and are left out."
    )


def test_a_sample_finds_what_no_incremental_walk_will_see(lab: Lab) -> None:
    # given changes that moved the tracked column
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'a', updated_at = '2024-06-01 00:00:00'")
    found = checked(lab)
    assert failing(found) == set()
    assert number(found[Check.SAMPLE], "differing") > 0

    # when they are in, by a walk and by name, and others come that do not move it
    with lab.project.registry.begin() as db:
        named = [(str(n), Action.UPSERT) for n in range(1, 151)]
        changes.append(db, lab.lens.id, named, lab.project.clock())
    lab.run(lab.request(Mode.RECORDS))
    lab.run(lab.request(Mode.INCREMENTAL))
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'b', updated_at = '2024-05-01 00:00:00'")

    # then
    found = checked(lab)
    assert failing(found) == {Check.SAMPLE}
    assert "changed without moving 'updated_at'" in found[Check.SAMPLE].told


@pytest.mark.parametrize(("interval", "fails"), [("24h", set()), (None, {Check.SAMPLE})])
def test_without_a_tracked_column_a_difference_is_a_fault_if_no_sync_will_come(
    tmp_path: Path, interval: str | None, fails: set[Check]
) -> None:
    # given a table without such a column
    lab = Lab.at(tmp_path, rows=20)
    with lab.source() as db:
        db.execute("ALTER TABLE items DROP COLUMN updated_at")
    fields = {name: FIELDS[name] for name in ("name", "description")}
    lab.push(fields=fields, smartSyncInterval=interval)
    lab.full()
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'other' WHERE id = 3")

    found = checked(lab)

    assert failing(found) == fails
    assert "19 of 20" in found[Check.SAMPLE].told


def test_two_vectors_of_a_row_fail_the_count(lab: Lab) -> None:
    double(lab, "7")

    assert Check.ROWS in failing(checked(lab))


def test_a_row_that_is_set_aside_is_named(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET category = 'unknown' WHERE id = 5")
    lab.sync()

    found = checked(lab)

    assert failing(found) == {Check.FAILED}
    assert "5: " in found[Check.FAILED].told


def test_a_walk_that_is_older_than_two_intervals_is_late(lab: Lab) -> None:
    def after(minutes: float) -> set[Check]:
        later = Meddled.of(lab.project, later=timedelta(minutes=minutes))
        return failing(checked(lab, later))

    assert after(11) == set()
    assert after(13) == {Check.FRESH}
    lifecycle.pause(lab.project, ENV, "items")
    assert after(130) == set()


def test_a_model_that_is_not_the_lenss_fails(lab: Lab) -> None:
    renamed = Meddled.of(lab.project, fingerprint="hash:another")
    assert Check.MODEL in failing(checked(lab, renamed))

    lab.push(shards=2, embedding={"provider": "hash", "dimensions": 8})
    found = checked(lab)
    assert failing(found) == {Check.MODEL}
    assert "semilayer resume --lens items" in found[Check.MODEL].told


def test_a_source_that_is_away_fails_what_needs_it_and_nothing_else(lab: Lab) -> None:
    lab.database.unlink()

    found = checked(lab)

    assert failing(found) == {Check.ROWS, Check.SAMPLE, Check.MODEL}
    assert "no SQLite file" in found[Check.ROWS].told


def test_a_lens_that_nobody_resumed_is_as_it_should_be(make_lab: MakeLab) -> None:
    assert failing(checked(make_lab(5))) == set()


def test_every_check_has_a_name_in_dagster_and_runs_there(
    lab: Lab, instance: dg.DagsterInstance
) -> None:
    # given a row that is set aside
    with lab.source() as db:
        db.execute("UPDATE items SET category = 'unknown' WHERE id = 5")
    lab.sync()
    definitions = build_definitions(lab.project)

    # when
    result = definitions.resolve_job_def(CHECK_JOB).execute_in_process(instance=instance)

    # then all were looked at, one is yellow, and the run itself is a success
    assert result.success
    told = {one.check_name: one for one in result.get_asset_check_evaluations()}
    assert told.keys() == CHECKS.keys() == set(Check)
    assert {name for name, one in told.items() if not one.passed} == {"no_failed_rows"}
    assert told["no_failed_rows"].severity is dg.AssetCheckSeverity.WARN
    assert told["rows_match_source"].metadata["vectors"].value == 150
    schedules = {s.name for s in definitions.get_repository_def().schedule_defs}
    assert f"{CHECK_JOB}_hourly" in schedules


def test_one_check_alone_can_be_run(lab: Lab, instance: dg.DagsterInstance) -> None:
    job = build_definitions(lab.project).resolve_job_def(CHECK_JOB)
    only = dg.AssetCheckKey(dg.AssetKey([ENV, "items"]), "fresh")

    alone = job.get_subset(asset_selection=set(), asset_check_selection={only})

    result = alone.execute_in_process(instance=instance)

    assert [one.check_name for one in result.get_asset_check_evaluations()] == ["fresh"]


def test_a_partition_materialised_with_its_checks_is_filled_and_then_looked_at(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given what the UI launches for a lens of one shard: its asset and its checks
    lab = make_lab(20)
    definitions = build_definitions(lab.project)
    key = dg.AssetKey([ENV, "items"])
    whole = definitions.resolve_implicit_global_asset_job_def()
    checks = {dg.AssetCheckKey(key, name) for name in CHECKS}
    job = whole.get_subset(asset_selection={key}, asset_check_selection=checks)

    # when
    result = job.execute_in_process(instance=instance, partition_key="s00")

    # then
    assert result.success
    assert all(one.passed for one in result.get_asset_check_evaluations())
    assert lab.audit().clean


def test_a_run_that_is_ended_early_looked_at_other_lenses_than_the_one_before(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    lab = make_lab(3)
    lab.push(*(f"other_{n}" for n in range(8)))
    job = build_definitions(lab.project).resolve_job_def(CHECK_JOB)
    runs = [job.execute_in_process(instance=instance) for _ in range(2)]

    first, second = ([one.asset_key for one in run.get_asset_check_evaluations()] for run in runs)
    assert first != second
    assert set(first) == set(second)
