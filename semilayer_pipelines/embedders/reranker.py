"""What a reranker is: it reads a question and a text together, and says how well they fit.

That is slower than comparing vectors, and finer: it is only for the best hits of a search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from semilayer_pipelines.errors import ModelUnavailable

__all__ = ["Reranker", "check_reranker", "checked_scores", "open_reranker"]


class Reranker(Protocol):
    """A cross-encoder."""

    @property
    def fingerprint(self) -> str:
        """Name the model, without loading it."""
        ...

    def scores(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return a finite number for each text, higher for a better fit; shape (texts,).

        What it reads at most is the model's to say: longer texts are cut. Raises `ModelUnavailable`
        when the model cannot be loaded or is no reranker, and `EmbedderUnavailable` when its
        service is busy or down.
        """
        ...


def open_reranker(
    model: str,
    *,
    environ: Mapping[str, str],
    service: str | None = None,
    named: bool = True,
    folder: Path = Path(),
) -> Reranker:
    """Return a reranker by name or path; its model loads at the first question.

    A relative path begins in `folder`.
    It runs at the `service` where that has it, else in this process. See `open_embedder`.
    """
    from semilayer_pipelines.embedders.local.cross_encoder import LocalReranker

    local = LocalReranker(model, folder)
    if service is None:
        return local
    from semilayer_pipelines.embedders.warm_reranker import WarmReranker

    return WarmReranker(url=service, local=local, environ=environ, named=named)


def check_reranker(model: str, folder: Path = Path()) -> None:
    """Raise `ModelUnavailable` for what is no reranker as far as its files tell; loads nothing."""
    from semilayer_pipelines.embedders.local.cross_encoder import LocalReranker

    LocalReranker(model, folder).check()


def checked_scores(scores: NDArray[np.float32], texts: int, model: str) -> NDArray[np.float32]:
    """Return the scores when there is a finite one for each text; raise `ModelUnavailable`."""
    if scores.shape != (texts,):
        raise ModelUnavailable(
            f"{model} is no reranker: it gives {scores.shape[-1] if scores.ndim > 1 else 0} "
            "numbers for a question and a text.",
            cure="Name a cross-encoder that gives one, such as "
            "cross-encoder/ms-marco-MiniLM-L6-v2, as 'rerank'.",
        )
    if not np.isfinite(scores).all():
        raise ModelUnavailable(
            f"The reranker {model} gives numbers that are not finite.",
            cure="Check the model's files, or name another one as 'rerank'.",
        )
    return scores
