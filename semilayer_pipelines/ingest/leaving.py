"""Objects that must leave the index although their rows are in the source.

| the row | its object |
| --- | --- |
| has no text (`Mapped.textless`) | leaves |
| is left out by the lens's `where` (`Page.outside`) | leaves |
| was set aside, and is another tenant's or nobody's by now | leaves at once |
| was set aside otherwise | stays, or leaves where the lens says `onFailure: remove` |

"At once" is with the page, whatever else becomes of it: a search in the old tenant must not find a
row that is not its own any more. The others count as deletes for the guard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from semilayer_pipelines.config.models import OnFailure
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.mapping.mapped import Mapped
from semilayer_pipelines.stores.protocol import KEY, Index

__all__ = ["Leaving", "leaving", "leaving_rejected", "moved", "removes_failed"]

_TENANT, _KNOWN, _OUT, _INDEXED = "\0tenant", "\0known", "\0out", "\0indexed"
_SCHEMA = {KEY: pl.String(), _TENANT: pl.String(), _KNOWN: pl.Boolean(), _OUT: pl.Boolean()}


@dataclass(frozen=True)
class Leaving:
    """Keys of objects to take out: those that leave `at_once`, and the others."""

    at_once: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def removes_failed(opened: OpenLens) -> bool:
    """Say whether the lens takes out what a row had before it was set aside."""
    return opened.lens.config.on_failure is OnFailure.REMOVE


def leaving(
    opened: OpenLens,
    index: Index | None,
    mapped: Mapped,
    may_hold: Callable[[pl.Series], pl.Series],
    outside: Sequence[str] = (),
) -> Leaving:
    """Return which objects the rows of a page must not have any more.

    `may_hold` says for which keys the index can have an object at all; only these are looked up.
    `outside` are the keys of the page's rows that the lens leaves out.
    """
    if not mapped.textless.height and not mapped.failed.height and not outside:
        return Leaving()
    rows = pl.concat(
        [
            _rows(mapped.textless, opened, out=True),
            _unmapped(mapped.lost.to_list(), mapped.whose, out=removes_failed(opened)),
            _unmapped(outside, {}, out=True),
        ]
    )
    return _looked_up(opened, index, rows.filter(may_hold(rows[KEY])))


def leaving_rejected(opened: OpenLens, index: Index | None, rows: pl.DataFrame) -> tuple[str, ...]:
    """Return which objects must go of mapped rows that embedder or store rejected."""
    found = _looked_up(opened, index, _rows(rows, opened, out=removes_failed(opened)))
    return (*found.at_once, *found.others)


def moved(opened: OpenLens, index: Index | None, rows: pl.DataFrame) -> tuple[str, ...]:
    """Return which objects are another tenant's than the mapped rows of their keys."""
    return _looked_up(opened, index, _rows(rows, opened, out=False)).at_once


def _rows(mapped: pl.DataFrame, opened: OpenLens, *, out: bool) -> pl.DataFrame:
    tenant = opened.mapping.tenant
    whose = pl.lit(None) if tenant is None else pl.col(tenant)
    return mapped.select(
        KEY,
        whose.cast(pl.String).alias(_TENANT),
        pl.lit(tenant is not None).alias(_KNOWN),
        pl.lit(out).alias(_OUT),
    )


def _unmapped(keys: Sequence[str], whose: Mapping[str, str | None], *, out: bool) -> pl.DataFrame:
    return pl.DataFrame(
        {
            KEY: list(keys),
            _TENANT: [whose.get(key) for key in keys],
            _KNOWN: [key in whose for key in keys],
            _OUT: [out] * len(keys),
        },
        schema=_SCHEMA,
    )


def _looked_up(opened: OpenLens, index: Index | None, rows: pl.DataFrame) -> Leaving:
    tenant = opened.mapping.tenant
    asked = rows.filter(pl.col(_KNOWN) | pl.col(_OUT))
    if index is None or not asked.height:
        return Leaving()
    also = () if tenant is None else (tenant,)
    found = index.fetch(asked[KEY].to_list(), vectors=False, also=also)
    indexed = pl.lit(None) if tenant is None else pl.col(tenant)
    objects = found.select(KEY, indexed.cast(pl.String).alias(_INDEXED))
    # More than one object of a key, should a killed run have left the one of the old tenant.
    joined = asked.join(objects, on=KEY)
    elsewhere = joined.filter(_KNOWN, pl.col(_TENANT).ne_missing(pl.col(_INDEXED)))[KEY].unique()
    others = joined.filter(pl.col(_OUT) & ~pl.col(KEY).is_in(elsewhere.implode()))[KEY].unique()
    return Leaving(tuple(elsewhere.sort().to_list()), tuple(others.sort().to_list()))
