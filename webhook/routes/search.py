"""Searching over HTTP. Stores and models are imported with the first search, not with this file."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from starlette.requests import Request

from semilayer_pipelines.errors import NotFound
from semilayer_pipelines.http.contract import SearchMode
from semilayer_pipelines.registry.api_key import PresentedKey
from webhook.service.problems import Code, Problem
from webhook.service.requests import SearchRequest, SimilarRequest, read_body
from webhook.service.responses import Hit, SearchMeta, SearchResponse
from webhook.service.service import Service, json_body, lens_name

if TYPE_CHECKING:
    from semilayer_pipelines.queries.search import Found

__all__ = ["search", "similar"]


async def search(service: Service, request: Request, key: PresentedKey) -> SearchResponse:
    """Answer with the rows that a text finds."""
    name = lens_name(request)
    wanted = read_body(await json_body(service, request), SearchRequest)

    def look() -> Found:
        from semilayer_pipelines.queries.search import find

        return find(
            service.project,
            name,
            wanted.query,
            env=key.env,
            limit=wanted.limit,
            where=wanted.where,
            mode=wanted.mode,
            min_score=wanted.min_score,
        )

    return await _found(service, name, look)


async def similar(service: Service, request: Request, key: PresentedKey) -> SearchResponse:
    """Answer with the rows nearest in meaning to another row."""
    name = lens_name(request)
    wanted = read_body(await json_body(service, request), SimilarRequest)

    def look() -> Found:
        from semilayer_pipelines.queries.search import Found, similar

        try:
            hits = similar(
                service.project,
                name,
                wanted.id,
                env=key.env,
                limit=wanted.limit,
                where=wanted.where,
            )
            return Found(SearchMode.SEMANTIC, hits)
        except NotFound as error:
            if error.lens is None:
                raise  # the lens itself
            raise Problem(Code.ROW_NOT_FOUND, error.message, error.cure) from None

    return await _found(service, name, look)


async def _found(service: Service, lens: str, look: Callable[[], Found]) -> SearchResponse:
    started = time.perf_counter()
    found = await service.in_search(look)
    return SearchResponse(
        results=[Hit(**asdict(hit)) for hit in found.hits],
        meta=SearchMeta(
            lens=lens,
            mode=found.mode,
            count=len(found.hits),
            duration_ms=round((time.perf_counter() - started) * 1000, 3),
        ),
    )
