"""Running an exported model with matrices of eight-bit integers, for who asked for it.

Weights are rounded as the graph is read, in 255 steps for each number that a layer gives. The
kernels round activations as they come, in steps for each 128 of a token's. Nothing is calibrated
on texts: the same model is rounded alike on every machine.
"""

from __future__ import annotations

import numpy as np

from semilayer_pipelines.embedders.backend import Backend
from semilayer_pipelines.embedders.local.engine import Engine
from semilayer_pipelines.embedders.local.graph import Graph
from semilayer_pipelines.embedders.local.openvino_engine import OpenVinoForward
from semilayer_pipelines.embedders.local.openvino_runtime import core, openvino
from semilayer_pipelines.embedders.local.probe import INT8, closeness
from semilayer_pipelines.embedders.local.token_engine import TokenEngine
from semilayer_pipelines.errors import ModelUnavailable

__all__ = ["open_int8"]

_GROUP = 128  # fewer cost speed, more (a layer has 384 and up) closeness
_STEPS = 127
_CURE = "Take 'precision: int8' out of the lens; other precisions give the model's own vectors."


def open_int8(graph: Graph) -> Engine | None:
    """Return the graph in int8, or `None` when its file cannot be read.

    Raises `ModelUnavailable` when there is nothing to round, or what is rounded is not close enough
    to the model's own vectors.
    """
    try:
        model = core().read_model(graph.file)
    # OpenVINO's one exception; a graph that is damaged is made anew.
    except RuntimeError:
        return None
    if not _round_weights(model):
        raise ModelUnavailable("int8 has nothing to round in this model.", cure=_CURE)
    options = {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": "f32",  # of what is not a matrix of weights
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": str(_GROUP),
    }
    try:
        compiled = core().compile_model(model, "CPU", options)
        forward = OpenVinoForward(compiled, graph.reference.shape[1])
        engine = TokenEngine(graph.tokeniser, forward, Backend("openvino", "int8", "cpu"))
        close = closeness(engine.embed(list(graph.probes)).vectors, graph.reference)
    except RuntimeError as error:
        raise ModelUnavailable(
            f"OpenVINO cannot run this model in int8: {str(error).splitlines()[0]}", cure=_CURE
        ) from error
    if not close.above(INT8):
        raise ModelUnavailable(
            f"In int8 this model's vectors are too far from its own: {close} (needed: {INT8}).",
            cure=_CURE,
        )
    return engine


def _round_weights(model: openvino.Model) -> int:
    """Put integers and their scales in place of the matrices of weights; return of how many."""
    new = openvino.opset13
    rounded = 0
    for node in model.get_ops():
        if node.get_type_name() != "MatMul":
            continue
        constant = node.input_value(1).get_node()
        if constant.get_type_name() != "Constant" or len(constant.shape) != 2:
            continue
        weights = np.asarray(constant.data, np.float32)
        inner = 1 if node.get_attributes()["transpose_b"] else 0
        # A row of zeros has no scale, and any will do.
        scale = np.abs(weights).max(axis=inner, keepdims=True) / np.float32(_STEPS)
        scale[scale == 0] = 1
        integers = np.rint(weights / scale).astype(np.int8)
        again = new.multiply(new.convert(new.constant(integers), "f32"), new.constant(scale))
        node.input(1).replace_source_output(again.output(0))
        rounded += 1
    return rounded
