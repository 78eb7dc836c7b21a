"""The shape of `sl.config.yaml`: what a project, a source and a lens may say.

With the parts of a lens (`fields`, `transforms`, `embedding`) these models are the single
description of the configuration: the reader validates against them, the JSON Schema and the
reference page are generated from them, and the registry stores a lens as their JSON.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    Field,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from semilayer_pipelines.config.alerts import Alerts
from semilayer_pipelines.config.base import ConfigModel, no_secret, no_truth
from semilayer_pipelines.config.chunking import ChunkingConfig, written_chunking
from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.config.fields import FieldConfig, FieldType
from semilayer_pipelines.config.intervals import DEBOUNCE, DURATION, SyncInterval
from semilayer_pipelines.config.joins import Joins, written_names
from semilayer_pipelines.config.naming import FieldName, Name
from semilayer_pipelines.config.orchestrated import (
    AUTOMATION,
    EAGER,
    GROUP,
    OFF,
    checked_automation,
    checked_dep,
    checked_owner,
    checked_tags,
)
from semilayer_pipelines.config.sizes import SIZE
from semilayer_pipelines.errors import nearest

__all__ = [
    "Bridge",
    "Cdc",
    "LensConfig",
    "OnFailure",
    "OnMisfit",
    "ProjectConfig",
    "Rebuild",
    "SourceConfig",
]

_TENANT_TYPES = (FieldType.TEXT, FieldType.ENUM, FieldType.NUMBER)


class Rebuild(StrEnum):
    """Whether a rebuild fills a second index and switches, or drops the first one at once."""

    SHADOW = "shadow"
    IN_PLACE = "in_place"


class OnMisfit(StrEnum):
    """What becomes of a value that does not fit its field, where the field is only metadata."""

    NULL_DATES = "nullDates"
    NULL = "null"
    FAIL = "fail"


class OnFailure(StrEnum):
    """What becomes of the vector that a row had before it was set aside."""

    KEEP = "keep"
    REMOVE = "remove"


class Bridge(StrEnum):
    """The kinds of source there are."""

    SQL = "sql"


class Cdc(StrEnum):
    """Where `semilayer follow` reads the changes of a source."""

    LOGICAL = "logical"
    OUTBOX = "outbox"
    BINLOG = "binlog"


class SourceConfig(ConfigModel):
    """A named connection to a database."""

    bridge: Annotated[Bridge, Field(description="`sql`: SQLite, PostgreSQL, MySQL or MariaDB.")]
    connection: Annotated[
        str,
        Field(
            min_length=1,
            description="URL of the database. `${VAR}` is taken from the environment when "
            "connecting and is never stored; `${VAR:-default}` gives a default. A relative path of "
            "a SQLite file begins in the project's folder.",
        ),
    ]
    timeout: Annotated[
        int, Field(gt=0, le=3_600_000, description="Longest time a statement may take, in ms.")
    ] = 30_000
    cdc: Annotated[
        Cdc | None,
        Field(
            description="Where `semilayer follow` reads the changes: `logical` replication or an "
            "`outbox` of PostgreSQL, or the `binlog` of MySQL or MariaDB. None by default."
        ),
    ] = None
    max_slot_bytes: Annotated[
        str,
        Field(
            pattern=SIZE,
            description="Log that the server may keep for us (`logical`): `500MB`, `5GB`. Beyond "
            "it the slot is dropped, a smart sync is queued, and following starts over.",
        ),
    ] = "5GB"

    _numbers = field_validator("timeout", mode="before")(no_truth)

    @field_validator("connection")
    @classmethod
    def _no_secret_in_the_file(cls, connection: str, info: ValidationInfo) -> str:
        return no_secret(connection, info)


class LensConfig(ConfigModel):
    """One table seen through a mapping."""

    source: Annotated[str, Field(description="Key in `sources`.")]
    table: Annotated[str, Field(min_length=1, description="Table or view; may be `schema.table`.")]
    primary_key: Annotated[
        tuple[str, ...],
        Field(
            description="Key column, or a list in key order; by default the table's primary key or "
            "else a unique index without `NULL`. `rowid` is SQLite's own number of a row."
        ),
    ] = ()
    change_tracking_column: Annotated[
        tuple[str, ...],
        Field(
            description="Column that moves with every change, or several of which the first that "
            "is set counts; by default `updated_at`, if it exists, and `created_at` while that is "
            "NULL."
        ),
    ] = ()
    where: Annotated[
        str | None,
        Field(
            min_length=1,
            pattern=r"^[^\x00]*$",
            description="Condition on the table's columns, in the source's SQL. A row for which it "
            "is false or `NULL` is as if it were not there: `status = 'published'`.",
        ),
    ] = None
    joins: Joins = Field(default_factory=dict)
    sync_interval: Annotated[
        SyncInterval | None, Field(description="How often incremental ingest runs.")
    ] = None
    smart_sync_interval: Annotated[
        SyncInterval | None,
        Field(description="How often a smart sync compares every row; sees deletes."),
    ] = None
    full_walk_every: Annotated[
        str,
        Field(
            pattern=DURATION,
            description="How long smart syncs may leave rows unread that the source proves to be "
            "unchanged; then one reads every row: `12h`, `7d`.",
        ),
    ] = "7d"
    debounce: Annotated[
        str,
        Field(
            pattern=DEBOUNCE,
            description="How long after the last change that was told its job is due: `0`, "
            "`500ms`, `2s`, up to `60s`.",
        ),
    ] = "2s"
    shards: Annotated[
        int, Field(ge=1, le=1024, description="Key ranges, each a Dagster partition.")
    ] = 1
    rebuild: Annotated[
        Rebuild,
        Field(
            description="`shadow` fills a second index and switches; `in_place` drops the old one "
            "first."
        ),
    ] = Rebuild.SHADOW
    guard: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Largest share of the index that a sync may delete without a confirmation; "
            "`30%` or 0.3.",
        ),
    ] = 0.3
    on_misfit: Annotated[
        OnMisfit,
        Field(
            description="What becomes of a value that does not fit a field that is not searchable. "
            "`nullDates` leaves a time empty that no calendar has, such as a zero date or "
            "`infinity`, and sets the row aside for any other; `null` leaves each empty; `fail` "
            "always sets the row aside."
        ),
    ] = OnMisfit.NULL_DATES
    on_failure: Annotated[
        OnFailure,
        Field(
            description="What becomes of the vector that a row had before it was set aside. `keep` "
            "leaves it until the row can be indexed again or is gone; `remove` takes it out. A row "
            "that is another tenant's now leaves the old one in any case."
        ),
    ] = OnFailure.KEEP
    embedding: Annotated[EmbeddingConfig, Field(description="The model.")] = EmbeddingConfig()
    rerank: Annotated[
        str | None,
        Field(
            min_length=1,
            description="Cross-encoder that puts the best 50 hits of a search in order. It is a "
            "name on the hub, such as `cross-encoder/ms-marco-MiniLM-L6-v2`, or the path of a "
            "folder, which begins in the project's folder. None by default. It takes effect with "
            "the push.",
        ),
    ] = None
    fields: Annotated[
        dict[FieldName, FieldConfig], Field(min_length=1, description="Field name to field.")
    ]
    # Below the fields, because it is checked against them.
    tenant: Annotated[
        str | None,
        Field(
            description="Field that says whose a row is. Each of its values is searched alone, and "
            "every search must name one. A `text`, an `enum` or a `number` from an integer column."
        ),
    ] = None
    chunking: Annotated[
        ChunkingConfig,
        Field(
            description="How a text is cut that is longer than the model reads: `auto`, `off`, or "
            "a mapping."
        ),
    ] = ChunkingConfig()

    deps: Annotated[
        tuple[str, ...],
        Field(
            description="Assets of your own that the table is made by, as Dagster's UI writes "
            "their keys: `analytics/orders`."
        ),
    ] = ()
    automation: Annotated[
        str,
        Field(
            json_schema_extra={"pattern": AUTOMATION},
            description="When Dagster syncs the lens because of `deps`: `eager` after each of "
            "them; `on_cron(0 6 * * *)` after six (UTC), when all of them are done; or `off`.",
        ),
    ] = OFF
    freshness: Annotated[
        str | None,
        Field(
            pattern=DURATION,
            description="How old the index may get before Dagster shows it as stale: `10m`, `2h`, "
            "`1d`.",
        ),
    ] = None
    description: Annotated[
        str | None, Field(min_length=1, description="What a person reads about the lens.")
    ] = None
    group: Annotated[
        str | None,
        Field(
            pattern=GROUP,
            description="Dagster's asset group; by default the name of the environment.",
        ),
    ] = None
    owners: Annotated[
        tuple[str, ...], Field(description="E-mail addresses, or teams as `team:NAME`.")
    ] = ()
    tags: Annotated[
        dict[str, str], Field(default_factory=dict, description="Tags of the lens's assets.")
    ]

    _numbers = field_validator("shards", "guard", mode="before")(no_truth)

    @field_validator("primary_key", "change_tracking_column", "deps", "owners", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None and info.field_name == "change_tracking_column":
            return ()
        return (value,) if isinstance(value, str) else value

    @field_validator("deps")
    @classmethod
    def _deps_are_asset_keys(cls, deps: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(checked_dep(one) for one in deps)

    @field_validator("automation", mode="before")
    @classmethod
    def _written_off(cls, value: Any) -> Any:
        # JSON, and YAML as older readers take it, know a bare off as false.
        return OFF if value is False else value

    @field_validator("automation")
    @classmethod
    def _automation_has_a_cause(cls, automation: str, info: ValidationInfo) -> str:
        automation = checked_automation(automation)
        if automation == EAGER and info.data.get("deps") == ():
            raise ValueError("eager waits for `deps`, and the lens names none; on_cron needs none")
        return automation

    @field_validator("owners")
    @classmethod
    def _owners_are_people(cls, owners: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(checked_owner(one) for one in owners)

    @field_validator("tags")
    @classmethod
    def _tags_fit(cls, tags: dict[str, str]) -> dict[str, str]:
        return checked_tags(tags)

    @field_serializer("change_tracking_column")
    def _one_as_written(self, names: tuple[str, ...]) -> str | list[str] | None:
        return written_names(names)

    @field_validator("debounce", mode="before")
    @classmethod
    def _written_zero(cls, value: Any) -> Any:
        return "0" if value == 0 and not isinstance(value, bool) else value

    @field_validator("on_misfit", mode="before")
    @classmethod
    def _written_null(cls, value: Any) -> Any:
        # YAML reads a bare null as no value.
        return OnMisfit.NULL if value is None else value

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
    def _names_differ(cls, fields: dict[str, FieldConfig]) -> dict[str, FieldConfig]:
        lowered: dict[str, str] = {}
        for name in fields:
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

    @field_validator("chunking", mode="before")
    @classmethod
    def _chunking_in_a_word(cls, value: Any) -> Any:
        return written_chunking(value)

    @field_validator("chunking")
    @classmethod
    def _cut_fields_are_searchable(
        cls, chunking: ChunkingConfig, info: ValidationInfo
    ) -> ChunkingConfig:
        fields: dict[str, FieldConfig] | None = info.data.get("fields")
        if fields is None:  # they have mistakes of their own
            return chunking
        searchable = [name for name, field in fields.items() if field.searchable]
        for name in chunking.fields:
            if name not in searchable:
                what = (
                    f"field {name!r} is not searchable, so it is not embedded"
                    if name in fields
                    else f"there is no field {name!r}{nearest(name, searchable)}"
                )
                raise ValueError(f"fields: {what}; searchable are {', '.join(searchable)}")
        return chunking

    @property
    def followed(self) -> tuple[object, ...]:
        """What incremental ingest follows. A cursor of other columns means nothing beside it."""
        return self.change_tracking_column, self.joins

    @model_validator(mode="after")
    def _something_is_searchable(self) -> Self:
        if not any(field.searchable for field in self.fields.values()):
            raise ValueError("no field is 'searchable', so there is nothing to embed")
        return self


class ProjectConfig(ConfigModel):
    """A whole `sl.config.yaml`."""

    stack: Annotated[str, Field(min_length=1, description="Name of the project.")]
    sources: Annotated[dict[Name, SourceConfig], Field(description="Source name to source.")]
    lenses: Annotated[
        dict[Name, LensConfig], Field(description="Lens name to lens; the name is used in URLs.")
    ]
    alerts: Alerts = ()
