"""How both services are served: the settings of their uvicorn servers."""

from __future__ import annotations

import uvicorn
from starlette.applications import Starlette

from semilayer_pipelines.http.heads import BoundedHeads

__all__ = ["server_config"]

_KEEP_ALIVE_S = 75
"""Longer than callers keep an idle connection: they close it, and never write into a closed one."""


def server_config(
    app: Starlette | str, *, grace_s: int, factory: bool = False, workers: int | None = None
) -> uvicorn.Config:
    """Return the settings; `grace_s` is how long calls may take to end once the server is told to.

    With `factory`, `app` names the function that every worker calls for its application.
    """
    return uvicorn.Config(
        app,
        factory=factory,
        workers=workers,
        log_level="warning",
        # An address may hold anything, also a key that somebody put there by mistake.
        access_log=False,
        server_header=False,
        # There is no address for them, and their library takes its time to import.
        ws="none",
        http=BoundedHeads,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=grace_s,
    )
