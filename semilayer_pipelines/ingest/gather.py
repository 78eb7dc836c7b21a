"""Small changes of several pages, held to be embedded and written together.

A write to an index has a fixed cost: of 29 rows that changed somewhere among 300,000, each alone
took as long as all of them together. A walk without a cursor may hold them, as nothing is committed
page by page. What is held is lost with its run, and the next walk finds it again.

Only rows of pages on which nothing else is to be done are held, and never many: see the bounds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.ingest.apply_page import Compared
from semilayer_pipelines.ingest.changed_rows import ChangedRows
from semilayer_pipelines.ingest.leaving import Leaving
from semilayer_pipelines.ingest.page_size import FIRST_PAGE_ROWS, TARGET_SECONDS

__all__ = ["Gathered"]

GATHERED_ROWS = 5_000
"""Changed rows that are written together at most, where they are written fast."""

GATHERED_BYTES = 16 * 2**20
"""Bytes of their mapped values, at most; the vectors come on top."""


class Gathered:
    """What is held of a walk.

    `written` says whether any of it was to be written so far, `timed` whether it is known how long
    that takes.
    """

    def __init__(self) -> None:
        self._held: list[Compared] = []
        self._rows = 0
        self._bytes = 0
        self._most = FIRST_PAGE_ROWS
        self.written = False
        self.timed = False

    def holds(self, compared: Compared) -> bool:
        """Say whether a page can be held: one with few changes or none, and no other work."""
        page, mapped = compared.page, compared.mapped
        other_work = (
            mapped.failed.height
            or mapped.textless.height
            or page.refused
            or page.outside
            or compared.leaving != Leaving()
        )
        return not other_work and len(compared.changed) < self._most

    def hold(self, compared: Compared, seconds: float) -> None:
        """Hold the changed rows of a page, which took so long until now."""
        changed = compared.changed.compact()
        self._held.append(_reduced(compared, changed, seconds=seconds))
        self._rows += len(changed)
        self._bytes += int(changed.rows.estimated_size())

    @property
    def full(self) -> bool:
        """Whether what is held should be written now: it is much, or was read a while ago."""
        return (
            self._rows >= self._most
            or self._bytes >= GATHERED_BYTES
            or (
                bool(self._held) and time.monotonic() - self._held[0].page.started >= TARGET_SECONDS
            )
        )

    def taken(self) -> Iterator[Compared]:
        """Yield all that is held, as one page, and hold it no more; nothing when there is none."""
        held, self._held, self._rows, self._bytes = self._held, [], 0, 0
        if held:
            self.written |= any(len(each.changed) for each in held)
            first, last = held[0].page, held[-1]
            together = _reduced(
                last,
                ChangedRows.together([each.changed for each in held]),
                seconds=sum(each.seconds for each in held),
            )
            yield replace(
                together,
                page=replace(last.page, change_seq=first.change_seq, started=first.started),
                counts=sum((each.counts for each in held), Counts()),
                pages=len(held),
            )

    def took(self, written: int, seconds: float) -> None:
        """Note how long it took to write rows: with a slow model fewer are held."""
        if written:
            self.timed = True
            allowed = int(written * TARGET_SECONDS / max(seconds, 1e-6))
            self._most = max(1, min(allowed, GATHERED_ROWS))


def _reduced(compared: Compared, changed: ChangedRows, *, seconds: float) -> Compared:
    """Return a page of which nothing but these rows is left, whose mapped rows they are."""
    page, mapped = compared.page, compared.mapped
    return replace(
        compared,
        page=replace(page, rows=page.rows.clear()),
        mapped=replace(
            mapped, frame=changed.rows, textless=mapped.textless.clear(), nulled={}, whose={}
        ),
        changed=changed,
        seconds=seconds,
    )
