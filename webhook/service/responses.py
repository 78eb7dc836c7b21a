"""Responses as models: bodies are written from them, and so is /openapi.json."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from semilayer_pipelines.http.contract import (
    HAS_VECTOR,
    INDEXED_AT,
    JobStatus,
    Mode,
    ReceiptStatus,
    SearchMode,
)
from semilayer_pipelines.queries.state import JobState, LensState
from semilayer_pipelines.registry.failed_rows import FailedRow
from semilayer_pipelines.registry.jobs import Job
from semilayer_pipelines.registry.lenses import LensStatus, Needs

__all__ = [
    "Chunk",
    "Error",
    "FailedResponse",
    "Health",
    "Hit",
    "IngestResponse",
    "JobResponse",
    "LensResponse",
    "LensesResponse",
    "Readiness",
    "SearchResponse",
]


class _Response(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class ErrorBody(_Response):
    """What went wrong, and what to do about it."""

    code: str
    message: str
    cure: str = ""


class Error(_Response):
    """The body of every call that ends badly."""

    error: ErrorBody


class IngestResponse(_Response):
    """An accepted call; what it holds is safe."""

    job_id: Annotated[
        str | None, Field(description="`null` when a job that is there already takes care of it.")
    ]
    status: ReceiptStatus
    changes_buffered: Annotated[
        int | None, Field(description="The buffer's size after this call; mode `records` only.")
    ] = None


class FailedRowEntry(_Response):
    """A row that was set aside."""

    id: str
    stage: str
    reason: str
    attempts: int
    first_at: datetime
    last_at: datetime
    job_id: str
    has_vector: Annotated[
        bool | None,
        Field(
            alias=HAS_VECTOR,
            description="Whether a search still finds what the row was before; `null` where the "
            "index was not asked.",
        ),
    ] = None
    indexed_at: Annotated[
        datetime | None, Field(alias=INDEXED_AT, description="When that was indexed.")
    ] = None

    @classmethod
    def of(cls, row: FailedRow, old: Mapping[str, datetime] | None = None) -> FailedRowEntry:
        """Return it as it is sent; `old` says when the rows that have a vector were indexed."""
        return cls(
            id=row.key,
            stage=row.stage,
            reason=row.reason,
            attempts=row.attempts,
            first_at=row.first_at,
            last_at=row.last_at,
            job_id=row.job_id,
            has_vector=None if old is None else row.key in old,
            indexed_at=None if old is None else old.get(row.key),
        )


class FailedResponse(_Response):
    """Rows that were set aside, those that failed last first."""

    total: int
    failed: list[FailedRowEntry]


class JobResponse(_Response):
    """A job, what it did so far, and the rows that it set aside last."""

    id: str
    lens: str
    mode: Mode
    status: JobStatus
    origin: str
    attempt: int
    counts: dict[str, int]
    error: str | None
    cure: str | None
    run_id: str | None
    created_at: datetime
    due_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    failed: list[FailedRowEntry]

    @classmethod
    def of(cls, state: JobState) -> JobResponse:
        """Return it as it is sent."""
        job = state.job
        return cls(
            id=job.id,
            lens=job.lens,
            mode=job.mode,
            status=job.status,
            origin=job.origin,
            attempt=job.attempt,
            counts=state.counts.as_dict(),
            error=job.error,
            cure=job.cure,
            run_id=job.run_id,
            created_at=job.created_at,
            due_at=job.due_at,
            started_at=job.started_at,
            ended_at=job.ended_at,
            failed=[FailedRowEntry.of(row) for row in state.failed],
        )


class JobSummary(_Response):
    """A job, in short."""

    id: str
    mode: Mode
    status: JobStatus
    counts: dict[str, int]

    @classmethod
    def of(cls, job: Job) -> JobSummary:
        """Return it as it is sent."""
        return cls(id=job.id, mode=job.mode, status=job.status, counts=job.counts.as_dict())


class GenerationSummary(_Response):
    """The index that searches are answered from."""

    number: int
    published_at: datetime | None
    source_rows: int | None


class CursorSummary(_Response):
    """Up to where incremental ingest has come."""

    cursor: str | None
    high_water: str | None
    updated_at: datetime


class LensResponse(_Response):
    """A lens and what goes on about it."""

    name: str
    status: LensStatus
    needs: Annotated[Needs, Field(description="What would bring the index in sync.")]
    error: str | None
    cure: str | None
    failing_since: Annotated[datetime | None, Field(description="The first failure in a row.")]
    needs_you: Annotated[bool, Field(description="A person should act; `cure` says how.")]
    tried_again_at: Annotated[
        datetime | None, Field(description="When what failed is tried again by itself.")
    ]
    buffered: Annotated[int, Field(description="Changes that are not applied yet.")]
    awaited: Annotated[
        int,
        Field(description="Of these, changes whose rows were not found and are looked for again."),
    ]
    lag_seconds: Annotated[float, Field(description="Age of the oldest buffered change.")]
    failed: Annotated[int, Field(description="Rows that are set aside.")]
    textless: Annotated[
        int, Field(description="Rows without a text at the last look at all: left out.")
    ]
    generation: GenerationSummary | None
    cursor: CursorSummary | None
    running: list[JobSummary]
    last_job: JobSummary | None
    sync_interval: str | None
    smart_sync_interval: str | None
    guard: float
    origin: Annotated[str, Field(description="Who configured it last: `cli` or `api`.")]
    pushed_at: datetime
    changed_at: datetime

    @classmethod
    def of(cls, state: LensState) -> LensResponse:
        """Return it as it is sent."""
        lens, active, cursor = state.lens, state.active, state.cursor
        failing = state.failing
        return cls(
            name=lens.name,
            status=lens.status,
            needs=lens.needs,
            error=lens.error,
            cure=lens.cure,
            failing_since=failing.since if failing else None,
            needs_you=failing is not None and failing.needs_you,
            tried_again_at=failing.next_try if failing else None,
            buffered=state.buffered,
            awaited=state.awaited,
            lag_seconds=state.lag_seconds,
            failed=state.failed,
            textless=state.textless,
            generation=active
            and GenerationSummary(
                number=active.number,
                published_at=active.published_at,
                source_rows=active.source_rows,
            ),
            cursor=cursor
            and CursorSummary(
                cursor=cursor.cursor, high_water=cursor.high_water, updated_at=cursor.updated_at
            ),
            running=[JobSummary.of(job) for job in state.running],
            last_job=state.last and JobSummary.of(state.last),
            sync_interval=lens.config.sync_interval,
            smart_sync_interval=lens.config.smart_sync_interval,
            guard=lens.config.guard,
            origin=lens.origin,
            pushed_at=lens.pushed_at,
            changed_at=lens.changed_at,
        )


class LensesResponse(_Response):
    """Every lens of the key's environment."""

    lenses: list[LensResponse]


class Chunk(_Response):
    """The part of a long row that was found."""

    text: str
    field: Annotated[str, Field(description="The field that was cut.")]
    start: Annotated[int, Field(description="Its first character in that field.")]
    end: Annotated[int, Field(description="The first character behind it.")]
    score: Annotated[float, Field(description="Cosine similarity.")]


class Hit(_Response):
    """A row that was found."""

    id: Annotated[str, Field(description="Its key in the source.")]
    score: Annotated[
        float,
        Field(
            description="In mode `semantic` the cosine similarity, in `keyword` BM25's score, in "
            "`hybrid` the fused rank: 1 for a row that is the first of every list."
        ),
    ]
    fields: dict[str, Any]
    similarity: Annotated[
        float | None, Field(description="Cosine similarity; `null` if not found by meaning.")
    ] = None
    bm25: Annotated[
        float | None, Field(description="BM25's score; `null` if not found by words.")
    ] = None
    chunk: Annotated[
        Chunk | None, Field(description="The part of a long text that was found by its meaning.")
    ] = None


class SearchMeta(_Response):
    """What was searched, and how long it took."""

    lens: str
    mode: SearchMode
    count: int
    duration_ms: float


class SearchResponse(_Response):
    """Rows that were found, the best first."""

    results: list[Hit]
    meta: SearchMeta


class Health(_Response):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(_Response):
    """Whether calls can be accepted, and which part is not ready if they cannot."""

    ready: bool
    parts: Annotated[
        dict[str, str],
        Field(
            description="`ready`, or what is wrong with it. `jobs` tells whether anything works on "
            "what was accepted; calls can be accepted without."
        ),
    ]
