"""A static model's vectors are the library's own, made without torch, and never of nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders import open_embedder
from semilayer_pipelines.embedders.protocol import Embedder, PartlyEmbedded
from semilayer_pipelines.errors import DimensionChanged, EmbeddingRejected, ModelUnavailable
from tests.embedders.tiny_transformer import save_tiny_transformer
from tests.lab import Lab

WORDS = [
    *("[UNK]", "north", "east", "south", "west", "rows", "of", "a", "table", "keep", "step"),
    *("##s", "##ing", "."),
]
WIDTH = 6


def wordpiece() -> Tokenizer:
    made = Tokenizer(
        models.WordPiece({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made


def table() -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(3).standard_normal((len(WORDS), WIDTH)).astype(np.float32)


def saved(folder: Path, *, unit: bool = True) -> Path:
    """Write a model as sentence-transformers does."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    static = StaticEmbedding(wordpiece(), embedding_weights=table())
    modules: list[Any] = [static, Normalize()] if unit else [static]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)
    return folder


def opened(folder: Path, **settings: Any) -> Embedder:
    config = EmbeddingConfig(provider="static", model=str(folder), **settings)
    return open_embedder(config, environ={})


@pytest.mark.parametrize("unit", [True, False])
def test_its_vectors_are_those_of_sentence_transformers(tmp_path: Path, unit: bool) -> None:
    from sentence_transformers import SentenceTransformer

    folder = saved(tmp_path / "model", unit=unit)
    texts = ["North", "rows of a table", "keeps keeping step. " * 900, "east east"] * 3

    made = opened(folder).embed(texts)

    own = SentenceTransformer(str(folder), device="cpu").encode(texts)
    np.testing.assert_allclose(made.vectors, own, rtol=1e-3, atol=1e-4)
    assert not made.truncated.any()
    assert made.tokens is not None
    assert made.tokens[:3].tolist() == [1, 4, 5_400]


def test_texts_of_many_tokens_get_the_mean_of_theirs_whichever_thread_adds_it_up(
    tmp_path: Path,
) -> None:
    # given more tokens than one thread adds up at once, and a text that has none
    rows = table()
    embedder = opened(saved(tmp_path / "model", unit=False))
    counts = [(3 * n, 500 - n) for n in range(1, 200)]
    texts = ["north " * some + "south " * others for some, others in counts]

    # when
    with pytest.raises(PartlyEmbedded) as refused:
        embedder.embed(["", *texts])

    # then
    north, south = rows[WORDS.index("north")], rows[WORDS.index("south")]
    means = [(some * north + others * south) / (some + others) for some, others in counts]
    made = refused.value.made.vectors
    np.testing.assert_allclose(made, means, rtol=1e-4, atol=1e-4)
    assert list(refused.value.positions) == [0]


def test_a_text_without_a_known_word_is_refused_and_its_place_told(tmp_path: Path) -> None:
    embedder = opened(saved(tmp_path / "model"))

    with pytest.raises(EmbeddingRejected) as refused:
        embedder.embed(["north", "", "цвет", "  ", "east"])

    assert list(refused.value.positions) == [1, 2, 3]


def test_an_unknown_word_beside_known_ones_changes_nothing(tmp_path: Path) -> None:
    one, other = (
        opened(saved(tmp_path / "model")).embed(["north table", "north цвет table"]).vectors
    )

    np.testing.assert_allclose(one, other, atol=1e-6)


def test_model2vec_files_are_read_with_their_shared_vectors_and_weights(tmp_path: Path) -> None:
    mapping = np.arange(len(WORDS)) // 2
    weights = np.linspace(0.5, 2, len(WORDS)).astype(np.float32)
    short = table()[: mapping.max() + 1]
    held: dict[str, np.ndarray[Any, Any]] = {
        "embeddings": short.astype(np.float16),
        "mapping": mapping,
        "weights": weights,
    }
    save_file(held, str(tmp_path / "model.safetensors"))
    wordpiece().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text('{"model_type": "model2vec", "normalize": false}')

    [vector] = opened(tmp_path).embed(["north west"]).vectors

    rows = short.astype(np.float16).astype(np.float32)[mapping] * weights[:, None]
    expected = rows[[WORDS.index("north"), WORDS.index("west")]].mean(axis=0)
    np.testing.assert_allclose(vector, expected, atol=1e-5)


def test_shorter_vectors_are_another_space(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model")
    short = opened(folder, dimensions=4)

    assert short.embed(["north"]).vectors.shape == (1, 4)
    assert short.fingerprint == f"{opened(folder).fingerprint}:4"
    assert opened(folder).fingerprint.startswith("static:folder-")
    with pytest.raises(DimensionChanged):
        opened(folder, dimensions=WIDTH + 1).embed(["north"])


def test_what_is_no_static_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="no static model"):
        opened(save_tiny_transformer(tmp_path / "bert")).embed(["north"])

    folder = saved(tmp_path / "model")
    next(folder.rglob("*.safetensors")).write_bytes(b"broken")
    with pytest.raises(ModelUnavailable, match="cannot be read"):
        opened(folder).embed(["north"])


def test_a_token_beyond_the_table_is_told_before_any_text_is_read(tmp_path: Path) -> None:
    # given a vocabulary that is no larger than the table, and has a gap
    folder = saved(tmp_path / "model")
    file = next(folder.rglob("tokenizer.json"))
    about = json.loads(file.read_text())
    about["model"]["vocab"]["step"] = len(WORDS) + 5
    file.write_text(json.dumps(about))

    with pytest.raises(ModelUnavailable, match="14 vectors for 20 tokens"):
        opened(folder).embed(["north"])


def test_a_lens_has_to_name_the_model_and_may_have_no_prompts() -> None:
    with pytest.raises(ValueError, match="needs 'model'"):
        EmbeddingConfig(provider="static")
    with pytest.raises(ValueError, match="no 'prompts'"):
        EmbeddingConfig(provider="static", model="m", prompts={"query": "q: "})


def test_no_torch_is_imported(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model")
    code = (
        "import sys\n"
        "from tests.embedders.test_static import opened\n"
        "opened(sys.argv[1]).embed(['north'])\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )

    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)


def test_a_lens_is_filled_and_rows_without_a_known_word_are_set_aside(tmp_path: Path) -> None:
    # given rows of which one says nothing that the model knows
    model = saved(tmp_path / "model")
    lab = Lab.opened(tmp_path, {})
    with lab.source() as db:
        db.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT)")
        names = ["north " * 3_000, "east of a table", "цвет", "rows"]
        db.executemany("INSERT INTO items VALUES (?, ?)", enumerate(names))
    lab.push(
        embedding={"provider": "static", "model": str(model)},
        fields={"name": {"type": "text", "searchable": True}},
    )

    # when
    counts = lab.full().counts

    # then the long one is read whole, in one piece
    assert (counts.embedded, counts.failed, counts.truncated) == (3, 1, 0)
