"""Vectors as the JSON that OpenAI's clients read, with more fields: `truncated`, `tokens`, `by`.

The vectors are written as they are; float32 survives both forms without loss.
"""

from __future__ import annotations

import base64
import json

from semilayer_pipelines.embedder_service.model import ServedModel
from semilayer_pipelines.embedder_service.requests import EmbeddingsRequest, Encoding
from semilayer_pipelines.embedder_service.rerank import ServedReranker
from semilayer_pipelines.embedders.protocol import Embedded
from semilayer_pipelines.embedders.served import RERANKER

__all__ = ["write_embeddings", "write_models"]


def write_embeddings(request: EmbeddingsRequest, done: Embedded, model: ServedModel) -> bytes:
    """Return the body of the response; `done` is in the order of its texts."""
    vectors: list[list[float]] | list[str]
    match request.encoding:
        case Encoding.FLOAT:
            vectors = done.vectors.tolist()
        case Encoding.BASE64:
            rows = done.vectors.astype("<f4", copy=False)
            vectors = [base64.b64encode(row.tobytes()).decode() for row in rows]
    tokens = _tokens(request, done)
    body: dict[str, object] = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(vectors)
        ],
        "model": model.name,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "truncated": done.truncated.tolist(),
        "by": model.backend.as_json(),
    }
    if done.tokens is not None:
        body["tokens"] = done.tokens.tolist()
    return json.dumps(body, separators=(",", ":")).encode()


def write_models(model: ServedModel, reranker: ServedReranker | None, created: int) -> bytes:
    """Return the list of models, one or two; `created` is in seconds since 1970."""
    entry = {
        "id": model.name,
        "object": "model",
        "created": created,
        "owned_by": "semilayer",
        "fingerprint": model.fingerprint,
        "prompts": model.prompts.as_json(),
        "dimension": model.dimension,
    }
    entries: list[dict[str, object]] = [entry]
    if reranker is not None:
        entries.append(
            {
                "id": reranker.name,
                "object": "model",
                "created": created,
                "owned_by": "semilayer",
                "fingerprint": reranker.reranker.fingerprint,
                RERANKER: True,
            }
        )
    return json.dumps({"object": "list", "data": entries}).encode()


def _tokens(request: EmbeddingsRequest, done: Embedded) -> int:
    """Return the tokens the model read; words, where it does not count any."""
    if done.tokens is not None:
        return int(done.tokens.sum())
    return sum(len(text.split()) for text in request.texts)
