"""How the object of a row and its chunks belong together.

The object of a row that was cut stores its text hash combined with a digest of all its chunks. So
one hash says what the row's text is and how it was cut. Without its chunks the text hash comes out
wrong: a chunk that is lost, doubled or of something else makes the row look changed, and the next
sync writes it again.

A row's *version* follows from the two hashes of its object as they are stored, and stands in the
key of each of its chunks. Chunks of another version are not the row's: a search believes only those
whose version is that of the object, so writing the object is the moment in which all of a row
changes.

All of this is kept in indexes for years. It is made of arithmetic that this file defines.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from semilayer_pipelines.stores.chunks.protocol import ORDINAL
from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, TEXT_HASH

__all__ = [
    "LEAF",
    "VERSION",
    "as_stored",
    "chunk_keys",
    "leaves",
    "parsed",
    "turned",
    "unstored",
    "version_text",
    "versions",
]

VERSION = "_version"  # UInt64
LEAF = "_leaf"  # UInt64: what one chunk adds to the digest of its row

# The constants of the splitmix64 generator.
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)

_NO_HASH = bytes(16)


def leaves(chunks: pl.DataFrame) -> pl.Series:
    """Return LEAF for chunks with ORDINAL, ROW_HASH and TEXT_HASH.

    The digest of a row's chunks is the sum of their leaves, modulo 2^64.
    """
    row_high, row_low = _halves(chunks[ROW_HASH])
    text_high, text_low = _halves(chunks[TEXT_HASH])
    place = chunks[ORDINAL].cast(pl.UInt64).to_numpy() + np.uint64(1)
    mixed = _mixed(text_high ^ _mixed(row_high ^ _mixed(place * _GAMMA)))
    return pl.Series(LEAF, _mixed(mixed ^ text_low ^ _mixed(row_low)))


def as_stored(text_hashes: pl.Series, digests: pl.Series) -> pl.Series:
    """Combine text hashes (Binary, 16 bytes) with the digests (UInt64) of their rows' chunks."""
    digest = digests.to_numpy()
    high, low = _halves(text_hashes)
    return _joined(high ^ _mixed(digest ^ _GAMMA), low ^ _mixed(digest), text_hashes.name)


unstored = as_stored
"""The text hash from what `as_stored` made of it, and the digests: it is its own opposite."""


def versions(objects: pl.DataFrame) -> pl.Series:
    """Return VERSION of objects of rows, with ROW_HASH and TEXT_HASH as they are stored."""
    # Two different halves: hashes of one text under two seeds would be as good.
    return pl.Series(VERSION, _halves(objects[ROW_HASH])[0] ^ _halves(objects[TEXT_HASH])[1])


def turned(row_hashes: pl.Series) -> pl.Series:
    """Return the row hashes that chunks get instead, so that their row has another version.

    A row that is written again as it is needs one: nothing that is left of it may pass for new.
    """
    return pl.Series(row_hashes.name, [each[::-1] for each in row_hashes], dtype=pl.Binary)


def version_text(found: pl.Series) -> pl.Series:
    """Return versions as they stand in keys: 16 hexadecimal digits."""
    raw = found.to_numpy().astype(">u8").tobytes()
    cut = [raw[at : at + 8] for at in range(0, len(raw), 8)]
    return pl.Series(found.name, cut, dtype=pl.Binary).bin.encode("hex")


def chunk_keys(chunks: pl.DataFrame) -> pl.Series:
    """Return the keys of chunks with KEY (of the row), VERSION and ORDINAL."""
    named = chunks.with_columns(version_text(chunks[VERSION]))
    return named.select(pl.format("{}:{}:{}", ORDINAL, VERSION, KEY).alias(KEY)).to_series()


def parsed(keys: pl.Series) -> pl.DataFrame:
    """Return ORDINAL, VERSION and KEY (of the row) from keys of chunks; nulls for other keys."""
    parts = keys.str.splitn(":", 3).struct.unnest()
    version = pl.col("field_1").str.decode("hex", strict=False)
    whole = pl.when(version.bin.size() == 8).then(version)
    return parts.select(
        pl.col("field_0").cast(pl.UInt32, strict=False).alias(ORDINAL),
        whole.bin.reinterpret(dtype=pl.UInt64, endianness="big").alias(VERSION),
        pl.col("field_2").alias(KEY),
    )


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = numbers ^ (numbers >> np.uint64(30))
    bits *= _MIX_1
    bits ^= bits >> np.uint64(27)
    bits *= _MIX_2
    bits ^= bits >> np.uint64(31)
    return bits


def _halves(hashes: pl.Series) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    known = hashes.fill_null(_NO_HASH)  # a hand may have made an object without
    high = known.bin.slice(0, 8).bin.reinterpret(dtype=pl.UInt64, endianness="big")
    low = known.bin.slice(8, 8).bin.reinterpret(dtype=pl.UInt64, endianness="big")
    return high.to_numpy(), low.to_numpy()


def _joined(high: NDArray[np.uint64], low: NDArray[np.uint64], name: str) -> pl.Series:
    raw = np.stack([high, low], axis=1).astype(">u8").tobytes()
    cut = [raw[at : at + 16] for at in range(0, len(raw), 16)]
    return pl.Series(name, cut, dtype=pl.Binary)
