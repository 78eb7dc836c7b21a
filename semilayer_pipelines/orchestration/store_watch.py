"""Once a minute: was the store started again? Then a job of each lens looks for what that hid.

A server that crashed may hold rows that no search finds. The next write of a lens mends that, and a
lens may have none for hours. So the small job is queued that does least: one that applies what
callers named, which mends first what there is to mend.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar
from uuid import uuid4

import dagster as dg
from sqlalchemy import Connection

from semilayer_pipelines.errors import NotFound, RegistryUnavailable
from semilayer_pipelines.orchestration.names import STORE_WATCH
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.failing import failing_of
from semilayer_pipelines.redaction import redact
from semilayer_pipelines.registry import generations, jobs, lenses
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import Lens, LensStatus

__all__ = ["AGAIN_AFTER", "ANSWER_SECONDS", "store_watch_sensor", "watch_stores"]

ANSWER_SECONDS = 10.0
"""How long a tick waits for all stores; one that takes longer is away, and is asked again."""

AGAIN_AFTER = timedelta(minutes=5)
"""A lens whose job for a restart did not mend it gets another one after this long."""

ORIGIN = "restart"

_LOOKED_BACK = 20  # jobs of a lens, among which the last one for a restart is looked for


def store_watch_sensor() -> dg.SensorDefinition:
    """Return the sensor; it queues jobs, and `due_jobs` launches them."""

    @dg.sensor(
        name=STORE_WATCH,
        description="Asks the stores whether they were started again, and queues the jobs that "
        "write again what a restart hid from searches.",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def store_watch(
        context: dg.SensorEvaluationContext, semilayer: dg.ResourceParam[Project]
    ) -> dg.SkipReason:
        try:
            return dg.SkipReason(watch_stores(semilayer))
        except RegistryUnavailable as error:
            return dg.SkipReason(str(error))

    return store_watch


def watch_stores(project: Project) -> str:
    """Queue what mends the restarts of stores; return what was queued and what was not, and why."""
    with project.registry.read() as db:
        watched = _watched(db)
    if not watched:
        return "No store tells of its restarts."
    # All are asked before any is waited for: several that hang must not outlast a tick.
    answers = {env: _Answer.of(project, env, of) for env, of in watched.items()}
    until = time.monotonic() + ANSWER_SECONDS
    for answer in answers.values():
        answer.wait(until)
    told = [part for env, answer in answers.items() for part in _told(project, env, answer)]
    return " ".join(told) or "No store was started again."


def _watched(db: Connection) -> dict[str, list[Generation]]:
    """Return the indexes in use under which a start of the store was seen, by environment."""
    found: dict[str, list[Generation]] = {}
    known = {lens.id: lens for lens in lenses.list_all(db)}
    for generation in generations.watched(db):
        if generation.lens_id in known:
            found.setdefault(known[generation.lens_id].env, []).append(generation)
    return found


def _told(project: Project, env: str, answer: _Answer) -> list[str]:
    """Queue what mends the restarts in an environment; return what was queued, and why not."""
    if answer.error is not None:
        return [f"{env}: {redact(str(answer.error))}"]
    if answer.restarted is None:
        return [f"{env}: the store has not answered within {ANSWER_SECONDS:.0f} s."]
    return [_queue(project, generation) for generation in answer.restarted]


class _Answer:
    """What a store says, asked in a thread: a tick must not wait for one that hangs.

    A store that was asked and has not answered is not asked a second time meanwhile.
    """

    _awaited: ClassVar[dict[tuple[str, str], _Answer]] = {}

    def __init__(self, project: Project, env: str, watched: Sequence[Generation]) -> None:
        self.restarted: list[Generation] | None = None
        self.error: Exception | None = None
        self._ask = (project, env, watched)
        self._of = (project.settings.registry_url, env)
        self._thread = threading.Thread(target=self._asked, name="store-watch", daemon=True)

    @classmethod
    def of(cls, project: Project, env: str, watched: Sequence[Generation]) -> _Answer:
        """Return the answer of an environment's store, which has not come yet."""
        answer = cls._awaited.pop((project.settings.registry_url, env), None)
        if answer is None:
            answer = cls(project, env, watched)
            answer._thread.start()
        return answer

    def wait(self, until: float) -> None:
        """Wait for the answer, on the steady clock; one that does not come is for the next tick."""
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive():
            self._awaited[self._of] = self

    def _asked(self) -> None:
        from semilayer_pipelines.queries.restarted import restarted

        try:
            self.restarted = restarted(*self._ask)
        except Exception as error:  # noqa: BLE001 - told by the tick, whatever it is
            self.error = error


def _queue(project: Project, generation: Generation) -> str:
    """Queue the job of one lens; say so, or why not."""
    now = project.clock()
    try:
        with project.registry.begin() as db:
            lens = lenses.by_id(db, generation.lens_id)
            name = f"{lens.env}/{lens.name}"
            why = _why_not(db, project, lens)
            if why is not None:
                return f"{name}: its store was started again; {why}."
            asked = jobs.request(db, lens, Mode.RECORDS, job_id=uuid4().hex, origin=ORIGIN, now=now)
    except NotFound:
        return "A lens was removed meanwhile."
    if asked.deduplicated:
        return f"{name}: its store was started again; the job that waits looks for what it hid."
    return f"{name}: its store was started again; a job looks for what it hid."


def _why_not(db: Connection, project: Project, lens: Lens) -> str | None:
    if lens.status is LensStatus.PAUSED:
        return "it is paused, and looked after when it goes on"
    failing = failing_of(db, lens)
    if failing is not None and failing.stopped:
        return f"it needs you: {lens.error}"
    if any(job.mode is Mode.RECORDS for job in jobs.running(db, lens.id)):
        return "a job of it is at work"
    last = next(
        (
            job
            for job in jobs.recent(db, lens_id=lens.id, limit=_LOOKED_BACK)
            if job.origin == ORIGIN
        ),
        None,
    )
    if last is not None and project.clock() - last.created_at < AGAIN_AFTER:
        return f"job {last.id[:8]} was queued for that already"
    return None
