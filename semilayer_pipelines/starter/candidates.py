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
from semilayer_pipelines.mapping.columns import DEFAULT_TRACKING_COLUMN

__all__ = ["Candidate", "CandidateField", "candidate"]

SAMPLE_ROWS = 200
PROSE_WORDS = 1.8
"""A column whose texts have this many words on average is prose; with fewer, it holds codes."""

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
_SECRET = re.compile(
    r"passw|secret|token|salt|credential|api_?key|private_?key|_hash$", re.IGNORECASE
)
_PROSE_NAME = re.compile(
    r"title|name|summary|description|body|content|text|subject|headline|abstract|comment|note",
    re.IGNORECASE,
)
_MOVES = re.compile(
    r"^_?(updated|modified|changed|last_?(updated|modified|changed)|date_?modified|"
    r"(update|modification|change)_?(time|date)|mtime)(_?(at|on|time|date|ts))?$",
    re.IGNORECASE,
)
_DATE = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}|$)"


@dataclass(frozen=True)
class CandidateField:
    """One field of a lens that could be: its name, its column, what it holds."""

    name: str
    column: str
    type: FieldType
    searchable: bool


@dataclass(frozen=True)
class Candidate:
    """A lens that a table could have; columns in `left_out` look like secrets."""

    table: str
    key: tuple[str, ...]
    own_key: bool
    tracking: str | None
    fields: tuple[CandidateField, ...]
    left_out: tuple[str, ...]


def candidate(
    bridge: Bridge, table: Table, key: tuple[str, ...] = (), *, any_texts: bool
) -> Candidate | str:
    """Return the lens that a table could have, or in words why it cannot have one.

    `key` identifies a row where the table itself does not say what does. With `any_texts`, the
    column of the longest texts is embedded where none is prose.
    """
    identity = table.key or key
    if not identity:
        return "it has no primary key"
    missing = [name for name in identity if table.column(name) is None]
    if missing:
        return f"it has no column {missing[0]!r} to be its key"
    for column in table.columns:
        if column.name in identity and column.kind in NO_KEYS:
            return f"its key {column.name!r} is {column.database_type}, which identifies no row"
    columns = [c for c in table.columns if c.kind in _TYPES and not _SECRET.search(c.name)]
    texts = [c.name for c in columns if c.kind == "text" and c.name not in identity]
    if not texts:
        return "it has no column of texts"
    sample = bridge.read_page(
        Selection(table.name, identity, tuple(dict.fromkeys((*identity, *texts)))),
        Window(),
        SAMPLE_ROWS,
    ).frame
    dates = {name for name in texts if _holds_dates(sample[name])}
    texts = [name for name in texts if name not in dates]
    prose = _prose(sample, texts)
    if not prose and not (any_texts and texts):
        return "its texts are codes or names rather than prose"
    return Candidate(
        table=table.name,
        key=identity,
        own_key=bool(table.key),
        tracking=_tracking(
            [c for c in columns if c.kind in ("datetime", "date") or c.name in dates]
        ),
        fields=_fields(columns, dates, prose or [_longest(sample, texts)]),
        left_out=tuple(c.name for c in table.columns if _SECRET.search(c.name)),
    )


def _holds_dates(texts: pl.Series) -> bool:
    given = texts.drop_nulls()
    return given.len() > 0 and bool(given.str.contains(_DATE).all())


def _prose(sample: pl.DataFrame, names: list[str]) -> list[str]:
    """Return the columns whose texts mean something; of an empty table, those that are named so."""
    if sample.height == 0:
        return [name for name in names if _PROSE_NAME.search(name)]
    words = {name: sample[name].str.count_matches(r"\S+").mean() for name in names}
    return [name for name, mean in words.items() if isinstance(mean, float) and mean >= PROSE_WORDS]


def _longest(sample: pl.DataFrame, names: list[str]) -> str:
    return max(names, key=lambda name: sample[name].str.len_chars().sum())


def _tracking(columns: list[Column]) -> str | None:
    names = [column.name for column in columns]
    if DEFAULT_TRACKING_COLUMN in names:
        return DEFAULT_TRACKING_COLUMN
    return next((name for name in names if _MOVES.match(name)), None)


def _fields(
    columns: Iterable[Column], dates: set[str], prose: list[str]
) -> tuple[CandidateField, ...]:
    found: dict[str, CandidateField] = {}
    for column in columns:
        name = _name(column.name, {taken.lower() for taken in found})
        kind = FieldType.DATE if column.name in dates else _TYPES[column.kind]
        found[name] = CandidateField(name, column.name, kind, column.name in prose)
    return tuple(found.values())


def _name(column: str, taken: set[str]) -> str:
    """Return a name that a field may have and none has yet."""
    plain = re.sub(r"\W+", "_", column, flags=re.ASCII).strip("_")[:58] or "field"
    plain = plain if plain[0].isalpha() else f"f_{plain}"
    name, count = plain, 2
    while name.lower() in taken:
        name, count = f"{plain}_{count}", count + 1
    return name
