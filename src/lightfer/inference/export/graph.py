"""The graph of an architecture as ONNX without its weights, for `inference.onnx_from_weights`,
and what a pass of it does, for those who read results without torch.

    python -m lightfer.inference.export.graph     # writes all shipped models' into the package

Needed once per architecture, not per weight file: initializers keep the names that tensors have in
a weight file, and batch norms are left to the runtime, which folds them.
"""

import gzip
import json
from importlib import import_module
from typing import Any

import msgspec
import torch
from torch import nn

from lightfer._files import graph_file, write_bytes, write_text
from lightfer.inference.backends.onnx_file import module_to_onnx, simplified
from lightfer.measure.operations import count_operations
from lightfer.models.registry import architecture, create_model, list_models

INPUT_SHAPE = (1, 1, 48, 48)


def graph_without_weights(model: nn.Module, shape: tuple[int, ...]) -> bytes:
    """The content of an ONNX file for (N, C, H, W), any N, that lacks the floats of `model`."""
    onnx, optimizer = import_module("onnx"), import_module("onnxscript.optimizer")
    proto = module_to_onnx(model.eval(), torch.zeros(2, *shape[1:]), ("N",), optimize=False)
    proto = onnx.shape_inference.infer_shapes(proto)
    optimizer.fold_constants(proto)
    graph = simplified(proto).graph
    weights = {name for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    kept = [tensor for tensor in graph.initializer if tensor.name not in weights]
    del graph.initializer[:], graph.value_info[:], proto.metadata_props[:], graph.metadata_props[:]
    graph.initializer.extend(kept)
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]  # where in PyTorch's code it comes from
    return proto.SerializeToString()


def counts(name: str) -> dict[str, Any]:
    """What stands of an architecture in `graphs/operations.json`."""
    known, counted = architecture(name), count_operations(create_model(name), INPUT_SHAPE)
    return {
        "family": known.family,
        "output_stride": known.output_stride,
        "params": counted.params,
        "macs": counted.macs,
        "work": msgspec.to_builtins(counted.work),
    }


def main() -> None:
    names = list_models(pretrained=True)
    text = json.dumps({name: counts(name) for name in names}, indent=1) + "\n"
    write_text(graph_file("").with_name("operations.json"), text)
    for name in names:
        content = graph_without_weights(create_model(name), INPUT_SHAPE)
        write_bytes(graph_file(name), gzip.compress(content, mtime=0))
        print(f"{graph_file(name)}: {graph_file(name).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
