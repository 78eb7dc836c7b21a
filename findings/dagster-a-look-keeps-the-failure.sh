#!/usr/bin/env bash
# Package: dagster 1.13.27.
#
# Behaviour: a partition's run fails. The next runs of that partition succeed and yield no output,
# which `output_required=False` allows. The partition stays FAILED if somebody asked for its status
# between the failure and the success. If nobody asked, it has no status. The condition
# `execution_failed()` follows: it requests the partition in the first case only.
#
# A good guess: one answer, and not FAILED. The reference of `execution_failed` says "true if the
# latest execution of the target failed", and `get_status_by_partition` reads the "current
# status". A question about a status is no reason for another one.
#
# For a vector index in sync with SQL tables: a shard whose rows need no change yields nothing. A
# page that shows the partitions then decides whether a condition requests that shard again.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'dagster==1.13.27'

venv/bin/python -W ignore - 2>dagster.log <<'PY' || { tail -n 20 dagster.log >&2; exit 1; }
import dagster as dg

shards = dg.StaticPartitionsDefinition(["a"])
down = True


@dg.asset(
    partitions_def=shards,
    output_required=False,
    automation_condition=dg.AutomationCondition.execution_failed(),
)
def index():
    if down:
        raise RuntimeError("the store is down")
    yield from ()


def status(instance):
    found = instance.get_status_by_partition(index.key, ["a"], shards)["a"]
    return found.value if found else None


def story(look):
    global down
    with dg.DagsterInstance.local_temp() as instance:
        down = True
        dg.materialize([index], partition_key="a", instance=instance, raise_on_error=False)
        if look:
            status(instance)
        down = False
        for _ in range(2):
            again = dg.materialize([index], partition_key="a", instance=instance)
        requested = dg.evaluate_automation_conditions(
            defs=dg.Definitions([index]), instance=instance
        ).get_requested_partitions(index.key)
        return again.success, status(instance), sorted(requested)


seen, unseen = story(look=True), story(look=False)
for name, (success, after, requested) in (("somebody looked", seen), ("nobody looked  ", unseen)):
    print(f"{name}: run succeeded {success}, status {after}, requested {requested}")

assert seen == (True, "FAILED", ["a"]), "the status after a look changed"
assert unseen == (True, None, []), "the status without a look changed"
PY
