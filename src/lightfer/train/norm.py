"""Batch norm and the activation behind it in one pass on the CPU, by the C extension `_kernels.c`.

torch makes four passes over the values and keeps what the activation read; this makes two and keeps
the norm's input alone.
"""

from typing import Any

import torch
from torch import Tensor, nn

from lightfer.train.kernels import Call, call, channels_last

ACTIVATIONS = {nn.ReLU: 1, nn.ReLU6: 2, nn.Hardswish: 3}
"""What may follow a norm, as `_kernels.c` numbers it; 0 is nothing."""

_ROWS = 5  # of numbers of each channel that the C code arranges


def norm_act(x: Tensor, norm: nn.BatchNorm2d, activation: int = 0) -> Tensor:
    """(N, C, H, W) to the same shape and dtype, channels last: `activation(norm(x))` in training.

    The running statistics of `norm` move. Sums are made in float32, tile by tile, of distances to
    the first pixel. Raises ValueError where a channel has one value, as torch does.
    """
    if x.numel() == x.shape[1]:
        raise ValueError(f"batch norm of shape {tuple(x.shape)}: expected more than one value")
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    y = _NormAct.apply(x, norm.weight, norm.bias, norm, activation)
    assert isinstance(y, Tensor)
    return y


class _NormAct(torch.autograd.Function):
    """Input (N, C, H, W), weight (C,), bias (C,), the norm, the number of its activation."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d, activation: int
    ) -> Tensor:
        x = channels_last(x)
        y, statistics = torch.empty_like(x), torch.empty(6, x.shape[1])
        ctx.save_for_backward(x, statistics)
        ctx.activation = activation
        sizes = Call(result=y.data_ptr(), images=x.numel() // x.shape[1], activation=activation)
        moved = (norm.running_mean, norm.running_var)
        numbers = (norm.eps, norm.momentum)
        call("lightfer_norm", sizes, x, _ROWS, weight, bias, *moved, statistics, *numbers)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, statistics = ctx.saved_tensors
        gradient, of_x = channels_last(gradients[0]), torch.empty_like(x)
        of_weight, of_bias = torch.empty(2, x.shape[1]).unbind()
        sizes = Call(
            gradient=gradient.data_ptr(), result=of_x.data_ptr(),
            images=x.numel() // x.shape[1], activation=ctx.activation,
        )  # fmt: skip
        call("lightfer_norm_back", sizes, x, _ROWS, statistics, of_weight, of_bias)
        return of_x, of_weight, of_bias, None, None
