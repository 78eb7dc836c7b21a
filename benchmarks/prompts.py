"""What a model's prompts are worth: the same texts and questions with them and without.

The model is yours: no package carries one that has prompts. `SEMILAYER_BENCH_MODEL` names it, or
its folder. `SEMILAYER_BENCH_QUERY_PROMPT` and `SEMILAYER_BENCH_PASSAGE_PROMPT` set prompts for one
that brings none. Each of the 1,500 committed packages is searched for by its summary, among the
descriptions of all.
"""

from __future__ import annotations

import os

import numpy as np

from benchmarks.packages import sample
from benchmarks.result import Result, measured
from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.config.prompts import PromptsConfig
from semilayer_pipelines.embedders import Embedder, open_embedder
from semilayer_pipelines.errors import ConfigError

__all__ = ["run"]

_BEST = 10
_CHARACTERS = 1_000


def run() -> list[Result]:
    """Embed everything twice; raises `ConfigError` without a model."""
    name = os.environ.get("SEMILAYER_BENCH_MODEL")
    if name is None:
        raise ConfigError(
            "This benchmark needs a model that has prompts.",
            cure="Set SEMILAYER_BENCH_MODEL to its name or folder.",
        )
    rows = sample().unique("summary", keep="first", maintain_order=True)
    queries = rows["summary"].to_list()
    passages = rows["description"].str.slice(0, _CHARACTERS).to_list()
    named = PromptsConfig(
        query=os.environ.get("SEMILAYER_BENCH_QUERY_PROMPT"),
        passage=os.environ.get("SEMILAYER_BENCH_PASSAGE_PROMPT"),
    )
    prompts = {"with prompts": named, "without": PromptsConfig(query="", passage="")}
    found = {
        label: _mrr(_embedder(name, asked), queries, passages) for label, asked in prompts.items()
    }
    gain = found["with prompts"] - found["without"]
    results = [Result(f"MRR@{_BEST} {label}", "", measured([n])) for label, n in found.items()]
    return [*results, Result("gain of the prompts", "", measured([gain]), target=0.0)]


def _embedder(name: str, prompts: PromptsConfig) -> Embedder:
    return open_embedder(EmbeddingConfig(model=name, prompts=prompts), environ={})


def _mrr(embedder: Embedder, queries: list[str], passages: list[str]) -> float:
    """Return the mean reciprocal rank of each query's own passage; 0 beyond the best ten."""
    texts, asked = embedder.embed(passages).vectors, embedder.embed_queries(queries).vectors
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    scores = asked @ texts.T  # the length of a question moves no rank
    ranks = (scores > np.diagonal(scores)[:, None]).sum(axis=1) + 1
    return float(np.where(ranks <= _BEST, 1 / ranks, 0).mean())
