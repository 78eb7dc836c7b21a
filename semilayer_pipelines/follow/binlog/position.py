"""How far a log was read: the last transaction of each domain (MariaDB), or a set (MySQL)."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["MariadbPosition", "MysqlPosition", "Position", "position_of"]


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
        self._last = {one.split("-")[0]: one for one in text.split(",") if one}

    def add(self, gtid: str) -> None:
        """Note that a transaction was read to its end."""
        self._last[gtid.split("-")[0]] = gtid

    def text(self) -> str:
        """Return the transactions, by domain."""
        return ",".join(self._last.values())


class MysqlPosition:
    """A set of transactions: `3E11FA47-71CA-11E1-9E33-C80AA9429562:1-23`."""

    def __init__(self, text: str) -> None:
        from pymysqlreplication import gtid as gtids

        self._gtids: Any = gtids  # without types
        self._read = self._gtids.GtidSet(text)
        # To add to a set takes long, and one transaction follows the other nearly always.
        self._server, self._first, self._last = "", 0, 0

    def add(self, gtid: str) -> None:
        """Note that a transaction was read to its end; a second time it changes nothing."""
        server, _, written = gtid.partition(":")
        number = int(written)
        if server == self._server and self._first <= number <= self._last:
            return
        if server != self._server or number != self._last + 1:
            self._settle()
            self._server, self._first = server, number
        self._last = number

    def text(self) -> str:
        """Return the set."""
        self._settle()
        return str(self._read)

    def _settle(self) -> None:
        """Add the transactions in a row that the set does not have yet."""
        if self._server:
            added = self._gtids.Gtid(f"{self._server}:{self._first}-{self._last}")
            for read in self._read.gtids:
                added -= read  # of what it has the library makes an error
            if added.intervals:
                self._read += added
            self._server = ""


def position_of(text: str, *, is_mariadb: bool) -> Position:
    """Return a position from its text."""
    return MariadbPosition(text) if is_mariadb else MysqlPosition(text)
