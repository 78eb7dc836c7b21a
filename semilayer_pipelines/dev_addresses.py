"""Where the programs of a running `semilayer dev` are: it leaves their addresses in a file.

The file is a hint. A `semilayer dev` that was killed leaves it behind, and by then somebody else
may listen there: whoever uses an address makes sure that what answers is the project's own.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from semilayer_pipelines.private_files import private_file

__all__ = ["DevAddresses", "forget_addresses", "leave_addresses", "running_dev"]

_NAME = "dev.json"


@dataclass(frozen=True)
class DevAddresses:
    """The process of a `semilayer dev`, and its addresses; `None` for what it did not start."""

    pid: int
    dagster: str | None
    webhook: str
    embedder: str | None


def leave_addresses(home: Path, addresses: DevAddresses) -> None:
    """Write the addresses into the project's home, for its owner alone."""
    half = home / f"{_NAME}.{os.getpid()}.tmp"
    private_file(half)
    half.write_text(json.dumps(asdict(addresses)) + "\n", encoding="utf-8")
    half.replace(home / _NAME)


def forget_addresses(home: Path) -> None:
    """Remove the file, if there is one."""
    (home / _NAME).unlink(missing_ok=True)


def running_dev(home: Path) -> DevAddresses | None:
    """Return the addresses of the `semilayer dev` that runs for this home; `None` without one."""
    try:
        told = json.loads((home / _NAME).read_text(encoding="utf-8"))
        found = DevAddresses(**told)
        os.kill(found.pid, 0)
    except (OSError, ValueError, TypeError, OverflowError):
        return None
    return found
