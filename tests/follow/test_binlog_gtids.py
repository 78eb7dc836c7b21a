"""Numbers of MySQL's transactions: sets of them as text and bytes, and the one of an event."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from pymysqlreplication import gtid

from semilayer_pipelines.follow.binlog.gtids import GtidSet, dump_command, tagged_gtid

SERVER = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
OTHER = "4e11fa47-71ca-11e1-9e33-c80aa9429562"


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("", ""),
        (f"{SERVER}:1-5", f"{SERVER}:1-5"),
        (f"{SERVER.upper()}:1-5:7,\n{OTHER}:3", f"{SERVER}:1-5:7,{OTHER}:3"),
        (f"{SERVER}:1-3:blue:1-2:4", f"{SERVER}:1-3,{SERVER}:blue:1-2:4"),
        (f"{SERVER}:blue:7:red_1:1-2", f"{SERVER}:blue:7,{SERVER}:red_1:1-2"),
        (f"{SERVER}:1-3:4-5,{SERVER}:2-4", f"{SERVER}:1-5"),
    ],
)
def test_a_set_is_written_as_the_server_takes_it(text: str, same: str) -> None:
    assert GtidSet(text).text() == same
    assert GtidSet(same).text() == same


@pytest.mark.parametrize("text", ["no:1", SERVER, f"{SERVER}:0", f"{SERVER}:5-3", f"{SERVER}::1"])
def test_what_is_no_set_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not "):
        GtidSet(text)


def test_transactions_that_are_added_close_the_gaps_between_others() -> None:
    read = GtidSet(f"{SERVER}:1-3:7:9")

    for number in (5, 8, 5, 2, 4):
        read.add(SERVER, number, number)
    read.add(f"{SERVER}:blue", 6, 6)

    assert read.text() == f"{SERVER}:1-5:7-9,{SERVER}:blue:6"


@pytest.mark.parametrize("text", ["", f"{SERVER}:1-5:7:9-12,{OTHER}:3"])
def test_a_set_without_tags_is_packed_as_it_always_was(text: str) -> None:
    of_the_library: Any = gtid.GtidSet  # without types

    assert GtidSet(text).packed() == of_the_library(text).encoded()


def test_a_set_with_tags_is_packed_with_a_tag_for_each_source() -> None:
    packed = GtidSet(f"{SERVER}:1-3:blue:5").packed()

    uuid = bytes.fromhex(SERVER.replace("-", ""))
    two_sources = b"\x01\x02\x00\x00\x00\x00\x00\x01"
    assert packed == b"".join(
        [
            two_sources,
            *(uuid, b"\x00", struct.pack("<QQQ", 1, 1, 4)),
            *(uuid, b"\x08blue", struct.pack("<QQQ", 1, 5, 6)),
        ]
    )


def test_the_command_that_asks_for_the_log_has_no_flag_and_the_set() -> None:
    read = GtidSet(f"{SERVER}:blue:5")

    command = dump_command(7, read)

    size, kind, flags, server_id, name, begin, length = struct.unpack_from("<IBHIIQI", command)
    assert (size, kind, flags, server_id) == (len(command) - 4, 0x1E, 0, 7)
    assert (name, begin, command[-length:]) == (0, 4, read.packed())


@pytest.mark.parametrize("number", [1, 63, 64, 2**20, 2**55, 2**62])
@pytest.mark.parametrize("tag", ["", "blue", "a" * 32])
def test_the_number_of_an_event_with_a_tag_is_read(number: int, tag: str) -> None:
    source = f"{SERVER}:{tag}" if tag else SERVER

    assert tagged_gtid(tagged_body(SERVER, tag, number)) == f"{source}:{number}"


@pytest.mark.parametrize("size", [0, 1, 20, -1])
def test_an_event_with_a_tag_that_is_cut_short_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="cut short"):
        tagged_gtid(tagged_body(SERVER, "blue", 7)[:size])


def tagged_body(server: str, tag: str, number: int) -> bytes:
    """The body of a tagged event, as MySQL writes it, up to the last field that is read."""
    uuid = bytes.fromhex(server.replace("-", ""))
    fields = [(0, packed(1)), (1, b"".join(map(packed, uuid))), (2, packed(number << 1))]
    fields += [(3, packed(len(tag)) + tag.encode())]
    told = b"".join(packed(place) + value for place, value in fields)
    return packed(1) + packed(len(told) + 3) + packed(0) + told


def packed(number: int) -> bytes:
    """An integer in as few bytes as hold it and their count."""
    size = next((size for size in range(1, 9) if number < 1 << 7 * size), 9)
    if size == 9:
        return b"\xff" + number.to_bytes(8, "little")
    return (number << size | (1 << size - 1) - 1).to_bytes(size, "little")
