"""The service about itself, without a key: alive, ready, what it did. No lens is named here."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from semilayer_pipelines.errors import SemilayerError
from semilayer_pipelines.http.metrics import exposition
from semilayer_pipelines.queries.daemon import Daemon, daemon_of
from semilayer_pipelines.registry import feeds
from semilayer_pipelines.registry.store_watch import lost_to_search
from webhook.service.metrics import FromRegistry
from webhook.service.responses import Health, Readiness
from webhook.service.service import Service

__all__ = ["health", "numbers", "ready"]

_READY = "ready"


async def health(service: Service, request: Request) -> Health:
    """Answer that the process answers."""
    return Health()


async def ready(service: Service, request: Request) -> Response:
    """Answer whether calls can be accepted: 200, or 503 with the part that is not ready.

    `jobs` tells whether anything works on what was accepted. Calls can be accepted without.
    """

    def registry() -> Daemon | str:
        try:
            with service.project.registry.read() as db:
                return daemon_of(db, service.project.clock())
        except SemilayerError as error:
            # Its message names the registry's host, which is nobody's business without a key.
            return f"{type(error).__name__}: it does not answer"

    found = await service.in_thread(registry)
    parts = {
        "registry": found if isinstance(found, str) else _READY,
        "writer": _READY if service.writer.alive else "it has ended",
        "service": "it is stopping" if service.stopping.is_set() else _READY,
    }
    ready = set(parts.values()) == {_READY}
    if isinstance(found, Daemon):
        parts["jobs"] = found.told or _READY
    readiness = Readiness(ready=ready, parts=parts)
    status = 200 if readiness.ready else 503
    return Response(readiness.model_dump_json(by_alias=True), status, media_type="application/json")


async def numbers(service: Service, request: Request) -> Response:
    """Answer with the numbers for Prometheus."""
    told = await service.in_thread(lambda: _from_registry(service))
    return exposition(lambda: service.metrics.collected(service.writer, told))


def _from_registry(service: Service) -> FromRegistry | None:
    try:
        with service.project.registry.read() as db:
            now = service.project.clock()
            return FromRegistry(lost_to_search(db), daemon_of(db, now), feeds.list_all(db), now)
    except SemilayerError:
        return None  # `/readyz` says so
