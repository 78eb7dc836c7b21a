"""Exporting a loaded model to a graph that OpenVINO runs.

All of the model's own modules are traced together, so pooling and normalisation are in the graph as
the model has them, and none is written down here a second time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from semilayer_pipelines.embedders.local.batches import batched
from semilayer_pipelines.embedders.local.graph import Graph
from semilayer_pipelines.embedders.local.load_model import quiet
from semilayer_pipelines.embedders.local.openvino_runtime import openvino
from semilayer_pipelines.embedders.local.probe import PROBES
from semilayer_pipelines.embedders.local.tokens import Tokeniser
from semilayer_pipelines.embedders.local.torch_choice import own_vectors
from semilayer_pipelines.embedders.local.watched_model import WatchedModel

__all__ = ["export"]

_EXAMPLE_TOKENS = 256


def export(model: WatchedModel, tokeniser: Tokeniser, folder: Path) -> None:
    """Write the model's graph to `folder`; takes seconds.

    Raises what tracing and converting raise for a model that cannot be exported, and `OSError` when
    the folder cannot be written.
    """
    # Texts of different lengths, so that the trace sees padding.
    example = next(batched(PROBES[:4], tokeniser, budget=_EXAMPLE_TOKENS, note=lambda *_: None))
    inputs = {
        "input_ids": torch.from_numpy(example.ids).long(),
        "attention_mask": torch.from_numpy(example.mask).long(),
    }
    # Tracing warns of every shape that it looks at; the probes tell whether one was kept.
    with quiet():
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        traced = TorchScriptPythonDecoder(_FromTokens(model), example_input=inputs)
    frontend = openvino.frontend.FrontEndManager().load_by_framework("pytorch")
    graph = frontend.convert(frontend.load(traced))
    if [i.get_any_name() for i in graph.inputs] != list(inputs):
        raise ValueError(f"the graph has the inputs {graph.inputs}")
    Graph.save(
        folder,
        lambda file: openvino.save_model(graph, file, compress_to_fp16=False),
        tokeniser,
        list(PROBES),
        own_vectors(model),
    )


class _FromTokens(torch.nn.Module):
    """The model as a function of tensors, which is what can be traced."""

    def __init__(self, model: WatchedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        features = self.model({"input_ids": input_ids, "attention_mask": attention_mask})
        return features["sentence_embedding"]
