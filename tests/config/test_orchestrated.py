"""What a lens says to Dagster: every mistake is told with file, line, key and what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from semilayer_pipelines.config.load import load_config
from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.errors import ConfigError

LENS = """
stack: shop
sources:
  main: {bridge: sql, connection: 'sqlite:///shop.db'}
lenses:
  products:
    source: main
    table: products
    fields: {title: {type: text, searchable: true}}
"""


def loaded(folder: Path, *lines: str) -> LensConfig:
    """Load the file with these lines at the end of its lens, from line 10 on."""
    file = folder / "sl.config.yaml"
    file.write_text(LENS + "".join(f"    {line}\n" for line in lines), encoding="utf-8")
    return load_config(file).lenses["products"]


@pytest.mark.parametrize(
    ("line", "key", "told"),
    [
        ("deps: [dbt//products]", "deps", "expected an asset key, its parts joined by '/'"),
        ("deps: [' products']", "deps", "such as analytics/orders; got ' products'"),
        ("deps: {dbt: products}", "deps", "expected a list; got a mapping"),
        ("automation: egaer", "automation", "got 'egaer' (did you mean 'eager'?)"),
        ("automation: eager", "automation", "eager waits for `deps`, and the lens names none"),
        ("automation: on_cron(daily)", "automation", "a cron expression has five fields"),
        (
            "automation: on_cron(0 25 * * *)",
            "automation",
            "hour: '25' is not between 0 and 23; daily at six is on_cron(0 6 * * *)",
        ),
        ("automation: on_cron(0 0 31 2 *)", "automation", "no month of these has a day 31"),
        ("automation: on_cron(@daily)", "automation", "a cron expression has five fields"),
        ("freshness: 2 hours", "freshness", "expected a time such as 10m, 2h or 1d; got '2 hours'"),
        ("freshness: 0h", "freshness", "expected a time such as 10m, 2h or 1d"),
        ("group: my search", "group", "expected letters, digits and _, parts joined by /"),
        ("group: search/", "group", "got 'search/'"),
        ("owners: [the shop]", "owners", "expected an e-mail address or team:NAME; got 'the shop'"),
        ("owners: ['team:']", "owners", "expected an e-mail address or team:NAME"),
        ("owners: [anna@shop.photography]", "owners", "expected an e-mail address or team:NAME"),
        ("tags: {a b: c}", "tags", "a name and its value are letters, digits, '_', '-' and '.'"),
        ("tags: {domain: the shop}", "tags", "the value is 'the shop'"),
        ("tags: {dagster/kind: x}", "tags", "names in semilayer/ and dagster/ are taken"),
        ("tags: [domain]", "tags", "expected a mapping of keys; got a list"),
    ],
)
def test_a_mistake_names_its_line_and_key_and_says_what_to_write(
    line: str, key: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, line)

    assert caught.value.message.startswith(f"sl.config.yaml:10: lenses.products.{key}")
    assert told in caught.value.message


def test_one_is_written_without_its_list_and_off_without_quotation_marks(tmp_path: Path) -> None:
    lens = loaded(tmp_path, "deps: dbt/products", "owners: anna@shop.example", "automation: off")

    assert (lens.deps, lens.owners) == (("dbt/products",), ("anna@shop.example",))
    assert lens.automation == "off"


def test_a_cron_may_stand_in_quotation_marks_of_its_own(tmp_path: Path) -> None:
    lens = loaded(tmp_path, """automation: 'on_cron("0  6 * * mon")'""")

    assert lens.automation == "on_cron(0 6 * * mon)"
