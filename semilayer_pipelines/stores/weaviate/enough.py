"""How many objects are asked for, so that an answer has as many rows as are wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from semilayer_pipelines.stores.weaviate.compared import MOST_COMPARED
from semilayer_pipelines.stores.weaviate.found import newest_of_each
from semilayer_pipelines.stores.weaviate.ids import SLOTS

__all__ = ["enough"]


def enough(ask: Callable[[int], Sequence[Any]], limit: int) -> tuple[Sequence[Any], bool]:
    """Return what the server has for `limit` rows, and whether no object of it is lacking.

    `ask` asks it for so many objects. A row that is being rewritten has two, so more is asked for
    where some have. An object that is replaced between the server's two steps, finding and reading,
    is in no answer. The next answer has the new one. So an answer that has fewer objects than were
    asked for does not say that the server has no more.
    """
    asked = limit
    while True:
        found = ask(asked)
        whole, rows = len(found) >= asked, len(newest_of_each(found))
        crowded = rows < len(found) and asked < SLOTS * limit
        if rows >= limit or asked >= MOST_COMPARED or not (whole or crowded):
            return found, whole
        asked = min(max(2 * asked, asked + SLOTS * (limit - rows)), MOST_COMPARED)
