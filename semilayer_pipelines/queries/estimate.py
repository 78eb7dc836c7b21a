"""What embedding some texts would take: tokens, seconds and money, measured on a few of them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from semilayer_pipelines.embedders.protocol import Embedder
from semilayer_pipelines.embedders.rate import known_rate
from semilayer_pipelines.queries.findings import ToEmbed

__all__ = ["Estimate", "estimate"]

CHARACTERS_A_TOKEN = 4
"""Of English under the usual vocabularies; used where the model does not say what it read."""

_MILLION = 1_000_000


@dataclass(frozen=True)
class Estimate:
    """What embedding takes. `money` is in the currency of the price, `None` without one."""

    texts: int
    tokens: int
    seconds: float
    money: float | None


def estimate(embedder: Embedder, texts: ToEmbed, price: float | None) -> Estimate:
    """Embed the sample, and conclude from it what all of the texts take.

    `price` is for a million tokens. Nothing is loaded when there is nothing to embed; the time that
    a model needs to load is not counted, as a warm one needs none. Raises what the embedder raises.
    """
    if not texts.texts:
        return Estimate(0, 0, 0.0, None if price is None else 0.0)
    embedder.embed(texts.sample[:1])
    started = time.monotonic()
    embedded = embedder.embed(texts.sample)
    share = texts.texts / len(texts.sample)
    seconds = (time.monotonic() - started) * share
    known = known_rate(embedder.fingerprint)
    if embedded.tokens is None:
        tokens = round(texts.characters / CHARACTERS_A_TOKEN)
    else:
        tokens = round(int(embedded.tokens.sum()) * share)
        if known and known.tokens_per_second:
            # Of a whole load, which says more than the moment that a sample takes.
            seconds = tokens / known.tokens_per_second
    return Estimate(
        texts.texts, tokens, seconds, None if price is None else tokens * price / _MILLION
    )
