"""The changes of a PostgreSQL source through a replication slot.

A slot keeps the server's log until it is read. One that would fill the disk, or that the server
gave up, is let go: it is dropped and made again, and everything may have changed meanwhile.

Not in the log: a partition that is truncated, attached or detached, and what a table that was not
published went through. From PostgreSQL 18 on that is also so where there was no publication at all.
So the catalogue is looked at now and then (`SourceTable.stamp`, `Publication.entries`).
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from semilayer_pipelines.config.sizes import size_told
from semilayer_pipelines.errors import SourceRefused
from semilayer_pipelines.follow.feed import Batch, Lag, Watched
from semilayer_pipelines.follow.logical.pgoutput import Decoder, Reader, TableName
from semilayer_pipelines.follow.logical.server import Server, Slot
from semilayer_pipelines.follow.logical.stream import PublicationGone, Stream

__all__ = ["LogicalFeed"]

BATCH = 5_000
"""Changes of a batch; a transaction may have more, and is then several."""

GATHER_SECONDS = 0.2
"""A batch waits no longer for further transactions."""

LOOK_SECONDS = 10.0
"""How often the catalogue and the size of the slot are looked at."""

_EPOCH = 946_684_800
_NOT_YET = "it was not followed before"
_ALTERED = "it, or a partition of it, was truncated, attached, detached, or made or published again"
_PUBLISHED_AGAIN = "The publication was dropped and made again."


@dataclass(frozen=True)
class _Position:
    """Where reading goes on: of which server's log, and what was published at that time.

    `timeline` and `publication` are empty where they are not known: an older version kept none.
    """

    lsn: int
    server: str
    stamps: Mapping[str, str] = field(default_factory=dict)
    timeline: str = ""
    publication: str = ""

    @classmethod
    def read(cls, text: str) -> _Position:
        return cls(**json.loads(text))

    @property
    def text(self) -> str:
        told = asdict(self) | {"stamps": dict(sorted(self.stamps.items()))}
        return json.dumps(told, separators=(",", ":"))


class LogicalFeed:
    """A `Feed` over the slot and the publication called `name`.

    Raises `SourceRefused` where there is no publication of that name: nothing was installed.
    """

    def __init__(
        self, server: Server, name: str, watched: Watched, position: str | None, max_bytes: int
    ) -> None:
        self._server, self._name = server, name
        self._watched, self._max_bytes = watched, max_bytes
        self._first: Batch | None = None
        self._caught_up_at = self._looked_at = time.monotonic()
        self._stream: Stream | None = None
        self._log = server.log_end()
        self._decoder = Decoder({})
        self._publication = ""
        stamps = self._look()
        slot = server.slot(name)
        if position is None:
            usable = slot is not None and self._why_over(slot) is None
            begins = slot.confirmed if slot and usable else self._made_again()
            self._at = self._position(begins, stamps)
            self._first = Batch(self._at.text, missed=dict.fromkeys(stamps, _NOT_YET))
        else:
            before = _Position.read(position)
            self._at = replace(before, timeline=self._log.timeline, publication=self._publication)
            reason = self._why_over(slot, before)
            self._first = self._altered(stamps) if reason is None else self._over(reason, stamps)
        self._stream = Stream(server.session, name, self._at.lsn)

    def read(self, seconds: float) -> Batch | None:
        """Return what comes next."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        if time.monotonic() - self._looked_at > LOOK_SECONDS:
            self._looked_at = time.monotonic()
            looked = self._looked()
            if looked is not None:
                return looked
        try:
            return self._gathered(time.monotonic() + seconds)
        except PublicationGone:
            return self._again(_PUBLISHED_AGAIN, self._look())

    def confirm(self, position: str) -> None:
        """Let the server forget the log before a position."""
        self._reading.confirm(_Position.read(position).lsn)

    def lag(self) -> Lag:
        """Ask how far reading is behind."""
        size = self._server.size_behind(self._seen)
        since = self._decoder.committed_at / 1_000_000 + _EPOCH
        behind = time.monotonic() - self._caught_up_at > GATHER_SECONDS and since > _EPOCH
        return Lag(size, max(0.0, time.time() - since) if behind else 0.0)

    def close(self) -> None:
        """Give back both connections."""
        if self._stream is not None:
            self._stream.close()
        self._server.close()

    @property
    def _reading(self) -> Stream:
        assert self._stream is not None, "it is closed while the slot is made again only"
        return self._stream

    def _gathered(self, deadline: float) -> Batch | None:
        decoder, stream = self._decoder, self._reading
        began = decoder.ended
        until = time.monotonic() + GATHER_SECONDS
        for taken in itertools.count(1):
            message = stream.next()
            if message is not None:
                decoder.read(message)
                if len(decoder.changes) >= BATCH:
                    break
                # Not each time: a clock takes nearly as long as a change.
                if taken % 256 == 0 and time.monotonic() > until:
                    break
                continue
            if not decoder.in_transaction:
                self._caught_up_at = time.monotonic()
                if decoder.ended != began:
                    break
            left = deadline - time.monotonic()
            if left <= 0:
                break
            stream.wait(left)
        return self._batch(began)

    def _batch(self, began: int) -> Batch | None:
        changes, missed = self._decoder.take()
        if self._decoder.ended != began:
            self._at = replace(self._at, lsn=max(self._at.lsn, self._decoder.ended))
        elif not changes and not missed:
            return None
        return Batch(self._at.text, changes, missed)

    def _looked(self) -> Batch | None:
        """Look at the slot and the tables; return what follows from it."""
        stamps = self._look()
        reason = self._why_over(self._server.slot(self._name))
        if self._at.publication != self._publication:
            reason = _PUBLISHED_AGAIN
        if reason is not None:
            return self._again(reason, stamps)
        altered = self._altered(stamps)
        if altered is None and self._seen > self._at.lsn:
            # Nothing of ours was in that part of the log, and the server may forget it.
            self._at = replace(self._at, lsn=self._seen)
            return Batch(self._at.text)
        return altered

    @property
    def _seen(self) -> int:
        """Where reading is: behind the last whole transaction, or where nothing of ours was."""
        idle = not self._decoder.in_transaction and not self._decoder.changes
        return max(self._at.lsn, self._reading.seen if idle else 0)

    def _again(self, reason: str, stamps: Mapping[str, str]) -> Batch:
        """Start over while the slot is read."""
        self._reading.close()
        self._stream = None
        over = self._over(reason, stamps)
        self._stream = Stream(self._server.session, self._name, self._at.lsn)
        return over

    def _over(self, reason: str, stamps: Mapping[str, str]) -> Batch:
        """Start over behind a slot that is made again."""
        self._decoder = Decoder(self._decoder.tables, self._decoder.filtered)
        self._at = self._position(self._made_again(), stamps)
        return Batch(self._at.text, restarted=reason)

    def _position(self, lsn: int, stamps: Mapping[str, str]) -> _Position:
        return _Position(lsn, self._log.server, stamps, self._log.timeline, self._publication)

    def _look(self) -> dict[str, str]:
        """Have the decoder know the tables as they are now; return the stamps of published ones."""
        publication = self._server.publication(self._name)
        if publication is None:
            raise SourceRefused(
                f"source {self._server.session.source!r}: nothing is installed to follow it by: "
                f"there is no publication {self._name}.",
                cure="Run `semilayer cdc install`.",
            )
        tables: dict[TableName, list[Reader]] = {}
        stamps: dict[str, str] = {}
        for name, table in self._server.tables(self._watched).items():
            at = (table.schema, table.name)
            # Those that are not published are known, too: one may be so before the next look.
            tables.setdefault(at, []).append(Reader(name, self._watched[name]))
            if at in publication.tables:
                stamps[name] = f"{table.stamp} {publication.entries[at]}".rstrip()
        self._publication = publication.id
        self._decoder.tables = tables
        self._decoder.filtered = {at for at, leaves_out in publication.tables.items() if leaves_out}
        return stamps

    def _altered(self, stamps: Mapping[str, str]) -> Batch | None:
        """Return which tables became others, or were published, since the position was kept."""
        if stamps == self._at.stamps:
            return None
        before = self._at.stamps
        missed = {
            name: _ALTERED if name in before else _NOT_YET
            for name, stamp in stamps.items()
            if before.get(name) != stamp
        }
        self._at = replace(self._at, stamps=dict(stamps))
        return Batch(self._at.text, missed=missed)

    def _why_over(self, slot: Slot | None, before: _Position | None = None) -> str | None:
        """Return why a slot cannot be read on, from where it was read before; `None` if it can."""
        if before is not None and before.server != self._log.server:
            return "The database is on another server now."
        if before is not None and self._goes_otherwise(before):
            return "A standby took over, or the database was restored: its log goes on otherwise."
        if before is not None and before.publication not in ("", self._publication):
            return _PUBLISHED_AGAIN
        if slot is None or not slot.of_this_database:
            return "The replication slot was gone."
        if before is not None and slot.confirmed > before.lsn:
            return "The replication slot was moved on by somebody else."
        if slot.lost:
            return "The server gave the replication slot up, because it kept too much log."
        if slot.kept_bytes > self._max_bytes:
            kept, most = size_told(slot.kept_bytes), size_told(self._max_bytes)
            return f"The replication slot kept {kept} of log, and may keep {most} (maxSlotBytes)."
        return None

    def _goes_otherwise(self, before: _Position) -> bool:
        """Say whether the log is another one behind a position, or ends before it.

        A server that is asked for more than it has leaves out all that it writes up to there.
        """
        timelines = {before.timeline, self._log.timeline} - {""}
        return len(timelines) > 1 or before.lsn > self._log.lsn

    def _made_again(self) -> int:
        """Drop the slot, if there is one, and make it; return where it begins."""
        self._server.drop_slot(self._name)
        return self._server.create_slot(self._name)
