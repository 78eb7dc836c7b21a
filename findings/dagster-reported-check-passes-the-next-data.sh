#!/usr/bin/env bash
# Package: dagster 1.13.27.
#
# Behaviour: a materialisation and a check of it are reported with `report_runless_asset_event`.
# Then a newer materialisation is reported. The old check counts as a check of the new data:
# `all_deps_blocking_checks_passed` lets the next asset run. Both events have no run, and Dagster
# takes them for parts of one run. The same order with materialisations by runs is held back.
#
# A good guess: the newer data is unchecked. The reference of `AutomationCondition.check_passed`
# says that the check "has evaluated against the latest materialization of an asset and passed".
#
# For a vector index in sync with SQL tables: another program loads the table and reports each load.
# One passed check lets all its later loads into the index.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'dagster==1.13.27'

venv/bin/python -W ignore - 2>dagster.log <<'PY' || { tail -n 20 dagster.log >&2; exit 1; }
import time

import dagster as dg


@dg.asset
def table() -> None: ...


@dg.asset_check(asset=table, blocking=True)
def counts() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.asset(
    deps=[table], automation_condition=dg.AutomationCondition.all_deps_blocking_checks_passed()
)
def index() -> None: ...


defs = dg.Definitions([table, index], asset_checks=[counts])
reported_check = dg.AssetCheckEvaluation(
    asset_key=table.key, check_name="counts", passed=True, blocking=True
)


def report(instance):
    instance.report_runless_asset_event(dg.AssetMaterialization(table.key))


def run(instance):
    dg.materialize([table], instance=instance)


def index_may_run(instance):
    result = dg.evaluate_automation_conditions(defs=defs, instance=instance)
    return result.get_num_requested(index.key) == 1


def story(load):
    answers = []
    with dg.DagsterInstance.local_temp() as instance:
        load(instance)
        answers.append(index_may_run(instance))
        time.sleep(1.1)  # SQLite stores the time of a check in whole seconds.
        instance.report_runless_asset_event(reported_check)
        answers.append(index_may_run(instance))
        time.sleep(1.1)
        load(instance)
        answers.append(index_may_run(instance))
    return answers


by_report, by_run = story(report), story(run)
print("the index may run after [first load, its check, second load]")
print("loads are reported: ", by_report)
print("loads are runs:     ", by_run)

assert by_report == [False, True, True], "reported loads changed"
assert by_run == [False, True, False], "loads by runs changed"
PY
