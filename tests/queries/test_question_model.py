"""A question meets vectors of its own model alone, whatever a model's folder holds by now."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from semilayer_pipelines.errors import DimensionChanged, ModelUnavailable
from semilayer_pipelines.queries.search import search
from tests.embedders.test_static import opened, saved
from tests.lab import ENV, Lab

NAMES = ["north", "east", "south", "west", "rows of a table"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return saved(tmp_path / "model")


@pytest.fixture
def lab(tmp_path: Path, model: Path) -> Lab:
    made = Lab.opened(tmp_path, {})
    with made.source() as db:
        db.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT)")
        db.executemany("INSERT INTO items VALUES (?, ?)", enumerate(NAMES))
    made.push(
        embedding={"provider": "static", "model": str(model)},
        fields={"name": {"type": "text", "searchable": True}},
    )
    made.full()
    return made


def train_anew(model: Path) -> None:
    """Put other vectors in the place of a model's own."""
    file = next(model.rglob("*.safetensors"))
    save_file({name: np.roll(table, 3, axis=0) for name, table in load_file(file).items()}, file)


def best(lab: Lab, text: str) -> str:
    return search(lab.project, "items", text, env=ENV, limit=1)[0].id


def test_a_model_that_was_trained_anew_is_not_asked_about_the_former_ones_index(
    lab: Lab, model: Path
) -> None:
    train_anew(model)

    later = Lab.opened(lab.folder, {})
    with pytest.raises(DimensionChanged, match="under the same name") as caught:
        best(later, "west")

    assert "--rebuild" in caught.value.cure


def test_a_process_that_lives_on_asks_the_model_that_the_index_was_rebuilt_with(
    lab: Lab, model: Path
) -> None:
    # given a process that has the former model
    assert [best(lab, name) for name in NAMES] == list("01234")

    # when another one rebuilds the index with the new one
    train_anew(model)
    Lab.opened(lab.folder, {}).full()

    # then
    assert [best(lab, name) for name in NAMES] == list("01234")


def test_a_process_that_lives_on_rebuilds_with_the_model_that_is_there(
    lab: Lab, model: Path
) -> None:
    train_anew(model)

    assert lab.full().counts.embedded == len(NAMES)
    assert lab.sync().counts.embedded == 0

    assert [best(Lab.opened(lab.folder, {}), name) for name in NAMES] == list("01234")


def test_a_static_model_that_was_replaced_before_it_was_loaded_gives_no_vectors(
    model: Path,
) -> None:
    embedder = opened(model)
    assert embedder.fingerprint
    train_anew(model)

    with pytest.raises(ModelUnavailable, match="another model in the folder"):
        embedder.embed(["west"])
