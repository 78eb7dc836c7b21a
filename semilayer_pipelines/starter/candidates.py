"""Looking at a database for lenses: what identifies a row, which columns are prose, what moves.

Reads descriptions and one page of each table; never more, and nothing is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from semilayer_pipelines.bridges.protocol import (
    NO_KEYS,
    Bridge,
    Column,
    ColumnKind,
    Selection,
    Table,
    Window,
)
from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.errors import SemilayerError, SourceRefused
from semilayer_pipelines.mapping.columns import created_beside, unique_keys_of
from semilayer_pipelines.starter.columns import (
    are_codes,
    holds_dates,
    is_html,
    is_personal,
    is_prose,
    is_prose_name,
    is_secret,
    is_translations,
    plain_texts,
    tracking_column,
)
from semilayer_pipelines.starter.plain_names import plain_field

__all__ = ["Candidate", "CandidateField", "candidate", "why_left"]

SAMPLE_ROWS = 200
SAMPLE_BINARY_ROWS = 5
"""Rows of binary columns, which may be files of any size."""

_TYPES: dict[ColumnKind, FieldType] = {
    "text": FieldType.TEXT,
    "uuid": FieldType.TEXT,
    "integer": FieldType.NUMBER,
    "number": FieldType.NUMBER,
    "boolean": FieldType.BOOLEAN,
    "datetime": FieldType.DATE,
    "date": FieldType.DATE,
    "json": FieldType.JSON,
}
_ELEMENTS = {
    **dict.fromkeys(("text", "character varying", "citext", "uuid", "name"), FieldType.TEXT),
    **dict.fromkeys(
        ("smallint", "integer", "bigint", "real", "double precision", "numeric"), FieldType.NUMBER
    ),
    "boolean": FieldType.BOOLEAN,
    "date": FieldType.DATE,
}
"""What PostgreSQL's arrays hold, by the type of an element."""


@dataclass(frozen=True)
class CandidateField:
    """One field of a lens that could be: its name, its column, what it holds.

    `code`: people look for it by a whole value. `html`: what is embedded needs its tags taken out.
    """

    name: str
    column: str
    type: FieldType
    searchable: bool
    array: bool = False
    code: bool = False
    html: bool = False


@dataclass(frozen=True)
class Candidate:
    """A lens that a table could have.

    `left_out` are columns that look like secrets; `personal` are kept and not embedded. `numbered`:
    its key is the number that the database itself gives each row.
    """

    table: str
    key: tuple[str, ...]
    own_key: bool
    tracking: tuple[str, ...]
    fields: tuple[CandidateField, ...]
    left_out: tuple[str, ...]
    personal: tuple[str, ...] = ()
    numbered: bool = False


def candidate(
    bridge: Bridge,
    table: Table,
    key: tuple[str, ...] = (),
    *,
    any_texts: bool,
    instead: bool = False,
) -> Candidate | str:
    """Return the lens that a table could have, or in words why it cannot have one.

    `key` identifies a row where the table has no primary key; with `instead`, in place of that one.
    With `any_texts`, the column of the longest texts is embedded where none is prose.
    """
    own = () if table.rowid is None else (table.rowid.name,)
    missing = [name for name in key if table.column(name) is None and name not in own]
    given = () if missing else key
    found = () if missing and instead else table.key or given or _unique_key(bridge, table) or own
    identity = given if given and instead else found
    if not identity and missing:
        return f"it has no column {missing[0]!r} to be its key"
    if not identity:
        return "it has no primary key, and no unique one without NULL"
    for column in table.columns:
        if column.name in identity and column.kind in NO_KEYS:
            return f"its key {column.name!r} is {column.database_type}, which identifies no row"
    kept = [column for column in table.columns if not is_secret(column.name)]
    sample = _sample(bridge, table.name, identity, kept)
    dates = {name for name, texts in sample.items() if holds_dates(texts)}
    columns = [c for c in kept if c.name in sample or c.kind in _TYPES]
    codes = {c.name for c in columns if c.kind == "text" and _are_codes(c, sample)}
    texts = [
        column
        for column in columns
        if _may_be_prose(column)
        and column.name in sample
        and column.name not in dates
        and column.name not in identity
    ]
    if not texts:
        return "it has no column of texts"
    personal = tuple(column.name for column in texts if is_personal(column.name))
    texts = [column for column in texts if column.name not in personal]
    if not texts:
        return f"its texts look personal: {', '.join(personal)}"
    prose = _prose(sample, texts)
    if not prose and not any_texts:
        return "its texts are codes or names rather than prose"
    return Candidate(
        table=table.name,
        key=identity,
        own_key=identity == table.key,
        tracking=_tracking(
            table,
            [c for c in columns if c.kind in ("datetime", "date", "integer") or c.name in dates],
        ),
        fields=_fields(columns, sample, dates, codes, prose or [_longest(sample, texts)]),
        left_out=tuple(c.name for c in table.columns if is_secret(c.name)),
        personal=personal,
        numbered=identity == own,
    )


def _tracking(table: Table, columns: Iterable[Column]) -> tuple[str, ...]:
    name = tracking_column(columns)
    column = None if name is None else table.column(name)
    return () if column is None else (column.name, *created_beside(column, table))


def why_left(error: SemilayerError) -> str:
    """Return in words why a table that cannot be looked at is left."""
    if isinstance(error, SourceRefused) and re.search(r"permission|denied", error.message):
        return "this user may not read it"
    return re.sub(r"^source '[^']*'( refused)?:? ", "", error.message).rstrip(".")


def _unique_key(bridge: Bridge, table: Table) -> tuple[str, ...]:
    """Return the shortest unique key that no row lacks, numbers before texts; empty without one."""
    nullable = {column.name for column in table.columns if column.nullable}
    for key in unique_keys_of(table):
        if any(is_secret(name) for name in key):
            continue
        # Of a materialised view no column is said to be NOT NULL.
        if nullable.isdisjoint(key) or not bridge.null_keys(Selection(table.name, key, key)):
            return key
    return ()


def _sample(
    bridge: Bridge, table: str, key: tuple[str, ...], columns: Iterable[Column]
) -> dict[str, pl.Series]:
    """Return texts of the columns that may hold some; bytes that are no texts are left out."""
    found: dict[str, pl.Series] = {}
    columns = [c for c in columns if c.name not in key or c.kind == "text"]
    for rows, wanted in (
        (SAMPLE_ROWS, [c.name for c in columns if c.kind in ("text", "json") or c.enum]),
        (SAMPLE_BINARY_ROWS, [c.name for c in columns if c.kind == "binary"]),
    ):
        if not wanted:
            continue
        selection = Selection(table, key, tuple(dict.fromkeys((*key, *wanted))))
        frame = bridge.read_page(selection, Window(), rows).frame
        texts = {name: plain_texts(frame[name]) for name in wanted}
        found |= {name: values for name, values in texts.items() if values is not None}
    # Of an empty table nothing says that bytes are texts.
    binary = {column.name for column in columns if column.kind == "binary"}
    return {n: texts for n, texts in found.items() if texts.drop_nulls().len() or n not in binary}


def _are_codes(column: Column, sample: dict[str, pl.Series]) -> bool:
    return not column.enum and column.name in sample and are_codes(sample[column.name])


def _may_be_prose(column: Column) -> bool:
    return column.kind in ("text", "binary", "json") and not column.enum


def _prose(sample: dict[str, pl.Series], columns: Iterable[Column]) -> list[str]:
    """Return the columns whose texts mean something; of an empty table, those that are named so."""
    found = []
    for column in columns:
        texts = sample[column.name]
        if column.kind == "json" and _element_type(column) is not FieldType.TEXT:
            if is_translations(texts) and is_prose(texts):
                found.append(column.name)
        elif is_prose(texts) if texts.drop_nulls().len() else is_prose_name(column.name):
            found.append(column.name)
    return found


def _longest(sample: dict[str, pl.Series], columns: Iterable[Column]) -> str:
    return max((c.name for c in columns), key=lambda name: sample[name].str.len_chars().sum())


def _element_type(column: Column) -> FieldType | None:
    """Return what the elements of an array column are, `None` for a column that is no array."""
    if not column.database_type.endswith("[]"):
        return None
    element = re.sub(r"\(.*?\)", "", column.database_type.removesuffix("[]")).strip()
    if element.startswith("timestamp"):
        return FieldType.DATE
    return _ELEMENTS.get(element, FieldType.TEXT)


def _fields(
    columns: Iterable[Column],
    sample: dict[str, pl.Series],
    dates: set[str],
    codes: set[str],
    prose: list[str],
) -> tuple[CandidateField, ...]:
    found: dict[str, CandidateField] = {}
    for column in columns:
        name = _name(column.name, {taken.lower() for taken in found})
        element = _element_type(column)
        # Bytes and enums are here only if they are texts.
        kind = element or _TYPES.get(column.kind, FieldType.TEXT)
        kind = FieldType.DATE if column.name in dates else kind
        searchable = column.name in prose
        found[name] = CandidateField(
            name,
            column.name,
            kind,
            searchable,
            array=element is not None,
            code=kind is FieldType.TEXT and column.name in codes and not searchable,
            html=searchable and column.kind == "text" and is_html(sample[column.name]),
        )
    return tuple(found.values())


def _name(column: str, taken: set[str]) -> str:
    """Return a name that a field may have and none has yet."""
    plain = plain_field(column)
    name, count = plain, 2
    while name.lower() in taken:
        name, count = f"{plain}_{count}", count + 1
    return name
