"""A network as ONNX: one input `image`, one output `logits` (N, classes), any N or a fixed one."""

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from lightfer.inference.card import INPUT, OUTPUT

if TYPE_CHECKING:
    from torch import Tensor, nn

OPSET = 18


def to_onnx(model: "nn.Module", shape: tuple[int, ...]) -> bytes:
    """Export `model` in evaluation mode and float32, weights inside; returns the file's content.

    Of `shape` (N, C, H, W) all but N is fixed. Batch norms behind a
    convolution are folded into it; a shift becomes one grouped convolution.

    Raises ModuleNotFoundError without the packages `onnx` and `onnxscript`.
    """
    import torch

    model = copy.deepcopy(model).to("cpu", torch.float32).eval()
    model = model.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    example = torch.zeros(2, *shape[1:])  # N = 1 would be taken for a constant
    return module_to_onnx(model, example, ("N",)).SerializeToString()


def module_to_onnx(
    model: "nn.Module", example: "Tensor", dynamic: Sequence[str], *, optimize: bool = True
) -> Any:
    """An `onnx.ModelProto` of any module with one input; its first axes, as named, are dynamic.

    With `optimize` constants are folded, and the graph is `simplified`.
    """
    import torch

    axes = {i: torch.export.Dim(name) for i, name in enumerate(dynamic)}
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            model,
            (example,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamic_shapes=(axes,),
            dynamo=True,
            optimize=optimize,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    graph = proto.graph
    values = (*graph.initializer, *graph.input, *graph.output, *graph.value_info)
    for part in (graph, *graph.node, *values):
        del part.metadata_props[:]  # the lines of code it comes from, with their folders
    return simplified(proto) if optimize else proto


def simplified(proto: Any) -> Any:
    """The same `onnx.ModelProto`, changed in place, with the operators that are made for it where
    the exporter writes others: GlobalAveragePool for a mean over height and width, which ONNX
    Runtime computes without leaving its own layout, and a fixed shape for one that is put together
    from the number of images in every pass.
    """
    onnx, optimizer = import_module("onnx"), import_module("onnxscript.optimizer")
    graph, known = proto.graph, _constants(proto.graph)
    inferred = onnx.shape_inference.infer_shapes(proto).graph.value_info
    images = {v.name for v in inferred if len(v.type.tensor_type.shape.dim) == 4}
    makers = {name: node for node in graph.node for name in node.output}
    nodes: list[Any] = []
    for node in graph.node:
        image, about = [*node.input, "", ""][:2]
        if node.op_type == "ReduceMean" and image in images and about in known:
            nodes += _pooling(node, image) if {*(known[about] % 4)} == {2, 3} else [node]
            continue
        if node.op_type == "Reshape" and about in makers and makers[about].op_type == "Concat":
            first, *sides = makers[about].input
            if first not in known and all(s in known and known[s].min() > 0 for s in sides):
                shape = [-1, *(int(n) for side in sides for n in known[side].flatten())]
                node.input[1] = f"{node.output[0]}_shape"
                tensor = onnx.helper.make_tensor(
                    node.input[1], onnx.TensorProto.INT64, [len(shape)], shape
                )
                graph.initializer.append(tensor)
        nodes.append(node)
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(nodes)
    optimizer.remove_unused_nodes(proto)
    return proto


def _pooling(node: Any, image: str) -> list[Any]:
    """In place of a ReduceMean over height and width."""
    make = import_module("onnx.helper").make_node
    if not any(a.name == "keepdims" and a.i == 0 for a in node.attribute):
        return [make("GlobalAveragePool", [image], node.output, name=node.name)]
    pooled = f"{node.output[0]}_pooled"
    return [
        make("GlobalAveragePool", [image], [pooled], name=node.name),
        make("Flatten", [pooled], node.output, name=f"{node.name}_flat", axis=1),
    ]


def _constants(graph: Any) -> dict[str, Any]:
    """The arrays of a graph that are known before it runs."""
    to_array = import_module("onnx.numpy_helper").to_array
    found = {tensor.name: to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = to_array(node.attribute[0].t)
        elif node.op_type == "Constant" and node.attribute[0].name == "value_ints":
            found[node.output[0]] = np.array(node.attribute[0].ints)
    return found


def joined(first: Any, second: Any) -> Any:
    """Two `onnx.ModelProto`, the output of `first` being the input of `second`, as one."""
    compose = import_module("onnx.compose")
    first = compose.add_prefix(first, "prepare/", rename_inputs=False)
    second = compose.add_prefix(second, "net/", rename_outputs=False)
    return compose.merge_models(first, second, [(f"prepare/{OUTPUT}", f"net/{INPUT}")])


def fix_batch(model: Any, batch: int) -> Any:
    """The same `onnx.ModelProto` for `batch` images at a time, no other number."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    del model.graph.value_info[:]  # shapes inside, with the open number; readers infer them
    return model


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what the exporter and the quantisers print and log, and what torch says of torch."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)
            yield
    finally:
        logging.disable(before)
