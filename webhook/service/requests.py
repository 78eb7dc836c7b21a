"""Requests as models, for all calls but ingest; and reading them.

A field that is not known is refused by its name, and so is a value of another type: nothing is
guessed or ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from semilayer_pipelines.config.intervals import SyncInterval
from semilayer_pipelines.control.patch import CHANGEABLE
from semilayer_pipelines.errors import nearest
from semilayer_pipelines.http.contract import (
    MAX_CHANGES,
    MAX_ID_CHARACTERS,
    MAX_JOB_WAIT_S,
    MAX_RESULTS,
    Action,
)
from semilayer_pipelines.http.mistakes import mistake
from webhook.service.json_text import QUESTION, parse, plain
from webhook.service.problems import bad_request

__all__ = [
    "EmptyRequest",
    "FailedQuery",
    "IngestRequest",
    "JobQuery",
    "LensPatch",
    "SearchRequest",
    "SimilarRequest",
    "read_body",
    "read_patch",
    "read_query",
]

Model = TypeVar("Model", bound=BaseModel)
Where = Annotated[
    dict[str, Any],
    Field(description='Conditions on fields, all of which hold: `{"price": {"$lt": 10}}`.'),
]
Limit = Annotated[int, Field(ge=1, le=MAX_RESULTS, description="How many rows at most.")]


class _Request(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, strict=True, populate_by_name=False
    )


class ChangeEntry(_Request):
    """One row that changed."""

    id: Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS)]
    action: Action


class IngestRequest(_Request):
    """An ingest call; only described by this model, and read by `webhook.service.ingest_body`."""

    mode: Literal["full", "incremental", "records"]
    changes: Annotated[
        list[ChangeEntry],
        Field(
            min_length=1,
            max_length=MAX_CHANGES,
            description="For mode `records`, and only for it. No id may come twice.",
        ),
    ] = []


class SearchRequest(_Request):
    """A text to look for, by meaning, by words or by both."""

    query: Annotated[str, Field(min_length=1, max_length=100_000)]
    limit: Limit = 10
    where: Where = {}
    mode: Annotated[
        Literal["semantic", "keyword", "hybrid"] | None,
        Field(description="`hybrid` by default where the index has keywords, else `semantic`."),
    ] = None
    min_score: Annotated[
        float | None,
        Field(allow_inf_nan=False, description="Rows below it are left out; see `score` of a hit."),
    ] = None


class SimilarRequest(_Request):
    """A row whose nearest rows are searched; it is not among the results itself."""

    id: Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS)]
    limit: Limit = 10
    where: Where = {}


class LensPatch(_Request):
    """Other values for some keys of a lens; described here, and checked by the lens's model."""

    sync_interval: Annotated[SyncInterval | None, Field(description="`null` turns it off.")] = None
    smart_sync_interval: Annotated[
        SyncInterval | None, Field(description="`null` turns it off.")
    ] = None
    guard: Annotated[float | str, Field(description="`30%` or 0.3.")] = 0.3
    fields: Annotated[
        dict[str, dict[str, Any]],
        Field(min_length=1, description="Replaces all fields; each as in sl.config.yaml."),
    ] = {}


class EmptyRequest(_Request):
    """A call that needs no body."""


class JobQuery(_Request):
    """How long to wait for the job to end."""

    model_config = ConfigDict(strict=False)

    wait: Annotated[
        float, Field(ge=0, le=MAX_JOB_WAIT_S, allow_inf_nan=False, description="Seconds.")
    ] = 0.0


class FailedQuery(_Request):
    """How many failed rows to list."""

    model_config = ConfigDict(strict=False)

    limit: Limit = 100


def read_body(body: bytes, model: type[Model]) -> Model:
    """Return what a body asks; raises `Problem`."""
    return _validated(_object(body), model, "The body")


def read_patch(body: bytes) -> dict[str, Any]:
    """Return the keys of a lens that a body changes, all of them known; raises `Problem`."""
    given = _object(body)
    for name in given:
        if name not in CHANGEABLE:
            raise bad_request(
                f"The body has an unknown field {name[:80]!a}{nearest(name, CHANGEABLE)}.",
                f"What may be changed here: {', '.join(CHANGEABLE)}.",
            )
    if not given:
        raise bad_request("The body changes nothing.", f"It takes {', '.join(CHANGEABLE)}.")
    return given


def read_query(given: Mapping[str, str], model: type[Model]) -> Model:
    """Return what a query string asks; raises `Problem`."""
    return _validated(dict(given), model, "The query")


def _object(body: bytes) -> dict[str, Any]:
    given = plain(parse(body, QUESTION))
    if not isinstance(given, dict):
        raise bad_request("The body is not a JSON object.")
    return given


def _validated(given: dict[str, Any], model: type[Model], what: str) -> Model:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise bad_request(*mistake(error, model, what)) from None
