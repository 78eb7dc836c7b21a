"""Short ways to a lens of one interesting field `v`, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from semilayer_pipelines.bridges.protocol import Column, ColumnKind, Table
from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.mapping.compile import compile_mapping
from semilayer_pipelines.mapping.mapped import LensMapping, Mapped
from semilayer_pipelines.stores.protocol import KEY

MODEL = "test-model"


def table(key: tuple[str, ...] = ("id",), **kinds: ColumnKind) -> Table:
    columns = tuple(Column(name, kind, True, kind) for name, kind in kinds.items())
    return Table("articles", columns, key)


def lens(**fields: dict[str, Any]) -> LensConfig:
    """Make a lens of these fields, and of a searchable one when there is none among them."""
    if not any(field.get("searchable") for field in fields.values()):
        fields["any"] = {"type": "text", "from": "id", "searchable": True}
    return LensConfig.model_validate({"source": "main", "table": "articles", "fields": fields})


def mapping(
    field: dict[str, Any], kind: ColumnKind = "text", project_dir: Path | None = None
) -> LensMapping:
    return compile_mapping(
        lens(v=field),
        table(id="integer", v=kind),
        key=("id",),
        model_fingerprint=MODEL,
        project_dir=project_dir,
    )


def page(values: list[Any], dtype: Any = None) -> pl.DataFrame:
    return pl.DataFrame({"id": range(len(values)), "v": pl.Series(values, dtype=dtype)})


def mapped(
    field: dict[str, Any], values: list[Any], kind: ColumnKind = "text", dtype: Any = None
) -> Mapped:
    return mapping(field, kind).apply(page(values, dtype))


def values_of(
    field: dict[str, Any], values: list[Any], kind: ColumnKind = "text", dtype: Any = None
) -> list[Any]:
    """Map values none of which may be set aside."""
    result = mapped(field, values, kind, dtype)
    assert result.failed["reason"].to_list() == []
    return result.frame["v"].to_list()


def everything(result: Mapped) -> pl.DataFrame:
    """Return the mapped rows of a small page, those without a text among them."""
    return pl.concat([result.frame, result.textless]).sort(KEY)


def reasons(result: Mapped) -> list[str]:
    return result.failed["reason"].to_list()
