"""A reranker in this process: the library's own scores, and what is no reranker is told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from semilayer_pipelines.embedders.local import cross_encoder
from semilayer_pipelines.embedders.reranker import check_reranker, open_reranker
from semilayer_pipelines.errors import ModelUnavailable
from tests.embedders.tiny_model import save_tiny_model
from tests.embedders.tiny_reranker import save_tiny_reranker, scores_of

TEXTS = ["north", "the vectors of a search index", "", "east " * 40, "rows in step"]


@pytest.fixture(autouse=True)
def _models_go_with_their_test() -> Iterator[None]:
    yield
    cross_encoder._loaded.clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_reranker(tmp_path_factory.mktemp("reranker"))


def test_scores_are_the_librarys_own_in_the_order_of_the_texts(folder: Path) -> None:
    scores = open_reranker(str(folder), environ={}).scores("search the index", TEXTS)

    wanted = scores_of(folder, "search the index", TEXTS)
    np.testing.assert_allclose(scores, wanted, atol=1e-5)
    assert len(set(scores.tolist())) == len(TEXTS)
    assert open_reranker(str(folder), environ={}).scores("x", []).shape == (0,)


def test_another_training_in_the_same_place_is_another_reranker(
    folder: Path, tmp_path: Path
) -> None:
    other = save_tiny_reranker(tmp_path / "other", seed=8)

    names = [open_reranker(str(at), environ={}).fingerprint for at in (folder, other)]

    assert len(set(names)) == 2


def test_a_name_without_an_organisation_is_the_librarys_own() -> None:
    named = open_reranker("ms-marco-MiniLM-L6-v2", environ={})

    assert named.fingerprint == "reranker:cross-encoder/ms-marco-MiniLM-L6-v2@main"


def test_what_is_no_reranker_by_its_files_is_told_without_loading_it(tmp_path: Path) -> None:
    vectors = save_tiny_model(tmp_path / "vectors")
    kinds = save_tiny_reranker(tmp_path / "kinds", labels=3)
    empty = tmp_path / "empty"
    empty.mkdir()

    for at, told in (
        (vectors, f"no reranker in the folder {vectors}, but a SentenceTransformer"),
        (kinds, "but a classifier of 3 kinds"),
        (empty, "holds no model"),
        (tmp_path / "missing", "does not exist"),
    ):
        with pytest.raises(ModelUnavailable, match=told):
            check_reranker(str(at))


def test_checking_a_reranker_imports_no_torch(folder: Path) -> None:
    code = (
        "import sys; from semilayer_pipelines.embedders.reranker import check_reranker\n"
        f"check_reranker({str(folder)!r}); check_reranker('org/model')\n"
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout == "[]\n"


def test_several_numbers_a_pair_are_no_score(tmp_path: Path) -> None:
    # Given a classifier of two kinds, whose files do not say so: two is what they take for granted.
    kinds = save_tiny_reranker(tmp_path, labels=2)
    check_reranker(str(kinds))

    with pytest.raises(ModelUnavailable, match="is no reranker: it gives 2 numbers") as caught:
        open_reranker(str(kinds), environ={}).scores("a", ["b", "c"])

    assert "'rerank'" in caught.value.cure


def test_a_reranker_that_cannot_be_loaded_is_told_in_one_line(folder: Path, tmp_path: Path) -> None:
    broken = save_tiny_reranker(tmp_path)
    (broken / "model.safetensors").write_bytes(b"not weights")

    with pytest.raises(ModelUnavailable, match=f"cannot be loaded from the folder {broken}") as (
        caught
    ):
        open_reranker(str(broken), environ={}).scores("a", ["b"])

    assert "\n" not in str(caught.value)
