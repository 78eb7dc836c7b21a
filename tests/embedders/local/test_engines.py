"""A model runs in the fastest way that gives its own vectors; whatever is missing or broken.

Real exports of a real, small transformer. `open_engine` is asked in a process of its own wherever
the answer depends on what is installed.
"""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from semilayer_pipelines.embedders.local import engines
from semilayer_pipelines.embedders.local.engine import Engine
from semilayer_pipelines.embedders.local.engines import open_engine
from semilayer_pipelines.embedders.local.graph import graph_folder
from semilayer_pipelines.embedders.local.load_model import load_model
from semilayer_pipelines.embedders.local.model_source import find_model, vector_space
from semilayer_pipelines.embedders.local.probe import closeness
from semilayer_pipelines.embedders.local.watched_model import WatchedModel
from semilayer_pipelines.errors import ModelUnavailable
from tests.embedders.tiny_model import save_tiny_model
from tests.embedders.tiny_transformer import save_tiny_transformer

TEXTS = [f"keeps {n} rows of a table " * (n % 9) + "in step" for n in range(60)]
EMBED = """
import json, sys
from semilayer_pipelines.embedders.local.engine import Engine
from semilayer_pipelines.embedders.local.engines import open_engine
from semilayer_pipelines.embedders.local.model_source import find_model
engine = open_engine(find_model(sys.argv[1], None))
vectors = engine.embed(["keeps rows in step"]).vectors.tolist()
print(json.dumps([engine.backend.library, vectors, [n for n in WATCHED if sys.modules.get(n)]]))
"""
SIGNALLED = """
import os, signal, sys, threading
from semilayer_pipelines.embedders.local import engines
from semilayer_pipelines.embedders.local.model_source import find_model

def opened(path):
    return engines.open_engine(find_model(path, None))

def signalled(by):
    os.kill(os.getpid(), signal.SIGUSR1)
    print("still here after", by, flush=True)

signal.signal(signal.SIGUSR1, lambda *_: None)
first = opened(sys.argv[1])
assert first.backend.library == "openvino"
signalled("the first model")

def leave():
    global first
    engines._opened.clear()
    del first

leaving = threading.Thread(target=leave)
leaving.start()
leaving.join()
signalled("one that left in another thread")

older, younger = opened(sys.argv[1]), opened(sys.argv[2])
engines._opened.clear()
del older
del younger
signalled("two that left, the older first")
"""
WATCHED = "WATCHED = ['torch', 'transformers', 'openvino', 'openvino_telemetry']\n"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no-graphs"))
    return tmp_path / "no-graphs"


@pytest.fixture
def model(tmp_path: Path, cache: Path) -> Path:
    return save_tiny_transformer(tmp_path / "model")


def own(model: Path, texts: list[str] = TEXTS) -> NDArray[np.float32]:
    loaded = load_model(find_model(str(model), None))
    return np.asarray(loaded.encode(texts, show_progress_bar=False))


def again(model: Path) -> Engine:
    """Open the same model once more, as a new process would: by a copy, in another folder."""
    copy = shutil.copytree(model, model.parent / "copy")
    return open_engine(find_model(str(copy), None))


def elsewhere(
    model: Path, *, without: tuple[str, ...] = ()
) -> tuple[str, NDArray[np.float32], set[str]]:
    """Embed in a process that cannot import some packages, as if they were not installed."""
    block = "import sys\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in without)
    done = subprocess.run(
        [sys.executable, "-c", block + WATCHED + EMBED, str(model)],
        capture_output=True,
        text=True,
        check=True,
    )
    backend, vectors, imported = json.loads(done.stdout)
    return backend, np.array(vectors, np.float32), set(imported)


@pytest.mark.parametrize(
    "modules",
    [{}, {"pooling": "cls", "dense": True}, {"pooling": "lasttoken"}],
    ids=["mean", "cls-dense", "lasttoken"],
)
def test_an_exported_model_gives_the_vectors_of_its_own_modules(
    tmp_path: Path, cache: Path, modules: dict[str, Any]
) -> None:
    folder = save_tiny_transformer(tmp_path / "model", **modules)

    engine = open_engine(find_model(str(folder), None))

    done = engine.embed(TEXTS)
    assert engine.backend.library == "openvino"
    assert closeness(done.vectors, own(folder)).least > 0.999
    np.testing.assert_allclose(np.linalg.norm(done.vectors, axis=1), 1, atol=1e-5)
    assert done.tokens is not None


def test_once_exported_a_model_needs_no_torch_and_reports_to_nobody(model: Path) -> None:
    open_engine(find_model(str(model), None))

    backend, vectors, imported = elsewhere(model, without=("torch",))

    assert backend == "openvino"
    assert imported == {"openvino"}
    assert closeness(vectors, own(model, ["keeps rows in step"])).holds


def test_without_the_extra_the_model_runs_in_torch(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_engine(find_model(str(model), None))
    monkeypatch.setitem(sys.modules, "semilayer_pipelines.embedders.local.openvino_runtime", None)

    engine = again(model)

    assert engine.backend.library == "torch"
    assert closeness(engine.embed(TEXTS).vectors, own(model)).holds


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["openvino", "openvino.frontend"])
def test_without_openvino_or_with_half_of_it_a_process_embeds_in_torch(
    model: Path, missing: str
) -> None:
    open_engine(find_model(str(model), None))

    backend, vectors, _ = elsewhere(model, without=(missing,))

    assert backend == "torch"
    assert closeness(vectors, own(model, ["keeps rows in step"])).holds


def test_a_damaged_export_is_made_anew(model: Path) -> None:
    folder = graph_folder(vector_space(find_model(str(model), None)))
    open_engine(find_model(str(model), None))
    (folder / "tokenizer.json").write_text("{")
    (folder / "graph.xml").write_text("<net")

    engine = again(model)

    assert engine.backend.library == "openvino"
    assert (folder / "graph.xml").stat().st_size > 1_000


def test_a_graph_with_other_vectors_than_the_models_own_is_not_used(
    model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Given an export that goes wrong as tracing does: without an error.
    import semilayer_pipelines.embedders.local.export as exporting

    right = exporting._FromTokens.forward
    monkeypatch.setattr(
        exporting._FromTokens,
        "forward",
        lambda module, input_ids, attention_mask: right(
            module, input_ids.clamp(max=8), attention_mask
        ),
    )
    caplog.set_level(logging.INFO)

    engine = open_engine(find_model(str(model), None))

    assert engine.backend.library == "torch"
    assert closeness(engine.embed(TEXTS).vectors, own(model)).holds
    assert "openvino float32 on cpu is not used: mean cosine" in caplog.text
    caplog.clear()
    assert again(model).backend.library == "torch"
    assert "was found not to give" in caplog.text  # nobody tries again with this exporter


def test_a_model_that_has_no_layers_stays_on_torch(tmp_path: Path, cache: Path) -> None:
    engine = open_engine(find_model(str(save_tiny_model(tmp_path / "words")), None))

    assert str(engine.backend) == "torch float32 on cpu"
    assert not list(cache.rglob("graph.xml"))


def test_a_cache_that_cannot_be_written_costs_only_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    model = save_tiny_transformer(tmp_path / "model")

    engine = open_engine(find_model(str(model), None))

    assert engine.backend.library == "openvino"
    assert closeness(engine.embed(TEXTS).vectors, own(model)).holds
    assert "every start exports anew" in caplog.text


def test_a_signal_is_taken_whichever_models_were_opened_and_left(model: Path) -> None:
    # given graphs of two models, so that no other library has to run
    open_engine(find_model(str(model), None))
    copy = shutil.copytree(model, model.parent / "copy")

    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED, str(model), str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout.count("still here")) == (0, 3), done.stderr


def test_a_model_that_cannot_be_run_is_told_in_one_line(tmp_path: Path, cache: Path) -> None:
    # given a tokenizer that has nothing to pad with
    folder = save_tiny_transformer(tmp_path / "model")
    for file in (*folder.rglob("tokenizer_config.json"), *folder.rglob("special_tokens_map.json")):
        said = json.loads(file.read_text())
        file.write_text(json.dumps({**said, "pad_token": None}))

    with pytest.raises(ModelUnavailable, match=f"cannot be loaded from the folder {folder}"):
        open_engine(find_model(str(folder), None))


def test_an_accelerator_that_cannot_be_used_is_told_with_a_cure_of_its_own(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_tiny_transformer(tmp_path / "model")

    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 64.00 MiB.")

    monkeypatch.setattr(WatchedModel, "encode", full)
    monkeypatch.setattr(engines, "_exporter", lambda: None)

    with pytest.raises(ModelUnavailable, match="Tried to allocate") as told:
        open_engine(find_model(str(folder), None))

    assert "CUDA_VISIBLE_DEVICES" in told.value.cure


def test_no_locale_changes_what_a_models_files_say(tmp_path: Path, cache: Path) -> None:
    folder = save_tiny_transformer(tmp_path / "model", prompts={"query": "Größe: ", "document": ""})
    here = open_engine(find_model(str(folder), None)).backend.library
    code = (
        "import json, sys\n"
        "from semilayer_pipelines.embedders.local.engines import open_engine\n"
        "from semilayer_pipelines.embedders.local.model_source import find_model\n"
        "from semilayer_pipelines.embedders.local.own_prompts import own_prompts\n"
        "source = find_model(sys.argv[1], None)\n"
        "print(json.dumps([own_prompts(source).query, open_engine(source).backend.library]))\n"
    )
    ascii_ = {**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}

    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, env=ascii_, check=True
    )

    assert json.loads(done.stdout) == ["Größe: ", here]
