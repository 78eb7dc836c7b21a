"""Objects as the client received them, as frames and values of the fields' own types."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from semilayer_pipelines.stores.protocol import (
    INDEXED_AT,
    KEY,
    ROW_HASH,
    SCORE,
    SHARD,
    TEXT_HASH,
    VECTOR,
    WORDS,
    IndexField,
)
from semilayer_pipelines.stores.weaviate.names import exact_name, property_name
from semilayer_pipelines.stores.weaviate.objects import polars_type
from semilayer_pipelines.stores.weaviate.schema import VECTOR_NAME, has_exact
from semilayer_pipelines.stores.weaviate.settings import Distance

__all__ = [
    "fields_of",
    "hashes",
    "known_frame",
    "newest_of_each",
    "own_columns",
    "ranked",
    "scored",
    "texts",
    "whole_numbers",
    "written_at",
]


def known_frame(
    found: Sequence[Any],
    keys: Sequence[str],
    dimension: int,
    *,
    vectors: bool,
    fields: Sequence[IndexField] = (),
    own: Sequence[str] = (),
) -> pl.DataFrame:
    """Return (KEY, ROW_HASH, TEXT_HASH[, VECTOR]) of objects as the client received them.

    `keys` are theirs, which their ids tell; whoever wrote an object may have left the rest out.
    `own` may add INDEXED_AT and WORDS; the fields come last.
    """
    columns: dict[str, pl.Series] = {KEY: pl.Series(keys, dtype=pl.String)}
    for name in (ROW_HASH, TEXT_HASH):
        columns[name] = hashes(found, name)
    if vectors:
        # Nothing to take over where there is none; no text has this hash.
        lacks = pl.Series([VECTOR_NAME not in each.vector for each in found], dtype=pl.Boolean)
        columns[TEXT_HASH] = columns[TEXT_HASH].set(lacks, None)
        numbers = [each.vector.get(VECTOR_NAME) or [0.0] * dimension for each in found]
        array = np.array(numbers, dtype=np.float32).reshape(len(found), dimension)
        columns[VECTOR] = pl.Series(array, dtype=pl.Array(pl.Float32, dimension))
    if WORDS in own:
        columns[WORDS] = texts(found, WORDS)
    if INDEXED_AT in own:
        moments = [each.properties.get(INDEXED_AT) for each in found]
        columns[INDEXED_AT] = pl.Series(moments, dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame(columns | {field.name: _field_series(found, field) for field in fields})


def fields_of(found: Sequence[Any], fields: Sequence[IndexField]) -> pl.DataFrame:
    """Return the mapped fields of objects as the client received them, in their own types."""
    return pl.DataFrame([_field_series(found, field) for field in fields])


def ranked(
    found: Sequence[Any],
    fields: Sequence[IndexField],
    distance: Distance,
    columns: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Return KEY, SCORE (cosine similarity in [-1, 1]) and the fields of what a search found.

    `columns` are returned instead of the fields: some of these, ROW_HASH and TEXT_HASH.
    """
    distances = pl.Series([each.metadata.distance for each in found], dtype=pl.Float64)
    if columns is not None:
        fields = [field for field in fields if field.name in columns]
    own = [hashes(found, name) for name in (ROW_HASH, TEXT_HASH) if columns and name in columns]
    frame = pl.DataFrame(
        [
            texts(found, KEY),
            _similarity(distances, distance).alias(SCORE),
            *own,
            *fields_of(found, fields).get_columns(),
        ]
    )
    return frame.sort(SCORE, KEY, descending=[True, False])


def scored(found: Sequence[Any], fields: Sequence[IndexField], words: bool) -> pl.DataFrame:
    """Return KEY, SCORE (BM25) and the fields of what a search by words found.

    With `words`, WORDS too, before the fields.
    """
    scores = [each.metadata.score for each in found]
    own = [texts(found, KEY), pl.Series(SCORE, scores, dtype=pl.Float32)]
    own += [texts(found, WORDS)] if words else []
    frame = pl.DataFrame([*own, *fields_of(found, fields).get_columns()])
    return frame.sort(SCORE, KEY, descending=[True, False])


def newest_of_each(found: Sequence[Any]) -> list[Any]:
    """Return one object of each key in their order: of two, the one that was written later.

    What has no key was not written by us and is left out.
    """
    newest: dict[str, Any] = {}
    for each in found:
        key = each.properties.get(KEY)
        if key is None:
            continue
        other = newest.get(key)
        if other is None or written_at(each) > written_at(other):
            newest[key] = each
    kept = {id(each) for each in newest.values()}
    return [each for each in found if id(each) in kept]


def written_at(found: Any) -> datetime:
    """Return when an object was written; what does not say so counts as the oldest."""
    moment = found.properties.get(INDEXED_AT)
    return moment if isinstance(moment, datetime) else datetime.min.replace(tzinfo=UTC)


def own_columns(found: Any) -> dict[str, object]:
    """Return the store's own columns of one object as the client received it, but for the key."""
    told = found.properties
    return {
        SHARD: told.get(SHARD),
        ROW_HASH: hashes([found], ROW_HASH)[0],
        TEXT_HASH: hashes([found], TEXT_HASH)[0],
        INDEXED_AT: told.get(INDEXED_AT),
        VECTOR: found.vector.get(VECTOR_NAME),
    }


def whole_numbers(found: Sequence[Any], name: str) -> pl.Series:
    """Return the integers under a name, Int64; null where there is none, or something else."""
    told = [each.properties.get(name) for each in found]
    values = [int(each) if isinstance(each, int | float) else None for each in told]
    return pl.Series(name, values, dtype=pl.Int64)


def hashes(found: Sequence[Any], name: str) -> pl.Series:
    """Return the hashes under a name, Binary; null where there is none, or something else."""
    return texts(found, name).str.decode("hex", strict=False)


def _similarity(distances: pl.Series, distance: Distance) -> pl.Series:
    match distance:
        case Distance.COSINE:
            similar = 1 - distances
        case Distance.DOT:
            similar = -distances
        case Distance.L2_SQUARED:
            similar = 1 - distances / 2
    return similar.clip(-1, 1).cast(pl.Float32)


def texts(found: Sequence[Any], name: str) -> pl.Series:
    """Return the texts under a name, String; null where there is none."""
    return pl.Series(name, [each.properties.get(name) for each in found], dtype=pl.String)


def _field_series(found: Sequence[Any], field: IndexField) -> pl.Series:
    # Row by row, as the client gives them; a search has at most a thousand.
    name = property_name(field.name)
    if not has_exact(field):
        values = [each.properties.get(name) for each in found]
        return pl.Series(field.name, values, dtype=polars_type(field))
    exact = exact_name(field.name)
    whole = [_whole(each.properties.get(exact), each.properties.get(name)) for each in found]
    return pl.Series(field.name, whole, dtype=polars_type(field))


def _whole(exact: str | Sequence[str] | None, cut: Any) -> int | list[int] | None:
    if exact:
        return int(exact) if isinstance(exact, str) else [int(text) for text in exact]
    if cut is None:
        return None
    return [int(number) for number in cut] if isinstance(cut, Sequence) else int(cut)
