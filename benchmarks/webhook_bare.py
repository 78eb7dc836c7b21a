"""The floor of the webhook: an endpoint that parses the body and answers, on the same server.

`python -m benchmarks.webhook_bare PORT`.
"""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

__all__ = ["app"]


async def _ingest(request: Request) -> JSONResponse:
    changes = (await request.json())["changes"]
    return JSONResponse({"status": "queued", "changesBuffered": len(changes)}, 202)


async def _ready(request: Request) -> JSONResponse:
    return JSONResponse({"ready": True})


app = Starlette(
    routes=[
        Route("/v1/ingest/{lens}", _ingest, methods=["POST"]),
        Route("/readyz", _ready),
    ]
)

if __name__ == "__main__":
    port = int(sys.argv[1])
    uvicorn.run(app, port=port, log_level="warning", access_log=False, ws="none")
