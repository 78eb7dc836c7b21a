#!/usr/bin/env bash
# Package: dagster 1.13.27.
#
# Behaviour: `add_dynamic_partitions` accepts the key "b|c", and an asset partitioned by that
# dimension alone is materialised for it. A two-dimensional definition leaves the key out of its
# list without an error. Asked for by name, the partition is unknown.
#
# A good guess: the same refusal as for static keys. `MultiPartitionsDefinition` raises
# DagsterInvalidDefinitionError for a static key with "|", as shown. The reference of
# `DynamicPartitionsDefinition` and of `add_dynamic_partitions` names no forbidden character.
#
# For a vector index in sync with SQL tables: a shard named after a column's value is added and
# listed, yet no backfill of shard by day ever loads it. Every run reports success.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'dagster==1.13.27'

venv/bin/python -W ignore - 2>dagster.log <<'PY' || { tail -n 20 dagster.log >&2; exit 1; }
import dagster as dg

shards = dg.DynamicPartitionsDefinition(name="shard")
grid = dg.MultiPartitionsDefinition(
    {"shard": shards, "table": dg.StaticPartitionsDefinition(["books"])}
)


@dg.asset(partitions_def=shards)
def by_shard() -> None: ...


@dg.asset(partitions_def=grid)
def by_shard_and_table() -> None: ...


def refusal(action):
    try:
        action()
    except dg.DagsterError as error:
        return type(error).__name__
    return "accepted"


with dg.DagsterInstance.ephemeral() as instance:
    instance.add_dynamic_partitions("shard", ["a", "b|c"])
    added = list(instance.get_dynamic_partitions("shard"))
    listed = [str(key) for key in grid.get_partition_keys(dynamic_partitions_store=instance)]
    alone = dg.materialize([by_shard], partition_key="b|c", instance=instance).success
    key = dg.MultiPartitionKey({"shard": "b|c", "table": "books"})
    named = refusal(
        lambda: dg.materialize([by_shard_and_table], partition_key=key, instance=instance)
    )

static = refusal(
    lambda: dg.MultiPartitionsDefinition(
        {
            "shard": dg.StaticPartitionsDefinition(["b|c"]),
            "table": dg.StaticPartitionsDefinition(["books"]),
        }
    )
)
print("added shards:              ", added)
print("partitions of shard x table:", listed)
print("b|c in one dimension:       ", "materialised" if alone else "failed")
print("b|c x books by name:        ", named)
print("b|c as a static key:        ", static)

assert added == ["a", "b|c"] and alone, "the single dimension changed"
assert listed == ["a|books"], "the list changed"
assert named == "DagsterUnknownPartitionError", "the named partition changed"
assert static == "DagsterInvalidDefinitionError", "the static key changed"
PY
