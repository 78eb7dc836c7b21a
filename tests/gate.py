"""A gate in the middle of a page, so that a test can do something at that very moment."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.workload import FIELDS

_MODULE = """
import os, time
from pathlib import Path

def wait(values):
    hold = Path("{name}.hold")
    if hold.exists():
        half = Path(f"{name}.{{os.getpid()}}")
        half.write_text(str(os.getpid()))
        half.rename("{name}.reached")
        while hold.exists():
            time.sleep(0.01)
    return values
"""


class Gate:
    """Stops the runs of a lens with the gate's `fields`, in whatever process they are.

    `folder` is the project's root and the working directory of those processes.
    """

    def __init__(self, folder: Path, name: str = "gate") -> None:
        self._hold = folder / f"{name}.hold"
        self._reached = folder / f"{name}.reached"
        (folder / f"{name}.py").write_text(_MODULE.format(name=name))
        self.fields = FIELDS | {
            "name": {"type": "text", "searchable": True, "transform": f"{name}:wait"}
        }

    def close(self) -> None:
        self._reached.unlink(missing_ok=True)
        self._hold.touch()

    def open(self) -> None:
        self._hold.unlink(missing_ok=True)

    def wait_until_reached(self, seconds: float = 60.0) -> int:
        """Return the id of the process that stands at the gate."""
        deadline = time.monotonic() + seconds
        while not self._reached.exists():
            assert time.monotonic() < deadline, "no page got to the gate"
            time.sleep(0.02)
        return int(self._reached.read_text())


def alive(pid: int) -> bool:
    """Say whether a process runs; one that ended and was not collected yet does not."""
    if not Path("/proc/self/stat").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
