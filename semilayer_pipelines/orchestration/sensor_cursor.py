"""What a tick of the sensor did, in its cursor: the one text that the list of ticks shows.

The list shows the beginning and the end of a long cursor. So it begins with words, and is no JSON.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

import dagster as dg

from semilayer_pipelines.orchestration.health import Failing
from semilayer_pipelines.orchestration.names import TAG_JOB_ID, TAG_LENS, TAG_MODE
from semilayer_pipelines.registry.jobs import Job

__all__ = ["NOTHING_DUE", "Cursor", "what_was_done"]

NOTHING_DUE = "No job is due."
ALL_CARED_FOR = "The runs that wait or start do what is due."

_IN_ERROR = " In error: "

MAX_NAMED = 10
"""Jobs that a tick names; of the others it says how many they are."""


@dataclass(frozen=True)
class Cursor:
    """What a tick leaves for people, in the list of ticks, and for the next tick.

    `told` says what it did; `failing` are the lenses that it found in `error`.
    """

    told: str = ""
    failing: Failing = field(default_factory=dict)

    @classmethod
    def read(cls, text: str | None) -> Self:
        """Return what an earlier tick left; a part that nobody can read is left out."""
        told, _, failing = (text or "").partition(_IN_ERROR)
        named = [one.rpartition("#") for one in failing.split(", ")]
        return cls(told, {name: summed for name, _, summed in named if name})

    @property
    def text(self) -> str:
        """The cursor as Dagster keeps it."""
        failing = ", ".join(f"{name}#{summed}" for name, summed in sorted(self.failing.items()))
        return f"{self.told}{_IN_ERROR}{failing}" if failing else self.told


def what_was_done(
    requests: Sequence[dg.RunRequest], waiting: Collection[Job], silent: Collection[Job]
) -> str:
    """Say what a tick did: whose runs are gone, what it launched, what is left to other runs."""
    told = [f"Lost its run: {_names(silent)}."] if silent else []
    if requests:
        counted = Counter(f"{r.tags[TAG_MODE]} of {r.tags[TAG_LENS]}" for r in requests)
        told.append(f"Launched {_listed(counted)}.")
    launched = {request.tags[TAG_JOB_ID] for request in requests}
    left = [job for job in waiting if job.id not in launched]
    if left:
        told.append(f"Left to runs that wait or start: {_names(left)}.")
    return " ".join(told) or (ALL_CARED_FOR if waiting else NOTHING_DUE)


def _names(found: Iterable[Job]) -> str:
    return _listed(Counter(f"{job.mode.value} of {job.env}:{job.lens}" for job in found))


def _listed(counted: Counter[str]) -> str:
    shown = [f"{name} (x{n})" if n > 1 else name for name, n in counted.items()]
    more = [f"{len(shown) - MAX_NAMED} more"] if len(shown) > MAX_NAMED else []
    return ", ".join([*shown[:MAX_NAMED], *more])
