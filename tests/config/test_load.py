"""Reading `sl.config.yaml`: every mistake is told with file, line, key and the nearest name."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.config.load import STARTER, load_config
from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.errors import ConfigError


def written(folder: Path, text: str) -> Path:
    path = folder / "sl.config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(written(folder, text))
    return caught.value.message.splitlines()


def lens(fields: str, *, more: str = "") -> str:
    return (
        "stack: s\nsources:\n  main: {bridge: sql, connection: 'sqlite:///x'}\n"
        f"lenses:\n  articles:\n    source: main\n    table: t\n{more}    fields:\n{fields}"
    )


def test_the_starter_shown_to_newcomers_is_a_valid_configuration(tmp_path: Path) -> None:
    project = load_config(written(tmp_path, STARTER))

    assert project.lenses["articles"].fields["title"].searchable is not None


def test_a_wrong_value_names_line_key_expectation_and_nearest_value(tmp_path: Path) -> None:
    lines = refusal(tmp_path, lens("      titel:\n        type: txt\n        searchable: true\n"))

    assert lines == [
        (
            "sl.config.yaml:10: lenses.articles.fields.titel.type: expected one of text, number, "
            "boolean, date, json, enum; got 'txt' (did you mean 'text'?)"
        )
    ]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ('table: "t\\0"', "articles.table"),
        ('owners: ["team:a\\0"]', "articles.owners"),
        ('tags: {a: "b\\0"}', "articles.tags"),
    ],
)
def test_nul_is_refused_where_it_stands(tmp_path: Path, line: str, named: str) -> None:
    text = lens("      title: {type: text, searchable: true}\n", more=f"    {line}\n")

    (told,) = refusal(tmp_path, text.replace("    table: t\n", "", int("table" in line)))

    assert named in told


@pytest.mark.parametrize(
    ("alerts", "line", "told"),
    [
        ("- url: https://hooks.slack.com/s3cret\n  form: slack", 12, "[0].url: an address of Sla"),
        ("- url: https://hooks.slack.com/s3cret", 12, "[0].url: an address of Slack is a secret"),
        ("- url: HTTPS://Hooks.Slack.Com:443/s3cret", 12, "[0].url: an address of Slack is"),
        ("- url: https://chat.example.org/s3cret\n  form: slack", 13, "[0].form: an address of"),
        ("- url: ftp://example.org", 12, "[0].url: expected the name of an environment variable"),
        ("- url: https://u:s3cret@example.org/", 12, "[0].url: holds a password"),
        ("- url: ${A:-https://s3cret.example.org}", 12, "[0].url: expected the name of"),
        ("- urll: ${A}", 12, "[0].urll: unknown key (did you mean 'url'?)"),
        ("- form: json", 12, "[0].url: this key is required"),
        ("- url: ${A}\n  form: slak", 13, "[0].form: expected one of json, slack; got 'slak'"),
        ("- url: ${A}\n  failedRows: 10000", 13, "[0].failedRows: the value should be less"),
        ("- url: ${A}\n- url: ${A}", 11, ": ${A} stands there twice"),
        ("url: ${A}", 11, ": expected a list; got a mapping"),
    ],
)
def test_a_wrong_address_names_its_line_and_what_to_write_and_shows_no_secret(
    tmp_path: Path, alerts: str, line: int, told: str
) -> None:
    first = STARTER.count("\n") + 1
    indented = alerts.replace("\n", "\n  ")

    lines = refusal(tmp_path, f"{STARTER}alerts:\n  {indented}\n")

    where = f"sl.config.yaml:{first + line - 11}: alerts{told}"
    assert any(one.startswith(where) for one in lines), lines
    assert not any("s3cret" in one for one in lines)


@pytest.mark.parametrize(
    ("text", "line", "key", "hint"),
    [
        (
            lens("      a: {type: text, serchable: true, searchable: true}\n"),
            9,
            "lenses.articles.fields.a.serchable",
            "searchable",
        ),
        (
            lens("      a: {type: text, searchable: {wieght: 2}}\n"),
            9,
            "lenses.articles.fields.a.searchable.wieght",
            "weight",
        ),
        (
            lens("      a: {type: text, searchable: true}\n", more="    primryKey: id\n"),
            8,
            "lenses.articles.primryKey",
            "primaryKey",
        ),
        (
            lens("      a: {type: text, searchable: true}\n", more="    embedding: {modle: x}\n"),
            8,
            "lenses.articles.embedding.modle",
            "model",
        ),
        (
            lens(
                "      a:\n        type: text\n        searchable: true\n        transform:\n"
                "          - trim\n          - {type: truncate, length: 3, lenght: 4}\n"
            ),
            14,
            "lenses.articles.fields.a.transform[1].lenght",
            "length",
        ),
        ("stack: s\nsourcs: {}\nsources: {}\nlenses: {}\n", 2, "sourcs", "sources"),
        (
            "stack: s\nlenses: {}\nsources:\n m:\n  bridge: sql\n  timout: 3\n  connection: x\n",
            6,
            "sources.m.timout",
            "timeout",
        ),
    ],
)
def test_an_unknown_key_gets_the_nearest_key_of_its_section(
    tmp_path: Path, text: str, line: int, key: str, hint: str
) -> None:
    (problem,) = refusal(tmp_path, text)

    assert problem.startswith(f"sl.config.yaml:{line}: {key}: unknown key (did you mean {hint!r}?)")


TENANT_FIELDS = (
    "      a: {type: text, searchable: true}\n      team: {type: number}\n"
    "      tags: {type: text, array: true}\n      open: {type: boolean}\n"
)


@pytest.mark.parametrize("tenant", ["a", "team"])
def test_a_lens_may_name_the_field_that_says_whose_a_row_is(tmp_path: Path, tenant: str) -> None:
    text = lens(TENANT_FIELDS, more=f"    tenant: {tenant}\n")

    assert load_config(written(tmp_path, text)).lenses["articles"].tenant == tenant


@pytest.mark.parametrize(
    ("tenant", "said"),
    [
        ("taem", "there is no field 'taem' (did you mean 'team'?); there are a, team, tags, open"),
        ("tags", "field 'tags' is a list, and a row belongs to one tenant"),
        ("open", "field 'open' is of type boolean; a tenant is a text, an enum or a number"),
    ],
)
def test_a_field_that_cannot_be_a_tenant_is_told_with_its_line(
    tmp_path: Path, tenant: str, said: str
) -> None:
    (problem,) = refusal(tmp_path, lens(TENANT_FIELDS, more=f"    tenant: {tenant}\n"))

    assert problem == f"sl.config.yaml:8: lenses.articles.tenant: {said}"


@pytest.mark.parametrize("provider", ["hash", "openai, url: 'http://h/v1'"])
def test_a_provider_without_precisions_is_asked_for_none(tmp_path: Path, provider: str) -> None:
    embedding = f"    embedding: {{provider: {provider}, precision: int8}}\n"

    (problem,) = refusal(
        tmp_path, lens("      a: {type: text, searchable: true}\n", more=embedding)
    )

    name = provider.split(",")[0]
    assert problem == (
        f"sl.config.yaml:8: lenses.articles.embedding: provider: {name} has no 'precision'; only "
        "sentence-transformers has"
    )


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("concurrency: 0", "the value should be greater than or equal to 1; got 0"),
        ("concurrency: 9999", "the value should be less than or equal to 256; got 9999"),
        ("concurrency: many", "expected a whole number; got 'many'"),
        ("maxBatchTexts: 0", "the value should be greater than or equal to 1; got 0"),
        ("maxBatchTokens: 8", "the value should be greater than or equal to 512; got 8"),
        ("requestsPerMinute: -1", "the value should be greater than or equal to 1; got -1"),
        ("tokensPerMinute: 1", "the value should be greater than or equal to 512; got 1"),
    ],
)
def test_a_limit_of_an_endpoint_that_nothing_fits_into_is_refused(
    tmp_path: Path, limit: str, said: str
) -> None:
    embedding = f"    embedding:\n      provider: openai\n      url: http://h/v1\n      {limit}\n"

    (problem,) = refusal(
        tmp_path, lens("      a: {type: text, searchable: true}\n", more=embedding)
    )

    key = limit.split(":")[0]
    assert problem.startswith(f"sl.config.yaml:11: lenses.articles.embedding.{key}: {said}")


@pytest.mark.parametrize("batch", ["true", "false"])
def test_batch_is_a_truth_value_beside_the_numbers_of_an_endpoint(
    tmp_path: Path, batch: str
) -> None:
    embedding = f"    embedding: {{provider: openai, url: 'http://h/v1', batch: {batch}}}\n"
    text = lens("      a: {type: text, searchable: true}\n", more=embedding)

    read = load_config(written(tmp_path, text)).lenses["articles"]

    assert read.embedding.batch is (batch == "true")


@pytest.mark.parametrize(
    ("embedding", "said"),
    [
        (
            "{provider: openai, url: 'http://h/v1', maxBatchTokens: 9000, tokensPerMinute: 5000}",
            (
                "maxBatchTokens: 9000 does not fit into tokensPerMinute: 5000; write "
                "maxBatchTokens: 5000 or less"
            ),
        ),
        (
            "{provider: hash, concurrency: 4}",
            "provider: hash has no 'concurrency'; only openai calls an endpoint",
        ),
        (
            "{requestsPerMinute: 60}",
            (
                "provider: sentence-transformers has no 'requestsPerMinute'; only openai calls an "
                "endpoint"
            ),
        ),
    ],
)
def test_limits_that_do_not_go_together_are_refused_with_what_to_write(
    tmp_path: Path, embedding: str, said: str
) -> None:
    more = f"    embedding: {embedding}\n"

    (problem,) = refusal(tmp_path, lens("      a: {type: text, searchable: true}\n", more=more))

    assert problem == f"sl.config.yaml:8: lenses.articles.embedding: {said}"


def test_how_fast_an_endpoint_is_asked_makes_no_other_model(tmp_path: Path) -> None:
    before = EmbeddingConfig(provider="openai", url="http://h/v1")
    faster = before.model_copy(update={"concurrency": 32, "tokens_per_minute": 10_000})

    assert before.same_model(faster)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = lens(
        "      a: {type: text, searchable: {weight: 99}}\n"
        "      b: {type: text, transform: trimm}\n"
        "      c: {type: enum}\n",
        more="    guard: half%\n    primaryKey: [id, id]\n",
    ).replace("source: main", "source: mian")

    problems = [line.split(": ", 2)[:2] for line in refusal(tmp_path, text)]

    assert problems == [
        ["sl.config.yaml:6", "lenses.articles.source"],
        ["sl.config.yaml:8", "lenses.articles.guard"],
        ["sl.config.yaml:9", "lenses.articles.primaryKey"],
        ["sl.config.yaml:11", "lenses.articles.fields.a.searchable.weight"],
        ["sl.config.yaml:12", "lenses.articles.fields.b.transform"],
        ["sl.config.yaml:13", "lenses.articles.fields.c"],
    ]


def test_a_lens_of_a_source_that_is_not_there_gets_the_nearest_one(tmp_path: Path) -> None:
    text = lens("      a: {type: text, searchable: true}\n").replace("source: main", "source: mian")

    (problem,) = refusal(tmp_path, text)

    assert problem == (
        "sl.config.yaml:6: lenses.articles.source: there is no source 'mian' "
        "(did you mean 'main'?); there are main"
    )


def test_a_key_given_twice_is_refused_without_quoting_either_value(tmp_path: Path) -> None:
    (problem,) = refusal(
        tmp_path,
        "sources:\n  m:\n    connection: sql://u:hunter2@h\n    connection: sql://u:swordfish@h\n",
    )

    assert problem.startswith('sl.config.yaml:4: found duplicate key "connection"')
    assert "hunter2" not in problem
    assert "swordfish" not in problem


@pytest.mark.parametrize(
    "text",
    [
        "stack: s\nlenses: {}\nsources: {m: {bridge: sql, connection: [hunter2]}}\n",
        "stack: s\nlenses: {}\nsources: {m: {bridge: sql, connection: x, conection: hunter2}}\n",
        lens(
            "      a: {type: text, searchable: true}\n", more="    embedding: {apiKey: hunter2}\n"
        ),
        "stack: s\nsources: {m: {connection: sql://u:hunter2@h, bridge: [}}\n",
    ],
)
def test_a_message_never_shows_a_secret(tmp_path: Path, text: str) -> None:
    assert "hunter2" not in "\n".join(refusal(tmp_path, text))


def test_broken_yaml_names_the_line(tmp_path: Path) -> None:
    (problem,) = refusal(tmp_path, "stack: s\nsources:\n\t- x\n")

    assert problem.startswith("sl.config.yaml:3: found character")


@pytest.mark.parametrize("text", ["", "- a\n", "just text\n"])
def test_a_file_that_is_no_mapping_shows_what_one_looks_like(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="stack, sources and lenses") as caught:
        load_config(written(tmp_path, text))

    assert STARTER in caught.value.cure


def test_a_missing_file_shows_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist") as caught:
        load_config(tmp_path / "sl.config.yaml")

    assert STARTER in caught.value.cure


@pytest.mark.parametrize("exclude_unset", [True, False])
def test_a_lens_is_the_same_after_the_registry_kept_it_as_json(
    tmp_path: Path, exclude_unset: bool
) -> None:
    text = lens(
        "      a: {type: text, searchable: true, transform: [trim, 'mine:clean']}\n"
        "      d: {type: date, nullAs: 2024-01-31, undefinedAs: null}\n"
        "      e: {type: enum, values: [x, y], from: [b, c], merge: coalesce}\n",
        more="    guard: 15%\n    primaryKey: id\n",
    )
    read = load_config(written(tmp_path, text)).lenses["articles"]

    kept = LensConfig.model_validate_json(
        read.model_dump_json(by_alias=True, exclude_unset=exclude_unset)
    )

    assert kept == read
    assert kept.fields["d"].undefined_is_filled
    assert not kept.fields["a"].undefined_is_filled


@pytest.mark.parametrize(
    ("connection", "url"),
    [
        ("postgresql://db/shop?user=x&password=hunter2", "http://h/v1"),
        ("postgresql://u:${PW:-hunter2}@db/shop", "http://h/v1"),
        ("${DB:-postgresql://u:hunter2@db/shop}", "http://h/v1"),
        ("host=db password=hunter2", "http://h/v1"),
        ("sqlite:///x", "https://models/v1?api-key=hunter2"),
        ("sqlite:///x", "https://me:hunter2@models/v1"),
        ("sqlite:///x", "https://hunter2@models/v1"),
        ("sqlite:///x", "https://models/v1?key=${KEY:-hunter2}"),
    ],
)
def test_a_literal_secret_of_any_form_is_refused_with_the_cure(
    tmp_path: Path, connection: str, url: str
) -> None:
    text = (
        f"stack: s\nsources:\n  main: {{bridge: sql, connection: '{connection}'}}\n"
        "lenses:\n  a:\n    source: main\n    table: t\n"
        f"    embedding: {{provider: openai, url: '{url}'}}\n"
        "    fields: {a: {type: text, searchable: true}}\n"
    )

    (problem,) = refusal(tmp_path, text)

    assert "hunter2" not in problem
    assert "write ${VAR} in its place" in problem
    assert problem.startswith(
        "sl.config.yaml:3: sources.main.connection: "
        if url == "http://h/v1"
        else "sl.config.yaml:8: lenses.a.embedding.url: "
    )


def test_a_password_in_the_file_is_refused_and_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "sl.config.yaml"
    path.write_text(
        "stack: shop\n"
        "sources:\n"
        '  main: {bridge: sql, connection: "postgresql://reader:hunter2@db/shop"}\n'
        "lenses: {}\n"
    )

    with pytest.raises(ConfigError, match="holds a password") as caught:
        load_config(path)

    assert "hunter2" not in str(caught.value)
    assert "sl.config.yaml:3" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [*a]\nstack: s\n", "sl.config.yaml:1: this refers to itself"),
        ("stack: s\nsources: &x\n  m: *x\n", "sl.config.yaml:2: this refers to itself"),
        ("stack: s\nx: &a\n  y: &b\n    - *b\n", "sl.config.yaml:3: this refers to itself"),
        ("stack: &a {<<: *a}\n", "sl.config.yaml:1: this refers to itself"),
        ("stack: s\nx: " + "[" * 10_000, "sl.config.yaml:2: this is nested more than 50"),
        ("x:\n" + "".join(f"{' ' * i}a:\n" for i in range(1, 80)), "nested more than 50"),
        ("stack: 2024-99-99\n", "sl.config.yaml:1: this is no valid timestamp"),
        (f"stack: s\nx: [{'9' * 5_000}]\n", "sl.config.yaml:2: this is no valid int"),
        (f"stack: s\n# {'x' * 600_000}\n", "sl.config.yaml is longer than 500 kB"),
        ("", "expected the keys"),
    ],
)
def test_a_document_that_asks_for_too_much_is_refused_with_its_line(
    tmp_path: Path, text: str, said: str
) -> None:
    (problem,) = refusal(tmp_path, text)[:1]

    assert said in problem


def test_aliases_that_multiply_are_refused_before_they_are_written_out(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]

    began = time.process_time()
    (problem,) = refusal(tmp_path, "\n".join(lines))

    assert "sl.config.yaml:6: this has more than 200,000 values" in problem
    assert time.process_time() - began < 20


def test_an_alias_that_is_used_as_meant_is_written_out(tmp_path: Path) -> None:
    text = (
        "stack: s\nsources: {m: {bridge: sql, connection: 'sqlite:///x'}}\nlenses:\n"
        "  a: &a\n    source: m\n    table: t\n    fields: &f {a: {type: text, searchable: true}}\n"
        "  b: *a\n  c: {source: m, table: u, fields: *f}\n"
    )

    project = load_config(written(tmp_path, text))

    assert project.lenses["a"] == project.lenses["b"]
    assert project.lenses["c"].fields == project.lenses["a"].fields


@pytest.mark.parametrize(
    "name", ["docs\\n", "\\ndocs", "do cs", "dócs", "docs\\0", "-docs", "a" * 64]
)
@pytest.mark.parametrize("kind", ["lens", "source", "field"])
def test_a_name_is_letters_and_digits_to_its_last_character(
    tmp_path: Path, kind: str, name: str
) -> None:
    lens, source, field = (
        f'"{name}"' if one == kind else one for one in ("lens", "source", "field")
    )
    text = (
        f"stack: s\nsources: {{{source}: {{bridge: sql, connection: 'sqlite:///x'}}}}\nlenses:\n"
        f"  {lens}: {{source: {source}, table: t, fields: {{{field}: "
        "{type: text, searchable: true}}}\n"
    )

    assert any("name" in problem and "letters" in problem for problem in refusal(tmp_path, text))


@pytest.mark.parametrize("kind", ["number", "boolean", "date", "json"])
def test_a_keyword_field_without_words_is_told_what_to_write_instead(
    tmp_path: Path, kind: str
) -> None:
    fields = (
        f"      t: {{type: text, searchable: true}}\n      f: {{type: {kind}, keyword: true}}\n"
    )

    (line,) = refusal(tmp_path, lens(fields))

    assert line.startswith("sl.config.yaml:10: lenses.articles.fields.f: 'keyword' finds words")
    assert "second field of type text" in line


def test_a_keyword_is_true_or_exact_and_nothing_else(tmp_path: Path) -> None:
    for written_as, kept in (("true", True), ("exact", "exact"), ("false", False)):
        text = f"      t: {{type: text, array: true, searchable: true, keyword: {written_as}}}\n"
        field = load_config(written(tmp_path, lens(text))).lenses["articles"].fields["t"]
        assert field.keyword == kept

    (line,) = refusal(tmp_path, lens("      t: {type: text, searchable: true, keyword: exakt}\n"))
    assert "lenses.articles.fields.t.keyword" in line
    assert "'exact'" in line


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("true", "true: this key is a truth value"),
        ("null", "null: this key is null, which is nothing"),
        ("", ": this key is null, which is nothing"),
        ("2026", "2026: this key is a number"),
        ("3.10", "3.10: this key is a number"),
        ("2026-01-01", "2026-01-01: this key is a date"),
        ("? [a, b]\n          ", "?: this key is a list"),
        ("? {a: b}\n          ", "?: this key is a mapping"),
        ("!!binary YWI=", "YWI=: this key is no text"),
    ],
)
def test_a_key_that_is_no_text_is_told_as_the_file_spells_it(
    tmp_path: Path, key: str, told: str
) -> None:
    join = f"    joins:\n      j:\n        table: u\n        on:\n          {key}: id\n"

    (problem,) = refusal(tmp_path, lens("      a: {type: text, searchable: true}\n", more=join))

    assert problem.startswith(f"sl.config.yaml:12: lenses.articles.joins.j.on.{told}")
    assert problem.endswith("put it into quotation marks, or take another name")


def test_a_name_that_is_no_text_is_told_wherever_it_stands(tmp_path: Path) -> None:
    text = (
        "stack: s\nsources:\n  true: {bridge: sql, connection: 'sqlite:///x'}\n"
        "  2: {bridge: sql, connection: 'sqlite:///x'}\nlenses:\n"
        "  null:\n    source: m\n    table: t\n    joins:\n      yes: {table: u, on: {1: id}}\n"
        "      3: {table: u, on: {a: b}}\n    fields:\n      {type}: {type: text}\n"
        "      false: {type: text}\n    embedding:\n      5: x\n"
    )

    problems = refusal(tmp_path, text)

    told = [problem.removeprefix("sl.config.yaml:").split(": ")[:2] for problem in problems]
    assert told == [
        ["3", "sources.true"],
        ["4", "sources.2"],
        ["6", "lenses.null"],
        ["7", "lenses.null.source"],
        ["10", "lenses.null.joins.yes.on.1"],
        ["11", "lenses.null.joins.3"],
        ["13", "lenses.null.fields.?"],
        ["14", "lenses.null.fields.false"],
        ["16", "lenses.null.embedding.5"],
    ]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("!!binary YWI=", "!!binary is none of JSON's values; write the text itself"),
        ("!!set {a, b}", "!!set is none of JSON's values, and has no order; write a list"),
        ("[.nan]", "nullAs[0]: .nan is none of JSON's numbers"),
        ("{a: -.inf}", "nullAs.a: -.inf is none of JSON's numbers"),
    ],
)
def test_a_value_that_json_has_not_is_refused_as_the_registry_could_not_keep_it(
    tmp_path: Path, value: str, told: str
) -> None:
    field = f"      a:\n        type: text\n        nullAs: {value}\n        searchable: true\n"

    (problem,) = refusal(tmp_path, lens(field))

    assert problem.startswith("sl.config.yaml:11: lenses.articles.fields.a.nullAs")
    assert told in problem


def test_a_set_where_keys_are_wanted_is_shown_as_one(tmp_path: Path) -> None:
    text = lens("      a: {type: text, searchable: true}\n", more="    tags: !!set {a, b}\n")

    (problem,) = refusal(tmp_path, text)

    assert problem.endswith("lenses.articles.tags: expected a mapping of keys; got '!!set'")


WRONG = ["null", "7", "-1", "1.5", "true", "zz", "''", "[a]", "[]", "{a: b}", "{}", "[[a], {}]"]
WHOLE = """\
stack: %
sources:
  main: {bridge: %, connection: %, timeout: %, cdc: %, maxSlotBytes: %}
alerts: [{url: %, form: %, failedRows: %}]
lenses:
  docs:
    source: %
    table: %
    primaryKey: %
    changeTrackingColumn: %
    where: %
    joins: {cat: {table: %, on: {a: %}, changeTrackingColumn: %}}
    syncInterval: %
    smartSyncInterval: %
    fullWalkEvery: %
    debounce: %
    shards: %
    rebuild: %
    guard: %
    onMisfit: %
    onFailure: %
    embedding: {provider: %, model: %, dimensions: %, revision: %, prompts: {query: %}}
    rerank: %
    tenant: %
    chunking: {mode: %, size: %, overlap: %, fields: %, by: %}
    deps: %
    automation: %
    freshness: %
    description: %
    group: %
    owners: %
    tags: {a: %}
    fields:
      a: {type: %, array: %, values: %, from: %, merge: %, separator: %, keyword: %}
      b: {type: text, searchable: %, transform: %}
      c: {type: text, searchable: {weight: %}, transform: [{type: truncate, length: %}]}
      d: {type: text, searchable: true, nullAs: %, undefinedAs: %}
"""
SECTIONS = """\
stack: s
sources: {main: %, other: {bridge: sql, connection: 'sqlite:///x'}}
alerts: [%, %]
lenses:
  a: %
  b: {source: other, table: t, fields: %, embedding: %, chunking: %, joins: %, tags: %, deps: [%]}
  c: {source: other, table: t, fields: {x: %, y: {type: text, searchable: %, transform: [%]}}}
  d: {source: other, table: t, embedding: {request: %, prompts: %}, joins: {j: %, k: {on: %}}}
"""


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("text", [WHOLE, SECTIONS], ids=["values", "sections"])
def test_a_wrong_type_at_any_key_is_told_with_line_and_key_and_no_traceback(
    tmp_path: Path, text: str, value: str
) -> None:
    problems = refusal(tmp_path, text.replace("%", value))

    for problem in problems:
        assert re.match(r"sl\.config\.yaml:\d+: \S+: \w", problem), problem
    assert len(problems) > 5


def test_true_is_no_number_where_one_would_let_a_sync_delete_everything(tmp_path: Path) -> None:
    (problem,) = refusal(
        tmp_path, lens("      a: {type: text, searchable: true}\n", more="    guard: true\n")
    )

    assert problem == "sl.config.yaml:8: lenses.articles.guard: expected a number; got true"
