"""A SentenceTransformer that notes which texts it cut, from the tokens it makes anyway.

The only module that imports torch: import it late. It changes nothing about the vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sentence_transformers import SentenceTransformer

__all__ = ["WatchedModel", "longer_than"]


class WatchedModel(SentenceTransformer):
    """Adds `cut`: the texts that did not fit into the model since somebody last cleared it."""

    def __init__(self, location: str, *, revision: str | None, local_files_only: bool) -> None:
        super().__init__(location, revision=revision, local_files_only=local_files_only)
        self.cut: set[str] = set()

    def preprocess(self, inputs: Any, prompt: str | None = None, **kwargs: Any) -> Any:
        """Tokenise a batch as the model does, and note its texts that are too long."""
        features = super().preprocess(inputs, prompt, **kwargs)
        # Fast tokenizers keep what they cut off, so no text has to be tokenised twice.
        encodings = getattr(features, "encodings", None)
        if encodings is not None:
            too_long = [bool(encoding.overflowing) for encoding in encodings]
        else:
            texts = [f"{prompt or ''}{text}" for text in inputs]
            too_long = longer_than(self.max_seq_length, self.tokenizer, texts)
        self.cut.update(text for text, cut in zip(inputs, too_long, strict=True) if cut)
        return features


def longer_than(limit: float | None, tokenizer: Any, texts: Sequence[str]) -> list[bool]:
    """Say which texts have more than `limit` tokens (`None` or infinite: no limit)."""
    if limit is None or limit == float("inf"):
        return [False] * len(texts)
    tokens = tokenizer(list(texts), truncation=False, padding=False, verbose=False)["input_ids"]
    return [len(ids) > limit for ids in tokens]
