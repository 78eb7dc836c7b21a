"""The HTTP side: routes, the key, and errors in one shape.

The event loop only reads, queues and writes; the model has a thread of its own. Nothing is kept
between requests.
"""

from __future__ import annotations

import asyncio
import hmac
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from semilayer_pipelines.embedder_service.metrics import Metrics
from semilayer_pipelines.embedder_service.model import Opened
from semilayer_pipelines.embedder_service.pending import PendingRequest
from semilayer_pipelines.embedder_service.problems import (
    MIB,
    Problem,
    bad_request,
    busy,
    from_error,
    hung_up,
    no_such_model,
    unauthorised,
)
from semilayer_pipelines.embedder_service.queue import Full, Limits, TextQueue
from semilayer_pipelines.embedder_service.requests import read_request
from semilayer_pipelines.embedder_service.rerank import RerankQueue, read_rerank, write_scores
from semilayer_pipelines.embedder_service.responses import write_embeddings, write_models
from semilayer_pipelines.embedder_service.service import Service
from semilayer_pipelines.embedder_service.worker import Worker
from semilayer_pipelines.embedders.protocol import Embedded
from semilayer_pipelines.http.bodies import Bodies, BodyLimits
from semilayer_pipelines.http.metrics import exposition
from semilayer_pipelines.http.problems import Endpoint, guarded, routing_response

__all__ = ["BODY_LIMITS", "build_app"]

# Bodies that are being read; texts that were read are bounded by the queue's `Limits`.
BODY_LIMITS = BodyLimits(one=8 * MIB, all=64 * MIB)

_LONGEST_RETRY_AFTER_S = 30
_WRITTEN_AT_ONCE = 64  # vectors; more are written on a thread, so that others are not kept waiting

Handler = Callable[[Service, Request], Awaitable[Response]]


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
    metrics, queue = Metrics(), TextQueue(limits or Limits())
    service = Service(
        queue,
        Worker(queue, open_model, metrics, ended=ended),
        Bodies(body_limits),
        metrics,
        key,
        started=int(time.time()),
        reranking=RerankQueue(),
    )
    scores = _keyed(service, _rerank, "POST /v1/rerank")
    vectors = _keyed(service, _embeddings, "POST /v1/embeddings")
    return Starlette(
        routes=[
            Route("/v1/embeddings", _counted(service, vectors), methods=["POST"]),
            Route("/v1/rerank", _counted(service, scores), methods=["POST"]),
            Route("/v1/models", _keyed(service, _models, "GET /v1/models")),
            Route("/v1/reading", _keyed(service, _reading, "GET /v1/reading")),
            Route("/healthz", partial(_health, service)),
            Route("/metrics", partial(_numbers, service)),
        ],
        exception_handlers={HTTPException: _routing_refused},
        lifespan=partial(_lifespan, service),
    )


@asynccontextmanager
async def _lifespan(service: Service, app: Starlette) -> AsyncIterator[None]:
    service.worker.start()
    try:
        yield
    finally:
        await asyncio.to_thread(service.worker.stop)
        await asyncio.to_thread(service.reranking.close)


def _keyed(service: Service, handler: Handler, name: str) -> Endpoint:
    """Return the endpoint of an address that needs the key, if there is one."""

    async def endpoint(request: Request) -> Response:
        if service.key is not None and not _has_key(request, service.key):
            raise unauthorised()
        return await handler(service, request)

    return guarded(endpoint, from_error, name=name)


def _counted(service: Service, endpoint: Endpoint) -> Endpoint:
    async def counted(request: Request) -> Response:
        started = time.perf_counter()
        response = await endpoint(request)
        service.metrics.request(response.status_code, time.perf_counter() - started)
        return response

    return counted


async def _embeddings(service: Service, request: Request) -> Response:
    model = service.model()
    wanted = read_request(await service.bodies.read(request), model)
    pending = PendingRequest(wanted.texts, wanted.prompt)
    try:
        with service.queue.admitted(pending):
            done = await _embedded(pending, request)
            if len(wanted.texts) > _WRITTEN_AT_ONCE:
                body = await asyncio.to_thread(write_embeddings, wanted, done, model)
            else:
                body = write_embeddings(wanted, done, model)
    except Full as full:
        seconds = math.ceil(service.worker.seconds_for(full.pending))
        raise busy(
            f"{full.pending} characters wait for the model already.",
            max(1, min(seconds, _LONGEST_RETRY_AFTER_S)),
        ) from None
    return Response(body, media_type="application/json")


async def _rerank(service: Service, request: Request) -> Response:
    service.model()  # the two are loaded together
    model = service.worker.reranker
    asked = read_rerank(await service.bodies.read(request), model)
    assert model is not None
    scores = await service.reranking.scores(model, asked)
    return Response(write_scores(scores.tolist(), model.name), media_type="application/json")


async def _models(service: Service, request: Request) -> Response:
    body = write_models(service.model(), service.worker.reranker, service.started)
    return Response(body, media_type="application/json")


async def _reading(service: Service, request: Request) -> Response:
    model = service.model()
    wanted = request.query_params.get("model")
    if wanted is None:
        raise bad_request("'model' is missing in the query.", param="model")
    if not model.answers_to(wanted):
        raise no_such_model(wanted[:200], model.name)
    if model.reading is None:
        raise no_such_model(wanted[:200], "no model whose reading is known")
    return Response(model.reading, media_type="application/json")


async def _health(service: Service, request: Request) -> Response:
    if service.worker.model is None:
        return JSONResponse({"status": "loading"}, status_code=503)
    return JSONResponse({"status": "ready"})


async def _numbers(service: Service, request: Request) -> Response:
    return exposition(lambda: service.metrics.collected(service.worker.model, service.queue))


async def _embedded(pending: PendingRequest, request: Request) -> Embedded:
    """Wait for the vectors; raise when the model fails or the caller hangs up."""
    done = asyncio.wrap_future(pending.done)
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


async def _routing_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    problem = Problem(
        error.status_code,
        f"{error.detail}: {request.method} {request.url.path}",
        kind="invalid_request_error",
        code="unknown_url" if error.status_code == 404 else "method_not_allowed",
    )
    return routing_response(error, problem)
