"""A SentenceTransformer that notes what it cut and how much it read, from the tokens it makes.

The only module that imports torch: import it late. It changes nothing about the vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sentence_transformers import SentenceTransformer

__all__ = ["WatchedModel", "longer_than", "token_counts"]


class WatchedModel(SentenceTransformer):
    """Adds `cut`, the texts that did not fit into the model, and `read`, the tokens of each text.

    Both grow until somebody calls `forget`. A text is missing in `read` where the model's input
    does not show where a text ends.
    """

    def __init__(self, location: str, *, revision: str | None, local_files_only: bool) -> None:
        super().__init__(location, revision=revision, local_files_only=local_files_only)
        self.cut: set[str] = set()
        self.read: dict[str, int] = {}

    def forget(self) -> None:
        """Start the notes anew."""
        self.cut.clear()
        self.read.clear()

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
        counts = token_counts(features)
        if len(counts) == len(inputs):
            self.read.update(zip(inputs, counts, strict=True))
        return features


def token_counts(features: Any) -> list[int]:
    """Return how many tokens each text of a model's input has; empty when it does not show."""
    mask = features.get("attention_mask")
    if mask is not None and mask.ndim == 2:
        return [int(count) for count in mask.sum(dim=1)]
    offsets, ids = features.get("offsets"), features.get("input_ids")
    if offsets is not None and ids is not None:
        ends = [*offsets.tolist()[1:], len(ids)]
        return [end - start for start, end in zip(offsets.tolist(), ends, strict=True)]
    return []


def longer_than(limit: float | None, tokenizer: Any, texts: Sequence[str]) -> list[bool]:
    """Say which texts have more than `limit` tokens (`None` or infinite: no limit)."""
    if limit is None or limit == float("inf"):
        return [False] * len(texts)
    tokens = tokenizer(list(texts), truncation=False, padding=False, verbose=False)["input_ids"]
    return [len(ids) > limit for ids in tokens]
