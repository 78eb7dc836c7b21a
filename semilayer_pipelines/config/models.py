"""The shape of `sl.config.yaml`: what a project, a source, a lens and a field may say.

These models are the single description of the configuration: the reader validates against them,
the JSON Schema and the reference page are generated from them, and the registry stores a lens as
their JSON. Names are camelCase in the file and snake_case here.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel

from semilayer_pipelines.nearest import nearest

__all__ = [
    "SYNC_INTERVALS",
    "Bridge",
    "EmbeddingConfig",
    "FieldConfig",
    "FieldType",
    "LensConfig",
    "Merge",
    "Precision",
    "ProjectConfig",
    "Rebuild",
    "Searchable",
    "SourceConfig",
    "SyncInterval",
    "Transform",
]

SyncInterval = Literal["1m", "5m", "15m", "30m", "1h", "6h", "24h"]
Precision = Literal["auto", "int8"]
SYNC_INTERVALS: dict[str, int] = {
    "1m": 60,
    "5m": 300,
    "15m": 900,
    "30m": 1800,
    "1h": 3600,
    "6h": 21600,
    "24h": 86400,
}
"""Every sync interval and its length in seconds."""

_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_-]{0,62}$")
_PASSWORD = re.compile(r"://[^/@\s]*?:(?P<password>[^@]+)@")
_FIELD_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_]{0,62}$")


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, alias_generator=to_camel
    )


class FieldType(StrEnum):
    """What a mapped field holds."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    JSON = "json"
    ENUM = "enum"


_TENANT_TYPES = (FieldType.TEXT, FieldType.ENUM, FieldType.NUMBER)


class Merge(StrEnum):
    """How several source columns become one value."""

    CONCAT = "concat"
    COALESCE = "coalesce"


class Rebuild(StrEnum):
    """Whether a rebuild fills a second index and switches, or drops the first one at once."""

    SHADOW = "shadow"
    IN_PLACE = "in_place"


class Bridge(StrEnum):
    """The kinds of source there are."""

    SQL = "sql"


class Searchable(_Model):
    """A field whose text is embedded; its text is repeated `weight` times."""

    weight: Annotated[int, Field(ge=1, le=10, description="How often the text is repeated.")] = 1


class ToString(_Model):
    """Text of the value; null becomes an empty text."""

    type: Literal["toString"]


class ToNumber(_Model):
    """Number read from a text; what is no number is set aside as a failed row."""

    type: Literal["toNumber"]


class ToBoolean(_Model):
    """True for `true`, `1` and `yes` in any case, false for everything else."""

    type: Literal["toBoolean"]


class ToDate(_Model):
    """Date read from ISO 8601 text or epoch milliseconds; what is no date becomes null."""

    type: Literal["toDate"]


class Round(_Model):
    """Rounded number; `round` rounds halves to even."""

    type: Literal["round"]
    decimals: Annotated[int, Field(ge=0, le=15, description="Digits after the point.")] = 0
    mode: Annotated[Literal["round", "ceil", "floor"], Field(description="Which way.")] = "round"


class Trim(_Model):
    """Text without white space at its ends; null becomes an empty text."""

    type: Literal["trim"]


class Lowercase(_Model):
    """Text in lower case; null becomes an empty text."""

    type: Literal["lowercase"]


class Uppercase(_Model):
    """Text in upper case; null becomes an empty text."""

    type: Literal["uppercase"]


class Truncate(_Model):
    """The first `length` characters."""

    type: Literal["truncate"]
    length: Annotated[int, Field(gt=0, description="How many characters stay.")]


class Replace(_Model):
    """Every match of a regular expression replaced (`$1` inserts a group)."""

    type: Literal["replace"]
    pattern: str
    replacement: str

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return pattern


class Split(_Model):
    """Text split into a list."""

    type: Literal["split"]
    separator: Annotated[str, Field(min_length=1)]


class Join(_Model):
    """List joined into a text."""

    type: Literal["join"]
    separator: str


class Default(_Model):
    """The given value in place of null."""

    type: Literal["default"]
    value: Any


class Custom(_Model):
    """A Python callable over a Polars Series, written `module:function`.

    It gets the field's values of one page and returns a Series of the same length. Imported from
    the project's folder.
    """

    type: Literal["custom"]
    function: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]


Transform = Annotated[
    ToString
    | ToNumber
    | ToBoolean
    | ToDate
    | Round
    | Trim
    | Lowercase
    | Uppercase
    | Truncate
    | Replace
    | Split
    | Join
    | Default
    | Custom,
    Field(discriminator="type"),
]


class FieldConfig(_Model):
    """One field of a lens: where its value comes from, what is done to it, what it is."""

    type: Annotated[FieldType, Field(description="What the field holds.")]
    array: Annotated[bool, Field(description="A list of values of that type.")] = False
    values: Annotated[
        tuple[str, ...], Field(description="The allowed values of an `enum`; others fail the row.")
    ] = ()
    from_: Annotated[
        tuple[str, ...],
        Field(
            alias="from",
            validation_alias=AliasChoices("from", "from_"),
            description="Source column, or several with `merge`; the field's own name by default.",
        ),
    ] = ()
    merge: Annotated[
        Merge | None,
        Field(description="`concat` drops nulls and joins; `coalesce` takes the first value."),
    ] = None
    separator: Annotated[str | None, Field(description="Between the parts of `concat`.")] = None
    null_as: Annotated[Any, Field(description="Value in place of a null in the source.")] = None
    undefined_as: Annotated[Any, Field(description="Value when the source has no such column.")] = (
        None
    )
    transform: Annotated[
        tuple[Transform, ...],
        Field(
            description="Steps, left to right: a name, a mapping, or `module:function`; one or many."
        ),
    ] = ()
    searchable: Annotated[
        Searchable | None,
        Field(description="`true` or `{weight: N}`: embedded. Otherwise kept as metadata only."),
    ] = None

    @field_validator("from_", mode="before")
    @classmethod
    def _one_or_many_columns(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("searchable", mode="before")
    @classmethod
    def _true_means_weight_one(cls, value: Any) -> Any:
        return {True: {"weight": 1}, False: None}[value] if isinstance(value, bool) else value

    @field_validator("transform", mode="before")
    @classmethod
    def _one_or_many_steps(cls, value: Any) -> Any:
        steps = value if isinstance(value, list | tuple) else (value,)
        return tuple(_step(step) for step in steps)

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if len(self.from_) > 1 and self.merge is None:
            raise ValueError("several columns in 'from' need 'merge': concat or coalesce")
        if self.merge is Merge.CONCAT and self.separator is None:
            raise ValueError("merge: concat needs a 'separator'")
        if self.type is FieldType.ENUM and not self.values:
            raise ValueError("type: enum needs 'values', the list of allowed ones")
        if self.values and self.type is not FieldType.ENUM:
            raise ValueError("'values' belongs to type: enum")
        return self

    @model_serializer(mode="wrap")
    def _as_written(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A null that nobody wrote must not come back from the registry as a written one: it would
        # fill columns that the table lacks instead of reporting them.
        written: dict[str, Any] = serialize(self)
        if not self.undefined_is_filled:
            for name in ("undefinedAs", "undefined_as"):
                written.pop(name, None)
        return written

    @property
    def undefined_is_filled(self) -> bool:
        """Say whether `undefinedAs` was given, even as null."""
        return "undefined_as" in self.model_fields_set


def _step(step: Any) -> Any:
    if isinstance(step, str):
        return {"type": "custom", "function": step} if ":" in step else {"type": step}
    return step


class EmbeddingConfig(_Model):
    """Which model embeds a lens."""

    provider: Annotated[
        Literal["sentence-transformers", "openai", "hash"],
        Field(
            description="`sentence-transformers` runs the model here; `openai` calls any "
            "OpenAI-compatible endpoint; `hash` is deterministic and meaningless, for tests."
        ),
    ] = "sentence-transformers"
    model: Annotated[
        str, Field(min_length=1, description="Model name or, for sentence-transformers, a path.")
    ] = "all-MiniLM-L6-v2"
    revision: Annotated[str | None, Field(description="Revision of a model on a hub.")] = None
    url: Annotated[
        str | None, Field(description="Base URL of the endpoint, up to and without `/embeddings`.")
    ] = None
    api_key: Annotated[
        str | None,
        Field(
            description="Key of the endpoint; must be `${VAR}`, so that no secret is stored.",
            pattern=r"^\$\{[A-Z_][A-Z0-9_]*\}$",
        ),
    ] = None
    dimensions: Annotated[
        int | None, Field(gt=0, le=16384, description="Dimension asked of the model.")
    ] = None
    precision: Annotated[
        Precision,
        Field(
            description="`auto` is the fastest that gives the model's own vectors; `int8` rounds "
            "its matrices to eight bits, on a processor and with the extra `fast`, and its "
            "vectors fill an index of their own."
        ),
    ] = "auto"
    price_per_million_tokens: Annotated[
        float | None,
        Field(
            ge=0,
            description="What a million tokens cost, in any currency: for estimates "
            "(`semilayer sync --dry-run`), and nothing else.",
        ),
    ] = None

    @model_validator(mode="after")
    def _endpoint_has_an_address(self) -> Self:
        if self.provider == "openai" and self.url is None:
            raise ValueError("provider: openai needs 'url', the endpoint's base address")
        return self

    @model_validator(mode="after")
    def _precision_is_of_a_model_that_runs_here(self) -> Self:
        if self.precision != "auto" and self.provider != "sentence-transformers":
            raise ValueError(
                f"provider: {self.provider} has no 'precision'; only sentence-transformers has"
            )
        return self

    def same_model(self, other: EmbeddingConfig) -> bool:
        """Say whether both ask for the same vectors: all but the price decides."""
        free = {"price_per_million_tokens": None}
        return self.model_copy(update=free) == other.model_copy(update=free)


class SourceConfig(_Model):
    """A named connection to a database."""

    bridge: Annotated[Bridge, Field(description="`sql`: SQLite, PostgreSQL, MySQL or MariaDB.")]
    connection: Annotated[
        str,
        Field(
            min_length=1,
            description="SQLAlchemy URL. `${VAR}` is taken from the environment when connecting "
            "and never stored; `${VAR:-default}` gives a default.",
        ),
    ]
    timeout: Annotated[
        int, Field(gt=0, le=3_600_000, description="Longest time a statement may take, in ms.")
    ] = 30_000

    @field_validator("connection")
    @classmethod
    def _no_password_in_the_file(cls, connection: str) -> str:
        found = _PASSWORD.search(connection)
        if found and not found["password"].startswith("${"):
            raise ValueError(
                "holds a password; put it in the environment and write ${VAR} in its place, so that "
                "it is never stored"
            )
        return connection


class LensConfig(_Model):
    """One table seen through a mapping."""

    source: Annotated[str, Field(description="Key in `sources`.")]
    table: Annotated[str, Field(min_length=1, description="Table or view; may be `schema.table`.")]
    primary_key: Annotated[
        tuple[str, ...],
        Field(description="Key column, or a list in key order; the table's own by default."),
    ] = ()
    change_tracking_column: Annotated[
        str | None,
        Field(description="Column that moves with every change; `updated_at` where there is one."),
    ] = None
    sync_interval: Annotated[
        SyncInterval | None, Field(description="How often incremental ingest runs.")
    ] = None
    smart_sync_interval: Annotated[
        SyncInterval | None, Field(description="How often the full compare runs; sees deletes.")
    ] = None
    shards: Annotated[
        int, Field(ge=1, le=1024, description="Key ranges, each a Dagster partition.")
    ] = 1
    rebuild: Annotated[
        Rebuild,
        Field(description="`shadow` fills a second index and switches; `in_place` drops first."),
    ] = Rebuild.SHADOW
    guard: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Largest share of the index a sweep may delete unasked; `30%` or 0.3.",
        ),
    ] = 0.3
    embedding: Annotated[EmbeddingConfig, Field(description="The model.")] = EmbeddingConfig()
    fields: Annotated[
        dict[str, FieldConfig], Field(min_length=1, description="Field name to field.")
    ]
    # Below the fields, because it is held against them.
    tenant: Annotated[
        str | None,
        Field(
            description="Field that says whose a row is: each of its values is searched alone, and "
            "every search must name one. A `text`, an `enum` or a `number` from an integer column."
        ),
    ] = None

    @field_validator("primary_key", mode="before")
    @classmethod
    def _one_or_many_columns(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("guard", mode="before")
    @classmethod
    def _percent(cls, value: Any) -> Any:
        if isinstance(value, str) and value.strip().endswith("%"):
            try:
                return float(value.strip()[:-1]) / 100
            except ValueError:
                raise ValueError(f"expected a share such as 30% or 0.3; got {value!r}") from None
        return value

    @field_validator("fields")
    @classmethod
    def _field_names(cls, fields: dict[str, FieldConfig]) -> dict[str, FieldConfig]:
        lowered: dict[str, str] = {}
        for name in fields:
            if not _FIELD_NAME.match(name):
                raise ValueError(
                    f"field name {name!r}: letters, digits and _, starting with a letter"
                )
            if name.lower() in lowered:
                raise ValueError(
                    f"fields {lowered[name.lower()]!r} and {name!r} differ only in case"
                )
            lowered[name.lower()] = name
        return fields

    @field_validator("tenant")
    @classmethod
    def _tenant_is_a_plain_field(cls, tenant: str | None, info: ValidationInfo) -> str | None:
        fields: dict[str, FieldConfig] | None = info.data.get("fields")
        if tenant is None or fields is None:  # the fields have mistakes of their own
            return tenant
        if tenant not in fields:
            raise ValueError(
                f"there is no field {tenant!r}{nearest(tenant, fields)}; "
                f"there are {', '.join(fields)}"
            )
        field = fields[tenant]
        if field.array:
            raise ValueError(f"field {tenant!r} is a list, and a row belongs to one tenant")
        if field.type not in _TENANT_TYPES:
            raise ValueError(
                f"field {tenant!r} is of type {field.type}; a tenant is a text, an enum or a number"
            )
        return tenant

    @model_validator(mode="after")
    def _something_is_searchable(self) -> Self:
        if not any(field.searchable for field in self.fields.values()):
            raise ValueError("no field is 'searchable', so there is nothing to embed")
        return self


class ProjectConfig(_Model):
    """A whole `sl.config.yaml`."""

    stack: Annotated[str, Field(min_length=1, description="Name of the project.")]
    sources: Annotated[dict[str, SourceConfig], Field(description="Source name to source.")]
    lenses: Annotated[
        dict[str, LensConfig], Field(description="Lens name to lens; the name is used in URLs.")
    ]

    @field_validator("sources", "lenses")
    @classmethod
    def _names(cls, named: dict[str, Any]) -> dict[str, Any]:
        for name in named:
            if not _NAME.match(name):
                raise ValueError(
                    f"name {name!r}: letters, digits, - and _, starting with a letter, at most 63"
                )
        return named
