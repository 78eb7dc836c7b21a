"""Every half minute: is there something wrong that nobody was told, or over since?

The webhook looks as well, because a daemon that is silent cannot say so. Either of them is enough.
"""

from __future__ import annotations

import dagster as dg

from semilayer_pipelines.control.alerts import LOOK_EVERY_SECONDS, tell
from semilayer_pipelines.errors import RegistryUnavailable
from semilayer_pipelines.orchestration.names import ALERTS
from semilayer_pipelines.project import Project
from semilayer_pipelines.redaction import redact

__all__ = ["alerts_sensor"]


def alerts_sensor() -> dg.SensorDefinition:
    """Return the sensor; it launches nothing, and its ticks say what was told."""

    @dg.sensor(
        name=ALERTS,
        description="Tells the addresses of `alerts:` what is wrong with a lens, and when it is "
        "over.",
        minimum_interval_seconds=int(LOOK_EVERY_SECONDS),
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def alerts(
        context: dg.SensorEvaluationContext, semilayer: dg.ResourceParam[Project]
    ) -> dg.SkipReason:
        try:
            return dg.SkipReason(redact(tell(semilayer, within=True)))
        except RegistryUnavailable as error:
            return dg.SkipReason(str(error))

    return alerts
