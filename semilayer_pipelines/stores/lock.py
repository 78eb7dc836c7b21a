"""One writer at a time to a thing on disk: across threads, processes and crashes.

The kernel holds the lock on an open file, so a killed writer leaves nothing to clean up. It must
never be taken twice by one thread (that would wait for itself), and a file that was unlinked while
somebody waited for it must never count as the lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Protocol

from semilayer_pipelines.errors import StoreUnavailable

__all__ = ["LOCK_WAIT_S", "Lock", "WriterLock"]

# Longer than a page's write (under a second) and than the compaction or index build of a million
# rows (a minute); shorter than the patience of a run that could be doing something else.
LOCK_WAIT_S = 120.0
"""How long a writer waits for another one of the same index."""

_POLL_S = 0.01

_held = threading.local()


class Lock(Protocol):
    """What keeps two writers of one index apart, wherever they run."""

    @property
    def held_by_this_thread(self) -> bool:
        """Say whether the calling thread is inside `hold`."""
        ...

    def hold(self) -> AbstractContextManager[None]:
        """Hold the lock until the block ends, or until this process dies.

        Raises `RuntimeError` when this thread holds it already and `StoreUnavailable` when somebody
        else keeps it longer than `LOCK_WAIT_S`.
        """
        ...

    def confirm(self) -> None:
        """Raise `StoreUnavailable` when the lock was lost while it was held."""
        ...

    def remove(self) -> None:
        """Leave nothing behind of a lock whose index is gone; only while it is held."""
        ...


class WriterLock:
    """The lock whose file is `path`; instances for the same path exclude each other.

    The file's text says who holds it, for messages only: the kernel decides.
    """

    def __init__(self, path: Path, *, wait_s: float = LOCK_WAIT_S) -> None:
        self._path = path.absolute()
        self._wait_s = wait_s

    @property
    def held_by_this_thread(self) -> bool:
        """Say whether the calling thread is inside `hold`."""
        return self._path in _paths_held()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the lock until the block ends.

        Raises `RuntimeError` when this thread holds it already, `StoreUnavailable` when somebody
        else keeps it longer than the wait, and `OSError` when the file cannot be opened.
        """
        if self.held_by_this_thread:
            raise RuntimeError(f"the lock {self._path.name} is held by this thread already")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._acquire()
        with file:
            _paths_held().add(self._path)
            try:
                yield
            finally:
                _paths_held().discard(self._path)

    def confirm(self) -> None:
        """Do nothing: the kernel takes no lock away."""

    def remove(self) -> None:
        """Unlink the file; only while it is held, so that whoever waits notices and starts over."""
        if not self.held_by_this_thread:
            raise RuntimeError(f"the lock {self._path.name} must be held to be removed")
        self._path.unlink(missing_ok=True)

    def _acquire(self) -> FileIO:
        deadline = time.monotonic() + self._wait_s
        while True:
            # A file object, not a number: closed, and so unlocked, however this function is left.
            file = FileIO(self._path, "a+")
            if _locked(file) and _still_linked(file, self._path):
                _sign(file)
                return file
            file.close()
            if time.monotonic() >= deadline:
                raise StoreUnavailable(
                    f"the write lock {self._path} was not free within {self._wait_s:g} s; "
                    f"it was last taken by {self._holder()}.",
                    cure="Wait for that run to end, or end it; a dead process holds no lock.",
                )
            time.sleep(_POLL_S)

    def _holder(self) -> str:
        with contextlib.suppress(OSError):
            return self._path.read_text(errors="replace").strip() or "somebody unknown"
        return "somebody unknown"


def _paths_held() -> set[Path]:
    if not hasattr(_held, "paths"):
        _held.paths = set()
    paths: set[Path] = _held.paths
    return paths


def _locked(file: FileIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _still_linked(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _sign(file: FileIO) -> None:
    text = f"process {os.getpid()} on {socket.gethostname()} at {datetime.now(UTC):%FT%TZ}"
    # A full disk must not keep anybody from the lock: deleting needs it too.
    with contextlib.suppress(OSError):
        file.truncate(0)
        file.write(text.encode())
