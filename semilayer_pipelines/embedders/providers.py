"""What hosted providers take in one request, as their public documentation says.

A request that is larger is refused as a whole. Where nobody is known, the limits are those that
small servers take as well; a refusal lowers them further (see `batches`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from semilayer_pipelines.config.embedding import EmbeddingConfig

__all__ = ["MAX_BATCH_TEXTS", "MAX_BATCH_TOKENS", "Takes", "takes"]

MAX_BATCH_TEXTS = 128
"""Texts in one request to an endpoint of nobody known, without `maxBatchTexts`."""

MAX_BATCH_TOKENS = 50_000
"""Tokens in one request to an endpoint of nobody known, without `maxBatchTokens`."""


@dataclass(frozen=True)
class Takes:
    """What one request may hold; `base64`: vectors come as bytes when they are asked for so.

    `batches`: it embeds files of requests as OpenAI does; `None` where only the endpoint can tell.
    """

    texts: int
    tokens: int
    base64: bool = False
    batches: bool | None = False


_AZURE = Takes(2_048, 300_000, base64=True)
_BY_HOST = {
    "api.openai.com": Takes(2_048, 300_000, base64=True, batches=True),
    "openai.azure.com": _AZURE,
    "cognitiveservices.azure.com": _AZURE,
    "services.ai.azure.com": _AZURE,
    "api.cohere.com": Takes(96, 128_000),
    "api.cohere.ai": Takes(96, 128_000),
    "api.voyageai.com": Takes(1_000, 120_000, base64=True),
    "ai.mongodb.com": Takes(1_000, 120_000, base64=True),
    "api.mistral.ai": Takes(512, 16_384, base64=True),
    "api.jina.ai": Takes(512, 100_000),
    "generativelanguage.googleapis.com": Takes(100, 50_000),
}
"""By the end of the host's name.

Jina and Gemini publish no bound of tokens, so these are ours. Cohere's is that of one call of its
Embed 4. Azure has batches of OpenAI's form, and its list of models for them names none for
embeddings. Its deployments for batches answer nothing else, so `model` would have to name two. The
others' batches have another form, or there are none.
"""

_VOYAGE_TOKENS = {
    "voyage-4-lite": 1_000_000,
    "voyage-3.5-lite": 1_000_000,
    "voyage-4": 320_000,
    "voyage-3.5": 320_000,
    "voyage-2": 320_000,
}
"""Voyage's models that take more tokens in one request than its others."""

_SHARE = 0.9
"""Of the provider's tokens that are used: ours are estimated."""


def takes(config: EmbeddingConfig) -> Takes:
    """Return what one request to the endpoint may hold: as configured, else as it is known."""
    known = _known(config)
    texts = config.max_batch_texts or known.texts
    tokens = config.max_batch_tokens or int(known.tokens * _SHARE)
    if config.tokens_per_minute is not None:
        tokens = min(tokens, config.tokens_per_minute)
    return Takes(texts, tokens, known.base64, known.batches)


def _known(config: EmbeddingConfig) -> Takes:
    host = _host(config.url or "")
    for name, known in _BY_HOST.items():
        if host == name or host.endswith(f".{name}"):
            tokens = _VOYAGE_TOKENS.get(config.model, known.tokens)
            return replace(known, tokens=tokens)
    return Takes(MAX_BATCH_TEXTS, MAX_BATCH_TOKENS, batches=None)


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
