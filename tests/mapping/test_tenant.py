"""The field that says whose a row is: what it may be, and rows that leave it empty."""

from __future__ import annotations

from typing import Any

import pytest

from semilayer_pipelines.bridges.protocol import ColumnKind
from semilayer_pipelines.errors import SchemaMismatch
from semilayer_pipelines.mapping.compile import compile_mapping
from semilayer_pipelines.mapping.mapped import LensMapping
from tests.mapping.making import MODEL, lens, page, reasons, table


def compiled(field: dict[str, Any], kind: ColumnKind, *, tenant: str | None = "v") -> LensMapping:
    return compile_mapping(
        lens(v=field).model_copy(update={"tenant": tenant}),
        table(id="integer", v=kind),
        key=("id",),
        model_fingerprint=MODEL,
    )


@pytest.mark.parametrize(
    ("field", "kind", "values", "kept"),
    [
        ({"type": "text"}, "text", ["acme", None, "", " \t\n", " b "], ["acme", " b "]),
        ({"type": "enum", "values": ["x"]}, "text", ["x", None], ["x"]),
        ({"type": "number"}, "integer", [7, None, 0], [7, 0]),
    ],
)
def test_a_row_without_a_tenant_is_set_aside_and_the_others_go_on(
    field: dict[str, Any], kind: ColumnKind, values: list[Any], kept: list[Any]
) -> None:
    result = compiled(field, kind).apply(page(values))

    assert result.frame["v"].to_list() == kept
    assert set(reasons(result)) == {"it is empty, so the row is no tenant's"}
    assert set(result.failed["field"]) == {"v"}
    assert result.failed.height == len(values) - len(kept)


def test_a_value_that_does_not_fit_keeps_its_own_reason() -> None:
    result = compiled({"type": "enum", "values": ["x"]}, "text").apply(page(["y", None]))

    assert reasons(result) == [
        "field v: 'y' is not one of x",
        "it is empty, so the row is no tenant's",
    ]


def test_a_field_of_no_tenant_may_be_empty() -> None:
    result = compiled({"type": "text"}, "text", tenant=None).apply(page(["acme", None, ""]))

    assert result.frame.height == 3


def test_numbers_that_may_have_fractions_are_no_tenants() -> None:
    with pytest.raises(SchemaMismatch, match="'v' may have fractions"):
        compiled({"type": "number"}, "number")


def test_another_tenant_is_another_mapping_and_none_is_the_one_of_before() -> None:
    text = {"type": "text"}
    with_tenant, without = compiled(text, "text"), compiled(text, "text", tenant=None)

    assert with_tenant.fingerprint != without.fingerprint
    # Raised only when an index has to be compared anew: an index without tenants never has to.
    assert without.fingerprint == "afca6fc07d4cb4b8741b96c2edb7c2d3"
