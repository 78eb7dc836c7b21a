"""Texts cut into requests: by how many there are, and by the tokens that they probably have.

Nobody but the endpoint has its tokenizer. So tokens are estimated from bytes, at first with caution
and then from what the endpoint charged for.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from semilayer_pipelines.embedders.providers import Takes

__all__ = ["FIRST_BYTES_A_TOKEN", "SPREAD_TEXTS", "Batches"]

FIRST_BYTES_A_TOKEN = 2.0
"""How few bytes of a text make a token, before an endpoint has said how many it counted."""

SPREAD_TEXTS = 32
"""A page is spread over requests at a time of so many texts or more."""

_MARGIN = 1.1
_FORGOTTEN = 0.1


class Batches:
    """How texts go into requests to one endpoint; learns from its answers. Shared by threads."""

    def __init__(self, takes: Takes) -> None:
        self._texts = takes.texts
        self._tokens = takes.tokens
        self._tokens_a_byte = 1 / FIRST_BYTES_A_TOKEN
        self._learning = threading.Lock()

    def tokens(self, texts: Sequence[str]) -> int:
        """Return about how many tokens the texts have together; rather too many."""
        return sum(map(self._of, texts))

    def cut(self, texts: list[str], *, spread: int) -> Iterator[list[str]]:
        """Cut the list, in its order, into requests that the endpoint takes.

        So many are aimed at as are sent at a time (`spread`). A text that has too many tokens goes
        alone.
        """
        most = min(self._texts, max(SPREAD_TEXTS, -(-len(texts) // spread)))
        batch: list[str] = []
        tokens = 0
        for text in texts:
            one = self._of(text)
            if batch and (len(batch) == most or tokens + one > self._tokens):
                yield batch
                batch, tokens = [], 0
            batch.append(text)
            tokens += one
        if batch:
            yield batch

    def charged(self, texts: Sequence[str], tokens: int) -> None:
        """Note how many tokens the endpoint counted for texts.

        The estimate rises at once and falls slowly.
        """
        size = sum(map(_bytes, texts))
        if not (size and tokens):
            return
        seen = _MARGIN * tokens / size
        with self._learning:
            before = self._tokens_a_byte
            self._tokens_a_byte = max(seen, before + _FORGOTTEN * (seen - before))

    def refused(self, accepted: Sequence[str], reason: str) -> None:
        """Note that a request was refused for its size, and its part `accepted` was taken."""
        with self._learning:
            if "token" in reason.lower():
                self._tokens = min(self._tokens, max(1, self.tokens(accepted)))
            else:
                self._texts = min(self._texts, len(accepted))

    def _of(self, text: str) -> int:
        return int(_bytes(text) * self._tokens_a_byte) + 1


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
