"""Searching a lens, with the modes and the conditions that any caller has."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from semilayer_pipelines.config.fields import FieldConfig, FieldType
from semilayer_pipelines.errors import ConfigError, SemilayerError
from semilayer_pipelines.http.contract import MAX_ID_CHARACTERS, SearchMode
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry.lenses import Lens
from webhook.console.pages.lens import registered
from webhook.console.pages.rows import MODEL_SECONDS
from webhook.console.web import At, Page
from webhook.service.problems import Problem, from_error

if TYPE_CHECKING:
    # Loads Polars, so it is imported with the first search.
    from semilayer_pipelines.queries.search import Found

__all__ = ["search"]

CONDITIONS = 3
"""Conditions on fields that the console's search takes; programs may ask more."""

SHOWN_HITS = 20
"""Hits that the console's search shows."""

_OPERATORS = (
    ("$eq", "is"),
    ("$ne", "is not"),
    ("$lt", "is less than"),
    ("$lte", "is at most"),
    ("$gt", "is more than"),
    ("$gte", "is at least"),
    ("$in", "is one of (commas between)"),
    ("$empty", "is empty"),
)


@dataclass(frozen=True)
class Condition:
    """One condition as the form has it."""

    field: str
    operator: str
    text: str


@dataclass(frozen=True)
class Question:
    """What was asked: a text, or the row whose like is wanted."""

    text: str
    like: str
    mode: str
    conditions: tuple[Condition, ...]

    def where(self, lens: Lens) -> dict[str, object]:
        """Return the conditions as a search takes them. Raises `ConfigError`."""
        found: dict[str, dict[str, object]] = {}
        for one in self.conditions:
            if one.field:
                field = lens.config.fields.get(one.field)
                if field is None:
                    raise ConfigError(f"There is no field {one.field!r}.")
                found.setdefault(one.field, {})[one.operator] = _value(one, field)
        return dict(found)


async def search(at: At) -> Page:
    """Show the form, and what was found."""
    lens, project = await registered(at), at.console.service.project
    asked = Question(
        text=at.asked("q")[:100_000],
        like=at.asked("like")[:MAX_ID_CHARACTERS],
        mode=at.asked("mode"),
        conditions=tuple(
            Condition(at.asked(f"field{n}"), at.asked(f"is{n}") or "$eq", at.asked(f"value{n}"))
            for n in range(CONDITIONS)
        ),
    )
    found: Found | None = None
    problem: Problem | None = None
    begun = time.perf_counter()
    if asked.text or asked.like:
        try:
            where = asked.where(lens)
            found = await at.slow(lambda: _find(project, lens, asked, where), seconds=MODEL_SECONDS)
        except SemilayerError as error:
            problem = from_error(error)
    return Page(
        "search.html",
        {
            "lens": lens,
            "asked": asked,
            "found": found,
            "problem": problem,
            "seconds": time.perf_counter() - begun,
            "modes": list(SearchMode),
            "operators": _OPERATORS,
            "most": SHOWN_HITS,
        },
    )


def _find(project: Project, lens: Lens, asked: Question, where: dict[str, object]) -> Found:
    from semilayer_pipelines.queries.search import Found, find, similar

    if asked.like:
        hits = similar(project, lens.name, asked.like, env=lens.env, limit=SHOWN_HITS, where=where)
        return Found(SearchMode.SEMANTIC, hits)
    return find(
        project,
        lens.name,
        asked.text,
        env=lens.env,
        limit=SHOWN_HITS,
        where=where,
        mode=asked.mode or None,
    )


def _value(one: Condition, field: FieldConfig) -> object:
    if one.operator == "$empty":
        return one.text.lower() not in ("no", "false", "0")
    if one.operator == "$in":
        return [_scalar(text.strip(), field) for text in one.text.split(",")]
    return _scalar(one.text, field)


def _scalar(text: str, field: FieldConfig) -> object:
    match field.type:
        case FieldType.NUMBER:
            try:
                return int(text) if text.lstrip("-").isdecimal() else float(text)
            except ValueError:
                raise ConfigError(f"{text!r} is not a number.", cure="Write it as 12.5.") from None
        case FieldType.BOOLEAN:
            return text.lower() in ("yes", "true", "1")
        case _:
            return text
