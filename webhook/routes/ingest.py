"""`POST /v1/ingest/{lens}`: accepts changes, or a request for an ingest."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from semilayer_pipelines.control.accept import NUDGED, Call, KeyRefused
from semilayer_pipelines.http.contract import ReceiptStatus
from semilayer_pipelines.registry.api_key import PresentedKey
from webhook.service.ingest_body import read_ingest
from webhook.service.responses import IngestResponse
from webhook.service.service import Service, json_body, lens_name

__all__ = ["ingest"]


async def ingest(service: Service, request: Request, key: PresentedKey) -> Response:
    """Accept changes or a request for ingest; 202 once they are committed."""
    mode, changes = read_ingest(await json_body(service, request))
    try:
        accepted = await service.writer.accept(Call(key, lens_name(request), mode, changes))
    except KeyRefused:
        service.keys.forget(key)
        raise
    service.metrics.changes += len(changes)
    if accepted.job_id is not None and accepted.due_at is not None and mode in NUDGED:
        service.nudge.watch(accepted.job_id, accepted.due_at)
    status = ReceiptStatus.DEDUPLICATED if accepted.job_id is None else ReceiptStatus.QUEUED
    given = {} if accepted.buffered is None else {"changes_buffered": accepted.buffered}
    response = IngestResponse(job_id=accepted.job_id, status=status, **given)
    headers = {}
    if accepted.limit is not None:
        headers = {
            "x-ratelimit-limit": str(accepted.limit),
            "x-ratelimit-remaining": str(accepted.remaining),
        }
    body = response.model_dump_json(by_alias=True, exclude_unset=True)
    return Response(body, 202, headers=headers, media_type="application/json")
