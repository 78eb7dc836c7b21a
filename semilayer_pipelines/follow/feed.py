"""What a feed is: the changes of a source's tables in the order of their commits, with positions.

A feed knows its database and nothing of lenses or the registry. The follower buffers what it reads
and keeps the position in one transaction. It confirms the position to the feed only after that
commit, so whatever is killed, a change is read again or is buffered already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from semilayer_pipelines.http.contract import Action

__all__ = ["Batch", "Feed", "Finding", "Lag", "RowChange", "Setup", "Watched"]

Watched = Mapping[str, tuple[str, ...]]
"""Tables by the names that lenses write, and the columns that tell which of their rows changed."""


class RowChange(NamedTuple):
    """One change of a row.

    `table` is a name of `Watched`. `row` has the values of its columns there, in that order: as
    text, the way the database itself writes it in UTC, ISO dates and all digits. `None` is NULL.
    """

    table: str
    action: Action
    row: tuple[str | None, ...]


@dataclass(frozen=True)
class Batch:
    """What was read: the oldest change first.

    `position` is where reading goes on when all of this is kept, in the feed's own form. A batch
    that ends within a transaction has the position before that transaction.

    `missed` are the watched tables of which something happened that names no row, and what: a
    TRUNCATE for instance. Their lenses get a smart sync. `restarted` says why changes of all tables
    may have been missed: the feed started over.
    """

    position: str
    changes: Sequence[RowChange] = ()
    missed: Mapping[str, str] = field(default_factory=dict)
    restarted: str | None = None


@dataclass(frozen=True)
class Lag:
    """How far reading is behind the database; `None` where that cannot be told."""

    size: int | None
    seconds: float | None


class Feed(Protocol):
    """The changes of the watched tables of one source.

    A feed is opened for some tables, at a position (`None`: nothing was read yet, so its first
    batch says in `missed` that all tables may have changed). Every verb may raise
    `SourceUnreachable` (may pass; the feed is to be opened again) and `SourceRefused` (will not).
    """

    def read(self, seconds: float) -> Batch | None:
        """Return what comes next; `None` when nothing came for that long.

        A batch holds some thousand changes at most, however large a transaction is. While it waits,
        and at each call, the feed tells the server that it lives.
        """
        ...

    def confirm(self, position: str) -> None:
        """Tell the server that everything up to a position is kept; it may forget that."""
        ...

    def lag(self) -> Lag:
        """Ask how far reading is behind."""
        ...

    def close(self) -> None:
        """Give back every connection; what was not confirmed is read again."""
        ...


@dataclass(frozen=True)
class Finding:
    """Something a person has to know of a source that is followed, and what to do.

    `stops`: changes would be lost or told under a wrong key, so nothing is installed.
    """

    told: str
    cure: str
    stops: bool


class Setup(Protocol):
    """Makes, checks and drops what a feed needs in its database.

    Every verb may raise `SourceUnreachable` and `SourceRefused`.
    """

    def findings(self) -> tuple[Finding, ...]:
        """Look at settings, rights and tables."""
        ...

    def to_install(self) -> tuple[str, ...]:
        """Return the SQL statements that are left to run; none where all is installed."""
        ...

    def to_uninstall(self) -> tuple[str, ...]:
        """Return the SQL statements that take away what was installed, as far as it is there."""
        ...

    def run(self, statements: Sequence[str]) -> None:
        """Run statements of these, each in a transaction of its own."""
        ...

    def close(self) -> None:
        """Give back every connection."""
        ...
