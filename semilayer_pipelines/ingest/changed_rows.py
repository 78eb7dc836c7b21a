"""The rows of a page that are written, and what has to be known of each until they are.

Of one page, or of several: every row has its own point in the change log at which it was read, so
that a change which came since is known for newer (invariant 4), however long the row was held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from semilayer_pipelines.stores.protocol import KEY, SHARD

__all__ = ["ChangedRows"]


@dataclass(frozen=True)
class ChangedRows:
    """Rows that are written, in the order in which they were read.

    `rows` has the columns of `Mapped.frame`, SHARD and perhaps WORDS. The series are as long:
    `actions` says what is done with each, `may_have` (Boolean) whether the index whose vectors are
    taken over can have one of it, `seqs` (Int64) at which point in the change log it was read.
    """

    rows: pl.DataFrame
    actions: pl.Series
    may_have: pl.Series
    seqs: pl.Series

    @classmethod
    def read_at(
        cls,
        seq: int,
        rows: pl.DataFrame,
        actions: pl.Series,
        may_have: pl.Series,
        *,
        shard: int | None,
    ) -> ChangedRows:
        """Return the rows of one page; `shard` is `None` where they carry theirs in SHARD."""
        if shard is not None:
            rows = rows.with_columns(pl.lit(shard, pl.Int32).alias(SHARD))
        seqs = pl.repeat(seq, rows.height, dtype=pl.Int64, eager=True)
        return cls(rows, actions, may_have, seqs)

    @classmethod
    def together(cls, parts: Sequence[ChangedRows]) -> ChangedRows:
        """Return the rows of several pages; of a key that is there twice, the row read last."""
        rows = pl.concat([part.rows for part in parts])
        last = pl.arange(len(rows), eager=True)
        if rows[KEY].n_unique() < rows.height:
            last = rows.select(KEY, last.alias("at")).unique(KEY, keep="last")["at"].sort()
        return cls(
            rows[last],
            pl.concat([part.actions for part in parts])[last],
            pl.concat([part.may_have for part in parts])[last],
            pl.concat([part.seqs for part in parts])[last],
        )

    def __len__(self) -> int:
        return self.rows.height

    def compact(self) -> ChangedRows:
        """Return the same rows without the page that they were chosen from.

        A filtered frame of Polars keeps all texts of the frame that it came from in memory.
        """
        own = pl.DataFrame(
            pl.from_arrow(self.rows.to_arrow(compat_level=pl.CompatLevel.oldest())),
            schema=self.rows.schema,
        )
        return ChangedRows(own, self.actions, self.may_have, self.seqs)
