"""How many objects there are and what their `CHECKS` add up to: as a server tells, or a ledger."""

from __future__ import annotations

from dataclasses import dataclass
from operator import add
from typing import Any

import polars as pl
from weaviate.classes.query import Metrics

from semilayer_pipelines.stores.weaviate.ledger import TENANT, Held
from semilayer_pipelines.stores.weaviate.schema import CHECKS

__all__ = ["ASKED", "Sums", "of_ledger", "of_server"]

ASKED = [Metrics(name).number(count=True, sum_=True) for name in CHECKS]
"""What the server is to aggregate, for `of_server`."""

_CHECKED = "_checked"


@dataclass(frozen=True)
class Sums:
    """How many objects there are, how many have `CHECKS`, and what each of these adds up to."""

    objects: int = 0
    checked: int = 0
    checks: tuple[int, ...] = (0,) * len(CHECKS)

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.objects + other.objects,
            self.checked + other.checked,
            tuple(map(add, self.checks, other.checks)),
        )


def of_server(told: Any) -> Sums:
    """Return what a server aggregated, as the client received it."""
    objects = int(told.total_count or 0)
    first = told.properties.get(CHECKS[0])
    if first is None:  # as the server says it of an empty collection
        return Sums(objects)
    checks = (told.properties[name].sum_ for name in CHECKS)
    return Sums(objects, int(first.count or 0), tuple(int(each or 0) for each in checks))


def of_ledger(held: Held) -> dict[str, Sums]:
    """Return by tenant what a ledger adds up to; raises `StoreUnavailable` when it cannot be read.

    A file at a time.
    """
    sums = dict[str, Sums]()
    checked = pl.col(CHECKS[0]).count().alias(_CHECKED)
    asked = [pl.len(), checked, *(pl.col(name).sum() for name in CHECKS)]
    for rows in held.frames():
        for tenant, objects, some, *checks in rows.group_by(TENANT).agg(*asked).iter_rows():
            sums[tenant] = sums.get(tenant, Sums()) + Sums(objects, some, (*checks,))
    return sums
