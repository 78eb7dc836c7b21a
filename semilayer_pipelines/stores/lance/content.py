"""What a Lance table holds, told by its files: none of them is ever written twice."""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path

__all__ = ["content_token"]

_ROWS_IN = ("data", "_deletions")
_MANIFEST = f"{2**64}.manifest"


def content_token(folder: Path) -> str | None:
    """Return a digest of the newest manifest and of the files that rows lie in, with their times.

    `None` for a table whose manifests are named as Lance did long ago, and while files are removed.
    Raises `OSError` for what cannot be read.
    """
    versions = folder / "_versions"
    try:
        # The newest has the smallest name. It is read first: who writes meanwhile makes a newer
        # one, so that the digest of a moment in between never comes back.
        newest = min(name for name in os.listdir(versions) if name.endswith(".manifest"))
        digest = blake2b(newest.encode(), digest_size=16)
        digest.update((versions / newest).read_bytes())
        for name in _ROWS_IN:
            digest.update(repr(sorted(_files(folder / name))).encode())
    except (FileNotFoundError, ValueError):
        return None
    return digest.hexdigest() if len(newest) == len(_MANIFEST) else None


def _files(folder: Path) -> list[tuple[str, int, int]]:
    if not folder.is_dir():
        return []
    statuses = [(entry.name, entry.stat()) for entry in os.scandir(folder)]
    return [(name, status.st_size, status.st_mtime_ns) for name, status in statuses]
