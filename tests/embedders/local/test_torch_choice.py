"""Every way of running a model gives the model's own vectors, or is not used."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from semilayer_pipelines.embedders.local.batches import batched
from semilayer_pipelines.embedders.local.load_model import load_model
from semilayer_pipelines.embedders.local.model_source import find_model
from semilayer_pipelines.embedders.local.probe import closeness
from semilayer_pipelines.embedders.local.token_engine import BATCHES_UNDER_WAY
from semilayer_pipelines.embedders.local.tokens import Tokeniser
from semilayer_pipelines.embedders.local.torch_choice import choose_torch
from semilayer_pipelines.embedders.local.torch_engine import (
    Masks,
    OwnEncode,
    TorchForward,
    alone_on,
)
from semilayer_pipelines.embedders.local.watched_model import WatchedModel
from tests.embedders.tiny_model import save_tiny_model
from tests.embedders.tiny_transformer import LIMIT, WORDS, save_tiny_transformer

TEXTS = [f"keeps {n} rows of a table " * (n % 9) + "in step" for n in range(60)]


def loaded(folder: Path) -> WatchedModel:
    return load_model(find_model(str(folder), None))


def alone(model: WatchedModel) -> NDArray[np.float32]:
    return np.asarray(model.encode(TEXTS, show_progress_bar=False))


@pytest.mark.parametrize(
    "modules",
    [{}, {"pooling": "cls", "dense": True}, {"pooling": "lasttoken"}],
    ids=["mean", "cls-dense", "lasttoken"],
)
def test_batches_of_tokens_give_what_encode_gives(tmp_path: Path, modules: dict[str, Any]) -> None:
    model = loaded(save_tiny_transformer(tmp_path, **modules))
    expected = alone(model)

    engine = choose_torch(model, Tokeniser.of(model), precisions=())

    done = engine.embed(TEXTS)
    assert str(engine.backend) == "torch float32 on cpu"
    assert not isinstance(engine, OwnEncode)
    np.testing.assert_allclose(done.vectors, expected, atol=1e-5)
    long = np.array([len(text.split()) + 2 > LIMIT for text in TEXTS])
    assert (done.truncated >= long).all()
    assert done.tokens is not None
    assert done.tokens[done.truncated].tolist() == [LIMIT] * int(done.truncated.sum())


def test_half_precision_is_used_where_the_vectors_bear_it(tmp_path: Path) -> None:
    model = loaded(save_tiny_transformer(tmp_path))
    expected = alone(model)

    engine = choose_torch(model, Tokeniser.of(model), precisions=("bfloat16",))

    done = engine.embed(TEXTS)
    assert engine.backend.precision == "bfloat16"
    assert {parameter.dtype for parameter in model[0].parameters()} == {torch.bfloat16}
    np.testing.assert_allclose(np.linalg.norm(done.vectors, axis=1), 1, atol=1e-5)
    assert done.vectors.dtype == np.float32
    assert closeness(done.vectors, expected).holds


def test_a_model_that_overflows_is_put_back_as_it_was(tmp_path: Path) -> None:
    model = loaded(save_tiny_transformer(tmp_path, scale=1e7))  # 16 bits end at 65,504
    expected = alone(model)

    engine = choose_torch(model, Tokeniser.of(model), precisions=("float16",))

    assert engine.backend.precision == "float32"
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    np.testing.assert_array_equal(alone(model), expected)


def test_a_text_that_overflows_alone_is_embedded_in_full(tmp_path: Path) -> None:
    # given a word that no probe has, and that is beyond 65,504 together with its place
    model = loaded(save_tiny_transformer(tmp_path))
    transformer: Any = model[0]
    embeddings = transformer.model.embeddings
    embeddings.word_embeddings.weight.data[5 + WORDS.index("north"), 0] = 65_000
    embeddings.token_type_embeddings.weight.data[0, 0] = 1_000
    texts = ["rows of a table", "north of a table", "in step", "north"]
    expected = np.asarray(model.encode(texts, show_progress_bar=False))

    engine = choose_torch(model, Tokeniser.of(model), precisions=("float16",))
    done = engine.embed(texts)

    assert engine.backend.precision == "float16"
    assert closeness(done.vectors, expected).holds


@pytest.mark.parametrize("kind", ["prompt", "words"])
def test_a_model_that_reads_more_than_its_tokens_is_run_its_own_way(
    tmp_path: Path, kind: str
) -> None:
    folder = (
        save_tiny_transformer(tmp_path, include_prompt=False)
        if kind == "prompt"
        else save_tiny_model(tmp_path / "model")
    )
    model = loaded(folder)

    engine = choose_torch(model, Tokeniser.of(model), precisions=("bfloat16",))

    assert isinstance(engine, OwnEncode)
    assert engine.backend.precision == "float32"
    np.testing.assert_array_equal(engine.embed(TEXTS).vectors, alone(model))


def test_batches_are_small_where_that_was_measured_to_be_faster(tmp_path: Path) -> None:
    model = loaded(save_tiny_transformer(tmp_path))
    full = TorchForward([model], Masks.TOKENS).budget

    model[0].to(torch.bfloat16)

    assert full == 1_024
    assert TorchForward([model], Masks.TOKENS).budget == 4_096


def test_several_devices_share_the_batches(tmp_path: Path) -> None:
    model = loaded(save_tiny_transformer(tmp_path))
    tokeniser = Tokeniser.of(model)
    assert tokeniser is not None
    models = [model, copy.deepcopy(model), copy.deepcopy(model)]
    forward = TorchForward(models, Masks.TOKENS)
    vectors = np.zeros((len(TEXTS), forward.dimension), np.float32)

    batches = batched(TEXTS, tokeniser, budget=100, note=lambda *_: None)
    forward.run(batches, vectors)

    np.testing.assert_allclose(vectors, alone(model), atol=1e-5)


def test_a_failure_on_one_device_is_raised(tmp_path: Path) -> None:
    model = loaded(save_tiny_transformer(tmp_path))
    tokeniser = Tokeniser.of(model)
    assert tokeniser is not None
    broken = copy.deepcopy(model)
    transformer: Any = broken[0]
    transformer.model.embeddings.word_embeddings.weight.data = torch.zeros((1, 32))
    vectors = np.zeros((len(TEXTS), 32), np.float32)

    batches = batched(TEXTS, tokeniser, budget=100, note=lambda *_: None)
    with pytest.raises(IndexError):
        TorchForward([model, broken], Masks.TOKENS).run(batches, vectors)


@pytest.mark.parametrize("masks", list(Masks))
def test_either_kind_of_mask_gives_the_models_own_vectors(tmp_path: Path, masks: Masks) -> None:
    model = loaded(save_tiny_transformer(tmp_path))
    tokeniser = Tokeniser.of(model)
    assert tokeniser is not None
    forward = TorchForward([model], masks)
    vectors = np.zeros((len(TEXTS), forward.dimension), np.float32)

    # Many batches, so that several are under way; long and short, so that some ids are padding.
    batches = list(batched(TEXTS, tokeniser, budget=150, note=lambda *_: None))
    forward.run(iter(batches), vectors)

    assert len(batches) > 2 * BATCHES_UNDER_WAY
    assert not all(batch.mask.all() for batch in batches)
    np.testing.assert_allclose(vectors, alone(model), atol=1e-5)


@pytest.mark.parametrize(("device", "at_once"), [("mps", 1), ("xpu", 1), ("cuda", 2)])
def test_only_cuda_is_given_work_by_two_threads_at_once(device: str, at_once: int) -> None:
    both = threading.Barrier(2)

    def work(_: int) -> int:
        with alone_on(torch.device(device)):
            try:
                both.wait(0.2)
            except threading.BrokenBarrierError:
                return 1
            return 2

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(work, range(2))) == [at_once] * 2
