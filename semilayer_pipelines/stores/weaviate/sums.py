"""How many objects there are and what their `CHECKS` add up to: as a server tells, or a ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl
from weaviate.classes.query import Metrics

from semilayer_pipelines.stores.weaviate.ledger import TENANT, Held
from semilayer_pipelines.stores.weaviate.schema import CHECKS

__all__ = ["ASKED", "Sums", "of_ledger", "of_server"]

ASKED = [Metrics(name).number(count=True, sum_=True) for name in CHECKS]
"""What the server is to aggregate, for `of_server`."""


@dataclass(frozen=True)
class Sums:
    """How many objects there are, the sums of their `CHECKS`, and how many have any."""

    objects: int = 0
    low: int = 0
    high: int = 0
    checked: int = 0

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.objects + other.objects,
            self.low + other.low,
            self.high + other.high,
            self.checked + other.checked,
        )


def of_server(told: Any) -> Sums:
    """Return what a server aggregated, as the client received it."""
    low, high = (told.properties.get(name) for name in CHECKS)
    if low is None or high is None:  # as the server says it of an empty collection
        return Sums(int(told.total_count or 0))
    return Sums(
        int(told.total_count or 0),
        int(low.sum_ or 0),
        int(high.sum_ or 0),
        int(low.count or 0),
    )


def of_ledger(held: Held) -> dict[str, Sums]:
    """Return by tenant what a ledger adds up to; raises `StoreUnavailable` when it cannot be read.

    A file at a time.
    """
    sums = dict[str, Sums]()
    low, high = CHECKS
    asked = [
        pl.len(),
        pl.col(low).sum(),
        pl.col(high).sum(),
        pl.col(low).count().alias("_checked"),
    ]
    for rows in held.frames():
        for tenant, *told in rows.group_by(TENANT).agg(*asked).iter_rows():
            sums[tenant] = sums.get(tenant, Sums()) + Sums(*told)
    return sums
