"""Texts as the token ids that a model reads, made once and without torch.

Only for models whose own preprocessing is a fast tokenizer and nothing else: `Tokeniser.of` makes
sure of that on the probes, and such a model's texts may then be batched by what they really cost.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from semilayer_pipelines.embedders.local.fast_tokens import PROBED, FastTokens, fast_tokens
from semilayer_pipelines.embedders.local.probe import PROBES
from semilayer_pipelines.embedders.prompts import no_room

if TYPE_CHECKING:
    from semilayer_pipelines.embedders.local.watched_model import WatchedModel

__all__ = ["Tokeniser", "Tokens"]

logger = logging.getLogger(__name__)

_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
_A_PROMPT = "task: search result | query: "
_SAMPLED = 256  # one text of so many is read by the tokenizer as well, and
_LEAST_SAMPLED = 8  # of each call so many, if it has them


@dataclass(frozen=True)
class Tokens:
    """The token ids of some texts, one text after another, and how many each text has.

    `truncated` says which texts were cut to what the model reads.
    """

    ids: NDArray[np.int32]
    lengths: NDArray[np.int64]
    truncated: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.lengths)

    def same(self, other: Tokens) -> bool:
        """Say whether both have the same ids, text by text, and the same texts cut."""
        return (
            np.array_equal(self.ids, other.ids)
            and np.array_equal(self.lengths, other.lengths)
            and np.array_equal(self.truncated, other.truncated)
        )

    def of(self, texts: Sequence[int] | NDArray[np.integer[Any]]) -> Tokens:
        """Return the tokens of the texts at these places."""
        at = np.asarray(texts, np.intp)
        starts = (np.cumsum(self.lengths) - self.lengths)[at]
        places = stretched(starts, self.lengths[at])
        return Tokens(self.ids[places], self.lengths[at], self.truncated[at])


def stretched(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places from each start on, so many as its length says, one after another."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))


class Tokeniser:
    """Safe to share between threads, and uses all cores without holding Python's lock.

    `limit` is how many tokens of a text are read at most. A faster equal of the tokenizer reads
    texts for as long as it gives the same ids; a difference ends that for the process.
    """

    def __init__(self, tokenizer: Tokenizer, pad_id: int, *, special: bool = True) -> None:
        """Take a tokenizer with its limit; `special` says whether special tokens are added."""
        self._tokenizer = tokenizer
        self._special = special
        self.pad_id = pad_id
        self.limit = (
            None if tokenizer.truncation is None else int(tokenizer.truncation["max_length"])
        )
        self._fast = self._opened()

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
        fast = self._fast
        if fast is None or fast.given_up:
            return self._by_reference(texts)
        try:
            tokens = Tokens(*fast.read(texts, self.limit, special=self._special))
        # Another library's, of which only the name is known.
        except Exception as error:  # noqa: BLE001
            tokens = self._by_reference(texts)  # raises for what no tokenizer reads
            _give_up(fast, f"fails on texts that the model's tokenizer reads ({error})")
            return tokens
        sample = _sample(len(texts))
        if tokens.of(sample).same(self._by_reference([texts[at] for at in sample])):
            return tokens
        _give_up(fast, "gives other tokens than the model's tokenizer does")
        return self._by_reference(texts)

    def require_room(self, prompt: str) -> None:
        """Raise `ConfigError` when the model reads nothing of a text behind this prompt."""
        tokens = len(self.read([prompt]).ids)
        if self.limit is not None and tokens >= self.limit:
            raise no_room(prompt, self.limit)

    def _opened(self) -> FastTokens | None:
        truncation = self._tokenizer.truncation
        if truncation is not None and truncation["direction"] != "right":
            return None
        fast = fast_tokens(self._tokenizer)
        if fast is None or self._agrees(fast):
            return fast
        logger.warning("nanotoken reads this model's tokenizer otherwise, and is not used.")
        return None

    def _agrees(self, fast: FastTokens) -> bool:
        right = self._by_reference(PROBED)
        try:
            return Tokens(*fast.read(PROBED, self.limit, special=self._special)).same(right)
        # Whatever it cannot do with these texts.
        except Exception as error:  # noqa: BLE001
            logger.info("nanotoken fails on the probes: %s", error)
            return False

    def _by_reference(self, texts: Sequence[str]) -> Tokens:
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=self._special)
        count = len(encodings)
        lengths = np.fromiter(map(len, encodings), np.int64, count=count)
        # The library gives the ids of a text as a list and in no other form.
        every = chain.from_iterable(encoding.ids for encoding in encodings)
        ids = np.fromiter(every, np.int32, count=int(lengths.sum()))
        cut = (bool(encoding.overflowing) for encoding in encodings)
        return Tokens(ids, lengths, np.fromiter(cut, np.bool_, count=count))

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
        ours = self.read([prompt + text for text in PROBES])
        seen = mask > 0
        return np.array_equal(seen.sum(axis=1), ours.lengths) and np.array_equal(
            ids[seen], ours.ids
        )


def _give_up(fast: FastTokens, what: str) -> None:
    if not fast.given_up:
        logger.warning(
            "nanotoken %s; from here on the tokenizer reads, more slowly. What was embedded before "
            "may hold wrong tokens, too: rebuild the lens when it can be spared. Please report the "
            "model, and the version of nanotoken.",
            what,
        )
    fast.give_up()


def _sample(texts: int) -> NDArray[np.intp]:
    """Return places of texts that are read both ways, spread over all of them."""
    asked = min(texts, max(_LEAST_SAMPLED, texts // _SAMPLED))
    return np.linspace(0, max(texts - 1, 0), asked).astype(np.intp)


def _pools_without_prompt(model: WatchedModel) -> bool:
    """Say whether the tokens of a prompt are read, and then left out of the vector."""
    return not all(getattr(module, "include_prompt", True) for module in model)
