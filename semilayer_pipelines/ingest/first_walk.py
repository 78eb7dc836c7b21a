"""The walk that fills a new index: the next smart sync goes by it, as by any other complete walk.

The source is asked how far it was written to before the first row is read, and what every page
showed is kept. That holds where one run reads each shard from its beginning to its end. Where
several runs share the shards, or one goes on where another was stopped, nobody has all that was
seen. Then nothing is noted, and the next smart sync reads every row.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.ingest.chosen_rows import seen_rows
from semilayer_pipelines.ingest.kept_rows import NewKept, new_kept
from semilayer_pipelines.ingest.noted_walk import seen_walk
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.page import Page
from semilayer_pipelines.ingest.proof import Proof, is_still, proof_to_come
from semilayer_pipelines.mapping.mapped import Mapped
from semilayer_pipelines.registry import shards
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.shards import Shard
from semilayer_pipelines.registry.walks import Walk

__all__ = ["FirstWalk", "first_walk"]


@dataclass
class FirstWalk:
    """What one run sees while it fills a generation that has `shards`.

    `proof` is what the source said before, `None` where no walk is to be noted.
    """

    proof: Proof | None
    kept: NewKept
    began: datetime
    shards: int
    _begun: int = 0

    def begin(self, opened: OpenLens, shard: Shard) -> OpenLens:
        """Begin with a claimed shard; return what it is read with."""
        if shard.cursor is not None:
            self.proof = None  # nobody kept what was seen before
        if self.proof is None:
            return opened
        self._begun += 1
        hashed = self.proof.written.since is not None
        return replace(opened, selection=replace(opened.selection, hashed=hashed))

    def saw(self, opened: OpenLens, page: Page, mapped: Mapped) -> None:
        """Keep what a page showed."""
        if self.proof is not None:
            self.kept.add(seen_rows(opened, page, mapped))

    def seen(self, opened: OpenLens, generation: Generation) -> Walk | None:
        """Return what the next sync may go by, once all shards are filled.

        `None` where this run did not fill all of them, or the source proves nothing by now. Raises
        what the bridge raises.
        """
        proof = self.proof
        if proof is None or self._begun < self.shards or not is_still(opened, proof):
            return None
        with opened.registry.read() as db:
            filled = shards.list_all(db, generation.id)
        counts = sum((shard.counts for shard in filled), Counts())
        since = proof.written.since
        return seen_walk(proof, self.kept.finish(), counts, whole_at=self.began, since=since)


@contextmanager
def first_walk(
    opened: OpenLens, generation: Generation, *, shard: int | None
) -> Iterator[FirstWalk]:
    """Ask the source before the first row is read; `shard`: the only one that this run fills."""
    alone = shard is None or generation.shard_count == 1
    with new_kept(opened.walks) as kept:
        proof = proof_to_come(opened) if alone else None
        yield FirstWalk(proof, kept, opened.clock(), generation.shard_count)
