"""The HTTP side: routes, the key, and errors in one shape.

The event loop only reads, queues and writes; the model has a thread of its own. Nothing is kept
between requests.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from semilayer_pipelines.embedder_service.metrics import Metrics
from semilayer_pipelines.embedder_service.model import Opened, ServedModel
from semilayer_pipelines.embedder_service.pending import PendingRequest
from semilayer_pipelines.embedder_service.problems import (
    MIB,
    Problem,
    busy,
    from_error,
    hung_up,
    not_ready,
    unauthorised,
)
from semilayer_pipelines.embedder_service.queue import Full, Limits, TextQueue
from semilayer_pipelines.embedder_service.requests import read_request
from semilayer_pipelines.embedder_service.responses import write_embeddings, write_models
from semilayer_pipelines.embedder_service.worker import Worker
from semilayer_pipelines.embedders.protocol import Embedded
from semilayer_pipelines.errors import SemilayerError
from semilayer_pipelines.http.bodies import Bodies, BodyLimits, BodyRefused
from semilayer_pipelines.http.metrics import exposition

__all__ = ["BODY_LIMITS", "build_app"]

logger = logging.getLogger(__name__)

# Texts that were read and wait for the model are counted elsewhere (`waiting`).
BODY_LIMITS = BodyLimits(one=8 * MIB, all=64 * MIB)

_LONGEST_RETRY_AFTER_S = 30
_WRITTEN_AT_ONCE = 64  # vectors; more are written on a thread, so that others are not kept waiting

Handler = Callable[[Request], Awaitable[Response]]


def build_app(
    open_model: Callable[[], Opened],
    *,
    key: str | None = None,
    ended: Callable[[Exception], object] = lambda error: None,
    limits: Limits | None = None,
    body_limits: BodyLimits = BODY_LIMITS,
) -> Starlette:
    """Return the application; the model begins to load when the server starts it.

    With a `key`, `/v1/` needs it as a bearer token. `ended` is called, on another thread, with the
    error that keeps the model from loading; the application answers 503 from then on.
    """
    metrics = Metrics()
    waiting = TextQueue(limits or Limits())
    worker = Worker(waiting, open_model, metrics, ended=ended)
    bodies = Bodies(body_limits)
    started = int(time.time())

    def ready() -> ServedModel:
        if worker.model is None:
            raise not_ready("The model is loading.")
        return worker.model

    async def embeddings(request: Request) -> Response:
        model = ready()
        question = read_request(await bodies.read(request), model)
        asked = PendingRequest(question.texts)
        try:
            with waiting.admitted(asked):
                done = await _answered(asked, request)
                if len(question.texts) > _WRITTEN_AT_ONCE:
                    body = await asyncio.to_thread(write_embeddings, question, done, model)
                else:
                    body = write_embeddings(question, done, model)
        except Full as full:
            seconds = math.ceil(worker.seconds_for(full.waiting))
            raise busy(
                f"{full.waiting} characters wait for the model already.",
                max(1, min(seconds, _LONGEST_RETRY_AFTER_S)),
            ) from None
        return Response(body, media_type="application/json")

    async def counted(request: Request) -> Response:
        before = time.perf_counter()
        response = await guarded(embeddings)(request)
        metrics.request(response.status_code, time.perf_counter() - before)
        return response

    async def models(request: Request) -> Response:
        return Response(write_models(ready(), started), media_type="application/json")

    async def health(request: Request) -> Response:
        if worker.model is None:
            return JSONResponse({"status": "loading"}, status_code=503)
        return JSONResponse({"status": "ready"})

    async def numbers(request: Request) -> Response:
        return exposition(lambda: metrics.collected(worker.model, waiting))

    def guarded(handler: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            try:
                if key is not None and not _has_key(request, key):
                    raise unauthorised()
                return await handler(request)
            except (Problem, BodyRefused, SemilayerError) as error:
                return _as_response(from_error(error))
            # A driver's error or a bug: an answer in the usual shape, and the story in the log.
            except Exception as error:
                logger.exception("a request failed")
                return _as_response(from_error(error))

        return handle

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        worker.start()
        try:
            yield
        finally:
            await asyncio.to_thread(worker.stop)

    return Starlette(
        routes=[
            Route("/v1/embeddings", counted, methods=["POST"]),
            Route("/v1/models", guarded(models)),
            Route("/healthz", health),
            Route("/metrics", numbers),
        ],
        exception_handlers={HTTPException: _http_exception},
        lifespan=lifespan,
    )


async def _answered(asked: PendingRequest, request: Request) -> Embedded:
    """Wait for the vectors; raise when the model fails or the caller hangs up."""
    done = asyncio.wrap_future(asked.done)
    gone = asyncio.ensure_future(_hung_up(request))
    try:
        either: set[asyncio.Future[Any]] = {done, gone}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if done.done():
            return done.result()
        raise hung_up()
    finally:
        gone.cancel()
        done.cancel()


async def _hung_up(request: Request) -> None:
    # The body was read, so that the next message, whenever it comes, is the end of the connection.
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _has_key(request: Request, key: str) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    # In bytes: comparing texts refuses characters outside ASCII with an exception.
    same = hmac.compare_digest(given.strip().encode("latin-1"), key.encode())
    return scheme.lower() == "bearer" and same


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    problem = Problem(
        error.status_code,
        f"{error.detail}: {request.method} {request.url.path}",
        kind="invalid_request_error",
        code="unknown_url" if error.status_code == 404 else "method_not_allowed",
    )
    response = _as_response(problem)
    response.headers.update(error.headers or {})
    return response


def _as_response(problem: Problem) -> Response:
    return Response(
        problem.body(), problem.status, headers=problem.headers, media_type="application/json"
    )
