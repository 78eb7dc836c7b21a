"""What a smart sync need not read: what is proven by the last complete walk, asked before all else.

The source says whether its table was written to since (`Written`), the index whether it still holds
the same (`content_token`). What the walk saw is kept beside the project (`kept_rows`). Each of them
speaks of what was so at one moment, and none goes by what a later run has noted. So a restored
registry, index or file proves less, and never anything wrong.

The token of an index is noted by a sync after which the index holds what the walk saw: all of it
was there already or was written, and the index can tell that nobody else has written since the
sync first looked at it (`own_token`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import polars as pl

from semilayer_pipelines import __version__
from semilayer_pipelines.bridges.protocol import Written
from semilayer_pipelines.config.intervals import duration_of
from semilayer_pipelines.errors import SourceUnreachable
from semilayer_pipelines.ingest.cut_rows import CutRows
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.retry import retrying
from semilayer_pipelines.ingest.steady import is_steady
from semilayer_pipelines.ingest.target import Target
from semilayer_pipelines.registry import failed_rows, marked_rows, walks
from semilayer_pipelines.registry.walks import Walk

__all__ = ["Proof", "is_still", "proof_of", "proof_to_come"]

PATIENT_ROWS = 20_000_000
"""Rows from which on a sync waits 12 seconds for a busy source to prove that none was written."""


@dataclass(frozen=True)
class Proof:
    """What source and index say before a smart sync reads anything.

    `last` is the last complete walk, where it still speaks of the same rows; `unwritten`: no row
    was written or removed since. `asked` are keys whose rows must be read whatever is proven.
    """

    written: Written
    fingerprint: str
    token: str | None
    asked: tuple[str, ...]
    last: Walk | None = None
    unwritten: bool = False

    @property
    def in_sync(self) -> bool:
        """Whether the index holds what it should, without a look at any row."""
        return self.unwritten and self.index_is_the_same and not self.asked

    @property
    def index_is_the_same(self) -> bool:
        """Whether the index is known to hold what the last walk saw."""
        return self.last is not None and None is not self.token == self.last.token

    @property
    def since(self) -> str | None:
        """From where on rows are read that were written; `None` where none was, or none can be."""
        return None if self.unwritten or self.last is None else self.last.since


def proof_of(opened: OpenLens, target: Target, *, full_walk: bool) -> Proof | None:
    """Ask source, index and registry; `None` where the source proves nothing, now or later.

    Raises what the bridge and the store raise.
    """
    begun = proof_to_come(opened)
    if begun is None:
        return None
    written = begun.written
    token = target.content_token()
    with opened.registry.read() as db:
        last = walks.get(db, target.generation.id)
        failed = failed_rows.keys(db, opened.lens.id, failed_rows.KEPT)
        marked = marked_rows.keys(db, target.generation.id, marked_rows.MENDED)
    asked = tuple(dict.fromkeys((*failed, *marked)))
    proof = replace(begun, token=token, asked=asked)
    # Rows beyond the limit are on no list: only a whole walk tries them again.
    if full_walk or len(failed) == failed_rows.KEPT or not _cut_as_now(opened, target):
        return proof
    if last is None or not _still_speaks(opened, proof, last):
        return proof
    return replace(proof, last=last, unwritten=_unwritten(opened, written, last))


def proof_to_come(opened: OpenLens) -> Proof | None:
    """Ask the source what a walk that begins now will prove, once it is complete.

    It says nothing of an index. `None` where the source proves nothing. Raises what the bridge
    raises.
    """
    written = _written(opened)
    return None if written is None else Proof(written, _fingerprint(opened), None, ())


def is_still(opened: OpenLens, proof: Proof) -> bool:
    """Say whether the source is where it was: a long walk may have read from a second server."""
    again = _written(opened)
    return again is not None and again.place == proof.written.place


def _written(opened: OpenLens) -> Written | None:
    """Return what the source says, where that proves anything at all."""
    if not is_steady(opened):
        return None
    told = retrying(lambda: opened.bridge.written(opened.selection), SourceUnreachable)
    return None if told is None or told.mark is told.since is None else told


def _unwritten(opened: OpenLens, written: Written, last: Walk) -> bool:
    if None is not written.mark == last.mark:
        return True
    if last.since is None:
        return False  # the mark tells all that there is to know
    kept, patient = Written(last.place, last.mark, last.since), last.rows >= PATIENT_ROWS
    ask = partial(opened.bridge.unwritten, opened.selection, kept, patient=patient)
    return retrying(ask, SourceUnreachable) is not None


def _still_speaks(opened: OpenLens, proof: Proof, last: Walk) -> bool:
    age = opened.clock() - last.whole_at
    return (
        last.place == proof.written.place
        and last.fingerprint == proof.fingerprint
        # A clock that was set back proves nothing.
        and abs(age) < duration_of(opened.lens.config.full_walk_every)
    )


def _cut_as_now(opened: OpenLens, target: Target) -> bool:
    return CutRows.of(opened, target.generation, target.index) is None


def _fingerprint(opened: OpenLens) -> str:
    """Return a digest of all that decides how a row of the source is mapped and embedded."""
    kinds = opened.mapping.kinds
    parts: Sequence[object] = (
        __version__,
        pl.__version__,
        opened.lens.config_hash,
        opened.mapping.fingerprint,
        opened.embedder.fingerprint,
        opened.selection,
        [kinds.get(column) for column in opened.selection.columns],
    )
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()
