"""What must be true, kept as plain dicts: the source's rows, every version of them, every promise.

A row carries its version as its price, so that the index says which version it holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from semilayer_pipelines.registry.changes import Action

__all__ = ["Model", "Promise", "Row"]


@dataclass(frozen=True)
class Row:
    """One version of a row; `poison` cannot be mapped."""

    id: int
    version: int
    name: str
    description: str
    poison: bool
    updated_at: str | None

    def values(self) -> tuple[object, ...]:
        category = "unknown" if self.poison else "tools"
        return (
            self.id,
            self.name,
            self.description,
            float(self.version),
            category,
            self.updated_at,
        )


@dataclass
class Promise:
    """An acknowledged change: once applied, the index holds this version or a later one.

    `may_be_absent`: the row was not there then or at some time since, or a delete was asked for.
    `may_be_old`: some version since could not be mapped, which leaves the object as it was.
    """

    version: int
    may_be_absent: bool
    may_be_old: bool


@dataclass
class Model:
    rows: dict[int, Row] = field(default_factory=dict)
    history: list[Row] = field(default_factory=list)
    latest: dict[int, int] = field(default_factory=dict)
    promises: dict[int, Promise] = field(default_factory=dict)
    seen: dict[int, dict[int, int]] = field(default_factory=dict)
    version: int = 0

    def put(self, id: int, name: str, description: str, poison: bool, at: str | None) -> Row:
        """Insert or update a row."""
        row = Row(id, self._next(id), name, description, poison, at)
        self.rows[id] = row
        self.history.append(row)
        if poison and id in self.promises:
            self.promises[id].may_be_old = True
        return row

    def delete(self, id: int) -> None:
        self._next(id)
        self.rows.pop(id)
        if id in self.promises:
            self.promises[id].may_be_absent = True

    def promise(self, id: int, action: Action) -> None:
        """Note that a change was acknowledged."""
        row = self.rows.get(id)
        self.promises[id] = Promise(
            version=self.latest.get(id, 0),
            may_be_absent=row is None or action is Action.DELETE,
            may_be_old=row is not None and row.poison,
        )

    def broken(self, indexed: dict[int, int], waiting: set[int]) -> list[str]:
        """Return the promises that an index (id to version) breaks; `waiting` are buffered."""
        found = []
        for id, promise in self.promises.items():
            if id in waiting:
                continue
            version = indexed.get(id)
            if version is None and not promise.may_be_absent and not promise.may_be_old:
                found.append(f"row {id} is absent, version {promise.version} was acknowledged")
            if version is not None and version < promise.version and not promise.may_be_old:
                found.append(f"row {id} is version {version}, acknowledged was {promise.version}")
        return found

    def gone_back(self, generation: int, indexed: dict[int, int]) -> list[str]:
        """Return the rows that a generation holds in an older version than it did before.

        The newest read wins (invariant 4). A later generation may have read a row earlier.
        """
        before = self.seen.get(generation, {})
        self.seen[generation] = before | indexed
        return [
            f"row {id} went from version {before[id]} to {version}"
            for id, version in indexed.items()
            if version < before.get(id, 0)
        ]

    def _next(self, id: int) -> int:
        self.version += 1
        self.latest[id] = self.version
        return self.version
