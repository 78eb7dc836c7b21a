"""The last complete walk of a generation's source: what it may prove to the next smart sync.

A row says what was so at one moment, of the source and of the index. It stays true whatever happens
later, so an old one proves less, and never anything wrong.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.sql import insert

__all__ = ["Walk", "get", "kept_names", "note"]

_walks = tables.walks.c


@dataclass(frozen=True)
class Walk:
    """A walk that was complete.

    Every row of the source was read at `whole_at`, or was proven unchanged since. `rows` is how
    many there were, `textless` how many of them had no text. `place`, `mark` and `since` are the
    source's `Written` before the walk. `fingerprint` says by which configuration rows were mapped.
    While the index has this content `token`, it holds what the walk saw; `None` where that is not
    known. `kept` names the files of what the walk saw, with a space between, and `digest` has the
    digest of each; both are `None` without any.
    """

    whole_at: datetime
    rows: int
    textless: int
    fingerprint: str
    place: str
    mark: str | None
    since: str | None
    token: str | None
    kept: str | None
    digest: str | None

    @property
    def files(self) -> set[str]:
        """The names of the files of what the walk saw."""
        return set((self.kept or "").split())


def get(db: Connection, generation_id: int) -> Walk | None:
    """Return the last complete walk of a generation; `None` before the first."""
    row = db.execute(
        select(tables.walks).where(_walks.generation_id == generation_id)
    ).one_or_none()
    if row is None:
        return None
    known = {name: value for name, value in row._mapping.items() if name != "generation_id"}
    return Walk(**known)


def note(db: Connection, generation_id: int, walk: Walk) -> None:
    """Note a complete walk in the place of the one before."""
    told = asdict(walk)
    new = insert(db, tables.walks).values(generation_id=generation_id, **told)
    db.execute(new.on_conflict_do_update(index_elements=["generation_id"], set_=told))


def kept_names(db: Connection) -> set[str]:
    """Return the names of all files that a walk needs."""
    return {name for kept in db.scalars(select(_walks.kept)) for name in (kept or "").split()}
