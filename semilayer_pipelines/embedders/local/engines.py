"""From a model to the engine that runs it here: chosen once a process, and said in one line.

On a processor it is OpenVINO where that is installed and gives the model's own vectors, else torch;
where torch sees an accelerator, it is torch there. Whatever fails on the way to something faster is
logged, and the next best is used. A lens that asks for `int8` gets that or an error: nothing else
gives the vectors of its space.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from semilayer_pipelines.config.embedding import Precision
from semilayer_pipelines.embedders.local.accelerator import may_have_accelerator
from semilayer_pipelines.embedders.local.engine import Engine
from semilayer_pipelines.embedders.local.graph import Graph, graph_folder, is_unfit, mark_unfit
from semilayer_pipelines.embedders.local.load_model import unavailable
from semilayer_pipelines.embedders.local.model_source import (
    ModelSource,
    Origin,
    require_same,
    vector_space,
    verify_package,
)
from semilayer_pipelines.errors import ModelUnavailable, SemilayerError

if TYPE_CHECKING:
    from semilayer_pipelines.embedders.local.tokens import Tokeniser
    from semilayer_pipelines.embedders.local.watched_model import WatchedModel

__all__ = ["open_engine"]

logger = logging.getLogger(__name__)

_opened: dict[tuple[ModelSource, Precision], tuple[str, Engine]] = {}
_opening = threading.Lock()


def open_engine(
    source: ModelSource, precision: Precision = "auto", *, space: str | None = None
) -> Engine:
    """Return the model's engine, loading it when this process has not done so yet.

    `space` names the vectors that are wanted (`vector_space`), `None` those of the copy as it is
    now: what a folder holds may be replaced while a process lives.

    Raises `ModelUnavailable` when the model cannot be had, read or run, or not in this precision.
    """
    space = space or vector_space(source)
    with _opening:
        known, engine = _opened.get((source, precision), ("", None))
        if engine is None or known != space:
            started = time.monotonic()
            engine = _loaded(source, precision, space)
            logger.info(
                "embedding with %s: %s, ready in %.1f s",
                engine.backend,
                source,
                time.monotonic() - started,
            )
            _opened[source, precision] = (space, engine)
        return engine


def _loaded(source: ModelSource, precision: Precision, space: str) -> Engine:
    try:
        return _open(source, precision, space)
    except SemilayerError:
        raise
    # No room on the device, a tokenizer that cannot pad: a model that loads may still not run.
    except Exception as error:
        raise unavailable(source, error) from error


def _open(source: ModelSource, precision: Precision, space: str) -> Engine:
    if source.origin is Origin.PACKAGE:
        verify_package(Path(source.location))  # here too: an export would hide a wrong package
    folder = graph_folder(space)
    may_be_elsewhere = may_have_accelerator()
    # A device of its own needs no exporter, and would wait for the import of one.
    exporter = _exporter() if precision == "int8" or not may_be_elsewhere else None
    if precision == "int8" and exporter is None:
        raise _no_int8(source, "OpenVINO is not installed; pip install '.[fast]' adds it")
    if exporter and not may_be_elsewhere:
        engine = _from_graph(folder, exporter, precision)
        if engine is not None:
            return engine  # and torch was never imported
    from semilayer_pipelines.embedders.local.load_model import load_model

    model = load_model(source)
    require_same(source, space)
    # After the model: these import torch, whose failure is the loader's to explain.
    from semilayer_pipelines.embedders.local.tokens import Tokeniser
    from semilayer_pipelines.embedders.local.torch_choice import choose_torch, native_precisions

    tokeniser = Tokeniser.of(model)
    if may_be_elsewhere and exporter is None and model.device.type == "cpu":
        exporter = _exporter()
    if exporter and tokeniser is not None and model.device.type == "cpu":
        engine = _from_graph(folder, exporter, precision) or _exported(
            model, tokeniser, folder, exporter, precision
        )
        if engine is not None:
            return engine
    if precision == "int8":
        raise _no_int8(
            source,
            "OpenVINO cannot run this model, the log says why"
            if model.device.type == "cpu"
            else f"it runs on {model.device.type} here, int8 is for processors",
        )
    return choose_torch(model, tokeniser, native_precisions(model.device))


def _exporter() -> str | None:
    """Return the exporter and its version, or `None` where the extra is not installed or broken."""
    try:
        from semilayer_pipelines.embedders.local.openvino_runtime import openvino
    except ImportError as error:
        logger.info("OpenVINO is not used (%s); pip install '.[fast]' adds it", error)
        return None
    return f"openvino {openvino.__version__}"


def _from_graph(folder: Path, exporter: str, precision: Precision) -> Engine | None:
    """Return an engine for a graph that was exported before and still gives the model's vectors.

    Raises `ModelUnavailable` for one that int8 takes too far from them.
    """
    graph = None if is_unfit(folder, exporter) else Graph.load(folder)
    if graph is None:
        return None
    # Behind a graph there is always an exporter: only here the extra is needed.
    from semilayer_pipelines.embedders.local.openvino_engine import choose_openvino
    from semilayer_pipelines.embedders.local.openvino_int8 import open_int8

    return open_int8(graph) if precision == "int8" else choose_openvino(graph)


def _exported(
    model: WatchedModel,
    tokeniser: Tokeniser,
    folder: Path,
    exporter: str,
    precision: Precision,
) -> Engine | None:
    """Export the model and return its engine; `None`, with the reason logged, when none fits."""
    from semilayer_pipelines.embedders.local.export import export

    if is_unfit(folder, exporter):
        logger.info("%s was found not to give this model's vectors", exporter)
        return None
    try:
        export(model, tokeniser, folder)
        engine = _from_graph(folder, exporter, precision)
    except ModelUnavailable:
        raise  # the export is right, and may serve the other precisions
    except OSError as error:
        logger.warning("The exported model cannot be kept, every start exports anew: %s", error)
        with TemporaryDirectory() as temporary:
            export(model, tokeniser, Path(temporary, "graph"))
            return _from_graph(Path(temporary, "graph"), exporter, precision)
    # A model whose code cannot be traced or has no counterpart: any exception of four libraries.
    except Exception as error:  # noqa: BLE001
        logger.info("the model cannot be exported: %s", _first_line(error))
        engine = None
    if engine is None:
        mark_unfit(folder, exporter)
    return engine


def _no_int8(source: ModelSource, why: str) -> ModelUnavailable:
    return ModelUnavailable(
        f"'precision: int8' cannot be had for {source}: {why}.",
        cure="Or take it out of the lens; other precisions give the model's own vectors.",
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
