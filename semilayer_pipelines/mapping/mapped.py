"""A mapping applied to a page: mapped fields, the text to embed, both hashes.

A row that cannot be mapped is set aside with its reason and the rest go on (invariant 8). A mapped
row follows from its own values: neither the other rows of its page nor the ends of the page change
anything in it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from semilayer_pipelines.bridges.protocol import ColumnKind
from semilayer_pipelines.bridges.unfit import unfit_columns, unfit_name
from semilayer_pipelines.config.fields import FieldConfig, FieldType
from semilayer_pipelines.config.models import OnMisfit
from semilayer_pipelines.mapping.casts import complaint
from semilayer_pipelines.mapping.dates import NO_DATE
from semilayer_pipelines.mapping.embedded_text import has_text
from semilayer_pipelines.mapping.hashes import digests
from semilayer_pipelines.mapping.keywords import has_keywords, words_of
from semilayer_pipelines.mapping.plan import (
    POSITION,
    ROW_BYTES,
    TEXT,
    FieldPlan,
    PagePlan,
    misfit_name,
    page_plan,
)
from semilayer_pipelines.mapping.prepare import prepare
from semilayer_pipelines.stores.protocol import (
    KEY,
    ROW_HASH,
    SHARD,
    TEXT_HASH,
    IndexField,
)

__all__ = ["TEXT", "LensMapping", "Mapped", "why_failed"]

_FAILED = {KEY: pl.String(), "field": pl.String(), "reason": pl.String()}
_NULL_KEY = "the key is null"
_ROW, _VALUE = "\0row", "\0value"


@dataclass(frozen=True)
class Mapped:
    """One page after mapping.

    `frame` has KEY, TEXT (String), ROW_HASH, TEXT_HASH (Binary, 16 bytes), SHARD (Int32, when the
    page had it) and the fields in the order of the configuration, with distinct keys. `textless`
    has the same columns: rows with nothing wrong whose text is empty, so that no search could find
    them. `failed` has KEY, `field` and `reason` (String), one row for each source row that was set
    aside; a key that is null reads `NULL`. `nulled` says of how many rows a field's value did not
    fit and was left empty.

    `whose` gives the tenant, as text, of the rows that were set aside, `None` for no tenant's. A
    row that is not in it was not asked; in a lens without tenants that is every row.
    """

    frame: pl.DataFrame
    textless: pl.DataFrame
    failed: pl.DataFrame
    nulled: Mapping[str, int] = field(default_factory=dict)
    whose: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def lost(self) -> pl.Series:
        """Keys (String) of which every row was set aside; one that is not unique has others."""
        kept = pl.concat([self.frame[KEY], self.textless[KEY]])
        named = self.failed.filter(pl.col("reason") != _NULL_KEY)
        keys = named[KEY].unique(maintain_order=True)
        return keys.filter(~keys.is_in(kept.implode()))

    def without(self, refused: Mapping[str, str]) -> Mapped:
        """Return the page with rows set aside that the source could not read: key and reason."""
        if not refused:
            return self
        rows = {KEY: list(refused), "field": [""] * len(refused), "reason": list(refused.values())}
        return replace(self, failed=pl.concat([self.failed, pl.DataFrame(rows, schema=_FAILED)]))


@dataclass(frozen=True)
class _Part:
    """Some rows of a page: those that were mapped, whether they have a text or not, and the rest.

    The other fields are those of `Mapped`.
    """

    frame: pl.DataFrame
    failed: pl.DataFrame
    nulled: Mapping[str, int]
    whose: Mapping[str, str | None]


@dataclass(frozen=True)
class _Misfits:
    """The rows whose value does not fit a field (Boolean): those set aside, those left empty."""

    of: FieldPlan
    fail: pl.Series
    empty: pl.Series


@dataclass(frozen=True)
class LensMapping:
    """A lens's fields, compiled; made by `compile_mapping`.

    `columns` are the source columns to read, key first. `fingerprint` names the meaning of the
    mapping: fields, weights, key and tenant, and neither the model nor cadence, shards or guard.
    `tenant` is the field that says whose a row is; a row that leaves it empty is set aside.
    `on_misfit` says what becomes of a value that does not fit a field that is only metadata.
    """

    columns: tuple[str, ...]
    fields: tuple[IndexField, ...]
    fingerprint: str
    key: tuple[str, ...]
    row_seed: int = field(repr=False)
    text_seed: int = field(repr=False)
    plans: tuple[FieldPlan, ...] = field(repr=False)
    kinds: Mapping[str, ColumnKind] = field(repr=False)
    tenant: str | None = None
    on_misfit: OnMisfit = OnMisfit.NULL_DATES
    # One plan for each schema met: a value that does not fit its column is read as text.
    _page_plans: dict[tuple[tuple[str, pl.DataType], ...], PagePlan] = field(
        default_factory=dict, repr=False, compare=False
    )

    def apply(self, rows: pl.DataFrame) -> Mapped:
        """Map a page of source rows (the columns of `columns`, perhaps SHARD_COLUMN).

        Rows with values that do not fit their columns (see `bridges.unfit`) are mapped by the text
        of these, the others beside them by their types.
        """
        loose = unfit_columns(rows.columns)
        parts = [self._mapped(part) for part in (_alike(rows, loose) if loose else [rows])]
        frame = pl.concat([part.frame for part in parts])
        failed = pl.concat([part.failed for part in parts])
        nulled = sum((Counter(part.nulled) for part in parts), Counter[str]())
        whose = {key: tenant for part in parts for key, tenant in part.whose.items()}
        if loose:
            frame = frame.sort(POSITION).drop(POSITION)
        if frame[KEY].n_unique() < frame.height:
            repeated = _repeated(frame)
            frame = frame.unique(KEY, keep="last", maintain_order=True)
            failed = pl.concat([failed, repeated])
        visible = has_text(frame[TEXT])
        # Nearly every page has no row without a text: it is not copied.
        shown = frame if visible.all() else frame.filter(visible)
        return Mapped(shown, frame.filter(~visible), failed, nulled, whose)

    def text_hashes(self, texts: pl.Series) -> pl.Series:
        """Return TEXT_HASH of texts (String): of rows, or of chunks of them."""
        return digests(texts, self.text_seed)

    def tenants(self, rows: pl.DataFrame) -> dict[str, str | None]:
        """Return the tenant of each row by its key, as in `Mapped.whose`.

        `rows` needs `tenant_columns` alone. A row whose tenant cannot be told is nobody's.
        """
        alone = tuple(plan for plan in self.plans if plan.name == self.tenant)
        prepared = prepare(rows, alone, self.kinds)
        plan = page_plan(alone, self.key, prepared.frame.schema, self.kinds)
        cast = prepared.frame.select(plan.cast)
        misfits = self._misfits(prepared.frame, cast, plan)
        return self._whose(cast, [*range(cast.height)], {*prepared.faults}, misfits)

    @property
    def has_keywords(self) -> bool:
        """Say whether rows have words that a search by keyword finds."""
        return has_keywords(self._configs)

    def with_words(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return mapped rows with WORDS, which objects of a lens with keywords have."""
        return rows.with_columns(words_of(rows, self._configs)) if self.has_keywords else rows

    @property
    def _configs(self) -> dict[str, FieldConfig]:
        return {plan.name: plan.config for plan in self.plans}

    @property
    def tenant_columns(self) -> tuple[str, ...]:
        """The source columns that tell whose a row is, key first; empty without tenants."""
        columns = [column for p in self.plans if p.name == self.tenant for column in p.columns]
        return tuple(dict.fromkeys((*self.key, *columns))) if self.tenant else ()

    def _mapped(self, rows: pl.DataFrame) -> _Part:
        """Map rows whose values fit their columns, perhaps with POSITION; keys may repeat."""
        prepared = prepare(rows, self.plans, self.kinds)
        plan = self._plan(prepared.frame.schema)
        cast = prepared.frame.select(plan.cast)
        misfits = self._misfits(prepared.frame, cast, plan)
        reasons = self._reasons(prepared.frame, cast, plan, prepared.faults, misfits)
        failed = _failures(cast, reasons)
        faulty = {at for at, (name, _) in prepared.faults.items() if name == self.tenant}
        whose = self._whose(cast, list(reasons), faulty, misfits)
        if reasons:
            positions = pl.Series(list(reasons), dtype=pl.UInt32)
            good = ~pl.int_range(pl.len(), dtype=pl.UInt32).is_in(positions.implode())
            cast = cast.filter(good)
        nulled = {n: int(found.empty.sum()) for n, found in misfits.items() if found.empty.any()}
        return _Part(self._finished(cast.with_columns(plan.derived)), failed, nulled, whose)

    def _whose(
        self,
        cast: pl.DataFrame,
        positions: list[int],
        faulty: set[int],
        misfits: Mapping[str, _Misfits],
    ) -> dict[str, str | None]:
        """Return the tenants of rows by their keys; nobody's where it is empty or does not fit."""
        if self.tenant is None or not positions:
            return {}
        told, keys = cast[self.tenant].cast(pl.String), cast[KEY]
        nobodys = _blank(cast[self.tenant])
        if self.tenant in misfits:
            nobodys |= misfits[self.tenant].fail
        return {
            keys[at]: None if nobodys[at] or at in faulty else told[at]
            for at in positions
            if keys[at] is not None
        }

    def _plan(self, schema: pl.Schema) -> PagePlan:
        known = tuple(schema.items())
        plan = self._page_plans.get(known)
        if plan is None:
            plan = page_plan(self.plans, self.key, schema, self.kinds)
            self._page_plans[known] = plan
        return plan

    def _finished(self, derived: pl.DataFrame) -> pl.DataFrame:
        hashes = [
            digests(derived[ROW_BYTES], self.row_seed).alias(ROW_HASH),
            digests(derived[TEXT], self.text_seed).alias(TEXT_HASH),
        ]
        passed = [name for name in (SHARD, POSITION) if name in derived.columns]
        fields = [plan.name for plan in self.plans]
        return derived.with_columns(hashes).select(KEY, TEXT, ROW_HASH, TEXT_HASH, *passed, *fields)

    def _misfits(
        self, rows: pl.DataFrame, cast: pl.DataFrame, plan: PagePlan
    ) -> dict[str, _Misfits]:
        """Return the values that do not fit, by the fields that have any."""
        found: dict[str, _Misfits] = {}
        for name in plan.misfits:
            all_of_them = cast[misfit_name(name)]
            if all_of_them.any():
                planned = next(one for one in self.plans if one.name == name)
                empty = self._left_empty(rows, all_of_them, plan, planned)
                found[name] = _Misfits(planned, all_of_them & ~empty, empty)
        return found

    def _left_empty(
        self, rows: pl.DataFrame, misfits: pl.Series, plan: PagePlan, planned: FieldPlan
    ) -> pl.Series:
        """Return which misfits cost just the value, and not the row."""
        must_fit = planned.config.searchable is not None or planned.name == self.tenant
        match self.on_misfit:
            case OnMisfit.NULL if not must_fit:
                return misfits
            case OnMisfit.NULL_DATES if not must_fit and planned.config.type is FieldType.DATE:
                value = rows.with_columns(plan.before_cast[planned.name].alias(_VALUE))[_VALUE]
                if value.dtype == pl.String:
                    return misfits & value.str.contains(NO_DATE).fill_null(False)
                return misfits if value.dtype.is_numeric() else misfits & False
            case _:
                return misfits & False

    def _reasons(
        self,
        rows: pl.DataFrame,
        cast: pl.DataFrame,
        plan: PagePlan,
        faults: dict[int, tuple[str, str]],
        misfits: Mapping[str, _Misfits],
    ) -> dict[int, tuple[str, str]]:
        """Return field and reason of every row to set aside, by position."""
        reasons: dict[int, tuple[str, str]] = {}
        if cast[KEY].null_count():
            name = ", ".join(self.key)
            nulls = cast[KEY].is_null().arg_true()
            reasons |= dict.fromkeys(nulls.to_list(), (name, _NULL_KEY))
        reasons |= {position: why for position, why in faults.items() if position not in reasons}
        for name, found in misfits.items():
            # A loop over the rows that fail, which are few: each needs a sentence of its own.
            for position, sentence in self._complaints(rows, found.fail, plan, found.of):
                reasons.setdefault(position, (name, sentence))
        if self.tenant is not None:
            for position in _blank(cast[self.tenant]).arg_true().to_list():
                reasons.setdefault(
                    position, (self.tenant, "it is empty, so the row is no tenant's")
                )
        return dict(sorted(reasons.items()))

    def _complaints(
        self, rows: pl.DataFrame, misfits: pl.Series, plan: PagePlan, planned: FieldPlan
    ) -> list[tuple[int, str]]:
        bad = rows.with_row_index(_ROW).filter(misfits)
        values = bad.with_columns(
            plan.before_cast[planned.name].alias(_VALUE),
            plan.resolved[planned.name].alias("\0source"),
        )
        found: list[tuple[int, str]] = []
        for position, value, source in values.select(_ROW, _VALUE, "\0source").iter_rows():
            # `toNumber` leaves NaN, which tells nothing: what it was made of does.
            shown = source if isinstance(value, float) and math.isnan(value) else value
            sentence = complaint(planned.name, planned.config, shown, integer=planned.integer)
            found.append((position, sentence))
        return found


def why_failed(row: Mapping[str, str]) -> str:
    """Return why a row of `Mapped.failed` was set aside, with the field where it is a field's."""
    field, reason = row["field"], row["reason"]
    prefix = f"field {field}: "
    return reason if not field or reason.startswith(prefix) else prefix + reason


def _alike(rows: pl.DataFrame, loose: Sequence[str]) -> list[pl.DataFrame]:
    """Part rows by which of their values do not fit; those stand in the place of their columns."""
    unfit = [unfit_name(column) for column in loose]
    marked = rows.with_row_index(POSITION).with_columns(pl.col(n).is_not_null() for n in unfit)
    texts = {name: rows[name] for name in unfit}
    parts: list[pl.DataFrame] = []
    for part in marked.partition_by(unfit, maintain_order=True):
        here = [(column, name) for column, name in zip(loose, unfit, strict=True) if part[name][0]]
        replaced = [texts[name].gather(part[POSITION]).alias(column) for column, name in here]
        parts.append(part.drop(unfit).with_columns(replaced))
    return parts


def _blank(values: pl.Series) -> pl.Series:
    blank = values.is_null()
    return blank | (values.str.strip_chars() == "") if values.dtype == pl.String else blank


def _failures(cast: pl.DataFrame, reasons: dict[int, tuple[str, str]]) -> pl.DataFrame:
    if not reasons:
        return pl.DataFrame(schema=_FAILED)
    keys = cast[KEY].gather(list(reasons)).fill_null("NULL")
    fields = [name for name, _ in reasons.values()]
    sentences = [reason for _, reason in reasons.values()]
    return pl.DataFrame({KEY: keys, "field": fields, "reason": sentences}, schema=_FAILED)


def _repeated(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a failure for every row that a later one of the same key differs from."""
    last = pl.col(ROW_HASH).last().over(KEY)
    differing = frame.filter(pl.col(ROW_HASH) != last)
    return differing.select(
        KEY, field=pl.lit(""), reason=pl.lit("the key is not unique; the last of its rows is kept")
    )
