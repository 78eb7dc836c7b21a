"""Changes that callers named: looked up, written or deleted, whatever way their ids are spelled.

The last action for a row wins, also where two changes spell its id in different ways. A row that an
upsert names and that is not there may be about to come: its caller's transaction is open, or the
source is a replica that lags. Such a change is put off and looked at again (`LOOKS_AGAIN`); only
then is it a delete.

A row that the lens's `where` leaves out is deleted at once where the index has it. Where it has
not, the row may be about to become one that is there, and is looked at again just so.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Protocol

from sqlalchemy import Connection

from semilayer_pipelines.bridges.protocol import NamedRows
from semilayer_pipelines.bridges.row_key import key_texts
from semilayer_pipelines.counts import Counts
from semilayer_pipelines.ingest.apply_page import apply_page
from semilayer_pipelines.ingest.delete import delete_keys
from semilayer_pipelines.ingest.hidden_rows import refuse_hidden
from semilayer_pipelines.ingest.look_up import look_up
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.page import Page, RowChoice
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.ingest.spelled import index_keys, keys_among, name_rows
from semilayer_pipelines.ingest.target import Target
from semilayer_pipelines.registry import changes
from semilayer_pipelines.registry.changes import Action, Change

__all__ = ["LOOKS_AGAIN", "Claim", "apply_changes"]

LOOKS_AGAIN = (timedelta(seconds=5), timedelta(seconds=25))
"""The waits before a row that was named and not found is looked for again; then it is deleted."""


class Claim(Protocol):
    """The changes that a run has claimed, by the keys under which the buffer has them."""

    def rename(self, names: Mapping[str, str]) -> None:
        """Give changes the keys of their rows, before anything is done about them."""
        ...

    def acknowledge(self, db: Connection, keys: Sequence[str]) -> None:
        """Note in a transaction that the changes of these keys are applied."""
        ...

    def acknowledge_look(self, db: Connection, keys: Sequence[str]) -> None:
        """Note the same of rows that were changed as the source had them at a look, if it holds."""
        ...

    def put_off(self, keys: Sequence[str], wait: timedelta) -> None:
        """Give changes back whose rows are not there; nobody takes them before the wait is over."""
        ...

    def set_aside(self, reasons: Mapping[str, str]) -> None:
        """Note changes that name no row of the table, and why, as failed rows."""
        ...


def apply_changes(
    opened: OpenLens,
    run: Run,
    target: Target,
    batch: Sequence[Change],
    choice: RowChoice,
    claim: Claim | None = None,
) -> None:
    """Bring the index in sync with the named rows; `batch` has one change a key, in their order.

    Without a `claim` the changes are somebody else's: nothing is put off or set aside. Raises what
    `apply_page`, `delete_keys`, the bridge and the index raise.
    """
    with opened.registry.read() as db:
        seq = changes.latest_seq(db, opened.lens.id)
    applying = _Applying(opened, run, target, choice, claim, seq, {c.key: c for c in batch})
    applying.read_deletes([change.key for change in batch if change.action is Action.DELETE])
    upserts = [change.key for change in batch if change.action is Action.UPSERT]
    for page, ids, malformed in applying.looked_up(upserts):
        applying.apply(page, ids, malformed)
    applying.end()


@dataclass
class _Applying:
    """One batch under way; `seq` is the point in the log at which its rows are looked at.

    `deletes` are the rows to delete, with the numbers of the changes that say so; `others` are
    keys that are no row's. `overtaken` are rows of which a newer change knows, `early` those that
    are not there yet, with how often they were looked for. `there` are rows that the source has,
    `outside` those that the lens leaves out, `left` those of them that the index has, `applied`
    those that went through `apply_page`.
    """

    opened: OpenLens
    run: Run
    target: Target
    choice: RowChoice
    claim: Claim | None
    seq: int
    batch: Mapping[str, Change]
    deletes: dict[str, int] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)
    overtaken: set[str] = field(default_factory=set)
    early: dict[str, int] = field(default_factory=dict)
    malformed: dict[str, str] = field(default_factory=dict)
    there: set[str] = field(default_factory=set)
    outside: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)
    applied: set[str] = field(default_factory=set)

    def read_deletes(self, ids: Sequence[str]) -> None:
        """Find out which rows the deletes name, before any upsert is applied."""
        if not ids:
            return
        found = index_keys(self.opened.bridge, self.opened.selection, self.target.index, ids)
        self.malformed |= found.malformed
        own = {id: keys[0] for id, keys in found.keys.items()}
        overtaken = self._rename(own)
        for id, keys in found.keys.items():
            if id not in overtaken:
                self.deletes[keys[0]] = max(self.batch[id].seq, self.deletes.get(keys[0], 0))
                self.others |= {id, *keys} - {keys[0]}

    def looked_up(self, ids: Sequence[str]) -> Iterator[tuple[Page, list[str], dict[str, str]]]:
        """Yield the rows that ids name and the source has, by weight in pages; with these ids."""
        selection = replace(self.opened.selection, bounds=self.target.generation.bounds)
        shard = None if self.target.generation.bounds else 0
        started = time.monotonic()
        for asked, found in look_up(self.opened, selection, ids):
            self.outside |= {*found.outside}
            page = Page(found.frame, shard, self.seq, started, refused=found.refused)
            yield page, asked, found.malformed
            started = time.monotonic()

    def apply(self, page: Page, ids: Sequence[str], malformed: Mapping[str, str]) -> None:
        """Write the rows of a page, but those that a newer change deletes."""
        there = {*self._keys(page)}
        self.there |= there
        missing = [id for id in ids if id not in there and id not in malformed]
        named = (
            name_rows(self.opened.bridge, self.opened.selection, missing)
            if missing
            else NamedRows()
        )
        self.malformed |= dict(malformed) | named.malformed
        keys = {id: id for id in ids if id in there} | named.rows | named.forms
        overtaken = self._rename(keys)
        self.others |= {id for id, key in keys.items() if id != key}  # no row is called so
        leave = keys_among(self.target.index, self.outside.intersection(keys.values()))
        self.left |= leave
        written: dict[str, bool] = {}
        for id, key in keys.items():
            wins = id not in overtaken and self.deletes.get(key, 0) < self.batch[id].seq
            written[key] = written.get(key, False) or wins
            if wins:
                self.deletes.pop(key, None)
                self.early.pop(key, None)
                if key in leave:
                    self.deletes[key] = self.batch[id].seq
                elif key not in self.there:
                    self.early[key] = max(0, self.batch[id].looks)
        page = self._without(page, {key for key, wins in written.items() if not wins})
        self.applied |= {*self._keys(page)}
        if page.height:
            apply_page(self.opened, self.run, self.target, page, self.choice)

    def end(self) -> None:
        """Put off what is not there yet, and delete the rest."""
        if self.early:
            refuse_hidden(self.opened)  # a row that is hidden is neither early nor gone
        if self.claim is not None:
            self._give_back(self.claim)
        patience = 0 if self.claim is None else len(LOOKS_AGAIN)
        last = [key for key, looks in self.early.items() if looks >= patience]
        stayed_away = self._in_the_index(last)
        acknowledged = {*self.deletes, *self.overtaken}
        acknowledged -= self.applied | self.early.keys()
        acknowledged |= {keys[0] for keys in stayed_away.values()}
        gone = {*self.deletes, *(self.others - self.there)}
        gone |= {key for keys in stayed_away.values() for key in keys}
        # What the source showed, and no caller said; a walk may have seen more of it since.
        seen = keys_among(self.target.index, (keys[0] for keys in stayed_away.values()))
        seen |= self.left & acknowledged
        if gone or acknowledged:
            self._delete(sorted(gone), sorted(acknowledged - seen), sorted(seen))

    def _give_back(self, claim: Claim) -> None:
        """Give back what this batch cannot do: what is not there yet, and what names no row."""
        self.run.progress.add(Counts(not_found=len(self.early), failed=len(self.malformed)))
        if self.malformed:
            claim.set_aside(self.malformed)
        for looks, wait in enumerate(LOOKS_AGAIN):
            if keys := [key for key, before in self.early.items() if before == looks]:
                claim.put_off(keys, wait)

    def _in_the_index(self, keys: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the keys that the index has for rows that stayed away; the log knows the first."""
        if not keys:
            return {}
        of = (self.opened.bridge, self.opened.selection, self.target.index)
        found = index_keys(*of, keys).keys
        renamed = {key: equal[0] for key, equal in found.items() if equal[0] != key}
        if renamed and self.claim is not None:
            self.claim.rename(renamed)
        return found

    def _delete(self, keys: Sequence[str], told: Sequence[str], seen: Sequence[str]) -> None:
        def acknowledge(db: Connection) -> None:
            assert claim is not None
            claim.acknowledge(db, told)
            claim.acknowledge_look(db, seen)

        claim = self.claim
        commit = None if claim is None else acknowledge
        delete_keys(self.opened, self.run, self.target, keys, change_seq=self.seq, commit=commit)

    def _rename(self, keys: Mapping[str, str]) -> set[str]:
        """Have the log know rows by their own keys; return the ids that a newer change overtook."""
        renamed = {id: key for id, key in keys.items() if id != key}
        if not renamed:
            return set()
        if self.claim is not None:
            self.claim.rename(renamed)
        with self.opened.registry.read() as db:
            last = changes.newest(db, self.opened.lens.id, list({*renamed.values()}))
        overtaken = {id for id, key in renamed.items() if last.get(key, 0) > self.batch[id].seq}
        self.overtaken |= {renamed[id] for id in overtaken}
        return overtaken

    def _keys(self, page: Page) -> list[str]:
        return [*key_texts(page.rows, self.opened.selection.key), *page.refused]

    def _without(self, page: Page, keys: set[str]) -> Page:
        if not keys:
            return page
        kept = ~key_texts(page.rows, self.opened.selection.key).is_in(list(keys))
        refused = {key: why for key, why in page.refused.items() if key not in keys}
        return replace(page, rows=page.rows.filter(kept), refused=refused)
