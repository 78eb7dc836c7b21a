"""A name in any language becomes one that a configuration may have."""

from __future__ import annotations

import pytest

from semilayer_pipelines.starter.config_text import lens_name
from semilayer_pipelines.starter.plain_names import plain_field


@pytest.mark.parametrize(
    ("column", "field"),
    [
        ("title", "title"),
        ("Größe in €", "Grosse_in"),
        ("prénom", "prenom"),
        ("long descr.", "long_descr"),
        ("2nd", "f_2nd"),
        ("_id", "id"),
        ("商品", "field"),
        ("x" * 80, "x" * 58),
    ],
)
def test_a_field_has_the_letters_of_its_column(column: str, field: str) -> None:
    assert plain_field(column) == field


@pytest.mark.parametrize(
    ("table", "taken", "lens"),
    [
        ("public.Größen Tabelle", set(), "Grossen_Tabelle"),
        ("order-items", set(), "order-items"),
        ("order_items", {"order-items"}, "order_items_2"),
        ("商品", set(), "table"),
        ("記事", {"table"}, "table_2"),
        ("2024", set(), "t_2024"),
    ],
)
def test_a_lens_has_the_letters_of_its_table(table: str, taken: set[str], lens: str) -> None:
    assert lens_name(table, taken) == lens
