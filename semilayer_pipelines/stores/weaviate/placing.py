"""Where each object is written, and which objects of its key go before and after that.

| the index has of the key | the object is written | before | after |
| --- | --- | --- | --- |
| nothing | under the first id | | |
| one, of the same text | over it, which leaves no gap: the vector is the same | | |
| one, of another text | under the other id | | the old one goes |
| one, of the same text, in doubt | under the other id | | the old one goes |
| two, left by a killed writer | under the id of the newer | the newer goes | the older goes |

Of two objects the newer may be in doubt: no answer came, and a crash may have taken it out of the
vector index while it is still counted and read. Writing it again would not bring it back, as the
server leaves an equal vector alone.
"""

from __future__ import annotations

import polars as pl

from semilayer_pipelines.stores.protocol import INDEXED_AT, KEY, TEXT_HASH
from semilayer_pipelines.stores.weaviate.ids import SLOTS
from semilayer_pipelines.stores.weaviate.schema import VECTOR_AT

__all__ = ["AFTER", "BEFORE", "SLOT", "no_places", "placed"]

SLOT = "_slot"  # UInt8: under which id of its key an object is
BEFORE = "_before"  # UInt8: of which slot the object goes before the new one is written, or null
AFTER = "_after"  # UInt8: of which slot it goes after that, or null


def no_places() -> pl.DataFrame:
    """Return what is known of keys that have no object: KEY, SLOT, TEXT_HASH, INDEXED_AT, ..."""
    return pl.DataFrame(
        schema={
            KEY: pl.String,
            SLOT: pl.UInt8,
            TEXT_HASH: pl.Binary,
            INDEXED_AT: pl.Datetime("us", "UTC"),
            VECTOR_AT: pl.Int64,
        }
    )


def placed(objects: pl.DataFrame, there: pl.DataFrame, *, in_doubt: bool) -> pl.DataFrame:
    """Return the objects with SLOT, BEFORE, AFTER and VECTOR_AT.

    `there` says what the index has of their keys, as `no_places` has it. `in_doubt` says that it
    may have been written a moment ago without an answer. VECTOR_AT is when the vector that stays
    was written; it is null where the object brings a new one.
    """
    wide = objects.select(KEY, TEXT_HASH)
    for slot in range(SLOTS):
        mine = there.filter(pl.col(SLOT) == slot).drop(SLOT)
        mine = mine.select(KEY, pl.exclude(KEY).name.suffix(str(slot)))
        wide = wide.join(mine, on=KEY, how="left", maintain_order="left")
    at = [pl.col(f"{INDEXED_AT}{slot}") for slot in range(SLOTS)]
    has = [each.is_not_null() for each in at]
    newer = pl.when(at[1] >= at[0]).then(1).otherwise(0)
    alone = pl.when(has[1]).then(1).otherwise(0)
    text = pl.when(has[1]).then(pl.col(f"{TEXT_HASH}1")).otherwise(pl.col(f"{TEXT_HASH}0"))
    both, none = has[0] & has[1], ~has[0] & ~has[1]
    over = ~both & ~none & (text == pl.col(TEXT_HASH)).fill_null(False) & (not in_doubt)
    target = (
        pl.when(none).then(0).when(both).then(newer).when(over).then(alone).otherwise(1 - alone)
    )
    # Of objects of older versions it is known when they were written last, and so this at most.
    vector_at = [
        pl.coalesce(f"{VECTOR_AT}{n}", pl.col(f"{INDEXED_AT}{n}").to_physical()) for n in (0, 1)
    ]
    written_at = pl.when(has[1]).then(vector_at[1]).otherwise(vector_at[0])
    decided = wide.select(
        target.cast(pl.UInt8).alias(SLOT),
        pl.when(both).then(newer).cast(pl.UInt8).alias(BEFORE),
        pl.when(both).then(1 - newer).when(~none & ~over).then(alone).cast(pl.UInt8).alias(AFTER),
        pl.when(over).then(written_at).alias(VECTOR_AT),
    )
    return objects.hstack(decided)
