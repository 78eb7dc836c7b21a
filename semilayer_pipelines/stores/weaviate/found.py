"""Objects as the client received them, as frames and values of the fields' own types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    IndexField,
)
from semilayer_pipelines.stores.weaviate.names import exact_name, property_name
from semilayer_pipelines.stores.weaviate.objects import polars_type
from semilayer_pipelines.stores.weaviate.schema import VECTOR_NAME, has_exact
from semilayer_pipelines.stores.weaviate.settings import Distance

__all__ = ["fields_of", "known_frame", "own_columns", "ranked"]


def known_frame(
    found: Sequence[Any],
    dimension: int,
    *,
    vectors: bool,
    fields: Sequence[IndexField] = (),
    when: bool = False,
) -> pl.DataFrame:
    """Return (KEY, ROW_HASH, TEXT_HASH[, VECTOR]) of objects as the client received them.

    `when` adds INDEXED_AT; the fields come last.
    """
    columns: dict[str, pl.Series] = {KEY: _texts(found, KEY)}
    for name in (ROW_HASH, TEXT_HASH):
        columns[name] = _texts(found, name).str.decode("hex")
    if vectors:
        numbers = [each.vector[VECTOR_NAME] for each in found]
        array = np.array(numbers, dtype=np.float32).reshape(len(found), dimension)
        columns[VECTOR] = pl.Series(array, dtype=pl.Array(pl.Float32, dimension))
    if when:
        moments = [each.properties[INDEXED_AT] for each in found]
        columns[INDEXED_AT] = pl.Series(moments, dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame(columns | {field.name: _field_series(found, field) for field in fields})


def fields_of(found: Sequence[Any], fields: Sequence[IndexField]) -> pl.DataFrame:
    """Return the mapped fields of objects as the client received them, in their own types."""
    return pl.DataFrame([_field_series(found, field) for field in fields])


def ranked(found: Sequence[Any], fields: Sequence[IndexField], distance: Distance) -> pl.DataFrame:
    """Return KEY, SCORE (cosine similarity in [-1, 1]) and the fields of what a search found."""
    distances = pl.Series([each.metadata.distance for each in found], dtype=pl.Float64)
    frame = pl.DataFrame(
        [
            _texts(found, KEY),
            _similarity(distances, distance).alias(SCORE),
            *fields_of(found, fields).get_columns(),
        ]
    )
    return frame.sort(SCORE, KEY, descending=[True, False])


def own_columns(properties: Mapping[str, Any]) -> dict[str, object]:
    """Return the store's own columns of one object, but for the vector."""
    return {
        KEY: properties[KEY],
        SHARD: properties.get(SHARD),
        ROW_HASH: bytes.fromhex(properties[ROW_HASH]),
        TEXT_HASH: bytes.fromhex(properties[TEXT_HASH]),
        INDEXED_AT: properties[INDEXED_AT],
    }


def _similarity(distances: pl.Series, distance: Distance) -> pl.Series:
    match distance:
        case Distance.COSINE:
            similar = 1 - distances
        case Distance.DOT:
            similar = -distances
        case Distance.L2_SQUARED:
            similar = 1 - distances / 2
    return similar.clip(-1, 1).cast(pl.Float32)


def _texts(found: Sequence[Any], name: str) -> pl.Series:
    return pl.Series(name, [each.properties[name] for each in found], dtype=pl.String)


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
