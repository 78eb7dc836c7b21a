"""An index checked against its source, without writing: what is out of sync, with ids.

The comparison is smart sync's (`KnownRows`), and whatever differs is looked at once more by key,
because others write meanwhile: a row that a run brought in between, or that a buffered change is
about to bring in, is not out of sync. Nothing here takes a lock or a lease. `CloserLook` looks at
what hashes do not show, where that is asked for.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence

import polars as pl

from semilayer_pipelines.errors import IndexDamaged
from semilayer_pipelines.ingest.confirm_absent import departed, in_chunks
from semilayer_pipelines.ingest.cut_rows import CutRows
from semilayer_pipelines.ingest.decision import Indexed
from semilayer_pipelines.ingest.known_rows import KnownRows
from semilayer_pipelines.ingest.leaving import leaving, removes_failed
from semilayer_pipelines.ingest.map_page import map_page
from semilayer_pipelines.ingest.open_lens import OpenLens, as_indexed, open_lens
from semilayer_pipelines.ingest.page import Page
from semilayer_pipelines.ingest.stored_fields import unheld
from semilayer_pipelines.ingest.texts import cut_as_now, texts_seen
from semilayer_pipelines.ingest.walk import shard_window, walk
from semilayer_pipelines.ingest.written_index import written_index
from semilayer_pipelines.mapping.columns import same_rows
from semilayer_pipelines.mapping.mapped import TEXT
from semilayer_pipelines.one_model import not_of_one_model
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.closer_look import CloserLook, Telling
from semilayer_pipelines.queries.findings import (
    SHOWN_IDS,
    Audit,
    Depth,
    Found,
    Kind,
    Looked,
    ToEmbed,
)
from semilayer_pipelines.registry import changes, generations
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.lenses import Lens, Needs
from semilayer_pipelines.stores.chunks.protocol import RowIndex
from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, TEXT_HASH, Index

__all__ = ["audit"]

MANY_SET_ASIDE = 0.5
"""A larger share of the rows set aside is a problem of the index, and not of those rows."""

SAMPLE_TEXTS = 64
SAMPLE_OF_A_PAGE = 16

_QUIET = Telling()
_BY_HASHES = Depth()

_INDEXED = "_indexed"
_OBJECTS = "_objects"
_KIND = "_kind"
_CUT = "_cut"


def audit(
    project: Project, lens: Lens, telling: Telling = _QUIET, *, depth: Depth = _BY_HASHES
) -> Audit:
    """Compare every row of the source with its object; `telling` hears how far that is.

    Where the store was started again since the last write, the rows that this may have hidden are
    asked for, whatever the `depth`. Holds 26 bytes an indexed row, and one page. Raises what
    bridge, mapping and store raise, and with `depth.deep` what the embedder raises.
    """
    with open_lens(project, as_indexed(project, lens)) as opened:
        with project.registry.read() as db:
            generation = generations.active(db, lens.id)
        try:
            return _Auditor(opened, generation, telling).run(lens, depth)
        except IndexDamaged as error:
            return _damaged(opened, error)


def _damaged(opened: OpenLens, error: IndexDamaged) -> Audit:
    """Return what is known of an index that cannot be read: that only a rebuild mends it."""
    started = time.monotonic()
    return Audit(
        rows=opened.bridge.count(opened.selection),
        objects=0,
        found={kind: Found(0, ()) for kind in Kind},
        problems=(f"{error.message} {error.cure}",),
        rebuild=True,
        to_embed=ToEmbed(0, 0, ()),
        seconds=time.monotonic() - started,
        damage=error,
    )


class _Auditor:
    """One audit under way."""

    def __init__(self, opened: OpenLens, generation: Generation | None, telling: Telling) -> None:
        self._opened = opened
        self._telling = telling
        self._generation = generation
        self._index = (
            written_index(opened.registry, opened.store, generation) if generation else None
        )
        self._cut = CutRows.of(opened, generation, self._index) if generation else None
        self._counts: Counter[Kind] = Counter()
        self._nulled: Counter[str] = Counter()
        self._ids: defaultdict[Kind, list[str]] = defaultdict(list)
        self._texts = self._characters = 0
        self._sample: list[str] = []
        self._altered: dict[str, tuple[str, ...]] = {}
        self._twice: list[str] = []  # scanned twice, and looked up once

    def run(self, lens: Lens, depth: Depth) -> Audit:
        started = time.monotonic()
        known = KnownRows(self._index.scan() if self._index else ())
        left = self._index.leftovers if self._index else None
        closer = self._closer(depth, len(known))
        bounds = self._generation.bounds if self._generation else ()
        shards = self._generation.shard_count if self._generation else 1
        rows = 0
        for number in range(shards):
            for page in walk(self._opened, shard_window(bounds, number), number):
                rows += page.height
                self._compare(known, page, closer)
                self._telling.compared(rows)
        if self._index:
            self._look_for_orphans(known, self._index)
            self._look_for_copies(self._index)
        if self._index and left is not None:
            self._look_for_orphan_chunks(left, self._index)
        for kind, keys in closer.hidden() if closer else ():
            self._note(kind, keys)
        self._counts[Kind.NO_KEY] = self._opened.bridge.null_keys(self._opened.selection)
        problems, rebuild = self._problems(lens)
        bridge, selection = self._opened.bridge, self._opened.selection
        if not rows and (closed := bridge.hides_rows(selection.table)):
            # What is hidden is not gone: the index is right about nothing.
            problems = (*problems, f"The source shows no row: {closed.reason} {closed.cure}")
        set_aside = self._counts[Kind.SET_ASIDE]
        if set_aside > rows * MANY_SET_ASIDE:
            # A few rows are at fault themselves. Here the lens or its table is.
            problem = (
                f"{set_aside:,} of {rows:,} rows are set aside, and a search finds none of them as "
                f"they are now: `semilayer failed --lens {lens.name}` says why."
            )
            problems = (*problems, problem)
        return Audit(
            rows=rows,
            objects=len(known),
            found={kind: Found(self._counts[kind], tuple(self._ids[kind])) for kind in Kind},
            problems=problems,
            rebuild=rebuild,
            to_embed=ToEmbed(self._texts, self._characters, tuple(self._sample)),
            seconds=time.monotonic() - started,
            nulled=dict(self._nulled),
            hidden=bridge.hides_rows(*selection.tables),
            outgrown=bool(self._unheld()),
            generation_id=self._generation.id if self._generation else None,
            looked=closer.looked if closer else Looked(),
            altered=self._altered,
        )

    def _closer(self, depth: Depth, rows: int) -> CloserLook | None:
        if self._index is None or self._generation is None:
            return None
        return CloserLook(
            self._opened,
            self._index,
            self._generation,
            depth,
            self._telling,
            rows=rows,
            comparable=not self._unheld(),
        )

    def _compare(self, known: KnownRows, page: Page, closer: CloserLook | None) -> None:
        mapped = map_page(self._opened, page)
        self._nulled.update(mapped.nulled)
        states = known.compare(mapped.frame)
        if self._cut is not None:
            states = self._cut.marked(states, mapped.frame)
        self._note(Kind.SET_ASIDE, mapped.failed[KEY].to_list())
        self._note(Kind.TEXTLESS, mapped.textless[KEY].to_list())
        # What else a row must not have is found with the orphans.
        elsewhere = leaving(self._opened, self._index, mapped, known.holds).at_once
        self._note_orphans(elsewhere, page.change_seq)
        known.mark_seen(pl.Series(KEY, elsewhere, dtype=pl.String))
        if not removes_failed(self._opened):
            known.mark_seen(mapped.failed[KEY])
        if closer and closer.reads:
            for altered in closer.altered(mapped.frame.filter(states == Indexed.SAME)):
                self._note_altered(altered)
        differing = mapped.frame.filter(states != Indexed.SAME)
        if not differing.height:
            return
        looked_at = self._with_kinds(differing)
        pending = self._pending(looked_at[KEY].to_list(), page.change_seq)
        waits = looked_at[KEY].is_in(pending)
        self._note(Kind.PENDING, looked_at[KEY].filter(waits).to_list())
        twice = mapped.frame[KEY].filter(states == Indexed.TWICE)
        self._twice += twice.filter(~twice.is_in(looked_at[KEY].implode())).to_list()
        left = looked_at.filter(~waits)
        for (kind,), rows in left.group_by(_KIND, maintain_order=True):
            self._note(Kind(str(kind)), rows[KEY].to_list())
        self._note_texts(differing.join(left, on=KEY, how="semi", maintain_order="left"))

    def _look_for_orphans(self, known: KnownRows, index: Index) -> None:
        with self._opened.registry.read() as db:
            seq = changes.latest_seq(db, self._opened.lens.id)
        unseen = (key for part in known.unseen(index.scan(hashes=False)) for key in part.to_list())
        for keys in in_chunks(unseen):
            self._note_orphans(departed(self._opened, keys).keys, seq)

    def _look_for_copies(self, index: Index) -> None:
        """Note rows of which another scan shows two objects again, though a look-up shows one.

        The other is a copy under an id that is not the key's. A row that a run was writing had two
        for a moment only.
        """
        if not self._twice:
            return
        suspects = pl.col(KEY).is_in(pl.Series(self._twice).implode())
        found = Counter[str]()
        for frame in index.scan(hashes=False):
            found.update(frame.filter(suspects)[KEY])
        self._note(Kind.DOUBLED, [key for key, objects in found.items() if objects > 1])

    def _look_for_orphan_chunks(self, left: pl.Series, index: RowIndex) -> None:
        """Note chunks that were of no row when the walk began, and are of none now.

        A writer has chunks of no row for as long as it takes to write one page.
        """
        for of_rows in index.orphan_chunks(left):
            self._counts[Kind.ORPHAN_CHUNK] += len(of_rows)
            ids = [*self._ids[Kind.ORPHAN_CHUNK], *of_rows]
            self._ids[Kind.ORPHAN_CHUNK] = list(dict.fromkeys(ids))[:SHOWN_IDS]

    def _note_orphans(self, gone: Sequence[str], seq: int) -> None:
        pending = set(self._pending(gone, seq))
        self._note(Kind.PENDING, [key for key in gone if key in pending])
        self._note(Kind.ORPHAN, [key for key in gone if key not in pending])

    def _pending(self, keys: Sequence[str], seq: int) -> list[str]:
        with self._opened.registry.read() as db:
            return [change.key for change in changes.waiting(db, self._opened.lens.id, keys, seq)]

    def _note(self, kind: Kind, keys: Sequence[str]) -> None:
        self._counts[kind] += len(keys)
        self._ids[kind] += keys[: SHOWN_IDS - len(self._ids[kind])]

    def _note_altered(self, altered: pl.DataFrame) -> None:
        self._note(Kind.ALTERED, altered[KEY].to_list())
        for key, fields in altered.head(SHOWN_IDS - len(self._altered)).iter_rows():
            self._altered[key] = tuple(fields)

    def _note_texts(self, differing: pl.DataFrame) -> None:
        """Note the texts that a sync would embed: those of rows, or of chunks, not held of them."""
        new = texts_seen(self._opened, differing).frame
        if self._index is not None:
            held = self._index.held(differing[KEY].to_list(), vectors=False)
            new = new.join(held, on=[KEY, TEXT_HASH], how="anti", maintain_order="left")
        texts = new.unique(TEXT_HASH, maintain_order=True)[TEXT]
        self._texts += len(texts)
        self._characters += int(texts.str.len_chars().sum())
        room = min(SAMPLE_OF_A_PAGE, SAMPLE_TEXTS - len(self._sample))
        self._sample += texts.head(room).to_list()

    def _with_kinds(self, differing: pl.DataFrame) -> pl.DataFrame:
        """Return KEY and the kind of those mapped rows that differ from their objects now."""
        index = self._index
        if index is None:
            return differing.select(KEY, pl.lit(Kind.MISSING.value).alias(_KIND))
        objects = index.fetch(differing[KEY].to_list(), vectors=False)
        cut = cut_as_now(self._opened, differing, index)
        return _kinds(differing.with_columns(cut.alias(_CUT)), objects)

    def _unheld(self) -> list[str]:
        """Return why the index cannot hold what the columns of the table give now."""
        index = self._index
        return unheld(self._opened.mapping, index.schema) if index is not None else []

    def _problems(self, lens: Lens) -> tuple[tuple[str, ...], bool]:
        """Return what is wrong with the index as a whole, and whether only a rebuild mends it."""
        generation, index = self._generation, self._index
        if generation is None:
            return ("There is no index yet.",), True
        found: list[str] = []
        if reasons := self._unheld():
            cure = f"It needs a rebuild: `semilayer push --rebuild --lens {lens.name}`."
            found.append(" ".join([*reasons, cure]))
        elif not same_rows(self._opened.lens.config, generation.config, self._opened.selection.key):
            found.append("The key of its table is another one now. It needs a rebuild.")
        elif lens.needs is Needs.REBUILD:
            found.append("The lens was pushed with another model, key, table or fields.")
        found += not_of_one_model(
            built_with=generation.model_fingerprint,
            now=self._opened.embedder.fingerprint,
            dimension=generation.dimension,
            found=index.dimension if index else None,
        )
        rebuild = bool(found)
        with self._opened.registry.read() as db:
            now = generations.active(db, lens.id)
        if now is None or now.id != generation.id:
            found.append("A rebuild switched the index during the audit; look again.")
        return tuple(found), rebuild


def _kinds(differing: pl.DataFrame, objects: pl.DataFrame) -> pl.DataFrame:
    """Return KEY and kind of those mapped rows that differ from their objects.

    `_CUT` says of a row that its object tells that it is cut as it would be now.
    """
    one_a_key = objects.group_by(KEY).agg(
        pl.len().alias(_OBJECTS), pl.col(ROW_HASH, TEXT_HASH).first()
    )
    joined = differing.select(KEY, ROW_HASH, TEXT_HASH, _CUT).join(
        one_a_key, on=KEY, how="left", suffix=_INDEXED, maintain_order="left"
    )
    same_text = pl.col(TEXT_HASH) == pl.col(TEXT_HASH + _INDEXED)
    kind = (
        pl.when(pl.col(_OBJECTS).is_null())
        .then(pl.lit(Kind.MISSING.value))
        .when(pl.col(_OBJECTS) > 1)
        .then(pl.lit(Kind.DOUBLED.value))
        .when(pl.col(ROW_HASH) != pl.col(ROW_HASH + _INDEXED))
        .then(pl.lit(Kind.STALE.value))
        # Cut as now, and the chunks are not these; or these chunks, and cut in another way.
        .when(same_text != pl.col(_CUT))
        .then(pl.lit(Kind.CHUNKS.value))
        .when(~same_text)
        .then(pl.lit(Kind.WRONG_MODEL.value))
    )
    kinds = joined.select(KEY, kind.alias(_KIND))
    return kinds.filter(pl.col(_KIND).is_not_null())
