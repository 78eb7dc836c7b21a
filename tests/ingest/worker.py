"""The work of a process that runs a lens's next job, to be killed."""

from __future__ import annotations

import os
import time
from pathlib import Path

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.errors import Refused, Transient
from semilayer_pipelines.ingest.open_lens import open_lens
from semilayer_pipelines.ingest.run_job import run_job
from semilayer_pipelines.registry.jobs import Mode
from tests.lab import ENV, Lab
from tests.processes import Ready


def work(ready: Ready, folder: Path, mode: Mode, shard: int | None = None) -> None:
    """Ask for a job of this mode and run it, slowly enough that there is time to be killed."""
    told = ("SEMILAYER_STORE", "SEMILAYER_REGISTRY_URL", "WEAVIATE_")
    lab = Lab.opened(folder, {n: v for n, v in os.environ.items() if n.startswith(told)})
    full = mode is Mode.FULL
    job = lifecycle.request_rebuild(lab.project, ENV, "items") if full else lab.request(mode)
    # What takes long to import is imported before the clock that kills starts.
    with open_lens(lab.project, lab.lens) as parts:
        parts.store.names()
    ready()
    try:
        run_job(lab.project, job.id, shard=shard, report=lambda _: time.sleep(0.005))
    except (Refused, Transient) as refused:
        print(refused, flush=True)
