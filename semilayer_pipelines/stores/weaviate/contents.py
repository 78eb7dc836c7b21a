"""What a collection holds, row by row: from its ledger where the server's sums prove it.

A tenant is proven by itself, so only those are read of which the ledger does not know all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, field
from hashlib import blake2b

import polars as pl

from semilayer_pipelines.errors import StoreUnavailable
from semilayer_pipelines.stores.patience import threads
from semilayer_pipelines.stores.protocol import INDEXED_AT, KEY, ROW_HASH, SHARD, TEXT_HASH
from semilayer_pipelines.stores.stamps import UNKNOWN
from semilayer_pipelines.stores.weaviate.cursor import ID
from semilayer_pipelines.stores.weaviate.journal import Journal
from semilayer_pipelines.stores.weaviate.ledger import TENANT, Held
from semilayer_pipelines.stores.weaviate.placing import SLOT
from semilayer_pipelines.stores.weaviate.reads import Reads
from semilayer_pipelines.stores.weaviate.schema import CHECKS, LATER, VECTOR_AT
from semilayer_pipelines.stores.weaviate.side_by_side import side_by_side
from semilayer_pipelines.stores.weaviate.sums import Sums, of_ledger

__all__ = ["AT_ONCE", "Contents", "Strays"]

AT_ONCE = 4
"""Tenants that are asked at the same time."""

MOST_STRAYS = 100_000
"""Objects under foreign ids that are remembered; the next sync takes out the rest."""

_NO_KEY = "weaviate:"  # what an object without a key goes by, with its id

logger = logging.getLogger(__name__)

Strays = dict[str, list[tuple[str, str]]]
"""Tenant and id of objects that are not under an id of their key."""


@dataclass
class Contents:
    """All objects of an index.

    `reads` gives the part of a tenant, and `later` says whether the collection has the properties
    of `LATER`. `strays` fills while the collection is read.
    """

    reads: Callable[[str], Reads]
    journal: Journal
    later: bool
    strays: Strays = field(default_factory=dict)

    def is_provable(self, tenants: Sequence[str]) -> bool:
        """Say whether sums can prove a ledger, as one of the parts tells that is not empty."""
        if not self.later:
            return False
        told = (self.reads(tenant).sums() for tenant in tenants)
        first = next((sums for sums in told if sums.objects), Sums())
        return first.objects == first.checked

    def token(self, tenants: Sequence[str]) -> str | None:
        """Return a digest of the sums of all tenants; `None` where some object adds nothing."""
        if not self.later:
            return None
        told = side_by_side(lambda tenant: self.reads(tenant).sums(), tenants, AT_ONCE, threads)
        if any(sums.objects != sums.checked for sums in told):
            return None
        named = sorted(zip(tenants, map(astuple, told), strict=True))
        return blake2b(repr(named).encode(), digest_size=16).hexdigest()

    def rows(self, tenants: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield TENANT, KEY, SLOT, SHARD, ROW_HASH, TEXT_HASH, VECTOR_AT of every object.

        SLOT is null for an object under a foreign id, and so is ROW_HASH: it never is what a row
        should be. An object without a key goes by one that no row has.
        """
        stamp = self.journal.stamp()
        held = self.journal.to_be_proven(stamp) if self.later else None
        proven = set() if held is None else self._proven(held, tenants)
        if held is not None and tenants and proven >= {*tenants}:
            yield from held.frames()
        else:
            yield from self._renewed(held if proven else None, proven, tenants, stamp)

    def _renewed(
        self, held: Held | None, proven: set[str], tenants: Sequence[str], stamp: str
    ) -> Iterator[pl.DataFrame]:
        """Yield what `held` says of proven tenants and the server of the others; note all of it."""
        ledger = self.journal.ledger
        with ledger.new_base(ledger.number()) as base:
            for rows in held.frames() if held is not None else ():
                known = rows.filter(pl.col(TENANT).is_in(list(proven)))
                base.add(known)
                yield known
            for tenant in tenants:
                if tenant not in proven:
                    for page in self._read(tenant):
                        base.add(page.filter(pl.col(SLOT).is_not_null()))
                        yield page
            base.publish(stamp if self.journal.stamp() == stamp else UNKNOWN)

    def _read(self, tenant: str) -> Iterator[pl.DataFrame]:
        for page in self.reads(tenant).scan([INDEXED_AT, *(LATER if self.later else ())]):
            rows = page.with_columns(pl.lit(tenant).alias(TENANT))
            if not self.later:
                rows = rows.with_columns(pl.lit(None, pl.Int64).alias(name) for name in LATER)
            # Of objects of older versions it is known when they were written, which is no earlier.
            written = pl.coalesce(VECTOR_AT, pl.col(INDEXED_AT).to_physical())
            yield self._marked(rows.with_columns(written.alias(VECTOR_AT)))

    def _marked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Note the objects that are under foreign ids; see to it that no row is taken for them."""
        stray = rows[SLOT].is_null()
        if stray.any():
            named = pl.coalesce(KEY, pl.lit(_NO_KEY) + pl.col(ID))
            rows = rows.with_columns(
                pl.when(stray).then(named).otherwise(KEY).alias(KEY),
                pl.when(~stray).then(ROW_HASH).alias(ROW_HASH),
            )
            for tenant, key, own in rows.filter(stray).select(TENANT, KEY, ID).iter_rows():
                if len(self.strays) < MOST_STRAYS:
                    self.strays.setdefault(key, []).append((tenant, own))
        return rows.select(TENANT, KEY, SLOT, SHARD, ROW_HASH, TEXT_HASH, VECTOR_AT, *CHECKS)

    def _proven(self, held: Held, tenants: Sequence[str]) -> set[str]:
        """Return the tenants of which the ledger knows what the server sums up.

        Objects without numbers add nothing to the sums, so a tenant that has some proves nothing.
        """
        try:
            sums = of_ledger(held)
        except StoreUnavailable as error:
            logger.info("%s The index is read instead.", error.message)
            return set()
        if any(tenant not in tenants and told.objects for tenant, told in sums.items()):
            return set()  # of a tenant that is gone
        told = side_by_side(lambda tenant: self.reads(tenant).sums(), tenants, AT_ONCE, threads)
        return {
            tenant
            for tenant, of_server in zip(tenants, told, strict=True)
            if sums.get(tenant, Sums()) == of_server and of_server.objects == of_server.checked
        }
