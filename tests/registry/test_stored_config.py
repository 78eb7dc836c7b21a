from __future__ import annotations

import json

from semilayer_pipelines.config.edits import ABSENT, Edit, as_json, lines
from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.registry.lenses import config_hash
from semilayer_pipelines.registry.stored_config import lens_from_json, source_from_json, to_json
from tests.registry.given import lens_config

RICH = lens_config(
    primaryKey=["tenant", "id"],
    syncInterval="5m",
    guard="10%",
    shards=4,
    embedding={"provider": "hash", "dimensions": 64},
    fields={
        "title": {"type": "text", "searchable": {"weight": 3}, "transform": ["trim", "lowercase"]},
        "name": {
            "type": "text",
            "from": ["first", "last"],
            "merge": "concat",
            "separator": " ",
            "nullAs": "nobody",
        },
        "state": {"type": "enum", "values": ["new", "old"], "undefinedAs": None},
        "size": {"type": "number", "array": True, "transform": [{"type": "round", "decimals": 2}]},
    },
)


def through_json(config: LensConfig) -> LensConfig:
    return lens_from_json(json.loads(json.dumps(to_json(config))))


def test_a_configuration_comes_back_as_it_was() -> None:
    back = through_json(RICH)

    assert back == RICH
    assert config_hash(back) == config_hash(RICH)


def test_a_null_that_was_written_stays_apart_from_one_that_was_not() -> None:
    back = through_json(RICH)

    assert back.fields["state"].undefined_is_filled
    assert not back.fields["title"].undefined_is_filled


def test_the_stored_form_uses_the_names_of_the_file_and_no_defaults() -> None:
    assert to_json(lens_config(primaryKey="id")) == {
        "source": "main",
        "table": "items",
        "primaryKey": ["id"],
        "fields": {"title": {"type": "text", "searchable": {"weight": 1}}},
    }


def test_a_default_that_is_written_out_changes_no_hash() -> None:
    assert config_hash(lens_config(shards=1, guard=0.3)) == config_hash(lens_config())


def test_a_text_may_be_cut_at_any_length_as_it_is_stored_and_as_it_is_written() -> None:
    cut = {"type": "truncate", "length": 10**30}
    config = lens_config(fields={"title": {"type": "text", "searchable": True, "transform": cut}})

    assert through_json(config) == config
    assert to_json(config)["fields"]["title"]["transform"] == [cut]


def test_the_order_of_fields_counts_and_is_kept_because_it_is_that_of_the_text() -> None:
    fields = {name: {"type": "text", "searchable": True} for name in ("b", "a")}
    turned = lens_config(fields=dict(reversed(fields.items())))

    back = through_json(turned)

    assert config_hash(turned) != config_hash(lens_config(fields=fields))
    assert list(back.fields) == ["a", "b"]
    assert config_hash(back) == config_hash(turned)


def test_every_meaning_has_its_own_hash() -> None:
    searched = {"type": "text", "searchable": True}
    others = [
        lens_config(),
        lens_config(shards=2),
        lens_config(table="other"),
        lens_config(fields={"title": searched | {"undefinedAs": None}}),
        lens_config(fields={"title": searched | {"undefinedAs": ""}}),
        RICH,
    ]

    hashes = {config_hash(config) for config in others}

    assert len(hashes) == len(others)
    assert all(len(digest) == 64 and int(digest, 16) >= 0 for digest in hashes)


def test_a_secret_that_an_older_version_stored_is_read_back_and_shown_to_nobody() -> None:
    stored = {"bridge": "sql", "connection": "postgresql://u:hunter2@db/shop?password=hunter2"}

    source = source_from_json(stored)
    edit = Edit(("sources", "main", "connection"), source.connection, "${DATABASE_URL}")

    assert source.connection == stored["connection"]
    assert "hunter2" not in str([*lines([edit]), as_json(edit)])


def test_a_whole_field_is_told_without_what_it_leaves_as_it_is() -> None:
    field = {"type": "number", "array": False, "from": [], "nullAs": 0, "undefinedAs": None}

    (told,) = lines([Edit(("fields", "cost"), ABSENT, field | {"keyword": False})])

    assert told == '+ fields.cost: {"type": "number", "nullAs": 0, "undefinedAs": null}'
