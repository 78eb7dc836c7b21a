"""The service's responses, read with suspicion: only a receipt counts as one.

A proxy's friendly `200 OK` page must never pass for an acknowledgement.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.http.contract import TERMINAL_STATUSES, JobStatus, ReceiptStatus

__all__ = [
    "JobState",
    "Receipt",
    "Response",
    "Unreadable",
    "read_error",
    "read_job",
    "read_receipt",
]

_SHOWN_CHARACTERS = 300


class Unreadable(ValueError):
    """The response is none of this service's; the message says what it is instead."""


@dataclass(frozen=True)
class Response:
    """An HTTP response; `retry_after` is the header of that name."""

    status: int
    content: bytes
    retry_after: str | None = None


@dataclass(frozen=True)
class Receipt:
    """An accepted call: what it holds is safe with the service, though not indexed yet.

    `job_id` is `None` when a job that is queued already takes care of it. `changes_buffered`: how
    many changes the service holds for the lens, this call's included; `None` for other modes.
    """

    job_id: str | None
    status: ReceiptStatus
    changes_buffered: int | None = None


@dataclass(frozen=True)
class JobState:
    """Where a job is, what it did so far, and why it failed if it did."""

    id: str
    status: JobStatus
    counts: Counts
    error: str | None = None

    @property
    def ended(self) -> bool:
        """Say whether nothing more will happen to it."""
        return self.status in TERMINAL_STATUSES


def read_receipt(response: Response) -> Receipt:
    """Read the response to an ingest call; raises `Unreadable`."""
    if response.status != 202:
        raise Unreadable(f"HTTP {response.status}, which is no receipt")
    body = _object(response)
    job_id, buffered = body.get("jobId"), body.get("changesBuffered")
    if not isinstance(job_id, str | None) or not isinstance(buffered, int | None):
        raise Unreadable("a receipt with values of unknown types")
    try:
        return Receipt(job_id, ReceiptStatus(body.get("status", "")), buffered)
    except ValueError:
        raise Unreadable("a receipt with an unknown status") from None


def read_job(response: Response) -> JobState:
    """Read the response to a job look-up; raises `Unreadable`."""
    if response.status != 200:
        raise Unreadable(f"HTTP {response.status}, which is no job")
    body = _object(response)
    id, counts, error = body.get("id"), body.get("counts") or {}, body.get("error")
    if not isinstance(id, str) or not isinstance(counts, Mapping):
        raise Unreadable("a job without an id or with unknown counts")
    try:
        status = JobStatus(body.get("status", ""))
    except ValueError:
        raise Unreadable("a job with an unknown status") from None
    try:
        done = Counts.of(counts)
    except (ValueError, TypeError, OverflowError):
        raise Unreadable("a job with counts that are no numbers") from None
    return JobState(id, status, done, None if error is None else str(error))


def read_error(response: Response) -> tuple[str, str]:
    """Return the code and the message of a refusal, whatever wrote it."""
    try:
        error = _object(response).get("error")
    except Unreadable:
        error = response.content.decode("utf-8", "replace")
    if isinstance(error, Mapping):
        code, message = str(error.get("code", "")), str(error.get("message", ""))
    else:
        code, message = "", str(error or "")
    message = " ".join(message.split())
    if len(message) > _SHOWN_CHARACTERS:
        message = f"{message[:_SHOWN_CHARACTERS]} …"
    return code or f"http_{response.status}", message


def _object(response: Response) -> Mapping[str, Any]:
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        raise Unreadable(f"HTTP {response.status} with something that is not JSON") from None
    if not isinstance(body, dict):
        raise Unreadable(f"HTTP {response.status} with JSON that is no object")
    return body
