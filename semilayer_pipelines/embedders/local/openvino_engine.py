"""Running an exported model with OpenVINO, on a processor.

Import it only where the extra `fast` is installed. No torch: a process that only embeds starts in a
second and stays small.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from semilayer_pipelines.embedders.backend import Backend
from semilayer_pipelines.embedders.local.batches import Batch
from semilayer_pipelines.embedders.local.engine import Engine
from semilayer_pipelines.embedders.local.graph import Graph
from semilayer_pipelines.embedders.local.openvino_runtime import core, openvino
from semilayer_pipelines.embedders.local.probe import holds
from semilayer_pipelines.embedders.local.token_engine import TokenEngine

__all__ = ["OpenVinoForward", "choose_openvino", "in_precision"]

logger = logging.getLogger(__name__)

# A batch: larger ones leave the caches of a core, smaller ones are no work for wide units.
_TOKENS = {"bfloat16": 2_048, "float32": 1_024}
_NAMES = {"bfloat16": "bf16", "float32": "f32"}


class OpenVinoForward:
    """Several requests under way at once, one for each stream; tokenising goes on meanwhile."""

    def __init__(
        self, compiled: openvino.CompiledModel, dimension: int, *, precision: str = "float32"
    ) -> None:
        self.budget = _TOKENS[precision]
        self._compiled = compiled
        self.dimension = dimension
        self.parallel = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))

    def run(self, batches: Iterator[Batch], vectors: NDArray[np.float32]) -> None:
        """Hand the batches to whichever stream is free."""
        # One for each call: the threads that share a model must not wait for each other's batches.
        queue = openvino.AsyncInferQueue(self._compiled)
        under_way: dict[int, NDArray[np.intp]] = {}

        # Fetched here and not in a callback: that would need Python's lock in OpenVINO's threads,
        # and whoever destroys the model holds the lock while it waits for them.
        def fetch(request: int) -> None:
            vectors[under_way.pop(request)] = queue[request].get_output_tensor(0).data

        try:
            for batch in batches:
                request = queue.get_idle_request_id()
                if request in under_way:
                    fetch(request)
                queue.start_async({0: batch.ids.astype(np.int64), 1: batch.mask.astype(np.int64)})
                under_way[request] = batch.places
        finally:
            queue.wait_all()  # also when interrupted, so that nothing runs on
        for request in list(under_way):
            fetch(request)


def choose_openvino(graph: Graph) -> Engine | None:
    """Return the graph in the fastest precision that gives the model's own vectors, if any does."""
    native = core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    for precision in ("bfloat16", "float32") if "BF16" in native else ("float32",):
        engine = in_precision(graph, precision)
        if engine is not None and holds(engine, graph.probes, graph.reference):
            return engine
    return None


def in_precision(graph: Graph, precision: str) -> Engine | None:
    """Return the graph in a precision, whatever its vectors; `None` when it cannot be compiled."""
    options = {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": _NAMES[precision],
    }
    backend = Backend("openvino", precision, "cpu")
    try:
        compiled = core().compile_model(str(graph.file), "CPU", options)
    # OpenVINO has one exception for all that can be wrong with a file or a processor.
    except RuntimeError as error:
        logger.warning("%s cannot be used: %s", backend, str(error).splitlines()[0])
        return None
    forward = OpenVinoForward(compiled, graph.reference.shape[1], precision=precision)
    return TokenEngine(graph.tokeniser, forward, backend)
