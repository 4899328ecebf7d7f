"""The graph of an architecture as ONNX without its weights, for `inference.onnx_from_weights`.

    python -m lightfer.inference.export.graph     # writes all shipped models' into the package

Needed once per architecture, not per weight file: initializers keep the names that tensors have in
a weight file, and batch norms are left to the runtime, which folds them.
"""

import gzip
from importlib import import_module

import torch
from torch import nn

from lightfer._files import graph_file, write_bytes
from lightfer.inference.backends.onnx_file import module_to_onnx
from lightfer.models.registry import create_model, list_models


def graph_without_weights(model: nn.Module, shape: tuple[int, ...]) -> bytes:
    """The content of an ONNX file for (N, C, H, W), any N, that lacks the floats of `model`."""
    onnx, optimizer = import_module("onnx"), import_module("onnxscript.optimizer")
    proto = module_to_onnx(model.eval(), torch.zeros(2, *shape[1:]), ("N",), optimize=False)
    proto = onnx.shape_inference.infer_shapes(proto)
    optimizer.fold_constants(proto)
    optimizer.remove_unused_nodes(proto)
    graph = proto.graph
    weights = {name for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    kept = [tensor for tensor in graph.initializer if tensor.name not in weights]
    del graph.initializer[:], graph.value_info[:], proto.metadata_props[:], graph.metadata_props[:]
    graph.initializer.extend(kept)
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]  # where in PyTorch's code it comes from
    return proto.SerializeToString()


def main() -> None:
    for name in list_models(pretrained=True):
        content = graph_without_weights(create_model(name), (1, 1, 48, 48))
        write_bytes(graph_file(name), gzip.compress(content, mtime=0))
        print(f"{graph_file(name)}: {graph_file(name).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
