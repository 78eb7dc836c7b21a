"""What can happen to a run, at any of its steps."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from semilayer_pipelines.errors import (
    EmbedderUnavailable,
    SourceUnreachable,
    StoreFull,
    StoreUnavailable,
)
from tests.mortal import Life

__all__ = ["Fault", "script"]


class Fault(StrEnum):
    """`MEANWHILE` lets the rest of the world go on for a moment, `ASLEEP` longer than a lease."""

    NOTHING = "nothing"
    DIES = "dies"
    CANCELLED = "cancelled"
    SHUT_DOWN = "shut down"
    SOURCE_DOWN = "source down"
    STORE_DOWN = "store down"
    STORE_FULL = "store full"
    EMBEDDER_DOWN = "embedder down"
    HICCUP = "the store fails once"
    LOST_ANSWER = "the store's answer is lost"
    PAUSED = "paused"
    MEANWHILE = "meanwhile"
    ASLEEP = "asleep"


def script(fault: Fault, at: int, meanwhile: Callable[[], None]) -> Life:
    """Return a life in which `fault` happens from step `at` on, as soon as it can."""
    happened: list[str] = []

    def step(what: str, life: Life) -> None:
        if len(life.steps) <= at:
            return
        part = what.partition(".")[0]
        lasting = {
            Fault.SOURCE_DOWN: ("source", SourceUnreachable),
            Fault.STORE_DOWN: ("index", StoreUnavailable),
            Fault.STORE_FULL: ("index", StoreFull),
            Fault.EMBEDDER_DOWN: ("embedder", EmbedderUnavailable),
        }
        if fault in lasting:
            hit, error = lasting[fault]
            if part == hit and not what.endswith(".done"):
                raise error(f"{what}: {fault}")
            return
        if happened:
            return
        match fault:
            case Fault.DIES:
                life.die()
            case Fault.CANCELLED | Fault.SHUT_DOWN if part != "registry":
                happened.append(what)
                raise KeyboardInterrupt
            case Fault.HICCUP if part == "index" and not what.endswith(".done"):
                happened.append(what)
                raise StoreUnavailable(f"{what}: once")
            case Fault.LOST_ANSWER if what in {"index.add.done", "index.upsert.done"}:
                happened.append(what)
                raise StoreUnavailable(f"{what}: lost")
            case Fault.ASLEEP if not life.locks and what == "embedder.embed":
                # With an old page in its hands: at any other step it would read anew.
                happened.append(what)
                meanwhile()
            case Fault.PAUSED | Fault.MEANWHILE if not life.locks:
                happened.append(what)
                meanwhile()

    return Life(step)
