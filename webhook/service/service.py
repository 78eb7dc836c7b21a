"""What the routes share: the project, the writer, the pools of threads, and what is counted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from starlette.requests import Request

from semilayer_pipelines.http.bodies import Bodies
from semilayer_pipelines.http.contract import LENS_NAME
from semilayer_pipelines.orchestration.remote.nudge import Nudge
from semilayer_pipelines.project import Project
from webhook.service.keys import Keys
from webhook.service.metrics import Metrics
from webhook.service.problems import Code, Problem
from webhook.service.writer import Writer

__all__ = ["Service", "json_body", "lens_name"]

T = TypeVar("T")
_JSON = "application/json"


def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(4, "webhook-reader")


def _searchers() -> ThreadPoolExecutor:
    # A pool of its own, so that a model at work keeps no other call waiting.
    return ThreadPoolExecutor(2, "webhook-search")


@dataclass(frozen=True)
class Service:
    """One server process. `stopping` is set when it was told to end."""

    project: Project
    writer: Writer
    nudge: Nudge
    keys: Keys
    bodies: Bodies
    stopping: threading.Event
    metrics: Metrics = field(default_factory=Metrics)
    readers: ThreadPoolExecutor = field(default_factory=_readers)
    searchers: ThreadPoolExecutor = field(default_factory=_searchers)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Do something short that waits for the registry, without keeping others waiting."""
        return await asyncio.get_running_loop().run_in_executor(self.readers, work)

    async def in_search(self, work: Callable[[], T]) -> T:
        """Do slow work, such as that of a model, a store or a source."""
        return await asyncio.get_running_loop().run_in_executor(self.searchers, work)


def lens_name(request: Request) -> str:
    """Return the lens of the path; raises `Problem` for what can be no lens's name."""
    name: str = request.path_params["lens"]
    if not LENS_NAME.fullmatch(name):
        raise Problem(
            Code.LENS_NOT_FOUND,
            "No lens has such a name.",
            "Names are letters, digits, - and _, starting with a letter.",
        )
    return name


async def json_body(service: Service, request: Request) -> bytes:
    """Return the body of a request that says it is JSON; raises `Problem`, `BodyRefused`."""
    declared = request.headers.get("content-type", "")
    if declared.partition(";")[0].strip().lower() != _JSON:
        raise Problem(
            Code.UNSUPPORTED_MEDIA_TYPE,
            f"The body must be {_JSON}.",
            f"Send 'Content-Type: {_JSON}'.",
        )
    return await service.bodies.read(request)
