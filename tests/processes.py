"""Processes of ours that tests start by the dozen, to be killed.

A fresh interpreter takes longer to import all of it than most of them live. So one process of the
session imports it once and forks: each child has its own memory, files and locks all the same.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE_SECONDS

__all__ = ["FORKING", "Child", "Ready"]

Ready = Callable[[], None]
"""Called by the work of a child when the clock that kills it may start."""

FORKING = multiprocessing.get_context("forkserver")
# Without what starts threads as it is imported or used: these would not be there in a child.
FORKING.set_forkserver_preload(["pytest", "tests.lab", "semilayer_pipelines.follow.follower"])


class Child:
    """A process that does `work(ready, *given)` in a folder; it has said `ready` already."""

    def __init__(self, work: Callable[..., None], *given: Any, cwd: Path | None = None) -> None:
        told, tells = FORKING.Pipe(duplex=False)
        arguments = (work, given, tells, dict(os.environ), cwd or Path.cwd())
        self._process = FORKING.Process(target=_work, args=arguments, daemon=True)
        self._process.start()
        tells.close()
        with told:
            assert told.poll(PATIENCE_SECONDS), "the process did not come so far"
            told.recv()  # raises EOFError for one that ended before

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int | None:
        """Wait until it ends, for so long at most; return its exit code, `None` while it runs."""
        self._process.join(seconds)
        return self._process.exitcode

    def kill(self) -> None:
        """Kill it -9, if it runs; it is gone afterwards."""
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.join()


def _work(
    work: Callable[..., None],
    given: tuple[Any, ...],
    tells: Connection,
    environ: Mapping[str, str],
    cwd: Path,
) -> None:
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(cwd)
    work(lambda: tells.send(None), *given)
