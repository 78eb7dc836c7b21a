"""The stamp of the last write to an index that its store knows by a name.

A store whose indexes are written from several machines keeps notes beside the project about what
they hold. The stamp says whether the notes of this machine have seen the last write.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.sql import insert

__all__ = ["IndexStamps"]

_stamps = tables.index_stamps.c


@dataclass(frozen=True)
class IndexStamps:
    """The stamps that a registry keeps; each call is a transaction of its own."""

    registry: Registry

    def now(self, name: str) -> str | None:
        """Return the stamp of the last write to an index; `None` when there was none."""
        with self.registry.read() as db:
            return _of(db, name)

    def take(self, name: str, stamp: str) -> str | None:
        """Set the stamp of an index; return the one before. Its write lock must be held."""

        def take(db: Connection) -> str | None:
            before = _of(db, name, held=True)
            row = insert(db, tables.index_stamps).values(index_name=name, stamp=stamp)
            db.execute(
                row.on_conflict_do_update(index_elements=["index_name"], set_={"stamp": stamp})
            )
            return before

        return self.registry.transact(take)

    def forget(self, name: str) -> None:
        """Remove the stamp of an index that was dropped."""
        self.registry.transact(
            lambda db: db.execute(delete(tables.index_stamps).where(_stamps.index_name == name))
        )


def _of(db: Connection, name: str, *, held: bool = False) -> str | None:
    asked = select(_stamps.stamp).where(_stamps.index_name == name)
    return db.scalars(asked.with_for_update() if held else asked).one_or_none()
