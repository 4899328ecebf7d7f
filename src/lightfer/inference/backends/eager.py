"""Eager PyTorch: every operator is a call from Python, nothing is fused but what the net fuses."""

import copy
from typing import TYPE_CHECKING

from lightfer.errors import ArgumentError
from lightfer.inference.backends.protocol import Loaded, Runtime, Settings
from lightfer.measure.process import without_tf32

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


def load(
    model: "nn.Module",
    shape: tuple[int, ...],
    *,
    threads: int,
    precision: str,
    calibration: "Tensor | None" = None,
) -> Loaded:
    """The model itself; for bfloat16 a copy of it with weights and buffers in that precision."""
    import torch

    torch.set_num_threads(threads)
    model, dtype, settings = in_precision(model, precision)
    device = next(model.parameters()).device

    def opened(net: "nn.Module") -> Loaded:
        def run(x: "Tensor") -> "Tensor":
            return net(x.to(device, dtype)).float()

        return Loaded(run, settings, reopen=reopen if copied else None)

    def reopen() -> Loaded:
        return opened(copy.deepcopy(model))

    copied = _can_be_copied(model)
    return opened(model)


def _can_be_copied(net: "nn.Module") -> bool:
    """Not every one of a user's own can."""
    try:
        copy.deepcopy(net)
    except Exception:  # whatever the net holds says it in its own way
        return False
    return True


def in_precision(model: "nn.Module", precision: str) -> "tuple[nn.Module, torch.dtype, Settings]":
    """The model in evaluation mode, the type of its input, and what it computes with."""
    import torch

    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if precision not in dtypes:
        raise ArgumentError(f"precision is {precision!r}, expected one of {', '.join(dtypes)}")
    dtype = dtypes[precision]
    if dtype is not torch.float32:
        model = copy.deepcopy(model).to(dtype)
    settings: Settings = {"precision": precision, "threads": torch.get_num_threads()}
    settings |= without_tf32(next(model.parameters()).device.type)
    return model.eval(), dtype, settings


RUNTIME = Runtime(
    name="pytorch",
    precisions=("float32", "bfloat16"),
    devices=("cpu", "cuda", "mps"),
    package="torch",
    available=lambda: None,
    load=load,
)
