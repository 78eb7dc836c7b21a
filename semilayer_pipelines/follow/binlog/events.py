"""The events of a server's log behind a position, and of each as little as has to be known.

The library connects, and decodes rows and the descriptions of tables. The log describes a table
once more in each transaction, and to decode that takes longer than all the rest. So each packet is
looked at here first. A description that the library has already, and rows of tables that nobody
watches, are not given to it. GTIDs, statements and ends of transactions are a few bytes, read here.
"""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from semilayer_pipelines.follow.binlog.gtids import GtidSet, dump_command, tagged_gtid, uuid_text
from semilayer_pipelines.follow.binlog.pieces import Tables
from semilayer_pipelines.follow.binlog.server import LogPlace, Server, driver

__all__ = [
    "Alive",
    "Begun",
    "Described",
    "Ended",
    "Event",
    "Events",
    "Incident",
    "Lost",
    "Rows",
    "Said",
    "Unread",
]

logger = logging.getLogger(__name__)

_HEARTBEAT_SECONDS = 0.25
_SILENT_SECONDS = 30

# A byte that says "an event"; when, which, by which server, how long, where the next one begins.
_HEADER = struct.Struct("<xIBIIIxx")
_SIZE = slice(10, 14)
_BODY = _HEADER.size
_TABLE_ID = slice(_BODY, _BODY + 6)
_FLAGS = _BODY + 12
"""Where a GTID of MariaDB has its bits."""
_LENGTHS = _BODY + 57
"""Where the description of the format tells the lengths of the fixed parts of all others."""
_CHECKSUM = 4
_IN_ITS_PLACE = "00000000-0000-0000-0000-000000000000:1"
"""A position that the library takes, and never asks for."""

_MOST_TABLES = 10_000
"""So many descriptions are kept when a transaction begins."""


class _Kind:
    QUERY, ROTATE, FORMAT, XID, LOAD_QUERY, DESCRIPTION = 2, 4, 15, 16, 18, 19
    INCIDENT, HEARTBEAT, GTID, XA_PREPARE, TRANSACTION, TAGGED_GTID = 26, 27, 33, 38, 40, 42
    MARIADB_GTID = 162


_ROWS = frozenset({23, 24, 25, 30, 31, 32, 39})
# Events that hold others in a packed form: the library does not open them.
_PACKED = frozenset({_Kind.TRANSACTION, *range(165, 172)})
_BEGINS = frozenset({_Kind.GTID, _Kind.TAGGED_GTID, _Kind.MARIADB_GTID})
_NO_TABLE = frozenset((b"\xff" * size).ljust(6, b"\0") for size in (3, 4, 6))
"""Instead of a table's number in an event without rows, which only ends a statement."""
_STANDS_ALONE = 1
"""The bit of MariaDB's GTIDs for a statement that is a transaction."""


class Begun(NamedTuple):
    """A transaction begins. `alone`: the first statement is its end, unless that is a BEGIN."""

    gtid: str
    alone: bool


class Described(NamedTuple):
    """Rows of a table may change in what follows: lenses call it by these names."""

    names: tuple[str, ...]


class Rows(NamedTuple):
    """Rows of a table changed; `event` and `columns`, by their names, are the library's."""

    event: Any
    names: tuple[str, ...]
    columns: Mapping[str, Any]


class Unread(NamedTuple):
    """Rows of a table changed, which lenses call by these names, and nobody can read them."""

    names: tuple[str, ...]


class Said(NamedTuple):
    """A statement stands in the log as it was written."""

    statement: str


class Ended(NamedTuple):
    """A transaction is committed, or prepared."""


class Lost(NamedTuple):
    """Something happened to tables that nobody can name, and `why` that is.

    `whole`: it is all there is of its transaction.
    """

    why: str
    whole: bool = False


class Incident(NamedTuple):
    """The server says that it lost a part of its log."""


class Alive(NamedTuple):
    """The server has nothing more to tell."""


Event = Begun | Described | Rows | Unread | Said | Ended | Lost | Incident | Alive


class _Table(NamedTuple):
    """A table as the log described it last; without `columns` it cannot be read."""

    description: bytes
    names: tuple[str, ...]
    columns: Mapping[str, Any] | None


class Events:
    """Iterates over events until the server ends the connection.

    `written_at` is when the last event was written, in seconds since 1970. Iterating raises what
    the driver and the library raise, and `ValueError` for an event that is cut short.
    """

    def __init__(self, server: Server, server_id: int, tables: Tables, position: str) -> None:
        self.written_at = 0.0
        self._tables = tables
        self._known: dict[bytes, _Table] = {}
        self._lengths = b""
        self._offset = 0
        self._line: _Line | None = None
        self._library = self._opened(server, server_id, position)

    @property
    def place(self) -> LogPlace:
        """Where in the log the last event ends."""
        file = self._library.log_file or ""
        return len(file), file, self._offset

    def look_again(self, tables: Tables) -> None:
        """Find out anew which lenses a table is of."""
        self._tables = tables
        self._known.clear()

    def close(self) -> None:
        """Give the connections back."""
        self._library.close()

    def __iter__(self) -> Iterator[Event]:
        self._asked()  # the library connects
        line = self._line
        assert line is not None
        while True:
            packet = line.next()
            if packet.is_eof_packet():
                return
            data = packet.get_all_data()
            at, kind, by, _, end = _HEADER.unpack_from(data)
            self.written_at = float(at)
            self._offset = end or self._offset
            event = self._event(kind, by, packet, data)
            if event is not None:
                yield event

    def _event(self, kind: int, by: int, packet: Any, data: bytes) -> Event | None:
        if kind in _ROWS:
            return self._rows(packet, data)
        if kind in _BEGINS and len(self._known) >= _MOST_TABLES:
            # The log describes each again. Within a transaction their rows may be still to come.
            self._known.clear()
        match kind:
            case _Kind.DESCRIPTION:
                return Described(self._table(packet, data).names)
            case _Kind.XID | _Kind.XA_PREPARE:
                return Ended()
            case _Kind.MARIADB_GTID:
                number, domain = struct.unpack_from("<QI", data, _BODY)
                return Begun(f"{domain}-{by}-{number}", bool(data[_FLAGS] & _STANDS_ALONE))
            case _Kind.GTID:
                server, number = struct.unpack_from("<x16sQ", data, _BODY)
                return Begun(f"{uuid_text(server)}:{number}", alone=True)
            case _Kind.TAGGED_GTID:
                return Begun(tagged_gtid(_unchecked(data)[_BODY:]), alone=True)
            case _Kind.QUERY | _Kind.LOAD_QUERY:
                return Said(_statement(data, self._lengths[kind - 1]))
            case _Kind.INCIDENT:
                return Incident()
            case _Kind.HEARTBEAT:
                return Alive()
            case _Kind.ROTATE:
                # The library forgets the tables of a file too: a server that was started again
                # gives their numbers to others.
                self._known.clear()
                self._decoded(packet, data)
            case _Kind.FORMAT:
                self._lengths = data[_LENGTHS:]
                self._decoded(packet, data)
            case _ if kind in _PACKED:
                return Lost("the log has packed parts", whole=kind == _Kind.TRANSACTION)
        return None

    def _rows(self, packet: Any, data: bytes) -> Event | None:
        table = self._known.get(data[_TABLE_ID])
        if table is None:
            if data[_TABLE_ID] in _NO_TABLE:
                return None
            return Lost("the log has rows of a table that it did not describe")
        if not table.names:
            return None
        if table.columns is None:
            return Unread(table.names)
        return Rows(self._decoded(packet, data), table.names, table.columns)

    def _table(self, packet: Any, data: bytes) -> _Table:
        description = _unchecked(data)[_BODY:]
        known = self._known.get(data[_TABLE_ID])
        if known is None or known.description != description:
            place = _place(description, self._lengths[_Kind.DESCRIPTION - 1])
            names = tuple(self._tables.named(*place))
            columns = self._columns(packet, data) if names else {}
            known = self._known[data[_TABLE_ID]] = _Table(description, names, columns)
        return known

    def _columns(self, packet: Any, data: bytes) -> Mapping[str, Any] | None:
        """Let the library have a description; return its columns by their names.

        `None` where it does not know a type, such as a VECTOR: it takes the next bytes for what
        they are not.
        """
        from pymysqlreplication.constants import FIELD_TYPE

        try:
            columns = self._decoded(packet, data).columns
        except Exception as error:  # whatever it stumbles over, it is one table's fault
            logger.debug("the description of a table cannot be decoded", exc_info=error)
            return None
        types = {number for name, number in vars(FIELD_TYPE).items() if name.isupper()}
        if not all(column.type in types for column in columns):
            return None
        return {column.name: column for column in columns}

    def _decoded(self, packet: Any, data: bytes) -> Any:
        """Let the library have a packet; return its event, `None` when it makes none of it."""
        line = self._line
        assert line is not None
        if line.is_checked and _unchecked(data) is data:
            # A file that was written while the server had another setting. The library would take
            # the last bytes of a row for a checksum.
            packet = type(packet)(_with_room(data), "")
        line.given = packet
        return self._asked()

    def _asked(self) -> Any:
        try:
            return self._library.fetchone()
        except _Done:
            return None

    def _opened(self, server: Server, server_id: int, position: str) -> Any:
        from pymysqlreplication import binlogstream
        from pymysqlreplication import row_event as rows

        asks: bytes | None = None
        if not server.is_mariadb and (read := GtidSet(position)).has_tags:
            asks, position = dump_command(server_id, read), _IN_ITS_PLACE

        def connect(**settings: Any) -> Any:
            connection = driver().connect(**settings)
            if "cursorclass" in settings:  # the one for its questions
                return connection
            self._line = _Line(connection, asks)
            return self._line

        reader: Any = binlogstream.BinLogStreamReader  # without types
        settings = {**server.arguments, "connect_timeout": 10}
        return reader(
            connection_settings={**settings, "read_timeout": _SILENT_SECONDS},
            ctl_connection_settings=dict(settings),
            pymysql_wrapper=connect,
            server_id=server_id,
            blocking=True,
            slave_heartbeat=_HEARTBEAT_SECONDS,
            is_mariadb=server.is_mariadb,
            auto_position=position,
            only_schemas=self._tables.schemas,
            only_tables=self._tables.tables,
            enable_logging=False,
            only_events=[
                *(rows.WriteRowsEvent, rows.UpdateRowsEvent, rows.DeleteRowsEvent),
                *(rows.PartialUpdateRowsEvent, rows.TableMapEvent),
            ],
        )


class _Done(Exception):
    """The library asks for the next packet: it is done with what it was given."""


class _Line:
    """The connection, as the library has it: of packets it reads the one that it is `given`.

    `is_checked`: it counts on a checksum at the end of each. `asks` is what to ask the server for
    in the place of what the library does.
    """

    def __init__(self, connection: Any, asks: bytes | None) -> None:
        self._connection = connection
        self._asks = asks
        self.given: Any = None
        self.is_checked = False

    def next(self) -> Any:
        """Wait for the next packet. Raises what the driver raises."""
        return self._connection._read_packet()

    def _read_packet(self) -> Any:
        given, self.given = self.given, None
        if given is None:
            raise _Done
        return given

    def _write_bytes(self, command: bytes) -> None:
        # What the library asked the server for, before it asks for the log.
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT @master_binlog_checksum IS NOT NULL")
            self.is_checked = bool(cursor.fetchone()[0])
        self._connection._write_bytes(self._asks or command)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    @property
    def _next_seq_id(self) -> int:
        return int(self._connection._next_seq_id)

    @_next_seq_id.setter
    def _next_seq_id(self, number: int) -> None:
        self._connection._next_seq_id = number


def _place(description: bytes, fixed: int) -> tuple[str, str]:
    """Return schema and name of a table; each stands behind its length and ends by a zero."""
    end = fixed + 1 + description[fixed]
    schema, rest = description[fixed + 1 : end], description[end + 1 :]
    return schema.decode(), rest[1 : 1 + rest[0]].decode()


def _statement(data: bytes, fixed: int) -> str:
    """Return the text of an event whose fixed part has a length.

    Behind that part stand variables of the session, of which every version has more; the schema,
    ended by a zero; and the text.
    """
    (schema,) = struct.unpack_from("<B", data, _BODY + 8)
    (variables,) = struct.unpack_from("<H", data, _BODY + 11)
    start = _BODY + fixed + variables + schema + 1
    text = _unchecked(data)
    if start > len(text):
        raise ValueError("a statement is cut short")
    return text[start:].decode(errors="backslashreplace")


def _unchecked(data: bytes) -> bytes:
    """Return an event without its checksum; the same object where it has none.

    Each file of a log may be written with checksums or without.
    """
    end = len(data) - _CHECKSUM
    checksum = int.from_bytes(data[end:], "little")
    return data[:end] if zlib.crc32(memoryview(data)[1:end]) == checksum else data


def _with_room(data: bytes) -> bytes:
    """Return an event with as many bytes more as a checksum has, in its size too."""
    size = int.from_bytes(data[_SIZE], "little") + _CHECKSUM
    return data[: _SIZE.start] + size.to_bytes(4, "little") + data[_SIZE.stop :] + bytes(_CHECKSUM)
