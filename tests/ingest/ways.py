"""The ways that rows come into an index, each as a function of a lens and the rows that changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from semilayer_pipelines.registry import changes
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Mode
from tests.lab import Lab

__all__ = ["WAYS", "Way", "by_incremental", "by_rebuild", "by_records", "by_sync"]

Way = Callable[[Lab, Sequence[int]], None]


def by_records(lab: Lab, ids: Sequence[int]) -> None:
    """Tell of an upsert of each row, and apply that."""
    with lab.project.registry.begin() as db:
        told = [(str(id), Action.UPSERT) for id in ids]
        changes.append(db, lab.lens.id, told, lab.project.clock())
    lab.run(lab.request(Mode.RECORDS))


def by_incremental(lab: Lab, ids: Sequence[int]) -> None:
    """Walk what moved."""
    lab.run(lab.request(Mode.INCREMENTAL))


def by_sync(lab: Lab, ids: Sequence[int]) -> None:
    """Compare everything."""
    lab.sync()


def by_rebuild(lab: Lab, ids: Sequence[int]) -> None:
    """Build the index again."""
    lab.full()


WAYS: tuple[Way, ...] = (by_records, by_incremental, by_sync, by_rebuild)
