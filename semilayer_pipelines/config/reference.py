"""The reference page of the configuration, made from the models.

The committed `docs/configuration.md` is this module's output:
`python -m semilayer_pipelines.config.reference > docs/configuration.md`.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from semilayer_pipelines.config.alerts import AlertConfig
from semilayer_pipelines.config.chunking import ChunkingConfig
from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.config.fields import FieldConfig
from semilayer_pipelines.config.joins import JoinConfig
from semilayer_pipelines.config.models import LensConfig, ProjectConfig, SourceConfig
from semilayer_pipelines.config.problems import TRANSFORMS
from semilayer_pipelines.config.prompts import PromptsConfig, RequestConfig
from semilayer_pipelines.config.schema import json_schema

__all__ = ["EXAMPLES", "reference"]

_INTRODUCTION = """\
# Configuration

Generated from the models in `semilayer_pipelines/config/`; do not edit.

A command looks for `sl.config.yaml` in the current folder and then in the folders above it.
Editors complete the file with `sl.config.schema.json`. Put this at the top of the file:

```yaml
# yaml-language-server: $schema=./sl.config.schema.json
```

All mistakes are reported at once, each with file, line and key. A key that is not listed here is
an error. Special words are explained in the [glossary](glossary.md).
"""

_MAPPING = """\
## How a value is made

For every field and row, in this order:

1. **Columns.** The field takes the value of the column in `from`, or of several columns by
   `merge`. `concat` drops nulls and joins the rest; without any rest it gives an empty text.
   `coalesce` takes the first value that is not null. `from: category.name` is the column `name` of
   the [join](keeping-data-fresh.md#text-from-more-than-one-table) `category`. It is null for a row
   that points to no row there.
2. **Missing.** A column that the table does not have is an error, unless `undefinedAs` gives a
   value. Null and missing are two things: `nullAs` never replaces `undefinedAs`.
3. **Null.** A null becomes `nullAs`, if given. In the place of a list, a value that is no list
   becomes a list of one.
4. **Transforms** apply left to right. Null stays null unless the table below says otherwise. On a
   list, a transform works on each element. Only `join`, `default`, `toString` and `custom` get the
   whole list.
5. **Type.** A value may not fit the field's type, such as `abc` for a number or a value that an
   enum does not list. Then the row is set aside with its reason. It is not written, the other rows
   are, and the next sync retries it. A null fits every type.

A field that is not `searchable` is only there to filter by. The lens's `onMisfit` may leave such a
value empty instead, so that the row is still found. Each job counts these values as `nulled`. A
searchable field, the key and the tenant always have to fit.

| type | accepts |
| --- | --- |
| `number` | numbers and texts of numbers; not NaN and infinity |
| `boolean` | booleans, 0 and 1, and `true`, `yes`, `on`, `false`, `no`, `off` in any case |
| `date` | dates, ISO 8601 texts (UTC without a zone) and numbers |
| `json` | any JSON text |
| `enum` | the texts in `values` |
| with `array` | lists, texts of JSON arrays, PostgreSQL array literals; null elements are dropped |

A PostgreSQL array counts from one: the bounds of `[2:3]={1,2}` are left out, and it is `[1,2]`.

A number that stands for a date counts from 1970 on, in UTC. An integer column of 32 bits or fewer
counts seconds: in milliseconds it would end in January 1970. Any other column counts milliseconds.
`transform: {type: toDate, unit: seconds}` says otherwise. `semilayer push` looks at some rows of
such a column. It refuses numbers that would be nobody's dates.

The text that is embedded is made of the searchable fields, in the order of the file. Each field
has a line of its own, which is repeated `weight` times. An empty field leaves no line. A row whose
text is empty, blank or invisible is left out of the search, and counted as `textless`.
"""

_CUSTOM = """\
A transform of your own is a Python function over a [Polars](https://pola.rs) Series. Name it as
`module:function`; it is imported from the folder of `sl.config.yaml`. It gets the values of one
page and returns a Series of the same length:

```python
# cleaning.py, used by `transform: cleaning:without_tags`
import polars as pl

def without_tags(values: pl.Series) -> pl.Series:
    return values.str.replace_all(r"<[^>]+>", " ")
```

If it raises, it is called again for each row. The rows at fault are set aside with the message.
"""

EXAMPLES: dict[str, str] = {
    "project": """\
stack: helpdesk
sources:
  main: {bridge: sql, connection: "${DATABASE_URL}"}
lenses:
  articles:
    source: main
    table: articles
    fields:
      title: {type: text, searchable: true}
""",
    "source": """\
bridge: sql
connection: postgresql://reader:${DB_PASSWORD}@${DB_HOST:-localhost}/shop
timeout: 60000
""",
    "alerts": """\
url: ${SLACK_URL}
form: slack
failedRows: 20
""",
    "lens": """\
source: main
table: public.kb_articles
primaryKey: [tenant, id]
changeTrackingColumn: updated_at
where: status = 'published'
joins:
  category: {table: public.kb_categories, on: {category_id: id}}
syncInterval: 5m
smartSyncInterval: 24h
fullWalkEvery: 7d
shards: 8
guard: 20%
deps: [dbt/kb_articles]
automation: eager
freshness: 2h
owners: [team:support]
fields:
  title: {type: text, searchable: {weight: 3}}
  category: {type: text, from: category.name, searchable: true}
  body: {type: text, searchable: true}
""",
    "join": """\
table: categories
on: {category_id: id}
""",
    "embedding": """\
provider: openai
url: http://localhost:8080/v1
model: text-embedding-3-small
apiKey: ${EMBEDDING_KEY}
""",
    "prompts": """\
query: "Represent this sentence for searching relevant passages: "
passage: ""
""",
    "request": """\
query: {input_type: query}
passage: {input_type: document}
""",
    "chunking": """\
size: 200
overlap: 20
fields: [body]
""",
    "field": """\
type: text
from: [first_name, last_name]
merge: concat
separator: " "
transform: [trim, {type: truncate, length: 200}]
searchable: {weight: 2}
""",
}
"""One example for each section; the tests read all of them."""

_SECTIONS: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("project", "The file", ProjectConfig),
    ("source", "`sources.<name>`", SourceConfig),
    ("alerts", "`alerts[]`", AlertConfig),
    ("lens", "`lenses.<name>`", LensConfig),
    ("join", "`lenses.<name>.joins.<join>`", JoinConfig),
    ("embedding", "`lenses.<name>.embedding`", EmbeddingConfig),
    ("prompts", "`lenses.<name>.embedding.prompts`", PromptsConfig),
    ("request", "`lenses.<name>.embedding.request`", RequestConfig),
    ("chunking", "`lenses.<name>.chunking`", ChunkingConfig),
    ("field", "`lenses.<name>.fields.<field>`", FieldConfig),
)


def reference() -> str:
    """Return the page as Markdown."""
    parts = [_INTRODUCTION]
    for name, title, model in _SECTIONS:
        parts.append(f"## {title}\n\n{_first_line(model)}\n\n{_table(model)}")
        parts.append(f"```yaml\n{EXAMPLES[name]}```\n")
    parts += [_MAPPING, _transforms(), _CUSTOM]
    return "\n".join(parts)


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().partition("\n")[0]


def _table(model: type[BaseModel]) -> str:
    schema = json_schema()
    described = schema if model is ProjectConfig else schema["$defs"][model.__name__]
    required = set(described.get("required", ()))
    lines = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, about in described["properties"].items():
        # A step has more forms than a cell can hold; the section on transforms lists them.
        kind = "one or many" if name == "transform" else _type(about, schema)
        default = "**required**" if name in required else _default(about)
        meaning = _cell(str(about.get("description", "")))
        lines.append(f"| `{name}` | {_cell(kind)} | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(about: dict[str, Any]) -> str:
    match about.get("default"):
        case None | [] | dict():
            return ""
        case value:
            return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _type(about: dict[str, Any], schema: dict[str, Any]) -> str:
    match about:
        case {"$ref": reference}:
            return _type(schema["$defs"][reference.rpartition("/")[2]], schema)
        case {"anyOf": forms}:
            named = [_type(form, schema) for form in forms if form.get("type") != "null"]
            return " or ".join(dict.fromkeys(named))
        case {"enum": values}:
            shown = (value if isinstance(value, str) else json.dumps(value) for value in values)
            return ", ".join(f"`{value}`" for value in shown)
        case {"const": value}:
            return f"`{value}`"
        case {"type": "array", "items": items}:
            return f"list of {_type(items, schema)}"
        case {"type": "object", "additionalProperties": dict()}:
            return "mapping by name"
        case {"type": "object"}:
            return "mapping"
        case {"type": "string", "pattern": pattern} if "%" in pattern:
            return "percentage"
        case {"type": "string"}:
            return "text"
        case {"type": kind}:
            return f"{kind}{_range(about)}"
        case _:
            return "any value"


def _range(about: dict[str, Any]) -> str:
    lowest = about.get("minimum", about.get("exclusiveMinimum"))
    highest = about.get("maximum")
    match lowest, highest:
        case None, None:
            return ""
        case low, None:
            return f" from {low}" if "minimum" in about else f" above {low}"
        case None, high:
            return f" up to {high}"
        case low, high:
            return f", {low} to {high}" if "minimum" in about else f" above {low}, up to {high}"


def _transforms() -> str:
    lines = ["## Transforms", "", "| name | settings | result |", "| --- | --- | --- |"]
    for name, model in TRANSFORMS.items():
        keys = [_setting(key, model) for key in model.model_fields if key != "type"]
        result = " ".join((model.__doc__ or "").split())
        lines.append(f"| `{name}` | {', '.join(keys)} | {_cell(result)} |")
    return "\n".join(lines) + "\n"


def _setting(key: str, model: type[BaseModel]) -> str:
    field = model.model_fields[key]
    name = f"`{field.alias or key}`"
    return name if field.is_required() or field.default is None else f"{name} (`{field.default}`)"


if __name__ == "__main__":
    print(reference(), end="")
