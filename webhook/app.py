"""The application: the table of operations as routes, the key in front, errors in one shape."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from semilayer_pipelines.http.bodies import Bodies, BodyLimits
from semilayer_pipelines.http.contract import MAX_BODY_BYTES
from semilayer_pipelines.http.problems import Endpoint, guarded, routing_response
from semilayer_pipelines.orchestration.remote.nudge import Nudge
from semilayer_pipelines.project import Project
from webhook.console.addresses import console_routes
from webhook.console.reach import Reach, reach_of
from webhook.console.web import Console
from webhook.openapi import PATH, openapi
from webhook.operations import KEYED, OPEN, Keyed, Open
from webhook.service.alerting import Alerting
from webhook.service.keys import Keys
from webhook.service.problems import Code, Problem, from_error
from webhook.service.service import Service
from webhook.service.writer import Writer

__all__ = ["build_app"]

_BODY_LIMITS = BodyLimits(one=MAX_BODY_BYTES, all=8 * MAX_BODY_BYTES)


def build_app(project: Project, *, stopping: threading.Event | None = None) -> Starlette:
    """Return the application of a project; it touches the registry with the first call.

    Raises `ConfigError` for a setting of the console that is wrong. The server sets `stopping` when
    it is told to end; calls that wait get their response then.
    """
    nudge = Nudge(project)
    service = Service(
        project,
        Writer(project, nudged=nudge.can_watch),
        nudge,
        Keys(project),
        Bodies(_BODY_LIMITS),
        stopping or threading.Event(),
    )
    console = Console(service, reach_of(project.environ))
    routes = [
        *(_route(service, one.method, one.path, _keyed(service, one)) for one in KEYED),
        *(_route(service, one.method, one.path, _open(service, one)) for one in OPEN),
        _route(service, "GET", PATH, _document),
    ]
    if console.reach is not Reach.OFF:
        routes += console_routes(console, partial(_route, service))
    app = Starlette(
        routes=_methods_together(routes),
        exception_handlers={HTTPException: partial(_routing_refused, service)},
        lifespan=partial(_lifespan, service, console),
    )
    # A redirect would lose the body of a caller who wrote one slash too many; a 404 tells him.
    app.router.redirect_slashes = False
    return app


@asynccontextmanager
async def _lifespan(service: Service, console: Console, app: Starlette) -> AsyncIterator[None]:
    service.writer.start()
    alerting = Alerting(service.project, service.stopping)
    alerting.start()
    # What was imported is there for good; a collector that goes through all of it after every
    # few thousand changes would take longer than they do.
    gc.collect()
    gc.freeze()
    # Such a call makes three tuples a change, none of which is in a cycle.
    gc.set_threshold(10_000)
    try:
        yield
    finally:
        await asyncio.to_thread(service.writer.stop)
        await service.nudge.stop()
        await alerting.stop()
        service.readers.shutdown(wait=False)
        service.searchers.shutdown(wait=False, cancel_futures=True)
        console.slow.shutdown(wait=False, cancel_futures=True)


async def _document(request: Request) -> Response:
    return Response(json.dumps(openapi()), media_type="application/json")


def _keyed(service: Service, one: Keyed) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        key = await service.keys.caller(
            request,
            one.kinds,
            checked_again=one.checked_again,
            in_thread=service.in_thread,
        )
        return _response(await one.handle(service, request, key), one.status)

    return endpoint


def _open(service: Service, one: Open) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return _response(await one.handle(service, request), one.status)

    return endpoint


def _response(result: BaseModel | Response, status: int) -> Response:
    if isinstance(result, Response):
        return result
    # What a store gives back may be of any type; its text is better than no response.
    body = result.model_dump_json(by_alias=True, fallback=str)
    return Response(body, status, media_type="application/json")


def _route(service: Service, method: str, path: str, endpoint: Endpoint) -> Route:
    """Return the route of an endpoint whose errors become responses, and which is counted."""
    safe = guarded(endpoint, from_error, name=f"{method} {path}")

    async def counted(request: Request) -> Response:
        started = time.perf_counter()
        response = await safe(request)
        seconds = time.perf_counter() - started
        service.metrics.request(_method(request), path, response.status_code, seconds)
        return response

    return Route(path, counted, methods=[method])


def _methods_together(routes: list[Route]) -> list[Route]:
    """Let one route tell all methods of its path when it is asked for another."""
    allowed: dict[str, set[str]] = {}
    for route in routes:
        allowed.setdefault(route.path, set()).update(route.methods or ())
    by_path: dict[str, list[Route]] = {}
    for route in routes:
        by_path.setdefault(route.path, []).append(route)
    return [_one(path, by_path[path], allowed[path]) for path in by_path]


def _one(path: str, routes: list[Route], allowed: set[str]) -> Route:
    if len(routes) == 1:
        return routes[0]
    endpoints = {method: route.endpoint for route in routes for method in route.methods or ()}

    async def endpoint(request: Request) -> Response:
        response: Response = await endpoints[request.method](request)
        return response

    return Route(path, endpoint, methods=sorted(allowed))


_KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})


def _method(request: Request) -> str:
    # A caller may make one up for every call, and each would be a number to keep.
    return request.method if request.method in _KNOWN_METHODS else "OTHER"


async def _routing_refused(service: Service, request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = routing_response(error, _of_routing(error))
    service.metrics.request(_method(request), "", response.status_code, 0.0)
    return response


def _of_routing(error: HTTPException) -> Problem:
    match error.status_code:
        case 404:
            return Problem(Code.NOT_FOUND, "Nothing is at this address.", f"{PATH} lists them all.")
        case 405:
            return Problem(
                Code.METHOD_NOT_ALLOWED,
                "This address does not take that method.",
                "The header Allow names those it takes.",
            )
        case _:
            return Problem(Code.BAD_REQUEST, "The request cannot be read.")
