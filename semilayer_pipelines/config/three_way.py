"""A three-way merge of lines, for a text that a library rewrote with a change in it.

`before` and `theirs` come from the same writer, so they differ by the change alone. It is carried
over to `ours`, whose lines stay as they are.
"""

from __future__ import annotations

from difflib import SequenceMatcher

__all__ = ["merged"]


def merged(before: str, *, theirs: str, ours: str) -> str | None:
    """Return `ours` with the change from `before` to `theirs`.

    `None` when a change stands where `before` and `ours` have no lines in common to find it by.
    """
    base, change, kept = (text.splitlines(keepends=True) for text in (before, theirs, ours))
    places = _places(base, kept)
    result: list[str] = []
    done = 0
    for tag, begin, end, new_begin, new_end in SequenceMatcher(
        None, base, change, autojunk=False
    ).get_opcodes():
        if tag == "equal":
            continue
        first, last = places.get(begin), places.get(end)
        if first is None or last is None:
            return None
        result += kept[done:first] + change[new_begin:new_end]
        done = last
    return "".join(result + kept[done:])


def _places(base: list[str], kept: list[str]) -> dict[int, int]:
    """Map places between lines of `base` to the same places in `kept`, where it has them."""
    places = {0: 0, len(base): len(kept)}
    opcodes = SequenceMatcher(
        None, [_essence(line) for line in base], [_essence(line) for line in kept], autojunk=False
    ).get_opcodes()
    for tag, begin, end, kept_begin, kept_end in opcodes:
        if tag == "equal" or end - begin == kept_end - kept_begin:
            places |= {begin + n: kept_begin + n for n in range(end - begin + 1)}
    return places


def _essence(line: str) -> str:
    """Return a line without what only spaces it."""
    return "".join(line.split())
