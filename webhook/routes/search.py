"""Searching over HTTP. Stores and models are imported with the first search, not with this file."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from starlette.requests import Request

from semilayer_pipelines.errors import NotFound
from semilayer_pipelines.registry.api_key import PresentedKey
from webhook.service.problems import Code, Problem
from webhook.service.requests import SearchRequest, SimilarRequest, read_body
from webhook.service.responses import Chunk, Hit, SearchMeta, SearchResponse
from webhook.service.service import Service, json_body, lens_name

if TYPE_CHECKING:
    from semilayer_pipelines.queries.search import Hit as FoundHit

__all__ = ["search", "similar"]


async def search(service: Service, request: Request, key: PresentedKey) -> SearchResponse:
    """Answer with the rows nearest in meaning to a text."""
    name = lens_name(request)
    wanted = read_body(await json_body(service, request), SearchRequest)

    def find() -> list[FoundHit]:
        from semilayer_pipelines.queries.search import search

        return search(
            service.project, name, wanted.query, env=key.env, limit=wanted.limit, where=wanted.where
        )

    return await _found(service, name, find)


async def similar(service: Service, request: Request, key: PresentedKey) -> SearchResponse:
    """Answer with the rows nearest in meaning to another row."""
    name = lens_name(request)
    wanted = read_body(await json_body(service, request), SimilarRequest)

    def find() -> list[FoundHit]:
        from semilayer_pipelines.queries.search import similar

        try:
            return similar(
                service.project,
                name,
                wanted.id,
                env=key.env,
                limit=wanted.limit,
                where=wanted.where,
            )
        except NotFound as error:
            if error.lens is None:
                raise  # the lens itself
            raise Problem(Code.ROW_NOT_FOUND, error.message, error.cure) from None

    return await _found(service, name, find)


async def _found(service: Service, lens: str, find: Callable[[], list[FoundHit]]) -> SearchResponse:
    started = time.perf_counter()
    found = await service.in_search(find)
    return SearchResponse(
        results=[_hit(each) for each in found],
        meta=SearchMeta(
            lens=lens,
            count=len(found),
            duration_ms=round((time.perf_counter() - started) * 1000, 3),
        ),
    )


def _hit(found: FoundHit) -> Hit:
    chunk = Chunk(**asdict(found.chunk)) if found.chunk else None
    return Hit(id=found.id, score=found.score, fields=found.fields, chunk=chunk)
