"""Stamps: who wrote to a collection last, for all machines of a project.

Each write under the lock of an index takes a new stamp, which the registry keeps. A ledger whose
last stamp is the registry's has seen every write. So it knows where the objects of a key are. It
does not know what happened to the server since; only sums tell that.
"""

from __future__ import annotations

import uuid
from typing import Protocol

__all__ = ["UNKNOWN", "Stamps", "new_stamp"]

UNKNOWN = "0" * 32
"""The stamp of what may have missed a write; the registry never has it."""


class Stamps(Protocol):
    """Where the stamps of all collections of a project are kept."""

    def now(self, name: str) -> str | None:
        """Return the stamp of the last write to a collection; `None` when there was none."""
        ...

    def take(self, name: str, stamp: str) -> str | None:
        """Set the stamp of a collection; return the one before."""
        ...

    def forget(self, name: str) -> None:
        """Remove the stamp of a collection that was dropped."""
        ...


def new_stamp() -> str:
    """Return a stamp that was never given before."""
    return uuid.uuid4().hex
