"""Whether a lens is well, in words that say what to do; only the registry is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never

from sqlalchemy import Connection

from semilayer_pipelines.counts import utc_text
from semilayer_pipelines.queries.failing import failing_of
from semilayer_pipelines.registry.lenses import Lens, LensStatus

__all__ = ["BY_ITSELF", "NEEDS_YOU", "Health", "health_of"]

NEEDS_YOU = "It needs you: nothing is done until you act."
BY_ITSELF = "It is tried again by itself."


@dataclass(frozen=True)
class Health:
    """Whether no job of a lens failed for good, and what is told of that.

    `told` stays the same for as long as the same is wrong.
    """

    well: bool
    told: str
    facts: Mapping[str, str] = field(default_factory=dict)


def health_of(db: Connection, lens: Lens) -> Health:
    """Return how a lens is."""
    match lens.status:
        case LensStatus.READY:
            return Health(True, "It is well.")
        case LensStatus.PAUSED:
            return Health(True, "It is paused.")
        case LensStatus.INDEXING:
            return Health(True, "It is being indexed.")
        case LensStatus.ERROR:
            return _ill(db, lens)
        case _:
            assert_never(lens.status)


def _ill(db: Connection, lens: Lens) -> Health:
    failing = failing_of(db, lens)
    stopped = failing is not None and failing.stopped
    error, cure = lens.error or "It failed.", lens.cure or "See the log of the run."
    since = {"failing since": utc_text(lens.failing_since)} if lens.failing_since else {}
    return Health(
        False,
        f"{error}\n\nWhat to do: {cure}\n\n{NEEDS_YOU if stopped else BY_ITSELF}",
        {"error": error, "what to do": cure} | since,
    )
