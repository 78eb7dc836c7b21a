"""A real transformer of some kilobytes, with modules behind it as published models have them."""

from pathlib import Path
from typing import Any

WORDS = [
    "north",
    "east",
    "south",
    "west",
    "keeps",
    "the",
    "vectors",
    "of",
    "a",
    "search",
    "index",
    "in",
    "step",
    "with",
    "rows",
    "table",
]
LIMIT = 24
"""Tokens it reads."""


def save_tiny_transformer(
    folder: Path,
    *,
    pooling: str = "mean",
    dense: bool = False,
    scale: float = 1.0,
    prompts: dict[str, str] | None = None,
    default_prompt_name: str | None = None,
    include_prompt: bool = True,
) -> Path:
    """Write a BERT of two small layers with random, seeded weights.

    `dense` adds a layer to 12 numbers; the words' own vectors are `scale` times as long. Without
    `include_prompt` the tokens of a prompt are read, and left out of the vector.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import (
        Dense,
        Normalize,
        Pooling,
        Transformer,
    )
    from transformers import BertConfig, BertModel, BertTokenizer

    bare = folder / "bare"
    bare.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *_letters()]
    (bare / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizer(str(bare / "vocab.txt"), model_max_length=LIMIT).save_pretrained(bare)
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=LIMIT,
    )
    bert = BertModel(config)
    bert.embeddings.word_embeddings.weight.data *= scale
    bert.save_pretrained(bare)
    modules: list[Any] = [
        Transformer(str(bare), max_seq_length=LIMIT),
        Pooling(32, pooling, include_prompt=include_prompt),
    ]
    if dense:
        modules.append(Dense(32, 12))
    modules.append(Normalize())
    model = SentenceTransformer(
        modules=modules,
        device="cpu",
        prompts=prompts,
        default_prompt_name=default_prompt_name,
    )
    # The card that tells people of it takes most of the time.
    model.save(str(folder / "model"), create_model_card=False)
    return folder / "model"


def _letters() -> list[str]:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,-'():/=#?"
    return [*letters, *(f"##{letter}" for letter in letters)]
