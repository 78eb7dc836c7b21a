"""A static model made of the default model: each token's own vector, and the mean of a text's.

The recipe is Model2Vec's: the vocabulary is embedded token by token, the main directions are kept,
and frequent tokens count less. No static model comes as a package, so benchmarks make this one.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from benchmarks.result import Result, measured
from benchmarks.timing import timed
from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders import Embedder, open_embedder
from semilayer_pipelines.embedders.local.model_source import find_model

__all__ = ["beside_default", "distilled"]

_DIMENSIONS = 256
_SIF = 1e-4  # the weight of a token that is so frequent is halved
_CHUNKS = 5
_MIN_SPEEDUP = 100
_STATIC_TEXTS = 20  # times as many texts, so that there is something to time


def distilled(folder: Path) -> Path:
    """Write the model to `folder`, as sentence-transformers would; takes a minute."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    config = EmbeddingConfig()
    source = find_model(config.model, config.revision)
    tokenizer = Tokenizer.from_file(str(Path(source.location, "tokenizer.json")))
    names = [tokenizer.id_to_token(at) for at in range(tokenizer.get_vocab_size())]
    texts = [(name or "").removeprefix("##") for name in names]
    vectors = open_embedder(config, environ={}).embed(texts).vectors
    vectors = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(vectors.T @ vectors)
    table = vectors @ directions[:, ::-1][:, :_DIMENSIONS]
    # A vocabulary of WordPiece is in the order of frequency; Zipf's law gives the share of each.
    shares = 1 / (np.arange(len(names)) + 2)
    table *= (_SIF / (_SIF + shares / shares.sum()))[:, None]
    static = StaticEmbedding(tokenizer, embedding_weights=table.astype(np.float32))
    SentenceTransformer(modules=[static, Normalize()], device="cpu").save(str(folder))
    return folder


def beside_default(embedder: Embedder, texts: list[str], folder: Path) -> list[Result]:
    """Embed with both, chunk by chunk and in turns."""
    config = EmbeddingConfig(provider="static", model=str(distilled(folder)))
    static = open_embedder(config, environ={})
    started = time.monotonic()
    static.embed(texts[:1])
    ready = time.monotonic() - started
    many = [f"{text} {n}" for n in range(_STATIC_TEXTS) for text in texts]
    ratios, speeds = [], []
    size, large = -(-len(texts) // _CHUNKS), -(-len(many) // _CHUNKS)
    for at in range(_CHUNKS):
        few, more = texts[at * size : (at + 1) * size], many[at * large : (at + 1) * large]
        slow = timed(lambda few=few: embedder.embed(few)) / len(few)  # type: ignore[misc]
        fast = timed(lambda more=more: static.embed(more)) / len(more)  # type: ignore[misc]
        ratios.append(slow / fast)
        speeds.append(1 / fast)
    return [
        Result("static model over the default one", "", measured(ratios), target=_MIN_SPEEDUP),
        Result("static model", "rows/s", measured(speeds)),
        Result("static model: ready", "s", measured([ready])),
    ]
