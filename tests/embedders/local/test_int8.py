"""Eight-bit integers, for who asks for them: never unasked, and nothing else in their place."""

import logging
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedder_service import open_model
from semilayer_pipelines.embedders import open_embedder
from semilayer_pipelines.embedders.local import load_model as loading
from semilayer_pipelines.embedders.local.engines import open_engine
from semilayer_pipelines.embedders.local.model_source import ModelSource, find_model
from semilayer_pipelines.embedders.local.probe import INT8, closeness
from semilayer_pipelines.embedders.local.watched_model import WatchedModel
from semilayer_pipelines.errors import ModelUnavailable
from semilayer_pipelines.registry import generations
from semilayer_pipelines.registry.lenses import Needs
from tests.embedder_service.service import Service, running, wait_until
from tests.embedders.tiny_model import save_tiny_model
from tests.embedders.tiny_transformer import save_tiny_transformer
from tests.lab import Lab

TEXTS = [f"keeps {n} rows of a table " * (n % 9) + "in step" for n in range(60)]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no-graphs"))
    return tmp_path / "no-graphs"


@pytest.fixture
def model(tmp_path: Path, cache: Path) -> Path:
    return save_tiny_transformer(tmp_path / "model", pooling="cls", dense=True)


def source(model: Path) -> ModelSource:
    return find_model(str(model), None)


def own(model: Path) -> NDArray[np.float32]:
    loaded = loading.load_model(source(model))
    return np.asarray(loaded.encode(TEXTS, show_progress_bar=False))


def hide_a_weight(model: Path) -> None:
    """Make one weight of each row a million times the others, and what it is read for zero.

    The model's vectors stay what they were without it; nothing of the other weights is left in
    steps of that one.
    """
    loaded = loading.load_model(source(model))
    transformer: Any = loaded[0]
    dense: Any = loaded[2]
    norm = transformer.auto_model.encoder.layer[-1].output.LayerNorm
    norm.weight.data[0] = norm.bias.data[0] = 0
    dense.linear.weight.data[:, 0] = 1e6
    loaded.save(str(model), create_model_card=False)


@pytest.mark.parametrize("first", ["auto", "int8"])
def test_both_precisions_are_made_from_one_export_and_stay_apart(
    model: Path, cache: Path, first: str
) -> None:
    if first == "auto":
        open_engine(source(model))
    rounded = open_engine(source(model), "int8")
    full = open_engine(source(model))

    assert str(rounded.backend) == "openvino int8 on cpu"
    assert full.backend.precision != "int8"
    assert len(list(cache.rglob("graph.xml"))) == 1
    theirs = own(model)
    far = closeness(rounded.embed(TEXTS).vectors, theirs)
    assert far.above(INT8)
    # It was rounded at all: no vector is the same to the last bit, as they would be in float32.
    assert not np.isclose(rounded.embed(TEXTS).vectors, theirs, atol=1e-6).all(axis=1).any()


def test_without_the_extra_int8_is_refused_with_its_cure(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "semilayer_pipelines.embedders.local.openvino_runtime", None)

    with pytest.raises(ModelUnavailable, match=r"OpenVINO is not installed.*\[fast\].*out of the"):
        open_engine(source(model), "int8")


def test_a_model_that_cannot_be_exported_has_no_int8(tmp_path: Path, cache: Path) -> None:
    words = save_tiny_model(tmp_path / "words")

    with pytest.raises(ModelUnavailable, match="OpenVINO cannot run this model"):
        open_engine(source(words), "int8")


def test_an_accelerator_has_no_int8(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a model that lies elsewhere than on the processor, even without any other device.
    load = loading.load_model

    def elsewhere(at: ModelSource) -> WatchedModel:
        return load(at).to("meta")

    monkeypatch.setattr(loading, "load_model", elsewhere)

    with pytest.raises(ModelUnavailable, match="it runs on meta here, int8 is for processors"):
        open_engine(source(model), "int8")


def test_a_model_that_int8_takes_too_far_is_refused_and_runs_in_other_precisions(
    model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hide_a_weight(model)
    caplog.set_level(logging.INFO)

    for _ in range(2):
        with pytest.raises(ModelUnavailable, match=r"mean cosine -?0\.\d+, least .* mean 0\.99"):
            open_engine(source(model), "int8")

    full = open_engine(source(model))
    assert full.backend.library == "openvino"
    assert closeness(full.embed(TEXTS).vectors, own(model)).holds


def _is_up(service: Service) -> bool:
    return service.http.get("/healthz").is_success


def test_a_service_in_another_precision_is_not_used(
    model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    configs = {p: EmbeddingConfig(model=str(model), precision=p) for p in ("auto", "int8")}
    for served, asked in (("auto", "int8"), ("int8", "auto"), ("int8", "int8")):
        caplog.clear()
        with running(partial(open_model, configs[served])) as service:
            wait_until(partial(_is_up, service), "the model")
            done = open_embedder(configs[asked], environ={}, service=service.url).embed(TEXTS)
            used = service.number("texts_total") > 0

        assert done.by is not None
        assert (done.by.precision == "int8") == (asked == "int8")
        assert used == (served == asked)
        assert ("which is loaded here instead" in caplog.text) == (served != asked)


@pytest.mark.model
def test_an_index_in_int8_is_of_its_own_space(tmp_path: Path) -> None:
    embedding = {"provider": "sentence-transformers", "precision": "int8"}
    lab = Lab.at(tmp_path, rows=40, embedding=embedding)

    assert lab.full().counts.embedded == 40

    with lab.project.registry.read() as db:
        active = generations.active(db, lab.lens.id)
    assert active is not None
    assert active.embedded_by == ("openvino int8 on cpu",)
    assert active.model_fingerprint.endswith(":int8")
    assert lab.audit().clean

    # Pushed otherwise, it needs a rebuild, and until then is kept in step as it was built.
    lab.push(embedding={"provider": "sentence-transformers"})
    assert lab.lens.needs is Needs.REBUILD
    with lab.source() as db:
        db.execute("UPDATE items SET description = 'new words' WHERE id <= 3")
    assert lab.sync().counts.embedded == 3
    with lab.project.registry.read() as db:
        kept = generations.active(db, lab.lens.id)
    assert kept is not None
    assert kept.embedded_by == active.embedded_by

    # Asked for no more, nothing is taken over: another space is another index.
    assert lab.full().counts.embedded == 40
    with lab.project.registry.read() as db:
        again = generations.active(db, lab.lens.id)
    assert again is not None
    assert again.number > active.number
    assert "int8" not in again.model_fingerprint
    assert "int8" not in again.embedded_by[0]


@pytest.mark.model
def test_the_default_model_in_int8_is_close_to_its_own_vectors() -> None:
    asked = EmbeddingConfig(precision="int8")
    rows = ["a cat on a mat", "web server", "", "library for linear algebra " * 30, "größe, поиск"]

    rounded = open_embedder(asked, environ={}).embed(rows)
    full = open_embedder(EmbeddingConfig(), environ={}).embed(rows)

    close = closeness(rounded.vectors, full.vectors)
    assert close.above(INT8)
    assert close.least < 0.9999  # int8 it is
