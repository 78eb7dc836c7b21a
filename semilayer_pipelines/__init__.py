"""Keeps a vector index in sync with SQL tables: the names for a person's own program.

    from semilayer_pipelines import Project, search, sync

    shop = Project.at("shop")
    sync(shop, "products")
    search(shop, "products", "a warm coat")

A name is imported when it is first used, so that a program waits for nothing that it does not use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semilayer_pipelines.client import AsyncIngestClient, IngestClient
    from semilayer_pipelines.control.push_config import push_config
    from semilayer_pipelines.control.sync import request_job, sync
    from semilayer_pipelines.errors import SemilayerError
    from semilayer_pipelines.ingest.run_job import Outcome, run_job
    from semilayer_pipelines.orchestration.build_definitions import build_definitions
    from semilayer_pipelines.orchestration.component import SemilayerLenses
    from semilayer_pipelines.project import Project
    from semilayer_pipelines.queries.search import Hit, search, similar
    from semilayer_pipelines.queries.state import LensState, read_lens
    from semilayer_pipelines.registry.jobs import Mode

__all__ = [
    "AsyncIngestClient",
    "Hit",
    "IngestClient",
    "LensState",
    "Mode",
    "Outcome",
    "Project",
    "SemilayerError",
    "SemilayerLenses",
    "build_definitions",
    "push_config",
    "read_lens",
    "request_job",
    "run_job",
    "search",
    "similar",
    "sync",
]

__version__ = "0.2.0"

_MODULES = {
    "AsyncIngestClient": "client",
    "Hit": "queries.search",
    "IngestClient": "client",
    "LensState": "queries.state",
    "Mode": "registry.jobs",
    "Outcome": "ingest.run_job",
    "Project": "project",
    "SemilayerError": "errors",
    "SemilayerLenses": "orchestration.component",
    "build_definitions": "orchestration.build_definitions",
    "push_config": "control.push_config",
    "read_lens": "queries.state",
    "request_job": "control.sync",
    "run_job": "ingest.run_job",
    "search": "queries.search",
    "similar": "queries.search",
    "sync": "control.sync",
}

# Hidden from type checkers, which would take any name for one of this package.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
