"""What the tests of the registry start from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.counts import Counts
from semilayer_pipelines.registry import environments, generations, jobs, lenses
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode
from semilayer_pipelines.registry.lenses import Lens, LensStatus, Needs

NOW = datetime(2025, 3, 4, 5, 6, 7, 891011, tzinfo=UTC)
COUNTS = Counts(read=10, written=7, failed=1)


def at(seconds: float) -> datetime:
    """Return the time so many seconds after `NOW`."""
    return NOW + timedelta(seconds=seconds)


def lens_config(**changes: Any) -> LensConfig:
    """Return a small configuration of a lens, with these keys changed."""
    fields = {"title": {"type": "text", "searchable": True}}
    return LensConfig.model_validate(
        {"source": "main", "table": "items", "fields": fields} | changes
    )


def make_lens(
    registry: Registry, name: str, *, env: str = "test", status: LensStatus = LensStatus.READY
) -> Lens:
    """Register a lens and give it a status."""
    with registry.begin() as db:
        env_id = environments.ensure(db, env, NOW).id
        lens = lenses.register(
            db, env_id, name, lens_config(), needs=Needs.NOTHING, origin="push", now=NOW
        )
        lenses.set_status(db, lens.id, status, now=NOW)
        return lenses.by_id(db, lens.id)


def queue(registry: Registry, lens: Lens, mode: Mode, job_id: str, **options: Any) -> Job:
    """Request a job in a transaction of its own; return the job."""
    return ask(registry, lens, mode, job_id, **options).job


def ask(registry: Registry, lens: Lens, mode: Mode, job_id: str, **options: Any) -> jobs.Requested:
    """Request a job in a transaction of its own; return the whole answer."""
    with registry.begin() as db:
        told: dict[str, Any] = {"origin": "test", "now": NOW} | options
        return jobs.request(db, lens, mode, job_id=job_id, **told)


def get(registry: Registry, job_id: str) -> Job:
    """Return a job as it is now."""
    with registry.read() as db:
        return jobs.get(db, job_id)


def end(registry: Registry, job_id: str, status: JobStatus, lease: str | None = "lease-1") -> bool:
    """End a job, with `COUNTS`, in a transaction of its own."""
    with registry.begin() as db:
        return jobs.finish(db, job_id, lease=lease, status=status, counts=COUNTS, now=at(30))


def start(registry: Registry, job_id: str, lease: str = "lease-1") -> Job | None:
    """Take a job in a transaction of its own."""
    with registry.begin() as db:
        return jobs.take(db, job_id, lease=lease, run_id=None, now=NOW)


def build(registry: Registry, lens: Lens, **changes: Any) -> Generation:
    """Open the next generation of a lens in a transaction of its own."""
    told: dict[str, Any] = {
        "index_name": lambda number: f"{lens.name}-g{number}",
        "mapping_fingerprint": "mapping-1",
        "model_fingerprint": "model-1",
        "bounds": (),
        "job_id": "full-1",
        "change_seq": 0,
        "source_rows": 100,
        "now": NOW,
    } | changes
    with registry.begin() as db:
        return generations.open_next(db, lens, **told)
