"""The sensor that tells somebody: its ticks say what was told."""

from __future__ import annotations

import dagster as dg

from semilayer_pipelines.config.alerts import AlertConfig
from semilayer_pipelines.control.alerts import NOBODY
from semilayer_pipelines.orchestration.alerts import alerts_sensor
from semilayer_pipelines.orchestration.names import RESOURCE
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import alerts, lenses
from tests.control.receiver import receiving
from tests.orchestration.conftest import MakeLab


def test_a_tick_tells_what_is_wrong_and_says_so(
    make_lab: MakeLab, instance: dg.DagsterInstance
) -> None:
    # given
    lab = make_lab(3)

    def tick() -> str | None:
        context = dg.build_sensor_context(instance=instance, resources={RESOURCE: lab.project})
        return alerts_sensor().evaluate_tick(context).skip_message

    assert tick() == NOBODY
    with receiving() as receiver:
        lab.project = Project(lab.project.settings, {"TO": receiver.url})
        with lab.project.registry.begin() as db:
            alerts.set_addresses(db, lab.lens.env_id, "shop", [AlertConfig(url="${TO}")])
            now = lab.project.clock()
            lenses.set_status(db, lab.lens.id, lenses.LensStatus.READY, now=now)
            lenses.set_failing(db, lab.lens.id, error="No.", cure="Do it.", needs_you=True, now=now)

        # when, then
        assert tick() == "Told ${TO} of test/items: error (open)."
        assert receiver.told == [("open", "error")]
        assert tick() == "Another program looked a moment ago."
