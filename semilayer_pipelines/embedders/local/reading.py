"""How a model reads a text, known from its files: its tokenizer and its limit. No torch.

An exported model brings the tokenizer that was checked against the model's own. Without one it is
read from the files that the model came with.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.local.graph import graph_folder
from semilayer_pipelines.embedders.local.model_source import (
    ModelSource,
    Origin,
    find_model,
    vector_space,
)
from semilayer_pipelines.errors import ModelUnavailable

__all__ = ["Reading", "reading_of"]

_NO_LIMIT = 1_000_000  # the library's own "no limit" is 10^30
_BERT = "sentence_bert_config.json"


@dataclass(frozen=True)
class Reading:
    """A model's tokenizer, without truncation or padding, and how many tokens it reads of a text.

    `limit` counts the special tokens, `special` is how many of these it adds to a text.
    """

    tokenizer: Tokenizer
    limit: int

    @cached_property
    def special(self) -> int:
        """How many special tokens stand around a text."""
        return int(self.tokenizer.num_special_tokens_to_add(is_pair=False))


def reading_of(config: EmbeddingConfig) -> Reading | None:
    """Return how the lens's model reads; `None` where that is not known or has no limit.

    Raises `ModelUnavailable` when the model is not on this machine and the hub does not give its
    tokenizer.
    """
    if config.provider != "sentence-transformers":
        return None
    source = find_model(config.model, config.revision)
    exported = graph_folder(vector_space(source)) / "tokenizer.json"
    if exported.is_file():
        return _exported(exported)
    return _own(source)


def _exported(file: Path) -> Reading | None:
    tokenizer = Tokenizer.from_file(str(file))
    truncation: dict[str, Any] | None = tokenizer.truncation
    return None if truncation is None else _reading(tokenizer, int(truncation["max_length"]))


def _own(source: ModelSource) -> Reading | None:
    own = _Files(source)
    modules = own.json("modules.json") or [{"path": "", "type": "Transformer"}]
    first = modules[0]
    if not str(first["type"]).endswith("Transformer"):
        return None
    folder = str(first["path"])
    tokenizer = own.file(folder, "tokenizer.json") or own.file("", "tokenizer.json")
    limit = _limit(own, folder)
    if tokenizer is None or limit is None:
        return None
    return _reading(Tokenizer.from_file(str(tokenizer)), limit)


def _limit(own: _Files, folder: str) -> int | None:
    """Return the limit as sentence-transformers finds it: said, else the least of two others."""
    said = (own.json(folder, _BERT) or {}).get("max_seq_length")
    if said is not None:
        return int(said)
    of_tokenizer = (own.json(folder, "tokenizer_config.json") or {}).get("model_max_length")
    positions = (own.json(folder, "config.json") or {}).get("max_position_embeddings")
    known = [int(n) for n in (of_tokenizer, positions) if n is not None and n > 0]
    limit = min(known, default=_NO_LIMIT)
    return limit if limit < _NO_LIMIT else None


def _reading(tokenizer: Tokenizer, limit: int) -> Reading:
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return Reading(tokenizer, limit)


@dataclass(frozen=True)
class _Files:
    """The small files of a copy of a model, in its folder or on the hub."""

    source: ModelSource

    def json(self, *path: str) -> Any:
        found = self.file(*path)
        return None if found is None else json.loads(found.read_text())

    def file(self, *path: str) -> Path | None:
        name = "/".join(part for part in path if part)
        if self.source.origin is Origin.HUB:
            return self._from_hub(name)
        found = Path(self.source.location, name)
        return found if found.is_file() else None

    def _from_hub(self, name: str) -> Path | None:
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        where: dict[str, Any] = {
            "revision": self.source.revision,
            "cache_dir": os.environ.get("SENTENCE_TRANSFORMERS_HOME"),
        }
        # First the cache: a run that embeds nothing needs no network.
        cached = try_to_load_from_cache(self.source.location, name, **where)
        if cached is not None:
            return Path(cached) if isinstance(cached, str) else None
        try:
            return Path(hf_hub_download(self.source.location, name, **where))
        except EntryNotFoundError as error:
            if not isinstance(error, LocalEntryNotFoundError):
                return None
            raise _unread(self.source, error) from error
        # No answer has as many exceptions as HTTP has.
        except Exception as error:
            raise _unread(self.source, error) from error


def _unread(source: ModelSource, error: Exception) -> ModelUnavailable:
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ModelUnavailable(
        f"How {source.location} reads texts is not known on this machine, and the hub does not "
        f"tell: {said}",
        cure="Let this machine reach the hub once, give the path of a folder that holds the model, "
        "or set 'chunking: off'.",
    )
