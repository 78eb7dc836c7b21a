#!/usr/bin/env bash
# Package: dagster 1.13.27.
#
# Behaviour: `AutomationCondition.eager()` requests an asset on one tick. The asset runs, then its
# dependency is updated again, all before the next tick. That tick requests nothing, and neither
# does any later one. The tick sees a request and an update together, and the request wins. The
# same update one tick later is requested.
#
# A good guess: the second update is requested too. The reference of `eager` says that a target is
# executed "if any of its dependencies update". `since_last_handled`, which it is made of, says
# "since the target was last requested or updated", and this update came after both.
#
# For a vector index in sync with SQL tables: a table that changes twice within half a minute, the
# default time between ticks, leaves the index behind until the table changes a third time.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'dagster==1.13.27'

venv/bin/python -W ignore - 2>dagster.log <<'PY' || { tail -n 20 dagster.log >&2; exit 1; }
import dagster as dg


@dg.asset
def table() -> None: ...


@dg.asset(deps=[table], automation_condition=dg.AutomationCondition.eager())
def index() -> None: ...


defs = dg.Definitions([table, index])


class Timeline:
    def __init__(self, instance):
        self.instance = instance
        self.cursor = None

    def tick(self):
        result = dg.evaluate_automation_conditions(
            defs=defs, instance=self.instance, cursor=self.cursor
        )
        self.cursor = result.cursor
        return result.total_requested

    def run(self, asset):
        dg.materialize([table, index], selection=[asset], instance=self.instance)

    def index_is_behind(self):
        when = [
            self.instance.get_latest_materialization_event(asset.key).timestamp
            for asset in (table, index)
        ]
        return when[0] > when[1]


def requests(ticks_between):
    with dg.DagsterInstance.ephemeral() as instance:
        timeline = Timeline(instance)
        timeline.tick()
        timeline.run(table)
        first = timeline.tick()
        timeline.run(index)
        for _ in range(ticks_between):
            timeline.tick()
        timeline.run(table)
        second = [timeline.tick() for _ in range(3)]
        return first, second, timeline.index_is_behind()


together = requests(ticks_between=0)
apart = requests(ticks_between=1)
print("requests after the first update:                      ", together[0])
print("three ticks after the second update:                  ", together[1])
print("the index is older than the table:                    ", together[2])
print("with a tick between the index's run and the update:   ", apart[1])

assert together[0] == apart[0] == 1, "the first request changed"
assert together[1] == [0, 0, 0] and together[2], "the second update is requested"
assert apart[1] == [1, 0, 0], "the update that came a tick later changed"
PY
