"""One run of a job: who it is, the lease it holds, what it has done, and whether it may go on."""

from __future__ import annotations

from dataclasses import dataclass

from semilayer_pipelines.ingest.lease import Lease
from semilayer_pipelines.ingest.lens_watch import LensWatch
from semilayer_pipelines.ingest.progress import Progress
from semilayer_pipelines.registry.jobs import Mode

__all__ = ["Run"]


@dataclass(frozen=True)
class Run:
    """One run; made by `run_job`, handed to the mode.

    `run_id` is Dagster's, where Dagster runs it. `confirmed`: a person allowed the guard to be
    passed. `had_failed_rows`: rows of the lens were set aside when the run began.
    """

    job_id: str
    mode: Mode
    run_id: str | None
    confirmed: bool
    had_failed_rows: bool
    lease: Lease
    progress: Progress
    watch: LensWatch

    def paused(self) -> bool:
        """Say whether the lens is paused.

        Raises `Fenced` when the lease is lost, and `StartOver` when the lens was pushed.
        """
        self.lease.refuse_if_lost()
        return self.watch.paused()
