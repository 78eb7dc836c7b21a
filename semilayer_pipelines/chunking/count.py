"""Counting tokens as the model does: with the model's own tokenizer, or a faster equal of it.

`nanotoken` gives WordPiece's tokens some fifty times as fast. It is used where it is installed and
counts as the reference does, on probes when it is opened and on a sample of every call.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from semilayer_pipelines.embedders.local.probe import PROBES

__all__ = ["PROBED", "Counter", "Estimate", "Exact", "counter_of"]

logger = logging.getLogger(__name__)

BYTES_A_TOKEN = 3
"""Bytes that an estimate takes for one token: fewer than most tokens of most models have."""

_WORDS_ALONE = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit"}
_SAMPLE_CHARACTERS = 1_000  # so long is the text of each call that is counted both ways at most

PROBED = (
    *PROBES,
    "",
    " \t\r\n",
    "a" * 100 + " " + "b" * 101,
    "!?…" * 40,
    "漢字かな交じり文。ภาษาไทยไม่มีช่องว่าง 한국어",
    "e\u0301 ﬁ İ ß ſ Ⅷ １２ \u00ad\u200b\u200d\ufeff x\0y",
    "👩‍👩‍👧‍👦🇩🇪 [SEP] [MASK] <s> ##ing",
)
"""Texts on which a fast counter has to agree: those of the models, and nasty ones."""


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

    def __init__(self, tokenizer: Tokenizer, fast: Callable[[Sequence[str]], Any] | None) -> None:
        self._tokenizer = tokenizer
        self._fast = fast
        about = json.loads(tokenizer.to_str())
        before = (about.get("pre_tokenizer") or {}).get("type")
        self.adds_up = about["model"].get("type") == "WordPiece" and before in _WORDS_ALONE

    @property
    def fast(self) -> bool:
        """Say whether the faster tokenizer counts."""
        return self._fast is not None

    def count(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return how many tokens each text has."""
        if self._fast is None:
            return self._reference(texts)
        counts: NDArray[np.int64] = self._fast(texts)
        sample = _sample(texts)
        if not np.array_equal(counts[sample], self._reference([texts[at] for at in sample])):
            logger.warning(
                "nanotoken counts other tokens than the model's tokenizer does; from here on the "
                "tokenizer counts, more slowly. Please report the version of nanotoken and the "
                "model."
            )
            self._fast = None
            return self._reference(texts)
        return counts

    def _reference(self, texts: Sequence[str]) -> NDArray[np.int64]:
        made = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return np.fromiter((len(one) for one in made), np.int64, count=len(made))


def counter_of(tokenizer: Tokenizer) -> Exact:
    """Return the fastest counter that agrees with this tokenizer on the probes."""
    reference = Exact(tokenizer, None)
    fast = _nanotoken(tokenizer)
    if fast is not None and not np.array_equal(fast(PROBED), reference.count(PROBED)):
        logger.warning("nanotoken reads this model's tokenizer otherwise, and is not used.")
        fast = None
    return Exact(tokenizer, fast)


def _nanotoken(tokenizer: Tokenizer) -> Callable[[Sequence[str]], Any] | None:
    try:
        from nanotoken import Tokenizer as Fast
        from nanotoken import UnsupportedTokenizerError
    except ImportError:
        logger.info("nanotoken is not used; pip install '.[fast]' adds it")
        return None
    try:
        fast = Fast.from_json(tokenizer.to_str())
    except UnsupportedTokenizerError as error:
        logger.info("nanotoken is not used: %s", error)
        return None

    def count(texts: Sequence[str]) -> Any:
        return fast.encode_batch(texts, add_special_tokens=False).lengths.astype(np.int64)

    return count


def _sample(texts: Sequence[str]) -> list[int]:
    """Return the place of a text in the middle, if it is soon counted."""
    middle = len(texts) // 2
    return [at for at in range(middle, len(texts))[:1] if len(texts[at]) <= _SAMPLE_CHARACTERS]
