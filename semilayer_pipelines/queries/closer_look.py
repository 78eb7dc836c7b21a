"""What an audit looks at beside hashes: does a search find each row, and is each object its row's?

Hashes say what an object was made of. They do not say that the vector index knows it, nor that its
fields and vector are still what was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from semilayer_pipelines.ingest.confirm_absent import in_chunks
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.queries.altered import ALTERED_IN, EMBEDDED, VECTORS, Altered
from semilayer_pipelines.queries.findings import Depth, Kind, Looked
from semilayer_pipelines.queries.restarted import is_another
from semilayer_pipelines.queries.unsearchable import Unsearchable, not_found
from semilayer_pipelines.registry import marked_rows
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.marked_rows import Fault
from semilayer_pipelines.stores.chunks.protocol import RowIndex
from semilayer_pipelines.stores.protocol import KEY

__all__ = ["CloserLook", "Mark", "Telling"]

Mark = Callable[[int, Fault, Sequence[str]], None]
"""Told the generation, what is wrong, and the keys of objects that are to be written again."""


def _nothing(*_: object) -> None:
    return None


@dataclass(frozen=True)
class Telling:
    """Who hears of an audit under way.

    `compared` hears how many rows were read, `searched` how many of how many were asked for. `mark`
    hears of objects that only a mark lets a sync write again.
    """

    compared: Callable[[int], None] = _nothing
    searched: Callable[[int, int], None] = _nothing
    mark: Mark = _nothing


class CloserLook:
    """Looks at one index, of `rows` objects, as closely as it was asked to."""

    def __init__(
        self,
        opened: OpenLens,
        index: RowIndex,
        generation: Generation,
        depth: Depth,
        telling: Telling,
        *,
        rows: int,
        comparable: bool,
    ) -> None:
        """Begin; objects are `comparable` when the index has the fields that the mapping gives."""
        self._registry = opened.registry
        self._index = index
        self._generation = generation
        self._telling = telling
        self._restarted = is_another(index, generation)
        self._searching = Unsearchable(index, rows, depth.sample) if depth.search else None
        embedded = EMBEDDED if depth.sample is None else depth.sample
        self._reading = (
            Altered(opened, index, rows=rows, embedded=embedded)
            if depth.deep and comparable
            else None
        )

    @property
    def reads(self) -> bool:
        """Whether it reads objects back at all."""
        return self._reading is not None

    def altered(self, same: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Yield (KEY, ALTERED_IN) of the altered objects of mapped rows whose hashes they have."""
        if self._reading is None:
            return
        for found in self._reading.find(same):
            of_vector = pl.col(ALTERED_IN).list.set_intersection([*VECTORS]).list.len() > 0
            self._mark(Fault.VECTOR, found.filter(of_vector)[KEY])
            self._mark(Fault.FIELDS, found.filter(~of_vector)[KEY])
            yield found

    def hidden(self) -> Iterator[tuple[Kind, list[str]]]:
        """Yield the keys of rows that no search finds, among those that are to be asked for.

        Those that were written again to no avail are `Kind.UNREACHABLE`, and are not marked.
        """
        known: set[str] | None = None
        for keys in self._not_found():
            if keys and known is None:
                known = self._unreachable()
            hidden = [key for key in keys if key not in (known or ())]
            self._mark(Fault.HIDDEN, pl.Series(KEY, hidden, dtype=pl.String))
            yield Kind.HIDDEN, hidden
            yield Kind.UNREACHABLE, [key for key in keys if key in (known or ())]

    def _unreachable(self) -> set[str]:
        with self._registry.read() as db:
            return {*marked_rows.keys(db, self._generation.id, [Fault.UNREACHABLE])}

    @property
    def looked(self) -> Looked:
        """How closely it has looked so far."""
        searching, reading = self._searching, self._reading
        return Looked(
            searched=searching.asked if searching else 0,
            crowded=searching.crowded if searching else 0,
            read=reading.read if reading else 0,
            embedded=reading.embedded if reading else 0,
            restarted=self._restarted,
        )

    def _not_found(self) -> Iterator[list[str]]:
        if self._searching is not None:
            yield from self._searching.find(self._telling.searched)
        elif self._restarted:
            last = self._index.last_written(self._generation.watched_at)
            for keys in in_chunks(last):
                yield not_found(self._index, keys)

    def _mark(self, fault: Fault, keys: pl.Series) -> None:
        if len(keys):
            self._telling.mark(self._generation.id, fault, keys.to_list())
