"""Full ingest: every row of the source into the next generation, a shard at a time.

The first run opens the generation; each run fills the shards it can claim; whoever finishes the
last one publishes.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

from sqlalchemy import Connection

from semilayer_pipelines.config.models import Rebuild
from semilayer_pipelines.errors import NotFound
from semilayer_pipelines.ingest.fill_shard import claim, fill
from semilayer_pipelines.ingest.first_walk import FirstWalk, first_walk
from semilayer_pipelines.ingest.hidden_rows import refuse_hidden
from semilayer_pipelines.ingest.incremental import HORIZON
from semilayer_pipelines.ingest.lens_watch import StartOver
from semilayer_pipelines.ingest.noted_walk import note_walk
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.publish import announce, publish
from semilayer_pipelines.ingest.retention import drop_retired
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.mapping.columns import same_rows
from semilayer_pipelines.registry import changes, cursors, generations, shards
from semilayer_pipelines.registry.generations import Generation

__all__ = ["run_full"]

logger = logging.getLogger(__name__)


def run_full(opened: OpenLens, run: Run, *, shard: int | None) -> Generation | None:
    """Fill one shard, or all that nobody else is at, and publish when none is left.

    Returns the published generation, or `None` when paused or when others have shards to finish.
    Raises `StartOver` when the lens was pushed anew, or another run was faster, and
    `WaitsForBatches`.
    """
    finished = _published_before(opened, run)
    if finished is not None:
        # It may have been killed between the switch and this.
        announce(opened.store, opened.lens, finished)
        return finished
    generation = _open_generation(opened, run)
    with opened.registry.read() as db:
        before = sum(one.counts.read for one in shards.list_all(db, generation.id))
    run.progress.expect(generation.source_rows, before=before)
    with first_walk(opened, generation, shard=shard) as first:
        if opened.lens.config.embedding.batch:
            # Here, because it loads what speaks to an endpoint.
            from semilayer_pipelines.ingest.batched import fill_by_batches

            fill_by_batches(opened, run, generation, shard, first)
        else:
            _fill(opened, run, generation, shard, first)
        with opened.registry.read() as db:
            complete = shards.all_done(db, generation.id)
        if not complete or run.paused():
            return None
        seen = first.seen(opened, generation)
    _note_taken_over(opened, generation)
    published = publish(opened, run, generation)
    if published is not None:
        if seen is not None:
            note_walk(opened, run, published, seen)
        announce(opened.store, opened.lens, published)
    drop_retired(opened.registry, lambda _: opened.store, opened.clock(), lens_id=opened.lens.id)
    return published


def _fill(
    opened: OpenLens, run: Run, generation: Generation, shard: int | None, first: FirstWalk
) -> None:
    while not run.paused():
        claimed = claim(opened, run, generation, shard)
        if claimed is None:
            break
        fill(opened, run, generation, claimed, first)
        if shard is not None:
            break


def _note_taken_over(opened: OpenLens, generation: Generation) -> None:
    """Let a generation tell what made the vectors that it took over from the one in use."""

    def note(db: Connection) -> None:
        active = generations.active(db, opened.lens.id)
        taken = any(shard.counts.reused for shard in shards.list_all(db, generation.id))
        if active is not None and taken:
            for by in active.embedded_by:
                generations.note_embedder(db, generation.id, by)

    try:
        opened.registry.transact(note)
    except NotFound:
        raise StartOver from None


def _published_before(opened: OpenLens, run: Run) -> Generation | None:
    """Return what another run of this job published, or this one before it was killed."""
    with opened.registry.read() as db:
        active, building = (
            generations.active(db, opened.lens.id),
            generations.building(db, opened.lens.id),
        )
    if active is None or building is not None or active.job_id != run.job_id:
        return None
    return active if _fits(opened, active) else None


def _open_generation(opened: OpenLens, run: Run) -> Generation:
    """Return the generation being built for the lens as it is configured now, opened if need be.

    One that was begun for another mapping or model is dropped first (invariant 9). One whose index
    somebody dropped is begun again: what its shards have done is lost.
    """
    with opened.registry.read() as db:
        building = generations.building(db, opened.lens.id)
    if building is not None:
        if _fits(opened, building) and not _lost(opened, building):
            return _gone_on_with(opened, run, building)
        opened.store.drop(building.index_name)
        with opened.registry.begin() as db:
            generations.forget(db, building.id)
    rows = opened.bridge.count(opened.selection)
    if not rows:
        refuse_hidden(opened)  # before the index in use is given up
    if opened.lens.config.rebuild is Rebuild.IN_PLACE:
        _drop_active(opened, run)
    with opened.registry.read() as db:
        seq = changes.latest_seq(db, opened.lens.id)
        at = cursors.get(db, opened.lens.id)
    tracked = opened.tracked
    # Without times that are none of a change: no later one would be past them.
    horizon = opened.clock() + HORIZON
    high_water = opened.bridge.high_water(opened.selection, tracked, horizon) if tracked else None
    bounds = opened.bridge.bounds(opened.selection, opened.lens.config.shards)
    with opened.registry.begin() as db:
        return generations.open_next(
            db,
            replace(opened.lens, config=opened.as_built),
            index_name=partial(generations.index_name, opened.lens),
            mapping_fingerprint=opened.mapping.fingerprint,
            model_fingerprint=opened.embedder.fingerprint,
            passage_prompt=opened.built.passage_prompt,
            bounds=bounds,
            job_id=run.job_id,
            change_seq=seq,
            source_rows=rows,
            high_water=high_water,
            settled=at.settled if at else None,
            split_by=opened.split_by,
            now=opened.clock(),
        )


def _gone_on_with(opened: OpenLens, run: Run, building: Generation) -> Generation:
    """Return a generation that a run goes on with, noted as its job's.

    A job that was cancelled may have begun it. Once it is published, the runs of this job have to
    know that it was theirs (`_published_before`).
    """
    if building.job_id == run.job_id:
        return building

    def note(db: Connection) -> None:
        run.lease.check(db)
        generations.note_job(db, building.id, run.job_id)

    opened.registry.transact(note)
    return replace(building, job_id=run.job_id)


def _fits(opened: OpenLens, generation: Generation) -> bool:
    return (
        same_rows(opened.lens.config, generation.config, opened.selection.key)
        and generation.config.where == opened.lens.config.where
        and generation.mapping_fingerprint == opened.mapping.fingerprint
        and generation.model_fingerprint == opened.embedder.fingerprint
        and (generation.split_by == opened.split_by or _cut_later(opened, generation))
    )


def _cut_later(opened: OpenLens, generation: Generation) -> bool:
    """Say whether a smart sync is due for a generation, by which all its rows come to be cut."""
    return generations.MIXED in (opened.split_by, generation.split_by)


def _lost(opened: OpenLens, generation: Generation) -> bool:
    """Say whether rows were written to a generation's index, and it is gone."""
    with opened.registry.read() as db:
        written = any(one.counts.written for one in shards.list_all(db, generation.id))
    if not written or opened.store.exists(generation.index_name):
        return False
    logger.warning(
        "The index %s was dropped while it was filled. It is begun again.", generation.index_name
    )
    return True


def _drop_active(opened: OpenLens, run: Run) -> None:
    with opened.registry.begin() as db:
        active = generations.active(db, opened.lens.id)
        if active is not None and active.job_id == run.job_id:
            raise StartOver  # another run of this job has just published it
        if active is not None:
            # Retired before it is dropped, so that no other run takes it for the one to write to.
            generations.retire(db, active.id, opened.clock())
        # All of them: one may be left of a run that was killed here, and there is room for none.
        left = generations.retired(db, opened.lens.id)
    for generation in left:
        opened.store.drop(generation.index_name)
        with opened.registry.begin() as db:
            generations.forget(db, generation.id)
