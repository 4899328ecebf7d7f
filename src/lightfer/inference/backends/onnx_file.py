"""A network as ONNX: one input `image`, one output `logits` (N, classes), any N or a fixed one."""

import contextlib
import copy
import io
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightfer.inference.card import INPUT, OUTPUT

if TYPE_CHECKING:
    from torch import Tensor, nn

OPSET = 18


def to_onnx(model: "nn.Module", shape: tuple[int, ...], path: Path | None = None) -> bytes:
    """Export `model` in evaluation mode and float32, weights inside; returns the file's content.

    Of `shape` (N, C, H, W) all but N is fixed. `path` receives the file too. Batch norms behind a
    convolution are folded into it; a shift becomes one grouped convolution.

    Raises ModuleNotFoundError without the packages `onnx` and `onnxscript`.
    """
    import torch

    model = copy.deepcopy(model).to("cpu", torch.float32).eval()
    model = model.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    example = torch.zeros(2, *shape[1:])  # N = 1 would be taken for a constant
    content = module_to_onnx(model, example, ("N",)).SerializeToString()
    if path is not None:
        path.write_bytes(content)
    return content


def module_to_onnx(
    model: "nn.Module", example: "Tensor", dynamic: Sequence[str], *, optimize: bool = True
) -> Any:
    """An `onnx.ModelProto` of any module with one input; its first axes, as named, are dynamic."""
    import torch

    axes = {i: torch.export.Dim(name) for i, name in enumerate(dynamic)}
    with _quiet(), torch.no_grad():
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
    return proto


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
def _quiet() -> Iterator[None]:
    """Without what the exporter prints, and what torch says about torch."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)
        yield
