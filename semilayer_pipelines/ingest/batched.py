"""Full ingest with vectors that the provider makes in its own time, at a lower price.

A shard is cut into key ranges with a batch for each. A run sends batches, looks at those that were
sent, fills the range of the first one once it has ended, and leaves while there is nothing to fill:
no run waits for hours. A range is filled as it always is, with an embedder that looks texts up in
the batch's answer first. So rows that changed meanwhile, and texts that the batch lacks, go the
usual way at the usual price.

The registry has a batch before the provider is told of it (`registry.batches`). Whatever dies, the
next run finds it at the provider by our id, and nothing is paid twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from tempfile import TemporaryFile
from threading import Event
from uuid import uuid4

from semilayer_pipelines.bridges.protocol import Window
from semilayer_pipelines.embedders.batch_api import BatchApi, RemoteBatch, batches_of
from semilayer_pipelines.embedders.fetched import FetchedEmbedder, read_lines
from semilayer_pipelines.embedders.protocol import Embedder
from semilayer_pipelines.errors import SemilayerError
from semilayer_pipelines.ingest.batch_texts import TextFile, text_file
from semilayer_pipelines.ingest.fill_shard import claim, fill_range, held
from semilayer_pipelines.ingest.first_walk import FirstWalk
from semilayer_pipelines.ingest.lens_watch import WaitsForBatches
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.ingest.walk import shard_window
from semilayer_pipelines.registry import batches
from semilayer_pipelines.registry.batches import Batch
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.jobs.waits import wait_before_retry
from semilayer_pipelines.registry.shards import Shard

__all__ = [
    "FIRST_LOOK",
    "LONGEST_LOOK",
    "LONGEST_WAIT",
    "MAX_CREATED",
    "MAX_UNDER_WAY",
    "MIN_TEXTS",
    "fill_by_batches",
]

MIN_TEXTS = 1_000
"""Fewer texts than this, at the end of a shard, are embedded at once instead of in a batch."""

MAX_UNDER_WAY = 20
"""Batches of a shard that the provider has at a time."""

MAX_CREATED = 100
"""How often a batch is created for which the account has no room: at longest once an hour, so for
some four days. Then the rest of the shard goes at once."""

FIRST_LOOK = timedelta(minutes=1)
"""A job looks at its batches so long after it has sent one; then after a tenth of their age."""

LONGEST_LOOK = timedelta(minutes=15)
"""The longest time between two looks at batches."""

LONGEST_WAIT = timedelta(days=3)
"""A batch that has not ended for so long is cancelled: a provider says so after one day."""

logger = logging.getLogger(__name__)


def fill_by_batches(
    opened: OpenLens, run: Run, generation: Generation, shard: int | None, first: FirstWalk
) -> None:
    """Fill what has its vectors of one shard, or of all that nobody else is at.

    Raises `WaitsForBatches` when there are batches to wait for, `ConfigError` for an endpoint
    without batches, and what filling raises.
    """
    api = batches_of(opened.embedder)
    looks: list[datetime] = []
    for number in range(generation.shard_count) if shard is None else (shard,):
        freed = False
        while not run.paused() and (mine := claim(opened, run, generation, number)) is not None:
            look = _ShardByBatches(opened, run, generation, mine, first, api).go_on(freed=freed)
            if look is not None:
                looks.append(look)
                break
            freed = True
    if looks and not run.paused():
        raise WaitsForBatches(min(looks))


class _ShardByBatches:
    """One claimed shard, and its batches in the order of its keys."""

    def __init__(
        self,
        opened: OpenLens,
        run: Run,
        generation: Generation,
        shard: Shard,
        first: FirstWalk,
        api: BatchApi,
    ) -> None:
        self._opened = opened
        self._run = run
        self._generation = generation
        self._shard = shard
        self._first = first
        self._api = api
        self._finished = Event()

    def go_on(self, *, freed: bool) -> datetime | None:
        """Do what can be done now; return when to look again, `None` when there is more to do.

        `freed`: one of its batches has just ended, so that there may be room for another.
        """
        with held(self._opened, self._run, self._shard, self._finished):
            self._forget_filled()
            self._find_lost()
            remote = self._look(freed=freed)
            self._forget_gone(remote)
            if not any(one is not None and one.full for one in remote.values()):
                self._send_more()
            mine = self._batches()
            if self._run.paused():
                return None
            if not mine:
                self._fill(self._opened.embedder, None)
                return None
            one = self._without_room(mine, remote) or mine[0]
            # One that was sent just now has not ended.
            if one.id not in remote or self._works(one, remote[one.id]):
                return self._next_look(mine)
            with self._fetched(one, remote[one.id]) as embedder:
                self._fill(embedder, one.upto)
            if not self._run.paused():
                self._forget(one, remote[one.id])
            return None

    def _batches(self) -> list[Batch]:
        """Return those of the lens's endpoint and key; `left_batches` cancels the others."""
        now = self._opened.lens.config.embedding
        return [
            one
            for one in self._all_batches()
            if (one.embedding.url, one.embedding.api_key) == (now.url, now.api_key)
        ]

    def _all_batches(self) -> list[Batch]:
        with self._opened.registry.read() as db:
            return batches.of_shard(db, self._generation.id, self._shard.number)

    def _forget_filled(self) -> None:
        """Forget the batch whose range was filled by a run that died behind that."""
        for one in self._batches()[:1]:
            if one.upto is not None and one.upto == self._shard.cursor:
                self._forget(one, self._there(one))

    def _find_lost(self) -> None:
        """Find a batch again that the provider may have without having told us."""
        for one in self._batches():
            if one.remote is None and not self._created(one, self._api.find_file(one.id)):
                with self._opened.registry.begin() as db:
                    batches.forget(db, one.id)

    def _created(self, one: Batch, file: str | None) -> RemoteBatch | None:
        """Have a file embedded, unless the provider has that batch; `None` without either."""
        found = self._api.find(one.id)
        if found is None or found.id == one.remote:
            if file is None:
                return None
            # Whoever has taken the shard over meanwhile creates it.
            self._opened.registry.transact(self._run.lease.check)
            found = self._api.create(one.id, file)
        self._note_sent(one, found)
        return found

    def _look(self, *, freed: bool) -> Mapping[str, RemoteBatch | None]:
        """Ask for all batches; create the first again for which the account had no room.

        Returns what the provider has of each, by our ids.
        """
        now = self._opened.clock()
        mine = self._batches()
        remote = {one.id: self._there(one) for one in mine}
        with self._opened.registry.begin() as db:
            for one in mine:
                there = remote[one.id]
                if there is None or (there.done, there.expires_at) == (one.done, one.expires_at):
                    continue
                batches.note_look(db, one.id, done=there.done, expires_at=there.expires_at)
        for one in mine:
            there = remote.get(one.id)
            if there is not None and there.full:
                due = (one.sent_at or now) + wait_before_retry(one.tries, hiccup=False)
                # None behind one that is given up, which would look as if it was being made.
                if self._works(one, there) and (freed or due <= now):
                    remote[one.id] = self._created(one, there.input_file)
                break
        return remote

    def _forget_gone(self, remote: Mapping[str, RemoteBatch | None]) -> None:
        """Forget all batches but the first where the key is of another account now.

        Their texts are sent anew. Those of the first go at once, so that every run gets on.
        """
        if not any(remote.values()):
            for one in self._batches()[1:]:
                self._forget(one, None)

    def _there(self, one: Batch) -> RemoteBatch | None:
        """Return what the provider has of a batch; `None` when that is nothing."""
        if one.remote:
            return self._api.get(one.remote)
        file = self._api.find_file(one.id)
        return None if file is None else RemoteBatch.not_taken(file)

    def _send_more(self) -> None:
        """Send batches for the ranges that come next, as many as may be under way."""
        mine = self._batches()
        while len(mine) < MAX_UNDER_WAY and (not mine or mine[-1].upto is not None):
            whole = shard_window(self._generation.bounds, self._shard.number)
            after = mine[-1].upto if mine else self._shard.cursor or whole.after
            window = Window(after=after, upto=whole.upto)
            with text_file(
                self._opened, self._run, self._generation, self._shard.number, window, self._api
            ) as file:
                if not file.ended:
                    return
                if file.texts < MIN_TEXTS and file.upto is None:
                    if mine:
                        with self._opened.registry.begin() as db:
                            batches.to_the_end(db, mine[-1].id)
                    return
                if not mine:
                    self._api.require()
                last = max((one.number for one in self._all_batches()), default=-1)
                if self._send(file, last + 1).full:
                    return
            mine = self._batches()

    def _send(self, file: TextFile, number: int) -> RemoteBatch:
        now = self._opened.clock()
        new = Batch(
            id=uuid4().hex,
            lens_id=self._opened.lens.id,
            generation_id=self._generation.id,
            shard=self._shard.number,
            number=number,
            upto=file.upto,
            embedding=self._opened.lens.config.embedding,
            texts=file.texts,
            done=0,
            remote=None,
            tries=0,
            created_at=now,
            sent_at=None,
            expires_at=None,
        )
        with self._opened.registry.begin() as db:
            self._run.lease.check(db)
            batches.begin(db, new)
        sent_file = self._api.send(new.id, file.lines)
        # Whoever has taken the shard over meanwhile looks for this batch, and must not miss it.
        self._opened.registry.transact(self._run.lease.check)
        sent = self._api.create(new.id, sent_file)
        self._note_sent(new, sent)
        return sent

    def _note_sent(self, one: Batch, there: RemoteBatch) -> None:
        now = self._opened.clock()
        with self._opened.registry.begin() as db:
            batches.note_sent(db, one.id, remote=there.id, expires_at=there.expires_at, now=now)
        of = (self._opened.lens.name, f"{one.texts:,}")
        if there.full:
            logger.info("%s: %s texts wait for room at the provider: %s", *of, there.said)
        else:
            logger.info("%s: %s texts wait in batch %s of %s.", *of, there.id, self._api.shown)

    def _without_room(
        self, mine: Sequence[Batch], remote: Mapping[str, RemoteBatch | None]
    ) -> Batch | None:
        """Give batches up where the account never had room for any of them.

        The first then stands for the rest of the shard, which goes at once. While another one is
        made, or was, only the range of the first goes at once.
        """
        one = mine[0]
        full = all((there := remote.get(each.id)) is not None and there.full for each in mine)
        if not full or one.tries < MAX_CREATED:
            return None
        for other in mine[1:]:
            self._forget(other, remote.get(other.id))
        with self._opened.registry.begin() as db:
            batches.to_the_end(db, one.id)
        return replace(one, upto=None)

    def _works(self, one: Batch, there: RemoteBatch | None) -> bool:
        """Say whether vectors of a batch are still to come."""
        if there is None:
            return False
        if not there.ended:
            return self._opened.clock() - (one.sent_at or one.created_at) < LONGEST_WAIT
        return there.full and one.tries < MAX_CREATED

    def _next_look(self, mine: Sequence[Batch]) -> datetime:
        now = self._opened.clock()
        last = max(one.sent_at or now for one in mine)
        return now + min(LONGEST_LOOK, max(FIRST_LOOK, (now - last) / 10))

    def _fill(self, embedder: Embedder, upto: str | None) -> None:
        """Fill the shard from its cursor up to a key, or to its end."""
        opened = replace(self._opened, embedder=embedder)
        of = (opened, self._run, self._generation, self._shard, self._first)
        fill_range(*of, self._finished, upto)

    @contextmanager
    def _fetched(self, one: Batch, there: RemoteBatch | None) -> Iterator[Embedder]:
        """Give an embedder that has the vectors of a batch that has ended."""
        folder = self._opened.walks
        folder.mkdir(parents=True, exist_ok=True)
        dimension = self._opened.lens.config.embedding.dimensions
        with TemporaryFile(dir=folder) as lines:
            if there is not None and there.output_file is not None:
                self._api.fetch(there.output_file, lines)
            with read_lines(lines, folder, dimension=dimension) as fetched:
                self._tell_of_lacking(one, there, one.texts - len(fetched.places))
                yield FetchedEmbedder(self._opened.embedder, fetched)

    def _tell_of_lacking(self, one: Batch, there: RemoteBatch | None, texts: int) -> None:
        if texts > 0:
            logger.warning(
                "%s: batch %s is %s, and has no vector for %s of its %s texts. They are embedded "
                "at once, at the usual price.%s",
                self._opened.lens.name,
                one.remote or one.id,
                "gone" if there is None else there.status,
                f"{texts:,}",
                f"{one.texts:,}",
                self._why(there),
            )

    def _why(self, there: RemoteBatch | None) -> str:
        """Return a sentence with what the provider says of texts without a vector; or nothing."""
        said = "" if there is None else there.said
        if there is not None and there.error_file is not None:
            try:
                said = said or self._api.first_error(there.error_file)
            except SemilayerError as error:
                said = error.message
        return f" The provider says: {said}" if said else ""

    def _forget(self, one: Batch, there: RemoteBatch | None) -> None:
        """Delete the files of a batch that is done with; fails nothing.

        One that has not ended is left to `left_batches`, which cancels it.
        """
        if there is not None and not there.ended:
            with self._opened.registry.begin() as db:
                batches.give_up(db, one.id)
            return
        try:
            for file in there.files if there is not None else ():
                self._api.delete(file)
        except SemilayerError as error:
            # The provider deletes them by itself, some weeks later.
            name = one.remote or one.id
            logger.warning("The files of batch %s are left at the provider: %s", name, error)
        with self._opened.registry.begin() as db:
            batches.forget(db, one.id)
