"""Noting in the ledger what a write does, between the stamp before it and its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import polars as pl

from semilayer_pipelines.stores.protocol import KEY
from semilayer_pipelines.stores.stamps import UNKNOWN, Stamps, new_stamp
from semilayer_pipelines.stores.weaviate.ids import SLOTS
from semilayer_pipelines.stores.weaviate.ledger import TENANT, Held, Ledger
from semilayer_pipelines.stores.weaviate.placing import AFTER, SLOT

__all__ = ["Entry", "Journal"]

_PLACE = pl.Schema({TENANT: pl.String(), KEY: pl.String(), SLOT: pl.UInt8()})


@dataclass
class Entry:
    """What one write does. The `ledger` is `complete` if it has seen every write before this."""

    ledger: Ledger
    complete: bool
    written: list[pl.DataFrame] = field(default_factory=list)
    gone: list[pl.DataFrame] = field(default_factory=list)

    @cached_property
    def held(self) -> Held | None:
        """The ledger before this write; `None` unless it is complete."""
        return self.ledger.read() if self.complete else None

    def put(self, tenant: str, rows: pl.DataFrame) -> None:
        """Note objects that were written, and that those under AFTER are gone."""
        named = rows.with_columns(pl.lit(tenant).alias(TENANT))
        self.written.append(named)
        old = named.filter(pl.col(AFTER).is_not_null())
        self.gone.append(old.select(TENANT, KEY, pl.col(AFTER).alias(SLOT)))

    def took_out(self, tenant: str, keys: Sequence[str]) -> None:
        """Note that no object of these keys is left in a part."""
        rows = pl.DataFrame({KEY: pl.Series(keys, dtype=pl.String)})
        for slot in range(SLOTS):
            place = pl.lit(tenant).alias(TENANT), KEY, pl.lit(slot, pl.UInt8).alias(SLOT)
            self.gone.append(rows.select(place))


@dataclass(frozen=True)
class Journal:
    """The ledger of a collection and its stamps.

    Without `stamps` nobody else is known of: only the server's sums speak for the ledger then.
    """

    collection: str
    ledger: Ledger
    stamps: Stamps | None

    def begin(self) -> None:
        """Note that the collection is new and empty."""
        stamp = UNKNOWN
        if self.stamps is not None:
            stamp = new_stamp()
            self.stamps.take(self.collection, stamp)
        self.ledger.begin(stamp)

    def stamp(self) -> str:
        """Return the stamp of the last write, `UNKNOWN` where none is kept."""
        told = self.stamps.now(self.collection) if self.stamps is not None else None
        return told or UNKNOWN

    def seen_all(self) -> Held | None:
        """Return the ledger if it has seen every write up to now."""
        return self._as_of(self.stamp())

    def to_be_proven(self, stamp: str) -> Held | None:
        """Return the ledger if the sums of the server may prove it; `stamp` is the last write's.

        Sums alone would take a copy of an object for the object, had another machine moved that.
        """
        return self.ledger.read() if self.stamps is None else self._as_of(stamp)

    def _as_of(self, stamp: str) -> Held | None:
        held = None if stamp == UNKNOWN else self.ledger.read()
        return held if held is not None and held.stamp == stamp else None

    @contextmanager
    def entry(self) -> Iterator[Entry]:
        """Give what notes one write, under the lock of the index.

        When the write fails nothing is noted: neither stamps nor sums will agree with the ledger.
        """
        stamp, before = new_stamp(), UNKNOWN
        if self.stamps is not None:
            before = self.stamps.take(self.collection, stamp) or UNKNOWN
        complete = before != UNKNOWN and before == self.ledger.stamp()
        entry = Entry(self.ledger, complete)
        yield entry
        written = pl.concat(entry.written) if entry.written else None
        gone = pl.concat([_PLACE.to_frame(), *entry.gone])
        self.ledger.note(written, gone, stamp=stamp if complete else UNKNOWN)
