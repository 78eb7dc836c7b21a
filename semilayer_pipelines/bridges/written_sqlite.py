"""How far a SQLite file has been written to, told by what stands at the begin of its files.

Every change counts up in the file's header or, with a write-ahead log, in the header of the index
of the log. The times of the file are part of the mark, so a file that was replaced, restored or
rolled back has another one. A file with a journal that may still take changes back has none.
`PRAGMA data_version` does not serve here: it counts for one connection only.

A process that closes a file loses all its locks on it, also those of its SQLite library. So this
module is run as a program, which reads the files and ends; it imports nothing of the package.
"""

from __future__ import annotations

import os
import sys

__all__ = ["file_mark"]

_HEADER = 100
_INDEX_HEADER = 48
"""It stands there twice, alike unless somebody writes it."""

_READ_S = 10


def file_mark(path: str) -> str | None:
    """Return what changes whenever somebody writes to a file; `None` where that cannot be told."""
    # Not above: the program would import it, too, and take twice as long.
    import subprocess

    try:
        read = subprocess.run(
            [sys.executable, "-I", "-S", __file__, path],
            capture_output=True,
            text=True,
            timeout=_READ_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return read.stdout or None


def _mark(path: str) -> str:
    """Return the same, read in this process; empty where it cannot be told."""
    if any(_read(f"{path}-journal", 8)):
        return ""
    log, index = _read(f"{path}-wal", 32), _read(f"{path}-shm", 2 * _INDEX_HEADER)
    file, header = os.stat(path), _read(path, _HEADER)
    if any(_read(f"{path}-journal", 8)) or len(header) < _HEADER:
        return ""
    parts = [header.hex()]
    if log:
        if len(index) < 2 * _INDEX_HEADER or index[:_INDEX_HEADER] != index[_INDEX_HEADER:]:
            return ""
        parts += [log.hex(), index[:_INDEX_HEADER].hex()]
    times = (file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns)
    return " ".join([*parts, *map(str, times)])


def _read(path: str, size: int) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except FileNotFoundError:
        return b""


if __name__ == "__main__":
    sys.stdout.write(_mark(sys.argv[1]))
