"""A cross-encoder of sentence-transformers that runs in this process.

Torch and the model come with the first question, once a process. Scores are the library's own.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from semilayer_pipelines.embedders.local.hub import hub_has
from semilayer_pipelines.embedders.local.load_model import quiet, unavailable
from semilayer_pipelines.embedders.local.model_files import model_json
from semilayer_pipelines.embedders.local.model_source import (
    ModelSource,
    Origin,
    find_model,
    model_path,
    vector_space,
)
from semilayer_pipelines.embedders.reranker import checked_scores
from semilayer_pipelines.errors import ModelUnavailable

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

__all__ = ["LocalReranker"]

logger = logging.getLogger(__name__)

_ORGANISATION = "cross-encoder"  # what a name without an organisation belongs to
_BATCH = 32
_CURE = (
    "Correct 'rerank' in the lens: name a cross-encoder ('organisation/name'), or the path of a "
    "folder that holds one. Without it, hits stay in the order of the search."
)
_OF_VECTORS = ("SentenceTransformer", "SparseEncoder", "MultiVectorEncoder")

_loaded: dict[ModelSource, CrossEncoder] = {}
_loading = threading.Lock()


class LocalReranker:
    """A model by name or path. Safe to share between threads, which take turns.

    A relative path begins in `folder`.
    """

    def __init__(self, model: str, folder: Path = Path()) -> None:
        self._model = model
        self._folder = folder

    @cached_property
    def fingerprint(self) -> str:
        """Name the model; raise `ModelUnavailable` when it is a path that does not exist."""
        return f"reranker:{vector_space(self.source)}"

    def check(self) -> None:
        """Raise `ModelUnavailable` for what its files tell to be no reranker."""
        assert self.fingerprint
        told = model_json(self.source, "config_sentence_transformers.json").get("model_type")
        labels = model_json(self.source, "config.json").get("id2label") or {}
        what = f"a {told}" if told in _OF_VECTORS else f"a classifier of {len(labels)} kinds"
        if told in _OF_VECTORS or len(labels) > 1:
            raise ModelUnavailable(
                f"There is no reranker in {self.source}, but {what}.",
                cure=_CURE,
            )

    def scores(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Score the texts; raises what the protocol names."""
        if not texts:
            return np.zeros(0, np.float32)
        with _loading:  # also while it is used: its tokenizer is for one thread at a time
            model = self._opened()
            from semilayer_pipelines.embedders.local.torch_engine import alone_on

            pairs = [(query, text) for text in texts]
            try:
                with alone_on(model.device):
                    made: Any = model.predict(pairs, batch_size=_BATCH, show_progress_bar=False)
            # Out of memory, a token the model has no row for.
            except Exception as error:
                raise unavailable(self.source, error, cure=_CURE) from error
        return checked_scores(np.asarray(made, np.float32), len(texts), self._model)

    @cached_property
    def source(self) -> ModelSource:
        """The copy that is meant; raise `ModelUnavailable` for a path that does not exist."""
        name = self._model
        is_there = os.path.isdir(model_path(name, self._folder))
        bare = "/" not in name and not name.startswith((".", "~")) and not is_there
        return find_model(f"{_ORGANISATION}/{name}" if bare else name, None, self._folder)

    def _opened(self) -> CrossEncoder:
        source = self.source
        if source not in _loaded:
            started = time.monotonic()
            try:
                local_only = source.origin is not Origin.HUB or not hub_has(source)
                with quiet():
                    from sentence_transformers import CrossEncoder

                    _loaded[source] = CrossEncoder(source.location, local_files_only=local_only)
            except ModelUnavailable as error:
                raise ModelUnavailable(error.message, cure=_CURE) from error
            # Whatever is wrong with a model's files or its libraries, it surfaces here.
            except Exception as error:
                raise unavailable(source, error, cure=_CURE) from error
            logger.info("reranking with %s, ready in %.1f s", source, time.monotonic() - started)
        return _loaded[source]
