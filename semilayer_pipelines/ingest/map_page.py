"""Mapping a page, with whose the rows are that the source cannot read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from semilayer_pipelines.ingest.look_up import look_up
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.page import Page
from semilayer_pipelines.mapping.mapped import Mapped

__all__ = ["map_page"]


def map_page(opened: OpenLens, page: Page) -> Mapped:
    """Map the rows of a page; those that the source refused are set aside with the others."""
    mapped = opened.mapping.apply(page.rows).without(page.refused)
    if not page.refused or opened.mapping.tenant is None:
        return mapped
    return replace(mapped, whose={**_whose(opened, [*page.refused]), **mapped.whose})


def _whose(opened: OpenLens, keys: Sequence[str]) -> dict[str, str | None]:
    """Ask for the tenants of rows alone: one column that cannot be computed keeps no other back."""
    selection = replace(opened.selection, columns=opened.mapping.tenant_columns)
    whose: dict[str, str | None] = {}
    for _, found in look_up(opened, selection, keys):
        whose |= opened.mapping.tenants(found.frame)
    return whose
