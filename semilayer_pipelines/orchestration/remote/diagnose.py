"""Why a queued job is not picked up: asks Dagster's own records, never the processes.

It works for any Dagster whose instance is the project's, on this machine or behind PostgreSQL. It
must never fail, because its caller waits for something else.
"""

from __future__ import annotations

import os
import time
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING

from semilayer_pipelines.orchestration.names import SENSOR

if TYPE_CHECKING:
    from dagster import DagsterInstance

__all__ = ["load_error", "why_waiting"]

TICK_SECONDS = 20.0
"""The sensor ticks every five seconds; a last tick older than this means that it does not."""

BEAT_SECONDS = 65.0
"""Dagster's daemons note every thirty seconds that they are alive."""

START = "Start it: `semilayer dev`."


def why_waiting(root: Path) -> str:
    """Return in a sentence why no run takes the jobs of the project in `root`."""
    home = Path(os.environ.get("DAGSTER_HOME", root))
    if not (home / "dagster.yaml").is_file():
        return f"Is Dagster running for this project? {START}"
    from dagster import DagsterInstance

    try:
        # Paths in dagster.yaml are relative to the folder that Dagster is started in.
        with chdir(root), DagsterInstance.from_config(str(home)) as instance:
            return _diagnosis(instance)
    except Exception as error:  # noqa: BLE001 - a diagnosis that fails is no reason to stop waiting
        return f"Dagster's records cannot be read ({type(error).__name__}); is it running? {START}"


def _diagnosis(instance: DagsterInstance) -> str:
    now = time.time()
    beat = instance.get_daemon_heartbeats().get("SENSOR")
    if beat is None or now - beat.timestamp > BEAT_SECONDS:
        return f"No Dagster daemon is running for this project. {START}"
    states = [s for s in instance.all_instigator_state() if s.instigator_name == SENSOR]
    if any(not state.is_running for state in states):
        return f"The sensor {SENSOR} is switched off in Dagster; switch it on in the UI."
    ticks = [
        tick
        for state in states
        for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
    ]
    last = max(ticks, key=lambda tick: tick.timestamp, default=None)
    if last is None or now - last.timestamp > TICK_SECONDS:
        return (
            f"Dagster's daemon was alive {now - beat.timestamp:.0f} s ago, but its sensor {SENSOR} "
            "does not tick: the daemon has stopped since, or it could not load the lenses. What "
            "`semilayer dev` printed says why."
        )
    if last.error is not None:
        return f"Dagster's sensor {SENSOR} fails: {last.error.message.strip()}"
    return "Dagster is running; the run waits for its turn or is starting."


def load_error(port: int) -> str | None:
    """Return why the code server on this port could not load the definitions; `None` if it did."""
    # Not public, but without a web server there is no other way to ask.
    from dagster._grpc.client import DagsterGrpcClient
    from dagster._serdes import deserialize_value
    from dagster_shared.error import SerializableErrorInfo

    answer = deserialize_value(DagsterGrpcClient(port=port, host="127.0.0.1").list_repositories())
    if not isinstance(answer, SerializableErrorInfo):
        return None
    while answer.cause is not None:
        answer = answer.cause
    return answer.message.strip()
