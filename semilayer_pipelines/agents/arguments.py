"""What each tool takes, and reading it: nothing that a tool does not know is ignored.

The protocol's own checks drop an unknown argument without a word. A misspelt `confirmDeletes` must
be an error instead, so the arguments are read here, strictly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.http.contract import MAX_ID_CHARACTERS
from semilayer_pipelines.http.mistakes import mistake

__all__ = [
    "Action",
    "Apply",
    "Change",
    "Lens",
    "Lenses",
    "Row",
    "Search",
    "Similar",
    "Status",
    "read",
]

MAX_AGENT_ROWS = 50
"""Rows of one answer to an agent, which has to read them all."""

Model = TypeVar("Model", bound=BaseModel)
Action = Literal["sync", "rebuild", "pause", "resume", "rollback", "retryFailed", "configure"]


def _no_nul(text: str) -> str:
    # These are looked up in the registry, and PostgreSQL takes it in no text.
    if "\0" in text:
        raise ValueError("holds NUL; leave it out")
    return text


_Text = Annotated[str, AfterValidator(_no_nul)]
_LensName = Annotated[_Text, Field(min_length=1, max_length=200, description="Name of a lens.")]
_RowId = Annotated[
    _Text,
    Field(
        min_length=1,
        max_length=MAX_ID_CHARACTERS,
        description="The row's key as text; of several columns, a JSON array of texts.",
    ),
]
_Limit = Annotated[int, Field(ge=1, le=MAX_AGENT_ROWS, description="How many rows at most.")]
_Where = Annotated[
    dict[str, Any],
    Field(
        description="Conditions on fields, all of which hold: "
        '{"price": {"$lt": 10}, "section": "web"}. '
        "Operators: $gt $gte $lt $lte $in $nin $ne $empty.",
    ),
]


class _Arguments(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, strict=True)


class Lenses(_Arguments):
    """All lenses, or those that the last answer left out."""

    after: Annotated[
        str | None,
        Field(max_length=200, description="Only lenses whose names come after this one."),
    ] = None


class Lens(_Arguments):
    """One lens."""

    lens: _LensName


class Status(_Arguments):
    """One lens, or all."""

    lens: Annotated[
        _Text | None, Field(max_length=200, description="Only this lens; also asks its source.")
    ] = None


class Search(_Arguments):
    """A text to look for."""

    lens: _LensName
    query: Annotated[
        str, Field(min_length=1, max_length=10_000, description="A question or words.")
    ]
    limit: _Limit = 10
    where: _Where = {}
    mode: Annotated[
        Literal["semantic", "keyword", "hybrid"] | None,
        Field(description="By meaning, by words or by both; the lens's default without it."),
    ] = None
    min_score: Annotated[
        float | None, Field(allow_inf_nan=False, description="Leave out rows below this score.")
    ] = None


class Similar(_Arguments):
    """A row whose nearest rows are searched."""

    lens: _LensName
    id: _RowId
    limit: _Limit = 10
    where: _Where = {}


class Row(_Arguments):
    """One row of a lens."""

    lens: _LensName
    id: _RowId


class Change(_Arguments):
    """Something to be done to a lens."""

    lens: _LensName
    action: Annotated[Action, Field(description="What to do.")]
    confirm_deletes: Annotated[
        bool,
        Field(description="For sync and resume: the rows are really gone, let it pass the guard."),
    ] = False
    settings: Annotated[
        dict[str, Any],
        Field(
            description="For configure: other values of syncInterval, smartSyncInterval, guard or "
            "fields, as in sl.config.yaml."
        ),
    ] = {}


class Apply(_Arguments):
    """A change that was looked at before."""

    token: Annotated[str, Field(min_length=1, max_length=100, description="What plan_change gave.")]


def read(given: Mapping[str, Any], model: type[Model], tool: str) -> Model:
    """Return the arguments of a call; raise `ConfigError`, which names what is wrong."""
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        message, cure = mistake(error, model, tool, field="argument")
        raise ConfigError(message, cure=cure) from None
