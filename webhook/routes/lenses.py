"""Lenses: how they stand, what failed, and what a person may do to them."""

from __future__ import annotations

from starlette.requests import Request

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.control.patch import change_lens
from semilayer_pipelines.http.contract import ReceiptStatus
from semilayer_pipelines.queries.state import lens_state
from semilayer_pipelines.registry import failed_rows, lenses
from semilayer_pipelines.registry.api_key import PresentedKey
from webhook.service.requests import EmptyRequest, FailedQuery, read_body, read_patch, read_query
from webhook.service.responses import (
    FailedResponse,
    FailedRowEntry,
    IngestResponse,
    LensesResponse,
    LensResponse,
)
from webhook.service.service import Service, json_body, lens_name

__all__ = ["all_lenses", "change", "failed", "lens", "pause", "resume", "sync"]

_ORIGIN = "api"


async def all_lenses(service: Service, request: Request, key: PresentedKey) -> LensesResponse:
    """Answer with every lens of the environment, by name."""

    def read() -> LensesResponse:
        now = service.project.clock()
        with service.project.registry.read() as db:
            known = lenses.list_all(db, key.env)
            listed = [LensResponse.of(lens_state(db, one, now)) for one in known]
        return LensesResponse(lenses=listed)

    return await service.in_thread(read)


async def lens(service: Service, request: Request, key: PresentedKey) -> LensResponse:
    """Answer with one lens."""
    name = lens_name(request)
    return await service.in_thread(lambda: _state(service, key.env, name))


async def failed(service: Service, request: Request, key: PresentedKey) -> FailedResponse:
    """Answer with the rows of a lens that are set aside."""
    name = lens_name(request)
    query = read_query(request.query_params, FailedQuery)

    def read() -> FailedResponse:
        with service.project.registry.read() as db:
            lens = lenses.get(db, key.env, name)
            rows = failed_rows.list_all(db, lens.id, query.limit)
            total = failed_rows.count(db, lens.id)
        if not rows:
            return FailedResponse(total=total, failed=[])
        # Loads a store, which the webhook must not need when it starts.
        from semilayer_pipelines.queries.old_vectors import old_vectors

        old = old_vectors(service.project, lens, rows)
        return FailedResponse(total=total, failed=[FailedRowEntry.of(row, old) for row in rows])

    # In the pool for slow work: the index is asked.
    return await service.in_search(read)


async def pause(service: Service, request: Request, key: PresentedKey) -> LensResponse:
    """Pause a lens: it goes on accepting calls and holds their jobs."""
    name = await _only_lens(service, request)

    def do() -> LensResponse:
        lifecycle.pause(service.project, key.env, name)
        return _state(service, key.env, name)

    return await service.in_thread(do)


async def resume(service: Service, request: Request, key: PresentedKey) -> LensResponse:
    """Let a lens go on; what it has to catch up with is its last job."""
    name = await _only_lens(service, request)

    def do() -> LensResponse:
        lifecycle.resume(service.project, key.env, name)
        return _state(service, key.env, name)

    return await service.in_thread(do)


async def sync(service: Service, request: Request, key: PresentedKey) -> IngestResponse:
    """Ask for a smart sync, or for the one that is queued already."""
    name = await _only_lens(service, request)

    def do() -> IngestResponse:
        job = lifecycle.request_sync(service.project, key.env, name, origin=_ORIGIN)
        return IngestResponse(job_id=job.id, status=ReceiptStatus.QUEUED)

    return await service.in_thread(do)


async def change(service: Service, request: Request, key: PresentedKey) -> LensResponse:
    """Change a lens's cadence, guard or fields."""
    name = lens_name(request)
    changes = read_patch(await json_body(service, request))

    def do() -> LensResponse:
        change_lens(service.project, key.env, name, changes, origin=_ORIGIN)
        return _state(service, key.env, name)

    # In the pool for slow work: a change of fields is checked against the source.
    return await service.in_search(do)


async def _only_lens(service: Service, request: Request) -> str:
    """Return the lens of a call that has nothing else to say."""
    body = await service.bodies.read(request)
    if body.strip():
        read_body(body, EmptyRequest)
    return lens_name(request)


def _state(service: Service, env: str, name: str) -> LensResponse:
    now = service.project.clock()
    with service.project.registry.read() as db:
        return LensResponse.of(lens_state(db, lenses.get(db, env, name), now))
