"""The wire contract of `/v1`: what client, webhook and registry must say in the same words.

It stands below all of them, and needs the standard library alone: a CDC worker loads it with the
client. A value that changes here changes what callers elsewhere may rely on.
"""

from __future__ import annotations

import re
from enum import StrEnum

__all__ = [
    "HAS_VECTOR",
    "INDEXED_AT",
    "INGEST_MODES",
    "INGEST_PATH",
    "JOB_PATH",
    "LENS_NAME",
    "MAX_BODY_BYTES",
    "MAX_CHANGES",
    "MAX_ID_CHARACTERS",
    "MAX_JOB_WAIT_S",
    "MAX_RESULTS",
    "TERMINAL_STATUSES",
    "Action",
    "JobStatus",
    "Mode",
    "ReceiptStatus",
    "SearchMode",
    "has_half_a_pair",
]

INGEST_PATH = "/v1/ingest/{lens}"
JOB_PATH = "/v1/jobs/{id}"

HAS_VECTOR, INDEXED_AT = "hasVector", "indexedAt"
"""Names beside a failed row: does the index still have what it was before, and since when?"""

LENS_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
"""A lens's name, which is a part of addresses; match it in full."""

MAX_BODY_BYTES = 8_000_000
"""Bytes of one request's body."""

MAX_CHANGES = 10_000
"""Changes in one call of mode `records`."""

MAX_ID_CHARACTERS = 512
"""Characters of a row's id."""

MAX_JOB_WAIT_S = 30.0
"""Seconds that one look-up of a job is held open until the job has ended."""

MAX_RESULTS = 1_000
"""Rows that one search or listing returns."""


def has_half_a_pair(text: str) -> bool:
    """Say whether a text holds half of a surrogate pair: text to Python and JSON, but no UTF-8."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


class Action(StrEnum):
    """What happened to a row."""

    UPSERT = "upsert"
    DELETE = "delete"


class Mode(StrEnum):
    """How the rows of an ingest are chosen."""

    FULL = "full"
    INCREMENTAL = "incremental"
    RECORDS = "records"
    SMART_SYNC = "smart_sync"
    REPAIR = "repair"


INGEST_MODES = (Mode.FULL, Mode.INCREMENTAL, Mode.RECORDS)
"""Modes that a caller may ask for; the others are made by the project itself."""


class SearchMode(StrEnum):
    """How a search finds rows: by meaning, by words, or by both."""

    SEMANTIC = "semantic"
    KEYWORD = "keyword"
    HYBRID = "hybrid"


class ReceiptStatus(StrEnum):
    """What became of an accepted call."""

    QUEUED = "queued"
    DEDUPLICATED = "deduplicated"


class JobStatus(StrEnum):
    """Where a job is on its way."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


TERMINAL_STATUSES = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELED})
"""Statuses after which nothing more happens to a job."""
