"""A real sentence-transformers model of a few kilobytes: one vector a word, averaged."""

from pathlib import Path

import numpy as np

WORDS = {"[UNK]": 0, "north": 1, "east": 2, "poison": 3, "nothing": 4}
VECTORS = np.array([[1, 1], [0, 1], [1, 0], [np.nan, 0], [0, 0]], np.float32)


def save_tiny_model(folder: Path, *, scale: float = 1.0) -> Path:
    """Write the model; `poison` has a NaN in its vector and `nothing` is zero."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    module = StaticEmbedding(tokenizer, embedding_weights=VECTORS * scale)
    SentenceTransformer(modules=[module], device="cpu").save(str(folder), create_model_card=False)
    return folder
