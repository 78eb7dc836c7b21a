"""The best hits of a search, put in the order of a reranker.

A reranker reads the question and a row's text together. Its scores replace those of the search:
they are the model's own numbers, on its own scale, and only their order means something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from semilayer_pipelines.config.fields import FieldConfig
from semilayer_pipelines.embedders.reranker import Reranker
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import lenses
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.in_force import in_force

__all__ = ["MAX_RERANKED_CHARACTERS", "RERANKED_HITS", "Reranking", "reranking"]

RERANKED_HITS = 50
"""Hits that are read again, at most: each costs the model a text."""

MAX_RERANKED_CHARACTERS = 8_000
"""Of a row's text; a model reads 512 tokens of question and text, as a rule."""


class Part(Protocol):
    """A part of a row's field, as far as it is read again."""

    @property
    def field(self) -> str:
        """The field that was cut."""
        ...

    @property
    def text(self) -> str:
        """The characters that were found."""
        ...


class Found(Protocol):
    """A hit, as far as it is read again: a frozen dataclass with at least these."""

    @property
    def score(self) -> float:
        """How near it is."""
        ...

    @property
    def fields(self) -> Mapping[str, object]:
        """The mapped fields."""
        ...

    @property
    def chunk(self) -> Part | None:
        """The part of a long row that was found, `None` for a row that was not cut."""
        ...


H = TypeVar("H", bound=Found)


class Reranking:
    """What a lens's `rerank` does to a search; without one, nothing."""

    def __init__(self, reranker: Reranker | None, fields: Mapping[str, FieldConfig]) -> None:
        self._reranker = reranker
        self._read = [name for name, field in fields.items() if field.searchable]

    def candidates(self, limit: int) -> int:
        """Return how many hits to search for, when `limit` are asked for."""
        return limit if self._reranker is None else max(limit, RERANKED_HITS)

    def ranked(self, query: str, hits: Sequence[H], limit: int) -> list[H]:
        """Return the best `limit` hits, scored by the model; those beyond `RERANKED_HITS` are left.

        Hits that it scores alike stay in the order of the search. Raises what the reranker raises.
        """
        if self._reranker is None:
            return list(hits[:limit])
        read = hits[:RERANKED_HITS]
        scores = self._reranker.scores(query, [self._text(hit) for hit in read])
        scored = [
            replace(hit, score=float(score))  # type: ignore[type-var]
            for hit, score in zip(read, scores, strict=True)
        ]
        return sorted(scored, key=lambda hit: hit.score, reverse=True)[:limit]

    def _text(self, hit: Found) -> str:
        """Return the hit's searchable fields, a line each, as they are embedded; no weights.

        Of a field that was cut it is the part that was found: its beginning may say nothing of it.
        """
        values = dict(hit.fields)
        if (part := hit.chunk) is not None:
            values[part.field] = part.text
        lines = (_written(values.get(name)) for name in self._read)
        return "\n".join(line for line in lines if line)[:MAX_RERANKED_CHARACTERS]


def reranking(project: Project, active: Generation) -> Reranking:
    """Return what the lens of an index says about reranking now."""
    with project.registry.read() as db:
        model = in_force(db, lenses.by_id(db, active.lens_id)).config.rerank
    return Reranking(None if model is None else project.reranker(model), active.config.fields)


def _written(value: object) -> str:
    match value:
        case None:
            return ""
        case list():
            return ", ".join(_written(item) for item in value if item is not None)
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return str(value)
