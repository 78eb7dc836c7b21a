"""Folders and files that only their owner may look into: the registry, the index, run logs.

They hold copies of the source's rows. A process that finds them open closes them, and says so.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

__all__ = ["OWNER_ONLY", "private_file", "private_folder"]

OWNER_ONLY = 0o077
"""As a umask, it lets nobody but the owner at what is made; as a mask, it finds who else may."""

_log = logging.getLogger(__name__)


def private_folder(folder: Path) -> None:
    """Make a folder for its owner alone, or close one that is open to others, with all in it.

    Somebody else's folder is left as it is, and so is one that holds more than ours. Raises
    `OSError` when it cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_open(folder) or not _is_ours(folder):
        return
    folder.chmod(0o700)
    for path in folder.rglob("*"):
        if not path.is_symlink() and _is_open(path):
            _close(path)
    _log.warning("%s was open to other users of this machine. It is closed to them now.", folder)


def private_file(path: Path) -> None:
    """Make an empty file for its owner alone, or close one that is open to others.

    Raises `OSError` when it cannot be made.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        if _is_open(path) and _owned(path):
            _close(path)
            _log.warning("%s was open to other users. It is closed to them now.", path)


def _is_ours(folder: Path) -> bool:
    # A setting may name /tmp, a home or the project itself, which others have to get into.
    shared = folder.stat().st_mode & stat.S_ISVTX
    around = any(place.is_relative_to(folder) for place in (Path.cwd(), Path.home()))
    return _owned(folder) and not shared and not around


def _owned(path: Path) -> bool:
    return path.stat().st_uid == os.geteuid()


def _is_open(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & OWNER_ONLY)
    except FileNotFoundError:
        return False  # It went away meanwhile.


def _close(path: Path) -> None:
    try:
        path.chmod(path.stat().st_mode & ~OWNER_ONLY)
    except (FileNotFoundError, PermissionError):
        # It went away meanwhile, or is somebody else's. The folder around it is closed.
        return
