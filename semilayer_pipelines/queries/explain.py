"""One row from its source to its vector: what it is now, what is indexed, and why they differ.

Nothing is written. The text is embedded once, to see what the model reads of it. Of a text that is
cut, that is its first chunks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain, repeat
from typing import Any, cast

import numpy as np
import polars as pl

from semilayer_pipelines.bridges.row_key import key_texts
from semilayer_pipelines.bridges.unfit import with_unfit
from semilayer_pipelines.embedders.protocol import Embedded, Embedder
from semilayer_pipelines.errors import SemilayerError
from semilayer_pipelines.ingest.by_key import all_of
from semilayer_pipelines.ingest.leaving import leaving
from semilayer_pipelines.ingest.map_page import map_page
from semilayer_pipelines.ingest.open_lens import OpenLens, as_indexed, open_lens
from semilayer_pipelines.ingest.page import Page
from semilayer_pipelines.ingest.spelled import index_keys, name_rows
from semilayer_pipelines.ingest.texts import PLACE, Texts, cut_otherwise, texts_seen
from semilayer_pipelines.ingest.written_index import written_index
from semilayer_pipelines.mapping.mapped import TEXT, why_failed
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.asked import check_row_id
from semilayer_pipelines.queries.findings import OUT_OF_REACH
from semilayer_pipelines.queries.unsearchable import CROWD, is_crowded, not_found
from semilayer_pipelines.registry import (
    changes,
    failed_rows,
    generations,
    lenses,
    marked_rows,
    page_log,
)
from semilayer_pipelines.registry.changes import Change
from semilayer_pipelines.registry.failed_rows import FailedRow
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.marked_rows import Fault
from semilayer_pipelines.stores.chunks.protocol import RowIndex
from semilayer_pipelines.stores.frames import OWN_COLUMNS
from semilayer_pipelines.stores.protocol import (
    INDEXED_AT,
    ROW_HASH,
    SHARD,
    TEXT_HASH,
    VECTOR,
    WORDS,
    Index,
)

__all__ = ["Explanation", "FreshVector", "Indexed", "MappedRow", "RowChunk", "explain"]

CHUNKS_EMBEDDED = 100
"""Chunks of a row that `explain` embeds, so that the model tells how many tokens they have."""

_SAME_VECTOR = 0.9999
"""Cosine similarity from which a vector counts as the same: models differ in the last digits."""


@dataclass(frozen=True)
class MappedRow:
    """A row as the lens sees it; hashes are hexadecimal.

    `textless`: its text is empty, so it is left out of the search.
    """

    fields: Mapping[str, Any]
    text: str
    row_hash: str
    text_hash: str
    textless: bool = False


@dataclass(frozen=True)
class FreshVector:
    """What the model makes of the text now.

    `tokens` is `None` where the model does not say; `similarity` is the cosine to the indexed
    vector, `None` when there is none to compare with. `error` says why it could not be embedded.
    """

    tokens: int | None = None
    cut: bool = False
    similarity: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class RowChunk:
    """A part of a long text: the characters of `field` from `start` to `end`.

    `text` is what is embedded. `tokens` is `None` where the model does not say, or was not asked.
    `held`: the index has its vector.
    """

    field: str
    start: int
    end: int
    text: str
    tokens: int | None
    held: bool


@dataclass(frozen=True)
class Indexed:
    """The object in the index; `job_id` wrote it, `None` when its log is forgotten.

    `hidden`: no search finds it, not even one for its own vector. `unreachable`: nor did one when
    it was written again. `crowded`: hidden among more than `CROWD` rows of the same text, of which
    a search shows some. `words` are the tokens by which a search by keyword finds it, each once;
    `None` in an index without keywords.
    """

    fields: Mapping[str, Any]
    row_hash: str
    text_hash: str
    at: datetime
    shard: int | None
    generation: int
    job_id: str | None
    objects: int
    hidden: bool = False
    unreachable: bool = False
    crowded: bool = False
    words: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Explanation:
    """Everything about one id; `key` is how the source writes it.

    `fault` is why the row cannot be mapped, or the id be a row's. `unread`: the row is there, and
    the source cannot read it. `leaves`: the index has an object that the row must not have any
    more. `outside`: the row is there, and the lens's `where` leaves it out. `chunks` are those that
    the row is cut in now; `cut_as_now` says whether the index has it cut so.
    """

    lens: str
    id: str
    key: str
    row: Mapping[str, Any] | None
    fault: str | None
    mapped: MappedRow | None
    embedding: FreshVector | None
    indexed: Indexed | None
    pending: tuple[Change, ...]
    failed: FailedRow | None
    unread: str | None = None
    leaves: bool = False
    outside: bool = False
    chunks: tuple[RowChunk, ...] = ()
    cut_as_now: bool = True

    @property
    def verdict(self) -> str:
        """Say in a sentence how row and object stand to each other."""
        if any(change.looks > 0 for change in self.pending):
            return "It was named and its row was not there; it is looked for again."
        if self.pending:
            return "A change of it was accepted and waits to be applied."
        if self.outside:
            then = "" if self.indexed is None else "; the next sync takes its vector out"
            return f"The lens leaves it out: its 'where' is not true for it{then}."
        match self.row or self.unread, self.indexed:
            case None, None:
                return "Neither the source nor the index has it."
            case None, _:
                return "It is gone from the source; a smart sync deletes its vector."
            case _, None if self.mapped is None:
                return "It cannot be mapped, so it is not indexed."
            case _, None if self.mapped and self.mapped.textless:
                return "Its text is empty, so it is left out of the search."
            case _, None:
                return "It is not indexed yet; the next sync adds it."
        return self._compared(self.mapped, cast(Indexed, self.indexed))

    def _compared(self, mapped: MappedRow | None, indexed: Indexed) -> str:
        if mapped is None and self.leaves:
            return "It cannot be mapped; the next sync takes out what it was before."
        if mapped is None:
            return "It cannot be mapped; the index keeps what it was before."
        if mapped.textless:
            return "Its text is empty now; the next sync takes its vector out."
        if indexed.objects > 1:
            return f"It has {indexed.objects} vectors; a smart sync makes them one."
        if mapped.row_hash != indexed.row_hash:
            return "It changed since it was indexed; the next sync brings it in."
        if not self.cut_as_now:
            return "Its text is to be cut in another way than it is indexed; a smart sync does it."
        if any(not chunk.held for chunk in self.chunks) or (
            self.chunks and mapped.text_hash != indexed.text_hash
        ):
            return "Not all of its chunks are in the index, or others are; a smart sync mends it."
        similarity = self.embedding.similarity if self.embedding else None
        if mapped.text_hash != indexed.text_hash or (
            similarity is not None and similarity < _SAME_VECTOR
        ):
            return "Its vector was made by another model; a smart sync or a rebuild mends it."
        if indexed.unreachable:
            return f"It is indexed as it is in the source, and out of reach: {OUT_OF_REACH}"
        if indexed.crowded:
            return (
                "It is indexed as it is in the source. "
                f"More than {CROWD} rows have its text, and a search shows some of them, not all."
            )
        if indexed.hidden:
            return (
                "It is indexed as it is in the source, and no search finds it; "
                f"`semilayer verify --lens {self.lens} --search --heal` writes it again."
            )
        return "It is indexed as it is in the source."


def explain(project: Project, env: str, name: str, id: str) -> Explanation:
    """Look a row up in source, mapping, model, index and registry.

    The id may be spelled in any way that the source takes for the same. Raises `NotFound` for the
    lens, `ConfigError` for an `id` that is no text, `IndexDamaged` for an index that is lost or
    damaged, and what bridge and store raise. A model that cannot be used is told in the answer.
    """
    check_row_id(id)
    with project.registry.read() as db:
        lens = lenses.get(db, env, name)
        generation = generations.active(db, lens.id)
    with open_lens(project, as_indexed(project, lens)) as opened:
        index = written_index(opened.registry, opened.store, generation) if generation else None
        found = opened.bridge.read_rows(opened.selection, [id])
        key = _key(opened, index, id)
        with project.registry.read() as db:
            pending = changes.waiting(db, lens.id, [id, key], changes.latest_seq(db, lens.id))
            failed = failed_rows.get(db, lens.id, key) or failed_rows.get(db, lens.id, id)
        outside = key in found.outside
        if outside:
            # Shown, and not mapped.
            found = opened.bridge.read_rows(replace(opened.selection, where=None), [id])
        rows = found.frame.filter(key_texts(found.frame, opened.selection.key) == key)
        unread = {one: why for one, why in found.refused.items() if one == key}
        chosen = rows.clear() if outside else rows
        applied = map_page(opened, Page(chosen, 0, 0, 0.0, refused={} if outside else unread))
        stored = index.get(key) if index else None
        mapped = _mapped(applied.frame) or _mapped(applied.textless, textless=True)
        left = leaving(opened, index, applied, all_of)
        why = applied.failed.row(0, named=True) if applied.failed.height else None
        fault = why_failed(why) if why else found.malformed.get(id)
        texts = texts_seen(opened, applied.frame)
        made = _embedded(opened.embedder, texts.frame[TEXT].head(CHUNKS_EMBEDDED).to_list())
        return Explanation(
            lens=name,
            id=id,
            key=key,
            row=with_unfit(rows).row(0, named=True) if rows.height else None,
            fault=fault,
            mapped=mapped,
            embedding=_embedding(made, stored) if applied.frame.height else None,
            indexed=_indexed(opened, key, index, generation, stored),
            pending=tuple(pending),
            failed=failed,
            unread=unread.get(key),
            leaves=key in (*left.at_once, *left.others),
            outside=outside,
            chunks=_chunks(texts, made, index, key),
            cut_as_now=_cut_as_now(opened, index, applied.frame, stored),
        )


def _key(opened: OpenLens, index: Index | None, id: str) -> str:
    """Return the key text of the row that an id names, or of its object where there is no row."""
    of = (opened.bridge, opened.selection)
    named = name_rows(*of, [id]).rows
    return named.get(id) or index_keys(*of, index, [id]).keys.get(id, (id,))[0]


def _mapped(frame: pl.DataFrame, *, textless: bool = False) -> MappedRow | None:
    if not frame.height:
        return None
    row = frame.row(0, named=True)
    return MappedRow(
        fields={name: value for name, value in row.items() if name not in (*OWN_COLUMNS, TEXT)},
        text=row[TEXT],
        row_hash=row[ROW_HASH].hex(),
        text_hash=row[TEXT_HASH].hex(),
        textless=textless,
    )


def _embedded(embedder: Embedder, texts: Sequence[str]) -> Embedded | SemilayerError | None:
    """Embed some texts; return why that failed, or `None` without a text."""
    try:
        return embedder.embed(texts) if texts else None
    except SemilayerError as error:
        return error


def _embedding(
    made: Embedded | SemilayerError | None, stored: Mapping[str, Any] | None
) -> FreshVector:
    """Compare the first vector that was made with that of the row's object."""
    if made is None or isinstance(made, SemilayerError):
        return FreshVector(error=str(made))
    similarity = None
    if stored is not None:
        ours, theirs = made.vectors[0], np.asarray(stored[VECTOR], dtype=np.float32)
        if ours.shape == theirs.shape:
            lengths = np.linalg.norm(ours) * np.linalg.norm(theirs)
            similarity = float(ours @ theirs / lengths)
    return FreshVector(
        tokens=None if made.tokens is None else int(made.tokens[0]),
        cut=bool(made.truncated[0]),
        similarity=similarity,
    )


def _chunks(
    texts: Texts, made: Embedded | SemilayerError | None, index: RowIndex | None, key: str
) -> tuple[RowChunk, ...]:
    """Return the chunks that the row is cut in; none of a row that fits."""
    if not texts.are_cut:
        return ()
    held = set() if index is None else {*index.held([key], vectors=False)[TEXT_HASH]}
    read = made.tokens if isinstance(made, Embedded) and made.tokens is not None else ()
    tokens = chain((int(number) for number in read), repeat(None))
    chunks = texts.frame.select(*PLACE, TEXT, TEXT_HASH).iter_rows()
    return tuple(
        RowChunk(field, start, end, text, number, hash in held)
        for (field, start, end, text, hash), number in zip(chunks, tokens, strict=False)
    )


def _cut_as_now(
    opened: OpenLens,
    index: RowIndex | None,
    rows: pl.DataFrame,
    stored: Mapping[str, Any] | None,
) -> bool:
    """Say whether a row of the same values is cut in the index as it would be now."""
    if index is None or stored is None or not rows.height:
        return True
    if rows[ROW_HASH][0] != stored[ROW_HASH] or rows[TEXT_HASH][0] != stored[TEXT_HASH]:
        return True
    return not cut_otherwise(opened, rows, index).any()


def _indexed(
    opened: OpenLens,
    key: str,
    index: Index | None,
    generation: Generation | None,
    stored: Mapping[str, Any] | None,
) -> Indexed | None:
    if index is None or generation is None or stored is None:
        return None
    hidden = bool(not_found(index, [key]))
    with opened.registry.read() as db:
        job_id = page_log.job_at(db, generation, stored[INDEXED_AT])
        tried = marked_rows.is_marked(db, generation.id, Fault.UNREACHABLE, key)
    return Indexed(
        fields={n: value for n, value in stored.items() if n not in (*OWN_COLUMNS, WORDS)},
        row_hash=stored[ROW_HASH].hex(),
        text_hash=stored[TEXT_HASH].hex(),
        at=stored[INDEXED_AT],
        shard=stored[SHARD],
        generation=generation.number,
        job_id=job_id,
        objects=index.fetch([key], vectors=False).height,
        hidden=hidden,
        unreachable=hidden and tried,
        crowded=hidden and not tried and is_crowded(index, stored[TEXT_HASH]),
        words=tuple(dict.fromkeys((stored[WORDS] or "").split())) if WORDS in stored else None,
    )
