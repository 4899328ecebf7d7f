"""A network as ONNX: one input `image` (N, C, H, W), one output `logits` (N, classes), any N."""

import contextlib
import copy
import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from lightfer.deployed import INPUT, OUTPUT

OPSET = 18


def to_onnx(model: nn.Module, shape: tuple[int, ...], path: Path | None = None) -> bytes:
    """Export `model` in evaluation mode and float32, weights inside; returns the file's content.

    Of `shape` (N, C, H, W) all but N is fixed. `path` receives the file too. A shift becomes one
    grouped convolution.

    Raises ModuleNotFoundError without the packages `onnx` and `onnxscript`.
    """
    model = copy.deepcopy(model).to("cpu", torch.float32).eval()
    example = torch.zeros(2, *shape[1:])  # N = 1 would be taken for a constant
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            model.to(memory_format=torch.contiguous_format),  # pyright: ignore[reportCallIssue]
            (example,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamic_shapes=({0: torch.export.Dim("N")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    content = program.model_proto.SerializeToString()
    if path is not None:
        path.write_bytes(content)
    return content


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter prints, and what torch says about torch."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)
        yield
