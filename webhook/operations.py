"""Every address of the service: who may call it, what it takes, what it returns.

The application's routes and /openapi.json are made from this table, so they cannot differ.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from semilayer_pipelines.http.contract import INGEST_PATH, JOB_PATH
from semilayer_pipelines.registry.api_key import KeyKind, PresentedKey
from webhook.routes import about, ingest, jobs, lenses, search
from webhook.service.problems import Code
from webhook.service.requests import (
    EmptyRequest,
    FailedQuery,
    IngestRequest,
    JobQuery,
    LensPatch,
    SearchRequest,
    SimilarRequest,
)
from webhook.service.responses import (
    FailedResponse,
    Health,
    IngestResponse,
    JobResponse,
    LensesResponse,
    LensResponse,
    Readiness,
    SearchResponse,
)
from webhook.service.service import Service

__all__ = ["KEYED", "OPEN", "Keyed", "Open"]

KeyedHandler = Callable[[Service, Request, PresentedKey], Awaitable[BaseModel | Response]]
OpenHandler = Callable[[Service, Request], Awaitable[BaseModel | Response]]

_BODY = (Code.BAD_REQUEST, Code.TIMEOUT, Code.BODY_TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE)
_SEARCH = (*_BODY, Code.LENS_NOT_FOUND, Code.REFUSED, Code.FAILED)


@dataclass(frozen=True)
class Open:
    """An address that needs no key."""

    path: str
    handle: OpenHandler
    summary: str
    response: type[BaseModel] | None
    codes: tuple[Code, ...] = ()
    method: str = "GET"
    status: int = 200


@dataclass(frozen=True)
class Keyed:
    """An address under `/v1`, for keys of some kinds.

    `codes` are its own problems; those that every such call may meet are added. `checked_again`:
    the call's own transaction looks the key up, so a known key need not be looked up before.
    """

    method: str
    path: str
    handle: KeyedHandler
    summary: str
    response: type[BaseModel]
    codes: tuple[Code, ...]
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    status: int = 200
    kinds: tuple[KeyKind, ...] = (KeyKind.SERVICE,)
    checked_again: bool = False


KEYED = (
    Keyed(
        "POST",
        INGEST_PATH,
        ingest.ingest,
        "Hand in changes, or ask for an ingest",
        IngestResponse,
        (
            *_BODY,
            Code.TOO_MANY_CHANGES,
            Code.INVALID_ACTION,
            Code.LENS_NOT_FOUND,
            Code.REFUSED,
            Code.RATE_LIMITED,
        ),
        body=IngestRequest,
        status=202,
        kinds=(KeyKind.INGEST, KeyKind.SERVICE),
        checked_again=True,
    ),
    Keyed(
        "GET",
        JOB_PATH,
        jobs.job,
        "How a job stands, now or when it has ended",
        JobResponse,
        (Code.BAD_REQUEST, Code.JOB_NOT_FOUND),
        query=JobQuery,
    ),
    Keyed(
        "GET", "/v1/lenses", lenses.all_lenses, "Every lens of the environment", LensesResponse, ()
    ),
    Keyed(
        "GET",
        "/v1/lenses/{lens}",
        lenses.lens,
        "How a lens stands",
        LensResponse,
        (Code.LENS_NOT_FOUND,),
    ),
    Keyed(
        "PATCH",
        "/v1/lenses/{lens}",
        lenses.change,
        "Change a lens's cadence, guard or fields",
        LensResponse,
        (*_BODY, Code.LENS_NOT_FOUND, Code.FAILED),
        body=LensPatch,
    ),
    Keyed(
        "POST",
        "/v1/lenses/{lens}/pause",
        lenses.pause,
        "Stop ingest after the page it is at; calls are still accepted",
        LensResponse,
        (*_BODY, Code.LENS_NOT_FOUND),
        body=EmptyRequest,
    ),
    Keyed(
        "POST",
        "/v1/lenses/{lens}/resume",
        lenses.resume,
        "Let ingest go on, or try again what failed",
        LensResponse,
        (*_BODY, Code.LENS_NOT_FOUND),
        body=EmptyRequest,
    ),
    Keyed(
        "POST",
        "/v1/lenses/{lens}/sync",
        lenses.sync,
        "Compare every row with the index and bring it in sync",
        IngestResponse,
        (*_BODY, Code.LENS_NOT_FOUND, Code.REFUSED),
        body=EmptyRequest,
        status=202,
    ),
    Keyed(
        "GET",
        "/v1/failed/{lens}",
        lenses.failed,
        "Rows that were set aside, with their reasons",
        FailedResponse,
        (Code.BAD_REQUEST, Code.LENS_NOT_FOUND),
        query=FailedQuery,
    ),
    Keyed(
        "POST",
        "/v1/search/{lens}",
        search.search,
        "The rows that answer a text, by meaning, by words or by both",
        SearchResponse,
        _SEARCH,
        body=SearchRequest,
        kinds=(KeyKind.SEARCH, KeyKind.SERVICE),
    ),
    Keyed(
        "POST",
        "/v1/similar/{lens}",
        search.similar,
        "The rows nearest in meaning to another row",
        SearchResponse,
        (*_SEARCH, Code.ROW_NOT_FOUND),
        body=SimilarRequest,
        kinds=(KeyKind.SEARCH, KeyKind.SERVICE),
    ),
)

OPEN = (
    Open("/healthz", about.health, "The process answers", Health),
    Open("/readyz", about.ready, "Calls can be accepted; 503 says which part is not", Readiness),
    Open("/metrics", about.numbers, "Numbers for Prometheus", None),
)
