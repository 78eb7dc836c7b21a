"""How far a log was read: the last transaction of each domain (MariaDB), or a set (MySQL)."""

from __future__ import annotations

import re
from typing import Protocol

from semilayer_pipelines.follow.binlog.gtids import GtidSet

__all__ = ["MariadbPosition", "MysqlPosition", "Position", "position_of"]

_MARIADB_GTID = re.compile(r"\d+-\d+-\d+", re.ASCII)


class Position(Protocol):
    """The transactions that were read, as text for the server."""

    def add(self, gtid: str) -> None:
        """Note that a transaction was read to its end."""
        ...

    def text(self) -> str:
        """Return what the server is asked to go on behind."""
        ...


class MariadbPosition:
    """The last transaction of each replication domain: `0-1-100,1-2-7`."""

    def __init__(self, text: str) -> None:
        read = [one for one in text.split(",") if one]
        for one in read:
            if not _MARIADB_GTID.fullmatch(one):
                raise ValueError(f"not a transaction of MariaDB: {one!r}")
        self._last = {one.split("-")[0]: one for one in read}

    def add(self, gtid: str) -> None:
        """Note that a transaction was read to its end."""
        self._last[gtid.split("-")[0]] = gtid

    def text(self) -> str:
        """Return the transactions, by domain."""
        return ",".join(self._last.values())


class MysqlPosition:
    """A set of transactions: `3e11fa47-71ca-11e1-9e33-c80aa9429562:1-23`."""

    def __init__(self, text: str) -> None:
        self._read = GtidSet(text)

    def add(self, gtid: str) -> None:
        """Note that a transaction was read to its end; a second time it changes nothing."""
        source, _, written = gtid.rpartition(":")
        self._read.add(source, int(written), int(written))

    def text(self) -> str:
        """Return the set."""
        return self._read.text()


def position_of(text: str, *, is_mariadb: bool) -> Position:
    """Return a position from its text; raises `ValueError`."""
    return MariadbPosition(text) if is_mariadb else MysqlPosition(text)
