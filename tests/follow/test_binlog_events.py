"""Events of a log as the bytes that a server sends, where no server here writes them."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from semilayer_pipelines.errors import SourceUnreachable
from semilayer_pipelines.follow.binlog import events
from semilayer_pipelines.follow.binlog.events import Event, Events, Lost
from semilayer_pipelines.follow.binlog.pieces import Piece, Tables
from semilayer_pipelines.follow.binlog.server import Server, WatchedTable
from semilayer_pipelines.follow.binlog.stream import LogGone, Stream
from tests.follow.binlogs import ITEMS
from tests.follow.test_binlog_gtids import tagged_body
from tests.patience import PATIENCE_SECONDS

SERVER = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
QUERY, FORMAT, XID, DESCRIPTION, INCIDENT, WRITE, GTID = 2, 15, 16, 19, 26, 30, 33
TRANSACTION, TAGGED_GTID = 40, 42
FIXED = {QUERY: 13, DESCRIPTION: 8}


class Recorded(Server):
    """A MySQL that is not there: its log comes from a test, and it has no tables."""

    is_mariadb = False

    def tables(self, names: object) -> dict[str, WatchedTable]:
        return {}


class Line:
    """A connection on which packets came."""

    is_checked = False

    def __init__(self, packets: Sequence[bytes]) -> None:
        self._packets = iter(packets)
        self.given: object = None

    def next(self) -> object:
        data = next(self._packets, b"")
        return SimpleNamespace(is_eof_packet=lambda: not data, get_all_data=lambda: data)


class Library:
    """The library, which makes nothing of what it is given."""

    log_file = "binlog.000001"

    def fetchone(self) -> None:
        raise events._Done

    def close(self) -> None:
        pass


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What a server sends: a test adds its packets."""
    packets = [of_format()]

    def opened(self: Events, *_: object) -> Library:
        self._line = Line(packets)  # type: ignore[assignment]
        return Library()

    monkeypatch.setattr(Events, "_opened", opened)
    return packets


def test_a_table_that_is_created_with_its_rows_is_one_transaction(sent: list[bytes]) -> None:
    # given how MySQL logs CREATE TABLE ... SELECT
    sent += [
        gtid(6),
        statement("BEGIN"),
        statement("CREATE TABLE `fresh` (\n  `id` int NOT NULL\n) START TRANSACTION"),
        description(7, "shop", "fresh"),
        rows(7),
        packet(XID, bytes(8)),
    ]

    with read(f"{SERVER}:1-5") as pieces:
        assert [(piece.ended, piece.position) for piece in pieces] == [(True, f"{SERVER}:1-6")]


@pytest.mark.parametrize("verb", ["CREATE TABLE fresh (id int)", "UPDATE items SET price = 1"])
def test_a_statement_within_a_transaction_is_not_its_end(sent: list[bytes], verb: str) -> None:
    sent += [gtid(6), statement("BEGIN"), statement(verb), statement("COMMIT")]
    sent += [gtid(7), statement("DROP TABLE fresh")]

    with read(f"{SERVER}:1-5") as pieces:
        assert [piece.gtid[-2:] for piece in pieces if piece.ended] == [":6", ":7"]


def test_two_ends_of_a_transaction_are_noted_once(sent: list[bytes]) -> None:
    sent += [gtid(6), packet(XID, bytes(8)), packet(XID, bytes(8)), gtid(7), packet(XID, bytes(8))]

    with read(f"{SERVER}:1-5") as pieces:
        assert pieces[-1].position == f"{SERVER}:1-7"


def test_a_position_that_cannot_be_noted_is_told_as_a_log_that_is_gone(sent: list[bytes]) -> None:
    sent += [packet(XID, bytes(8))]  # an end without a beginning

    with pytest.raises(LogGone, match="cannot be decoded"), read(f"{SERVER}:1-5"):
        pass


def test_a_lost_part_of_the_log_is_told_at_once_and_passed(sent: list[bytes]) -> None:
    sent += [gtid(6), packet(INCIDENT, b"\1\0\0")]

    with read(f"{SERVER}:1-5") as pieces:
        assert [(*piece.missed.values(), piece.position) for piece in pieces] == [
            ("the server lost a part of its log", f"{SERVER}:1-6")
        ]


def test_a_lost_part_without_a_number_is_told_at_once_too(sent: list[bytes]) -> None:
    sent += [packet(INCIDENT, b"\1\0\0")]

    with read(f"{SERVER}:1-5") as pieces:
        assert [(*piece.missed, piece.position) for piece in pieces] == [("items", None)]


def test_a_packed_transaction_is_missed_at_once_and_passed(sent: list[bytes]) -> None:
    # given a session that packs its transactions, whatever the server's setting is
    sent += [gtid(6), packet(TRANSACTION, b"\2\1\0\0")]

    with read(f"{SERVER}:1-5") as pieces:
        assert [(*piece.missed.values(), piece.position) for piece in pieces] == [
            ("the log has packed parts", f"{SERVER}:1-6")
        ]


def test_transactions_with_a_tag_are_followed_as_others_are(sent: list[bytes]) -> None:
    for number in (6, 7):
        sent += [packet(TAGGED_GTID, tagged_body(SERVER, "blue", number)), packet(XID, bytes(8))]
    sent += [gtid(8), packet(XID, bytes(8))]

    with read(f"{SERVER}:1-7:blue:1-5") as pieces:
        assert [dict(piece.missed) for piece in pieces] == [{}, {}, {}]
        assert pieces[0].gtid == f"{SERVER}:blue:6"
        assert pieces[-1].position == f"{SERVER}:1-8,{SERVER}:blue:1-7"


@pytest.mark.parametrize("position", ["0-1-17", f"{SERVER}:1-5:", "nothing"])
def test_a_position_of_another_kind_of_server_is_told_as_a_log_that_is_gone(position: str) -> None:
    with pytest.raises(LogGone, match="no place in this server's log"):
        Stream(server(), "test", ITEMS, position)


def test_rows_of_a_table_that_was_not_described_are_missed(sent: list[bytes]) -> None:
    sent += [gtid(6), rows(7), packet(XID, bytes(8))]

    with read(f"{SERVER}:1-5") as pieces:
        assert [list(piece.missed) for piece in pieces] == [["items"]]


@pytest.mark.parametrize("number", [0xFFFFFF, 0xFFFFFFFF, 2**48 - 1])
def test_an_event_that_only_ends_a_statement_is_no_row(sent: list[bytes], number: int) -> None:
    sent += [rows(number)]

    assert list(told()) == []


def test_descriptions_are_kept_until_their_rows_came(
    sent: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a statement of two tables, of which the log describes both first
    monkeypatch.setattr(events, "_MOST_TABLES", 1)
    for number in (6, 7):
        sent += [gtid(number), description(1, "shop", "a"), description(2, "shop", "b")]
        sent += [rows(1), rows(2), packet(XID, bytes(8))]

    found = list(told())

    assert [one for one in found if isinstance(one, Lost)] == []
    assert len(found) == 2 * 4


def packet(kind: int, body: bytes) -> bytes:
    """An event without a checksum, as a packet."""
    return struct.pack("<xIBIIIxx", 1, kind, 1, 19 + len(body), 0) + body


def of_format() -> bytes:
    return packet(FORMAT, bytes(57) + bytes(FIXED.get(kind, 0) for kind in range(1, 60)))


def gtid(number: int) -> bytes:
    return packet(GTID, struct.pack("<x16sQ", bytes.fromhex(SERVER.replace("-", "")), number))


def statement(text: str) -> bytes:
    return packet(QUERY, struct.pack("<IIBHH", 1, 0, 4, 0, 0) + b"shop\0" + text.encode())


def description(number: int, schema: str, table: str) -> bytes:
    place = b"".join(struct.pack("B", len(one)) + one.encode() + b"\0" for one in (schema, table))
    return packet(DESCRIPTION, number.to_bytes(6, "little") + bytes(2) + place)


def rows(number: int) -> bytes:
    return packet(WRITE, number.to_bytes(6, "little") + b"\1\0\2\0")


def told() -> Iterator[Event]:
    return iter(Events(server(), 1, Tables(ITEMS, {}), ""))


def server() -> Server:
    return Recorded("mysql://root@nowhere.invalid/shop", source="shop", timeout_ms=1_000)


@contextmanager
def read(position: str) -> Iterator[list[Piece]]:
    """The pieces of what was sent, up to where the server ends the connection."""
    reading = Stream(server(), "test", ITEMS, position)
    found: list[Piece] = []
    try:
        while True:
            found += reading.take(PATIENCE_SECONDS, 1)
    except SourceUnreachable:
        yield found
    finally:
        reading.close()
