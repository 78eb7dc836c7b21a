"""Texts as the token ids that a model reads, made once and without torch.

Only for models whose own preprocessing is a fast tokenizer and nothing else: `Tokeniser.of` makes
sure of that on the probes, and such a model's texts may then be batched by what they really cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from semilayer_pipelines.embedders.local.probe import PROBES
from semilayer_pipelines.embedders.prompts import no_room

if TYPE_CHECKING:
    from semilayer_pipelines.embedders.local.watched_model import WatchedModel

__all__ = ["Tokeniser", "Tokens"]

_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
_A_PROMPT = "task: search result | query: "


@dataclass(frozen=True)
class Tokens:
    """The token ids of some texts, and which of these were cut to what the model reads."""

    ids: list[NDArray[np.int32]]
    truncated: NDArray[np.bool_]


class Tokeniser:
    """Safe to share between threads, and uses all cores without holding Python's lock.

    `limit` is how many tokens of a text are read at most.
    """

    def __init__(self, tokenizer: Tokenizer, pad_id: int) -> None:
        self._tokenizer = tokenizer
        self.pad_id = pad_id
        self.limit = (
            None if tokenizer.truncation is None else int(tokenizer.truncation["max_length"])
        )

    @classmethod
    def of(cls, model: WatchedModel) -> Self | None:
        """Return the model's tokeniser, or `None` when the model reads more than its token ids."""
        theirs: Any = model.tokenizer
        backend = getattr(theirs, "backend_tokenizer", None)  # only fast ones have it
        if backend is None or model.truncate_dim or _pools_without_prompt(model):
            return None
        own = Tokenizer.from_str(backend.to_str())
        own.no_padding()
        limit = model.max_seq_length
        if limit is None or limit > 1_000_000:  # the library's "no limit" is 10^30
            own.no_truncation()
        else:
            own.enable_truncation(int(limit))
        made = cls(own, theirs.pad_token_id or 0)
        return made if made._reads_like(model) else None

    @classmethod
    def load(cls, file: Path, pad_id: int) -> Self:
        """Read what `save` wrote."""
        return cls(Tokenizer.from_file(str(file)), pad_id)

    def save(self, file: Path) -> None:
        """Write the tokenizer with its limit; `pad_id` is kept elsewhere."""
        self._tokenizer.save(str(file))

    def read(self, texts: Sequence[str]) -> Tokens:
        """Tokenise the texts, in their order."""
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        # The library has no call that gives arrays; this loop is all that holds Python's lock.
        ids = [np.array(encoding.ids, np.int32) for encoding in encodings]
        cut = (bool(encoding.overflowing) for encoding in encodings)
        return Tokens(ids, np.fromiter(cut, np.bool_, count=len(encodings)))

    def require_room(self, prompt: str) -> None:
        """Raise `ConfigError` when the model reads nothing of a text behind this prompt."""
        tokens = len(self.read([prompt]).ids[0])
        if self.limit is not None and tokens >= self.limit:
            raise no_room(prompt, self.limit)

    def _reads_like(self, model: WatchedModel) -> bool:
        """Say whether the model's own preprocessing gives the same tokens, and nothing beside."""
        return all(self._reads_behind(prompt, model) for prompt in ("", _A_PROMPT))

    def _reads_behind(self, prompt: str, model: WatchedModel) -> bool:
        features = model.preprocess(list(PROBES), prompt)
        inputs = {name for name, value in features.items() if hasattr(value, "shape")}
        if not {"input_ids", "attention_mask"} <= inputs <= _INPUTS:
            return False
        if "token_type_ids" in features and bool(features["token_type_ids"].any()):
            return False
        ids, mask = features["input_ids"].numpy(), features["attention_mask"].numpy()
        if ids.ndim != 2 or ids.shape != mask.shape or len(ids) != len(PROBES):
            return False
        theirs = [row[seen > 0] for row, seen in zip(ids, mask, strict=True)]
        ours = self.read([prompt + text for text in PROBES]).ids
        return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def _pools_without_prompt(model: WatchedModel) -> bool:
    """Say whether the tokens of a prompt are read, and then left out of the vector."""
    return not all(getattr(module, "include_prompt", True) for module in model)
