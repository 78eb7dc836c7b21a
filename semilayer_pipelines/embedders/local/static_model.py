"""A static model: a vector for each token of its vocabulary, and a text is the mean of its tokens.

Reads what sentence-transformers (`StaticEmbedding`) and model2vec write, without torch. A token
that the vocabulary does not have is left out, as model2vec does; its stand-in means nothing.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from tokenizers import Tokenizer

from semilayer_pipelines.embedders.backend import Backend
from semilayer_pipelines.embedders.local.model_files import fetch, model_file, model_json, parsed
from semilayer_pipelines.embedders.local.model_source import ModelSource
from semilayer_pipelines.embedders.local.tokens import Tokeniser, Tokens
from semilayer_pipelines.embedders.protocol import Embedded
from semilayer_pipelines.errors import ModelUnavailable

__all__ = ["StaticModel"]

_MODULES, _CONFIG, _WEIGHTS, _TOKENIZER = (
    "modules.json",
    "config.json",
    "model.safetensors",
    "tokenizer.json",
)
_TABLES = ("embedding.weight", "embeddings")  # sentence-transformers', model2vec's
_BACKEND = Backend("scipy", "float32", "cpu")
_TOKENS = 65_536  # that one thread adds up at once; a part has a fixed cost
_CURE = (
    "Name a static model, such as minishlab/potion-base-8M, or a folder that holds one; for any "
    "other use 'provider: sentence-transformers'."
)


@dataclass(frozen=True)
class StaticModel:
    """Safe to share between threads. `table` has a row for each token's id.

    `unknown` is the id that stands for a token without one. `unit` says whether vectors have length
    one.
    """

    tokeniser: Tokeniser
    table: NDArray[np.float32]
    unknown: int | None
    unit: bool

    @classmethod
    def load(cls, source: ModelSource) -> Self:
        """Read a model's files, getting them from the hub where they are not here.

        Raises `ModelUnavailable` when they cannot be had or read, or are no static model's.
        """
        fetch(source, _MODULES, _CONFIG)
        modules = parsed(source, _MODULES) or []
        folder = _prefix(modules)
        fetch(source, f"{folder}{_TOKENIZER}", f"{folder}{_WEIGHTS}")
        tokenizer_file = model_file(source, f"{folder}{_TOKENIZER}")
        weights_file = model_file(source, f"{folder}{_WEIGHTS}")
        if tokenizer_file is None or weights_file is None or not _is_static(modules):
            raise ModelUnavailable(f"There is no static model in {source}.", cure=_CURE)
        try:
            table = _table(weights_file)
            tokenizer = Tokenizer.from_file(str(tokenizer_file))
        # Two libraries, each with exceptions of its own for a file that is damaged.
        except Exception as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelUnavailable(
                f"The static model in {source} cannot be read: {said}", cure=_CURE
            ) from error
        tokens = 1 + max(tokenizer.get_vocab().values(), default=-1)
        if len(table) < tokens:
            raise ModelUnavailable(
                f"The static model in {source} has {len(table):,} vectors for {tokens:,} tokens.",
                cure=_CURE,
            )
        tokenizer.no_padding()
        tokenizer.no_truncation()
        unit = any(str(module.get("type")).endswith("Normalize") for module in modules)
        unit = unit or bool(model_json(source, _CONFIG).get("normalize"))
        return cls(Tokeniser(tokenizer, 0, special=False), table, _unknown(tokenizer), unit)

    def embed(self, texts: list[str]) -> Embedded:
        """Embed the texts. One without a known token gets a vector of zeros, which is refused."""
        tokens = self.tokeniser.read(texts)
        vectors = self._means(self._known(tokens))
        if self.unit:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors /= np.where(lengths > 0, lengths, 1)
        return Embedded(vectors, tokens.truncated, tokens.lengths, _BACKEND)

    def _known(self, tokens: Tokens) -> Tokens:
        if self.unknown is None:
            return tokens
        known = tokens.ids != self.unknown
        if known.all():
            return tokens
        owners = np.repeat(np.arange(len(tokens)), tokens.lengths)[known]
        lengths = np.bincount(owners, minlength=len(tokens)).astype(np.int64)
        return Tokens(tokens.ids[known], lengths, tokens.truncated)

    def _means(self, tokens: Tokens) -> NDArray[np.float32]:
        vectors = np.empty((len(tokens), self.table.shape[1]), np.float32)
        ends = np.concatenate([[0], np.cumsum(tokens.lengths)])

        def mean(part: slice) -> None:
            bounds = ends[part.start : part.stop + 1]
            ids = tokens.ids[bounds[0] : bounds[-1]]
            # A row for each text and a column for each token of the vocabulary. The product adds up
            # rows of the table where they lie, and other threads run meanwhile.
            counts = csr_array(
                (np.ones(len(ids), np.float32), ids, bounds - bounds[0]),
                shape=(len(bounds) - 1, len(self.table)),
            )
            counts.check_format()  # the product itself reads memory for an id, wherever that is
            lengths = np.maximum(tokens.lengths[part], 1).astype(np.float32)
            np.divide(counts @ self.table, lengths[:, None], out=vectors[part])

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(mean, _parts(ends[1:])))
        return vectors


def _parts(ends: NDArray[np.int64]) -> list[slice]:
    """Cut texts into runs of some thousand tokens each, or of one text."""
    parts, start = [], 0
    while start < len(ends):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _TOKENS, side="right")))
        parts.append(slice(start, stop))
        start = stop
    return parts


def _prefix(modules: list[dict[str, Any]]) -> str:
    path = str(modules[0].get("path") or "") if modules else ""
    return f"{path}/" if path else ""


def _is_static(modules: list[dict[str, Any]]) -> bool:
    """Say whether these are a static model's; model2vec's own need no such list."""
    kinds = [str(module.get("type")).rpartition(".")[2] for module in modules]
    return not kinds or (kinds[0] == "StaticEmbedding" and set(kinds[1:]) <= {"Normalize"})


def _table(file: Path) -> NDArray[np.float32]:
    from safetensors.numpy import load_file

    held = load_file(str(file))
    name = next((name for name in _TABLES if name in held), None)
    if name is None:
        raise ValueError(f"{file.name} has no {' or '.join(_TABLES)}")
    table = held[name].astype(np.float32)
    if "mapping" in held:  # tokens that share a vector
        table = table[held["mapping"].astype(np.int64)]
    if "weights" in held:
        table = table * held["weights"].astype(np.float32)[:, None]
    return np.ascontiguousarray(table)


def _unknown(tokenizer: Tokenizer) -> int | None:
    model = json.loads(tokenizer.to_str())["model"]
    if model.get("type") == "Unigram":
        at = model.get("unk_id")
        return None if at is None else int(at)
    name = model.get("unk_token")
    return None if name is None else tokenizer.token_to_id(name)
