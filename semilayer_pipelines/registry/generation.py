"""What a generation is, and how its row reads. Use it through `registry.generations`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row

from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.registry.stored_config import lens_from_json

__all__ = ["MIXED", "Generation", "GenerationState", "generation_of"]


MIXED = "mixed"
"""Instead of a splitter's fingerprint, until a whole walk has cut all rows by one."""


class GenerationState(StrEnum):
    """What a generation is for."""

    BUILDING = "building"
    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True)
class Generation:
    """One physical index of a lens, and the one configuration it holds (invariant 9).

    `bounds` are the encoded upper keys of all shards but the last. It replays the changes after
    `change_seq`. `high_water` is the tracked value and `source_rows` the count of the source at
    which it was begun, `settled` what was settled then (see `cursors.IncrementalCursor`).
    `dimension` is `None` until the first vector. `embedded_by` tells backend, precision and device
    of whatever made the vectors: they may differ between machines, the space does not.
    `passage_prompt` is what the model read before the text of each row (see `BuiltWith`).
    `incarnation` is the start of the store that was seen last, under the write lock at `watched_at`
    (see `store_watch`); `None` where a store tells of none. `split_by` is the fingerprint of the
    splitter by which all its rows were cut: `None` where none was, `MIXED` where not all by one.
    """

    id: int
    lens_id: int
    number: int
    index_name: str
    state: GenerationState
    mapping_fingerprint: str
    model_fingerprint: str
    config: LensConfig
    dimension: int | None
    bounds: tuple[str, ...]
    job_id: str
    change_seq: int
    source_rows: int | None
    high_water: str | None
    created_at: datetime
    published_at: datetime | None
    retired_at: datetime | None
    embedded_by: tuple[str, ...] = ()
    settled: str | None = None
    incarnation: str | None = None
    watched_at: datetime | None = None
    passage_prompt: str | None = None
    split_by: str | None = None

    @property
    def shard_count(self) -> int:
        """How many shards it has: one more than bounds between them."""
        return len(self.bounds) + 1


def generation_of(row: Row[Any]) -> Generation:
    """Return the generation that a row of the table describes."""
    return Generation(
        id=row.id,
        lens_id=row.lens_id,
        number=row.number,
        index_name=row.index_name,
        state=GenerationState(row.state),
        mapping_fingerprint=row.mapping_fingerprint,
        model_fingerprint=row.model_fingerprint,
        config=lens_from_json(row.config),
        dimension=row.dimension,
        bounds=tuple(row.bounds),
        job_id=row.job_id,
        change_seq=row.change_seq,
        source_rows=row.source_rows,
        high_water=row.high_water,
        created_at=row.created_at,
        published_at=row.published_at,
        retired_at=row.retired_at,
        embedded_by=tuple(row.embedded_by or ()),
        settled=row.settled,
        incarnation=row.incarnation,
        watched_at=row.watched_at,
        passage_prompt=row.passage_prompt,
        split_by=row.split_by,
    )
