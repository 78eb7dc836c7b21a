"""The best hits of a search, put in the order of a reranker.

A reranker reads the question and a row's text together. Its scores replace those of the search:
they are the model's own numbers, on its own scale, and only their order means something.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from semilayer_pipelines.config.fields import FieldConfig
from semilayer_pipelines.embedders.reranker import Reranker
from semilayer_pipelines.mapping.typed import Typed, plain_text
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.chunk_texts import chunk_texts
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.lenses import Lens
from semilayer_pipelines.stores.chunks.objects import SHORT
from semilayer_pipelines.stores.chunks.protocol import CHUNK
from semilayer_pipelines.stores.protocol import SCORE

__all__ = ["MAX_RERANKED_CHARACTERS", "RERANKED_HITS", "Reranking", "reranking"]

RERANKED_HITS = 50
"""Hits that a reranker reads, at most: each costs it a text."""

MAX_RERANKED_CHARACTERS = 8_000
"""Characters that a reranker gets of a row; as a rule it reads 512 tokens, question included."""


@dataclass(frozen=True)
class Reranking:
    """What a lens's `rerank` does to a search; without one, nothing.

    `fields` are those of the index.
    """

    reranker: Reranker | None
    fields: Mapping[str, FieldConfig]

    def candidates(self, limit: int) -> int:
        """Return how many hits to search for, when `limit` are asked for."""
        return limit if self.reranker is None else max(limit, RERANKED_HITS)

    def ranked(self, query: str, found: pl.DataFrame, limit: int) -> pl.DataFrame:
        """Return the best `limit` hits, scored by the model; those beyond `RERANKED_HITS` are left.

        `found` has SCORE, CHUNK and the fields. Hits that the model scores alike stay in the order
        of the search. Raises what the reranker raises.
        """
        if self.reranker is None:
            return found.head(limit)
        read = found.head(RERANKED_HITS)
        scores = self.reranker.scores(query, self._texts(read))
        scored = read.with_columns(pl.Series(SCORE, scores, dtype=pl.Float32))
        return scored.sort(SCORE, descending=True, maintain_order=True).head(limit)

    def _texts(self, found: pl.DataFrame) -> list[str]:
        """Return the searchable fields of each hit as they are embedded, a line each, unweighted.

        Of a row that was cut, these are its short fields and then the chunk that was found.
        """
        chunk = pl.col(CHUNK).struct
        whole = pl.col(CHUNK).is_null()
        lines: list[pl.Expr] = []
        for name, field in self.fields.items():
            if field.searchable and name in found.columns:
                text = plain_text(Typed(pl.col(name), found.schema[name]))
                before = (text.str.len_chars() <= SHORT) & (chunk.field("field") != name)
                lines.append(pl.when((text != "") & (whole | before)).then(text))
        read = pl.concat_str(*lines, chunk_texts(found), separator="\n", ignore_nulls=True)
        return found.select(read.str.head(MAX_RERANKED_CHARACTERS)).to_series().to_list()


def reranking(project: Project, lens: Lens, active: Generation) -> Reranking:
    """Return what a lens, as it is `in_force`, says about reranking what its index finds."""
    model = lens.config.rerank
    return Reranking(None if model is None else project.reranker(model), active.config.fields)
