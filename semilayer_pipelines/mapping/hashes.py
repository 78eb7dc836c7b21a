"""Row hash and text hash: 128 bits that decide what is written and what is embedded again.

They are kept in the index for years and compared across machines, so they are made of bytes that
this file defines (never of Polars' own hashes, which change between versions). The bytes of a row
can be read back in one way only: every text is preceded by its length, every other value ends at
its separator, null is `~`. Equal rows give equal bytes and different rows different ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import repeat

import polars as pl
import xxhash

from semilayer_pipelines.mapping.typed import instance

__all__ = ["digests", "fingerprint", "row_bytes", "seed"]

_NULL = "~"

# So few that their bytes stay in the processor's cache: a third of the time of a whole page.
_SLICE = 1024


def fingerprint(parts: Mapping[str, object]) -> str:
    """Return 32 hexadecimal digits for a JSON value, independent of the order of its keys."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return xxhash.xxh3_128_hexdigest(text.encode())


def seed(name: str) -> int:
    """Return the 64-bit seed under which a fingerprint's hashes are made."""
    return xxhash.xxh3_64_intdigest(name.encode())


def digests(texts: pl.Series, under: int) -> pl.Series:
    """Return xxh3-128 of each text's UTF-8 bytes: Binary of 16 bytes, the shape of `texts`.

    The loop over rows is in C (`map` of a C function): xxhash takes one value a call, and nothing
    vectorised in Polars or Arrow gives a hash that is documented to stay the same.
    """
    values = texts.cast(pl.Binary)
    made: list[bytes] = []
    for start in range(0, len(values), _SLICE):
        few = values.slice(start, _SLICE).to_list()
        made.extend(map(xxhash.xxh3_128_digest, few, repeat(under)))
    return pl.Series(made, dtype=pl.Binary)


def row_bytes(columns: Sequence[tuple[str, pl.DataType]]) -> pl.Expr:
    """Return the unambiguous encoding (String, never null) of these columns of a frame."""
    pieces = [piece for name, dtype in columns for piece in _pieces(pl.col(name), dtype)]
    return pl.concat_str(pieces, separator="|")


def _pieces(expr: pl.Expr, dtype: pl.DataType) -> list[pl.Expr]:
    match dtype:
        case pl.String():
            length = expr.str.len_bytes().cast(pl.String)
            return [length.fill_null(_NULL), expr.fill_null("")]
        case pl.Float64():
            # The bits and not the digits: how a float is printed may change with Polars.
            bits = expr.reinterpret(dtype=pl.Int64).cast(pl.String)
            return [pl.concat_str(bits, pl.lit("f")).fill_null(_NULL)]
        case pl.Datetime():
            return [expr.dt.epoch("us").cast(pl.String).fill_null(_NULL)]
        case pl.List(inner=inner):
            element = pl.concat_str(_pieces(pl.element(), instance(inner)), separator="|")
            joined = expr.list.eval(element).list.join("|")
            length = expr.list.len().cast(pl.String)
            return [length.fill_null(_NULL), joined.fill_null("")]
        case _:
            return [expr.cast(pl.String).fill_null(_NULL)]
