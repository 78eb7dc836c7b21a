"""MySQL's numbers of transactions (GTIDs): one as the log tells it, and sets of them.

A number counts the transactions of a source: a server's UUID or, from MySQL 8.3 on, one with a tag,
`UUID:tag`. The library knows sets without tags alone, so those with some are packed here.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_left
from collections.abc import Iterator

__all__ = ["GtidSet", "dump_command", "tagged_gtid", "uuid_text"]

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TAG = re.compile(r"[a-z_][a-z0-9_]{0,31}")
_NUMBERS = re.compile(r"([1-9]\d*)(?:-([1-9]\d*))?", re.ASCII)

_DUMP = 0x1E
_TAGGED = 1
"""The form of a packed set whose sources have tags, without one too."""

_FLAGS, _SOURCE, _NUMBER, _NAME = 0, 1, 2, 3
"""Fields of a tagged event, each behind its number: those that are read come first."""


class GtidSet:
    """The transactions of some sources: `UUID:1-5:9,UUID:tag:1-3`. Raises `ValueError`."""

    def __init__(self, text: str) -> None:
        # Of each source where its ranges begin, and behind which number each ends; in order.
        self._ranges: dict[str, tuple[list[int], list[int]]] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            for source, first, last in _ranges_of(part.lower()):
                self.add(source, first, last)

    @property
    def has_tags(self) -> bool:
        """Say whether a source has a tag."""
        return any(":" in source for source in self._ranges)

    def add(self, source: str, first: int, last: int) -> None:
        """Add the transactions `first` to `last` of a source; a second time changes nothing."""
        begins, ends = self._ranges.setdefault(source, ([], []))
        # Ranges that touch the new one become one with it.
        low, high = bisect_left(ends, first), bisect_left(begins, last + 2)
        begin = min([first, *begins[low:high]])
        end = max([last + 1, *ends[low:high]])
        begins[low:high], ends[low:high] = [begin], [end]

    def text(self) -> str:
        """Return the set as the server takes it."""
        return ",".join(
            ":".join([source, *(_range_text(*pair) for pair in zip(*ranges, strict=True))])
            for source, ranges in self._ranges.items()
        )

    def packed(self) -> bytes:
        """Return the set as the server unpacks it; each range ends before its second number."""
        count = len(self._ranges)
        head = count << 8 | _TAGGED << 56 | _TAGGED if self.has_tags else count
        packed = struct.pack("<Q", head)
        for source, (begins, ends) in sorted(self._ranges.items()):
            uuid, _, tag = source.partition(":")
            packed += bytes.fromhex(uuid.replace("-", ""))
            if self.has_tags:
                packed += bytes([len(tag) << 1]) + tag.encode()
            packed += struct.pack("<Q", len(begins))
            packed += b"".join(struct.pack("<QQ", *pair) for pair in zip(begins, ends, strict=True))
        return packed


def dump_command(server_id: int, read: GtidSet) -> bytes:
    """Return the command that asks a server for what is behind a set, as bytes with their length.

    No flag is set: the library's own has come to mean that tags are left out.
    """
    packed = read.packed()
    command = struct.pack("<BHIIQI", _DUMP, 0, server_id, 0, 4, len(packed)) + packed
    return struct.pack("<I", len(command)) + command


def tagged_gtid(body: bytes) -> str:
    """Return the number that a tagged event gives its transaction; raises `ValueError`.

    MySQL packs integers into one to nine bytes: in so many ones as the first byte ends, so many
    bytes follow.
    """
    numbers = _Unpacked(body)
    for _ in range(3):  # the version of the form, its size, the last field that has to be known
        numbers.next()
    numbers.field(_FLAGS)
    numbers.next()
    numbers.field(_SOURCE)
    uuid = bytes(numbers.next() for _ in range(16))
    numbers.field(_NUMBER)
    number = numbers.next() >> 1  # its last bit is the sign
    numbers.field(_NAME)
    tag = numbers.text()
    source = uuid_text(uuid)
    return f"{source}:{tag}:{number}" if tag else f"{source}:{number}"


def uuid_text(uuid: bytes) -> str:
    """Return sixteen bytes as a UUID, in hexadecimal."""
    digits = uuid.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


class _Unpacked:
    """Reads packed integers and texts, one behind the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def next(self) -> int:
        first = self._bytes(1)
        more = (first[0] ^ (first[0] + 1)).bit_length() - 1  # in so many ones it ends
        rest = self._bytes(more)
        if more == 8:
            return int.from_bytes(rest, "little")
        return int.from_bytes(first + rest, "little") >> (more + 1)

    def text(self) -> str:
        return self._bytes(self.next()).decode()

    def field(self, wanted: int) -> None:
        if (found := self.next()) != wanted:
            raise ValueError(f"field {found} where {wanted} should be")

    def _bytes(self, count: int) -> bytes:
        found = self._data[self._at : self._at + count]
        if len(found) < count:
            raise ValueError("an event is cut short")
        self._at += count
        return found


def _ranges_of(part: str) -> Iterator[tuple[str, int, int]]:
    """Yield source, first and last of each range: behind a tag they are those of the tag."""
    uuid, *words = (word.strip() for word in part.split(":"))
    source = uuid
    if not _UUID.fullmatch(uuid) or not words:
        raise ValueError(f"not transactions of a server: {part!r}")
    for word in words:
        numbers = _NUMBERS.fullmatch(word)
        if numbers is None and _TAG.fullmatch(word):
            source = f"{uuid}:{word}"
            continue
        first, last = (int(numbers[1]), int(numbers[2] or numbers[1])) if numbers else (1, 0)
        if last < first:
            raise ValueError(f"not a range of transactions: {word!r}")
        yield source, first, last


def _range_text(begin: int, end: int) -> str:
    return str(begin) if end == begin + 1 else f"{begin}-{end - 1}"
