"""The generation that a run writes to.

A generation's physical index is made when the first vector is known, because only then its
dimension is. Whoever fills a shard is its only writer and appends new rows; everybody else merges,
because two may bring the same row.

Every write takes the lock here, and so here a restart of the store is noticed and mended first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property, partial
from typing import NoReturn

import polars as pl
from sqlalchemy import Connection

from semilayer_pipelines.embedders.backend import Backend
from semilayer_pipelines.errors import NotFound, ObjectsRejected, StoreUnavailable
from semilayer_pipelines.ingest.decision import Action
from semilayer_pipelines.ingest.lens_watch import StartOver
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.retry import retrying
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.ingest.store_restart import (
    LOOKS,
    Hidden,
    find_hidden,
    known,
    look,
    mend,
    note_look,
    restarted,
)
from semilayer_pipelines.ingest.stored_fields import as_stored, require_held
from semilayer_pipelines.one_model import require_dimension
from semilayer_pipelines.registry import changes, generations, marked_rows
from semilayer_pipelines.registry.generations import Generation, GenerationState
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.marked_rows import Fault
from semilayer_pipelines.registry.store_watch import Seen
from semilayer_pipelines.stores.chunks.protocol import RowIndex
from semilayer_pipelines.stores.protocol import KEY, Index, IndexSchema

__all__ = ["LogKeys", "Target"]

LogKeys = Callable[[Sequence[str]], None]
"""Told the keys that a run is about to write or drop."""


class Target:
    """Writes the objects of one run to one generation.

    `sole_writer` says that the rows of this run are no other run's, as in a claimed shard.
    """

    def __init__(
        self, opened: OpenLens, generation: Generation, *, sole_writer: bool = False
    ) -> None:
        self._opened = opened
        self.sole_writer = sole_writer
        self.generation = generation
        self._index: RowIndex | None = None
        self._has_dimension = generation.dimension is not None
        self._noted: Backend | None = None
        self._split_by = generation.split_by
        self._seen: Seen | None = None

    @property
    def index(self) -> RowIndex | None:
        """The physical index, or `None` as long as nothing was ever written."""
        if self._index is None:
            self._index = self._opened.store.find(self.generation.index_name)
        return self._index

    def require_index(self, dimension: int) -> RowIndex:
        """Return the index for vectors of this dimension, made if need be.

        Raises `DimensionChanged` when the generation holds vectors of another (invariant 9),
        `FieldsChanged` when it cannot hold the fields that the mapping gives, and `StartOver` when
        it is gone, or what lies in its place is not its own.
        """
        mapping = self._opened.mapping
        schema = IndexSchema(mapping.fields, dimension, mapping.tenant, words=mapping.has_keywords)
        found = self.index
        if found is None:
            if self._has_dimension:
                self._fix_dimension(dimension)  # it is made anew, as it was
            self._index = self._opened.store.create(self.generation.index_name, schema)
        elif not self._is_built:
            require_held(mapping, found.schema, lens=self._opened.lens.name)
        elif not found.schema.holds_like(schema):
            self._fix_dimension(dimension)
            self._leave_its_place()
        assert self._index is not None
        require_dimension(dimension, self._index.dimension, lens=self._opened.lens.name)
        if not self._has_dimension:
            # Once there is an index: a dimension without one says that it was lost.
            self._fix_dimension(dimension)
        if found is None and self.generation.state is GenerationState.ACTIVE:
            # Published while it held nothing, and so without an index to point at.
            self._opened.store.point(self._opened.lens.name, self.generation.index_name)
        return self._index

    def _fix_dimension(self, dimension: int) -> None:
        try:
            with self._opened.registry.begin() as db:
                generations.set_dimension(db, self.generation.id, dimension)
        except NotFound:
            raise StartOver from None
        self._has_dimension = True

    def _leave_its_place(self) -> NoReturn:
        # The generation holds what we would write, the index does not. A column was altered since
        # it was begun, or the index is of another generation that was given this number before an
        # older registry was restored. The next number is tried; the next `retention` drops it.
        with self._opened.registry.begin() as db:
            generations.forget(db, self.generation.id)
        raise StartOver

    def note_embedder(self, by: Backend | None) -> None:
        """Record with the generation what makes its vectors; raise `StartOver` when it is gone."""
        if by is None or by == self._noted:
            return
        try:
            with self._opened.registry.begin() as db:
                generations.note_embedder(db, self.generation.id, str(by))
        except NotFound:
            raise StartOver from None
        self._noted = by

    def note_splitter(self) -> None:
        """Record that rows are about to be written that are cut in another way than the others.

        A whole walk brings all of them to one way again. Raises `StartOver` when it is gone.
        """
        if self._split_by in (self._opened.split_by, generations.MIXED):
            return
        try:
            with self._opened.registry.begin() as db:
                generations.note_splitter(db, self.generation.id, generations.MIXED)
        except NotFound:
            raise StartOver from None
        self._split_by = generations.MIXED

    @contextmanager
    def locked(self, index: Index, run: Run) -> Iterator[LogKeys]:
        """Hold the write lock, with the generation and the run's leases still what they were.

        Yields what is told the keys that are about to be written or dropped. While another
        generation is being built, it notes them in the change log, by which that one catches up.
        Told before the write, because a run may die between the two.

        Where the store was started again, what that hid is written again before.

        Raises `StartOver` when the generation was replaced or dropped meanwhile, `Fenced` when
        another run has taken over: whoever takes over takes the lease first and this lock after.
        """
        hidden: Hidden | None = None
        looks = 0
        left: set[str] = set()
        while True:
            with ExitStack() as held:
                try:
                    held.enter_context(index.lock())
                except NotFound:
                    raise StartOver from None
                seen = look(self._opened, index)

                def mine(db: Connection) -> tuple[Generation, bool]:
                    current = self.check_current(db)
                    run.lease.check(db)
                    note_look(db, current, seen)  # noqa: B023 - called within this turn
                    return current, generations.building(db, self._opened.lens.id) is not None

                current, rebuilt = self._opened.registry.transact(mine)
                current = known(current, seen, self._seen)
                if seen is None or not restarted(current, seen):
                    self._seen = seen
                    yield self._logging(run, rebuilt)
                    return
                if hidden is not None and hidden.incarnation == seen.incarnation:
                    looks += 1
                    # What was written again, and is hidden all the same, is out of reach.
                    hidden = hidden.without(left)
                    over = not hidden.keys or looks == LOOKS
                    left.update(mend(self._opened, run, index, current, seen, hidden, over=over))
                    if over:
                        self._seen = seen
                        yield self._logging(run, rebuilt)
                        return
            hidden = find_hidden(self._opened, run, index, current, seen)

    def _logging(self, run: Run, rebuilt: bool) -> LogKeys:
        # What a caller named is in the log already.
        walks = not self._is_built and run.mode is not Mode.RECORDS
        return partial(self._log, run) if rebuilt and walks else _no_log

    def content_token(self) -> str | None:
        """Return what is equal as long as the index holds the same; `None` where that is not known.

        Raises `StoreUnavailable`.
        """
        index = self.index
        return None if index is None else retrying(index.content_token, StoreUnavailable)

    def own_token(self, since: str | None) -> str | None:
        """Return the content token of now, if only this run wrote since it was `since`.

        `None` where that is not known. Raises `StoreUnavailable`.
        """
        index = self.index
        if index is None or since is None:
            return None
        return retrying(partial(index.own_token, since), StoreUnavailable)

    def notice_restart(self, run: Run) -> None:
        """Mend what a restart of the store has hidden, though the run may have nothing to write.

        Raises what `locked` raises.
        """
        if self.index is None:
            return
        seen = look(self._opened, self.index)
        before = known(self.generation, seen, self._seen)
        if seen is not None and before.incarnation != seen.incarnation:
            with self.locked(self.index, run):
                pass

    @cached_property
    def distrusted(self) -> pl.Series:
        """The keys of the index in use whose vectors are not those of their texts; String."""
        with self._opened.registry.read() as db:
            active = generations.active(db, self._opened.lens.id)
            keys = [] if active is None else marked_rows.keys(db, active.id, [Fault.VECTOR])
        return pl.Series(keys, dtype=pl.String)

    def _log(self, run: Run, keys: Sequence[str]) -> None:
        lens_id, now = self._opened.lens.id, self._opened.clock()
        if keys:
            self._opened.registry.transact(
                lambda db: changes.log(db, lens_id, keys, job_id=run.job_id, now=now)
            )

    @property
    def _is_built(self) -> bool:
        return self.generation.state is GenerationState.BUILDING

    def check_current(self, db: Connection) -> Generation:
        """Return the generation as it is now: the active or the built one, whichever it was.

        In a transaction that may write; the active one stays so until it ends. Raises `StartOver`
        when another is in its place.
        """
        current = (
            generations.building(db, self._opened.lens.id)
            if self._is_built
            else generations.active(db, self._opened.lens.id, held=True)
        )
        if current is None or current.id != self.generation.id:
            raise StartOver
        return current

    def write(self, index: Index, objects: pl.DataFrame, actions: pl.Series) -> int:
        """Write objects under the lock, each as its `Action` says.

        Raises `ObjectsRejected` after all others were written.
        """
        if not objects.height:
            return 0
        objects = as_stored(objects, index.schema)
        added = actions == Action.ADD
        doubled = objects[KEY].filter(actions == Action.PART).to_list()
        if not added.any():
            return index.upsert(objects, doubled=doubled)
        if added.all():
            return index.add(objects)
        written, rejected = 0, dict[str, str]()
        for write, rows in (
            (partial(index.upsert, doubled=doubled), objects.filter(~added)),
            (index.add, objects.filter(added)),
        ):
            try:
                written += write(rows)
            except ObjectsRejected as some:
                written += some.written
                rejected |= some.reasons
        if rejected:
            raise ObjectsRejected(rejected, written=written)
        return written


def _no_log(_: Sequence[str]) -> None:
    return None
