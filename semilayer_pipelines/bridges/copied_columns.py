"""Columns of a frame, out of rows that PostgreSQL wrote in binary.

No value becomes a Python object: NumPy finds the fields of a column in all rows at once, numbers
are turned to this machine's byte order, and texts and bytes stay where they came, as Arrow's views.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from semilayer_pipelines.bridges.copy_out import CopiedRows
from semilayer_pipelines.bridges.frames import shortest
from semilayer_pipelines.bridges.unfit import RowsDoNotFit

__all__ = ["Field", "beyond_calendar", "check_type", "column_of", "fields"]

_BOOL, _BYTEA, _TEXT, _DATE, _TIMESTAMP, _TIMESTAMPTZ = 16, 17, 25, 1082, 1114, 1184
_NUMBERS = {20: ">i8", 21: ">i2", 23: ">i4", 700: ">f4", 701: ">f8"}
"""Types by the numbers that they have in every PostgreSQL."""

_TYPES: dict[pl.DataType, tuple[int, ...]] = {
    pl.Int64(): (20, 21, 23),
    pl.Int32(): (21, 23),
    pl.Float32(): (700,),
    pl.Float64(): (701,),
    pl.Boolean(): (_BOOL,),
    pl.Binary(): (_BYTEA,),
    pl.String(): (_TEXT,),
    pl.Date(): (_DATE,),
    pl.Datetime("us"): (_TIMESTAMP,),
    pl.Datetime("us", "UTC"): (_TIMESTAMPTZ,),
}

# PostgreSQL counts from 2000-01-01, and frames from 1970-01-01.
_DAY = 86_400_000_000
_EPOCH = 10_957
# The years 1 to 9999, in days since 2000-01-01. PostgreSQL knows others, and infinity.
_FIRST, _BEHIND = -730_119, 2_921_940

_INLINE = 12
_HEAD = np.dtype([("length", ">i4"), ("value", f"V{_INLINE}")])
"""How a field begins: its length, and as many bytes as an Arrow view has room for."""

_MASKS = (np.tri(_INLINE + 1, _INLINE, -1, dtype=np.uint8) * 255).view("<u4")
"""For each length of a short text, the bytes of its twelve that belong to it."""


@dataclass(frozen=True)
class Field:
    """A field of each row: how it begins, where its value stands in `data`, and its length.

    A length of -1 stands for NULL. What a head has behind a shorter value belongs to others. Heads
    of texts and bytes become Arrow's views, so a field is made into a column once.
    """

    data: bytearray
    heads: NDArray[np.void]
    begins: NDArray[np.int64]
    lengths: NDArray[np.int32]

    def at(self, dtype: DTypeLike) -> NDArray[np.generic]:
        """Return the numbers of a type, of less than twelve bytes, that the values begin with."""
        left = _INLINE - np.dtype(dtype).itemsize
        begin = np.dtype([("length", ">i4"), ("value", dtype), ("rest", f"V{left}")])
        return self.heads.view(begin)["value"]

    def valid(self) -> pa.Buffer | None:
        """Return which values are not NULL, in Arrow's bits; `None` when all are."""
        present = self.lengths >= 0
        if present.all():
            return None
        return pa.py_buffer(np.packbits(present, bitorder="little"))


def fields(rows: CopiedRows, count: int) -> Iterator[Field]:
    """Yield the fields of rows that have `count` of them each."""
    size = len(rows.data) - _HEAD.itemsize + 1
    everywhere = np.ndarray((size,), f"V{_HEAD.itemsize}", rows.data, strides=(1,))
    places = rows.starts + 2
    for _ in range(count):
        heads = everywhere[places].view(_HEAD)
        lengths = heads["length"].astype(np.int32)
        begins = places + 4
        yield Field(rows.data, heads, begins, lengths)
        places = begins + np.maximum(lengths, 0)


def check_type(name: str, dtype: pl.DataType, number: int) -> None:
    """Raise `RowsDoNotFit` where the server's type of this number cannot be read as `dtype`."""
    if number not in _TYPES[dtype]:
        raise RowsDoNotFit(f"type {number} in a column of {dtype}: {name}")


def column_of(name: str, field: Field, dtype: pl.DataType, number: int) -> pl.Series:
    """Return a field of the type of this number as a column of `dtype`.

    The types must have been checked, and the times (`beyond_calendar`). Raises
    `UnicodeDecodeError`.
    """
    match dtype:
        case pl.String():
            return _texts(name, field)
        case pl.Binary():
            return _series(name, pa.binary_view(), field, _views(field), field.data)
        case pl.Boolean():
            bits = np.packbits(field.at("?").astype(np.bool_), bitorder="little")
            return _series(name, pa.bool_(), field, bits)
        case pl.Date():
            days = field.at(">i4").astype(np.int32)
            return _series(name, pa.int32(), field, days + np.int32(_EPOCH)).cast(dtype)
        case pl.Datetime():
            moments = field.at(">i8").astype(np.int64)
            return _series(name, pa.int64(), field, moments + _EPOCH * _DAY).cast(dtype)
        case pl.Float32() | pl.Float64():
            numbers = field.at(_NUMBERS[number]).astype(np.float64)
            # A sign of what is no number means nothing, and has no text.
            numbers[np.isnan(numbers)] = np.nan
            made = _series(name, pa.float64(), field, numbers)
            return shortest(made) if isinstance(dtype, pl.Float32) else made
        case _:
            numbers = field.at(_NUMBERS[number]).astype(np.int64)
            return _series(name, pa.int64(), field, numbers).cast(dtype)


def beyond_calendar(field: Field, dtype: pl.DataType) -> bool:
    """Say whether one of the times or dates has no place in a frame, such as `infinity`."""
    match dtype:
        case pl.Date():
            values, unit = field.at(">i4").astype(np.int64), 1
        case pl.Datetime():
            values, unit = field.at(">i8").astype(np.int64), _DAY
        case _:
            return False
    outside = (values < _FIRST * unit) | (values >= _BEHIND * unit)
    return bool((outside & (field.lengths >= 0)).any())


def _series(name: str, arrow: pa.DataType, field: Field, *buffers: object) -> pl.Series:
    held = [field.valid(), *map(pa.py_buffer, buffers)]
    array = pa.Array.from_buffers(arrow, len(field.lengths), held)
    return pl.Series(name, pl.from_arrow(array))


def _texts(name: str, field: Field) -> pl.Series:
    values = _series(name, pa.binary_view(), field, _views(field), field.data)
    try:
        return values.cast(pl.String)
    except pl.exceptions.ComputeError:
        for value in values:
            if value is not None:
                value.decode()
        raise


def _views(field: Field) -> NDArray[np.uint32]:
    """Return Arrow's views: length, first four bytes, buffer and place; or up to twelve bytes."""
    lengths = np.maximum(field.lengths, 0)
    # In their place: a head is what a view is, but for the order of the length's bytes.
    views = field.heads.view("<u4").reshape(-1, 4)
    views[:, 0] = lengths
    short = lengths <= _INLINE
    within, beyond = np.flatnonzero(short), np.flatnonzero(~short)
    views[within, 1:] &= _MASKS[lengths[within]]
    views[beyond, 2] = 0
    views[beyond, 3] = field.begins[beyond]
    return views
