"""Whether a prompt leaves room for a text, known from a model's files before it is loaded."""

from __future__ import annotations

from pathlib import Path

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.local.model_files import model_file, model_json
from semilayer_pipelines.embedders.local.model_source import ModelSource, find_model
from semilayer_pipelines.embedders.prompts import no_room

__all__ = ["check_prompts"]


def check_prompts(config: EmbeddingConfig) -> None:
    """Raise `ConfigError` for a prompt behind which the model would read nothing of a text.

    Where the model's files do not tell, or are not on this machine, the first text does.
    """
    prompts = [text for text in (config.prompts.query, config.prompts.passage) if text]
    if config.provider != "sentence-transformers" or not prompts:
        return
    source = find_model(config.model, config.revision)
    limit, tokenizer = _limit(source), model_file(source, "tokenizer.json")
    if limit is None or tokenizer is None:
        return
    for prompt in prompts:
        if _tokens(tokenizer, prompt) >= limit:
            raise no_room(prompt, limit)


def _limit(source: ModelSource) -> int | None:
    told = (
        model_json(source, "sentence_bert_config.json").get("max_seq_length"),
        model_json(source, "tokenizer_config.json").get("model_max_length"),
        model_json(source, "config.json").get("max_position_embeddings"),
    )
    # The first that says so is what the library takes; a tokenizer's "no limit" is a huge number.
    return next((n for n in told if isinstance(n, int) and 0 < n < 1_000_000), None)


def _tokens(file: Path, text: str) -> int:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return len(tokenizer.encode(text).ids)
