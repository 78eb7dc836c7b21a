"""`GET /v1/jobs/{id}`: how a job stands, now or when it has ended."""

from __future__ import annotations

import asyncio
import re

from starlette.requests import Request

from semilayer_pipelines.errors import NotFound
from semilayer_pipelines.http.contract import TERMINAL_STATUSES
from semilayer_pipelines.queries.state import JobState, job_state
from semilayer_pipelines.registry import jobs
from semilayer_pipelines.registry.api_key import PresentedKey
from webhook.service.problems import Code, Problem
from webhook.service.requests import JobQuery, read_query
from webhook.service.responses import JobResponse
from webhook.service.service import Service

__all__ = ["job"]

_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_SHORTEST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 1.0


async def job(service: Service, request: Request, key: PresentedKey) -> JobResponse:
    """Answer at once, or with `wait` as soon as the job has ended or the time is over."""
    id = request.path_params["id"]
    query = read_query(request.query_params, JobQuery)
    clock = asyncio.get_running_loop().time
    until, pause = clock() + query.wait, _SHORTEST_PAUSE_S
    while True:
        state = await service.in_thread(lambda: _look_up(service, key.env, id))
        left = until - clock()
        if state.job.status in TERMINAL_STATUSES or left <= 0 or service.stopping.is_set():
            return JobResponse.of(state)
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, _LONGEST_PAUSE_S)


def _look_up(service: Service, env: str, id: str) -> JobState:
    missing = Problem(
        Code.JOB_NOT_FOUND,
        "There is no such job in this environment.",
        "Jobs that ended long ago are forgotten, and so are those of removed lenses.",
    )
    if not _ID.fullmatch(id):
        raise missing
    with service.project.registry.read() as db:
        try:
            found = jobs.get(db, id)
        except NotFound:
            raise missing from None
        if found.env != env:
            raise missing
        return job_state(db, found)
