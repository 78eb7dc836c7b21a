"""A real cross-encoder of some kilobytes, with random, seeded weights."""

from pathlib import Path

from tests.embedders.tiny_transformer import LIMIT, WORDS


def save_tiny_reranker(folder: Path, *, labels: int = 1, seed: int = 7) -> Path:
    """Write a BERT of two small layers that gives `labels` numbers for two texts."""
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    bare = folder / "bare"
    bare.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (bare / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizer(str(bare / "vocab.txt"), model_max_length=LIMIT).save_pretrained(bare)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=LIMIT,
        initializer_range=0.5,  # so that the numbers differ
    )
    config.num_labels = labels
    BertForSequenceClassification(config).save_pretrained(bare)
    CrossEncoder(str(bare), device="cpu").save_pretrained(
        str(folder / "model"), create_model_card=False
    )
    return folder / "model"


def scores_of(folder: Path, query: str, texts: list[str]) -> list[float]:
    """Return what the library itself says of the texts."""
    from sentence_transformers import CrossEncoder

    pairs = [(query, text) for text in texts]
    made: list[float] = CrossEncoder(str(folder), device="cpu").predict(pairs).tolist()
    return made
