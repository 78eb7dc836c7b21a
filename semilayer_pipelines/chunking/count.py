"""Counting tokens as the model does: with the model's own tokenizer, or a faster equal of it.

`nanotoken` gives WordPiece's tokens some fifty times as fast, where it is installed. Where it is
not, each word goes through the tokenizer once: words repeat. Either is used while it counts as the
tokenizer does, on probes when it is opened and on a sample of every call.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from semilayer_pipelines.embedders.local.fast_tokens import PROBED, FastTokens, fast_tokens

__all__ = ["BLANKS", "Counter", "Estimate", "Exact", "Words", "counter_of"]

logger = logging.getLogger(__name__)

BYTES_A_TOKEN = 3
"""Bytes that an estimate takes for one token: fewer than most tokens of most models have."""

BLANKS = " \n\t"
"""What parts words for every tokenizer; other blanks are dropped by some, so that words meet."""

_WORDS_ALONE = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit"}
_KEPT_BYTES = 16 << 20  # of words and their counts
_ENTRY_BYTES = 150  # of a word in a dictionary, its letters left out
_SAMPLE_CHARACTERS = 250  # so long is the text of each call that is counted both ways at most


class Counter(Protocol):
    """Counts tokens of texts, special ones left out."""

    @property
    def fast(self) -> bool:
        """Say whether counting costs next to nothing."""
        ...

    @property
    def adds_up(self) -> bool:
        """Say whether counts of parts add up to that of the whole, where blanks part them."""
        ...

    def count(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return how many tokens each text has."""
        ...


@dataclass(frozen=True)
class Estimate:
    """Tokens of a model whose tokenizer nobody knows here: one for every three bytes of UTF-8."""

    fast: bool = True
    adds_up: bool = False

    def count(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return how many tokens each text is taken to have."""
        sizes = np.fromiter((len(text.encode()) for text in texts), np.int64, count=len(texts))
        return -(-sizes // BYTES_A_TOKEN)


class Exact:
    """The model's tokenizer, or its faster equal for as long as that counts alike."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        fast: Callable[[Sequence[str]], NDArray[np.int64]] | None,
        *,
        shared: FastTokens | None = None,
    ) -> None:
        """Take what counts fast; `shared` is what it belongs to, where others use that as well."""
        self._tokenizer = tokenizer
        self._fast = fast
        self._shared = shared
        self.adds_up = _adds_up(tokenizer)

    @property
    def fast(self) -> bool:
        """Say whether a faster equal counts."""
        return self._fast is not None and not (self._shared and self._shared.given_up)

    def count(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return how many tokens each text has."""
        if self._fast is None or not self.fast:
            return _lengths(self._tokenizer, texts)
        try:
            counts = self._fast(texts)
        # Another library's, of which only the name is known.
        except Exception as error:  # noqa: BLE001
            counts = _lengths(self._tokenizer, texts)  # raises for what no tokenizer reads
            self._give_up(f"fails on texts that the model's tokenizer reads ({error})")
            return counts
        sample = [texts[at] for at in _sample(texts)]
        if np.array_equal(counts[_sample(texts)], _lengths(self._tokenizer, sample)):
            return counts
        self._give_up("counts other tokens than the model's tokenizer does")
        return _lengths(self._tokenizer, texts)

    def _give_up(self, what: str) -> None:
        logger.warning(
            "The fast counter %s; from here on the tokenizer counts, more slowly. Please report "
            "the model, and the version of nanotoken if it is installed.",
            what,
        )
        self._fast = None
        if self._shared is not None:
            self._shared.give_up()


class Words:
    """Counts texts by their words, and keeps how many tokens each word has.

    This is exact for a tokenizer whose counts add up where blanks part a text.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, int] = {}
        self._bytes = 0

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return how many tokens each text has."""
        if self._bytes > _KEPT_BYTES:
            # A new one, for another thread may be reading the old.
            self._known, self._bytes = {}, 0
        known = self._known
        parts = [text.replace("\n", " ").replace("\t", " ").split(" ") for text in texts]
        new = list(set(chain.from_iterable(parts)).difference(known))
        known.update(zip(new, _lengths(self._tokenizer, new).tolist(), strict=True))
        self._bytes += sum(map(len, new)) + _ENTRY_BYTES * len(new)
        return np.fromiter(
            (sum(map(known.__getitem__, words)) for words in parts), np.int64, count=len(parts)
        )


def counter_of(tokenizer: Tokenizer) -> Exact:
    """Return the fastest counter that agrees with this tokenizer on the probes."""
    right = _lengths(tokenizer, PROBED)
    known = fast_tokens(tokenizer)
    if known is not None:
        if _agrees(known, right):
            return Exact(tokenizer, known.lengths, shared=known)
        logger.warning("nanotoken reads this model's tokenizer otherwise, and is not used.")
    words = Words(tokenizer) if _adds_up(tokenizer) else None
    return Exact(tokenizer, words if words and np.array_equal(words(PROBED), right) else None)


def _agrees(fast: FastTokens, right: NDArray[np.int64]) -> bool:
    try:
        return np.array_equal(fast.lengths(PROBED), right)
    # Whatever it cannot do with these texts.
    except Exception as error:  # noqa: BLE001
        logger.info("nanotoken fails on the probes: %s", error)
        return False


def _adds_up(tokenizer: Tokenizer) -> bool:
    about = json.loads(tokenizer.to_str())
    before = (about.get("pre_tokenizer") or {}).get("type")
    over_blanks = any(set(added["content"]) & set(BLANKS) for added in about["added_tokens"])
    word_by_word = about["model"].get("type") == "WordPiece" and before in _WORDS_ALONE
    return word_by_word and not over_blanks


def _lengths(tokenizer: Tokenizer, texts: Sequence[str]) -> NDArray[np.int64]:
    made = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return np.fromiter((len(one) for one in made), np.int64, count=len(made))


def _sample(texts: Sequence[str]) -> list[int]:
    """Return the place of a text in the middle, if it is soon counted."""
    middle = len(texts) // 2
    return [at for at in range(middle, len(texts))[:1] if len(texts[at]) <= _SAMPLE_CHARACTERS]
