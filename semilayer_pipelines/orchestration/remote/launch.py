"""Launching a job's run through Dagster's web server, without waiting for the sensor.

The run gets the same configuration and tags as one that the sensor launches, and joins the same
queue. Dagster itself is not imported here.
"""

from __future__ import annotations

from typing import Any

import httpx

from semilayer_pipelines.errors import Transient
from semilayer_pipelines.orchestration.names import JOB_NAMES, job_tags, run_config, run_key
from semilayer_pipelines.orchestration.remote.identity import (
    QUESTION,
    Location,
    locations_of,
    ours,
)
from semilayer_pipelines.registry.jobs import Job

__all__ = ["NotLaunched", "launch", "make_sure"]

_MUTATION = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on Error { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""


class NotLaunched(Transient):
    """The web server did not launch the run; the sensor will."""


async def make_sure(client: httpx.AsyncClient, url: str, identity: str) -> Location:
    """Return the code location at `url` that shows the lenses of this registry.

    Raises `NotLaunched` where there is none.
    """
    try:
        response = await client.post(f"{url}/graphql", json=QUESTION)
        location = ours(locations_of(response.json()), identity)
    except httpx.HTTPError as error:
        raise NotLaunched(f"The web server does not answer ({type(error).__name__}).") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NotLaunched("What answers is not this project's Dagster.") from None
    if location is None or location.identity != identity:
        raise NotLaunched("What answers is another project's Dagster, or does not say whose.")
    return location


async def launch(client: httpx.AsyncClient, url: str, location: Location, job: Job) -> str:
    """Put the run of a job into the queue of the Dagster at `url`; return the run's id.

    Raises `NotLaunched`. A time-out may hide a launch that was made; the job is taken only once
    all the same.
    """
    # By the run key, Dagster's own name, the sensor knows a launch that a person cancelled.
    named = job_tags(job) | {"dagster/run_key": run_key(job)}
    tags = [{"key": key, "value": value} for key, value in named.items()]
    params = {
        "selector": {
            "repositoryLocationName": location.name,
            "repositoryName": location.repository,
            "jobName": JOB_NAMES[job.mode],
        },
        "runConfigData": run_config(job),
        "executionMetadata": {"tags": tags},
    }
    try:
        response = await client.post(
            f"{url}/graphql", json={"query": _MUTATION, "variables": {"params": params}}
        )
        answer: dict[str, Any] = response.json()["data"]["launchRun"]
        if answer["__typename"] == "LaunchRunSuccess":
            return str(answer["run"]["runId"])
    except httpx.HTTPError as error:
        raise NotLaunched(f"The web server does not answer ({type(error).__name__}).") from None
    except (ValueError, KeyError, TypeError):
        raise NotLaunched("What answers is not this project's Dagster.") from None
    reasons = [one["message"] for one in answer.get("errors", [])] or [answer.get("message")]
    raise NotLaunched(f"Dagster refused: {answer['__typename']}: {reasons[0]}")
