"""A tokenizer read by `nanotoken`, which gives WordPiece's ids some fifty times as fast.

It is young, so nobody takes its word: whoever uses it checks it against the tokenizer itself, on
`PROBED` when it is opened and on a sample of all that it reads later. Who finds a difference calls
`give_up`, and from then on nobody in the process uses it.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from semilayer_pipelines.embedders.local.probe import PROBES

__all__ = ["PROBED", "FastTokens", "fast_tokens"]

logger = logging.getLogger(__name__)

_KEPT = 4  # tokenizers of a process; one has a few megabytes

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
"""Texts on which it has to agree: those of the models, and nasty ones."""


class FastTokens:
    """Safe to share between threads; uses all cores without holding Python's lock."""

    def __init__(self, text: str) -> None:
        """Read a tokenizer's JSON; raise `ValueError` for a kind that nanotoken does not know."""
        from nanotoken import Tokenizer as Fast

        self._fast = Fast.from_json(text)
        self._ending = len(self._fast.backend.suffix_ids)
        self._wrong = threading.Event()

    @property
    def given_up(self) -> bool:
        """Say whether somebody found that it does not give the tokenizer's tokens."""
        return self._wrong.is_set()

    def give_up(self) -> None:
        """Have nobody in this process use it any more."""
        self._wrong.set()

    def lengths(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return how many tokens each text has, special ones left out."""
        made = self._encoded(texts, add_special_tokens=False)
        return np.asarray(made.lengths, np.int64)

    def read(
        self, texts: Sequence[str], limit: int | None, *, special: bool = True
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.bool_]]:
        """Return the ids of all texts, one after another, the length of each, and which are cut.

        Special tokens are among them unless `special` is false. No text has more than `limit` ids.
        """
        # One more than is wanted tells which texts are cut.
        asked = None if limit is None else limit + 1
        made = self._encoded(texts, add_special_tokens=special, max_length=asked)
        ids = np.asarray(made.ids).view(np.int32)
        lengths = np.asarray(made.lengths, np.int64)
        cut = np.zeros(len(texts), np.bool_) if limit is None else lengths > limit
        if cut.any():
            # The last one of the text itself goes, those that end it stay.
            ids = np.delete(ids, np.cumsum(lengths)[cut] - 1 - self._ending * special)
            lengths = lengths - cut
        return ids, lengths, cut

    def _encoded(self, texts: Sequence[str], **asked: Any) -> Any:
        try:
            return self._fast.encode_batch(texts, **asked)
        # A panic in Rust is no `Exception`, and would end a run that only has one odd text.
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            raise RuntimeError(f"nanotoken broke down: {error}") from error


def fast_tokens(tokenizer: Tokenizer) -> FastTokens | None:
    """Return a tokenizer's faster equal, opened once a process.

    `None` where there is none, and where it was given up.
    """
    # Who counts tokens and who embeds cut texts otherwise, and share the rest.
    about = json.loads(tokenizer.to_str()) | {"truncation": None, "padding": None}
    fast = _opened(json.dumps(about))
    return None if fast is None or fast.given_up else fast


@lru_cache(maxsize=_KEPT)
def _opened(text: str) -> FastTokens | None:
    try:
        return FastTokens(text)
    except ImportError:
        logger.info("nanotoken is not used; pip install '.[fast]' adds it")
    except ValueError as error:
        logger.info("nanotoken is not used: %s", error)
    return None
