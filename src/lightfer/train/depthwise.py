"""Depthwise convolutions on the CPU, and their gradients, by the C extension `_kernels.c`.

oneDNN has no fast gradients of them: in bfloat16 it takes several times as long as in float32, and
for kernels of 5x5 and maps below 4x4 a slow reference: 4 ms for 5x5, 576 channels of 2x2 and 64
images, where the convolution itself takes 0.1 ms.
"""

from typing import Any

import torch
from torch import Tensor

from lightfer.train.kernels import LARGEST_KERNEL, Call, call, channels_last, takes


def depthwise_convolution(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """(N, C, H, W) with weights (C, 1, k, k) to (N, C, H', W'), channels last, differentiable once.

    `x` and the result are bfloat16 or float32, the weights float32; sums are made in float32.
    Raises RuntimeError where the C extension was not built, ValueError for tensors that it cannot
    take.
    """
    y = _Depthwise.apply(x, weight, stride, padding)
    assert isinstance(y, Tensor)
    return y


class _Depthwise(torch.autograd.Function):
    """Input (N, C, H, W), weight (C, 1, k, k), stride, padding."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        sides = _output_sides(x, weight, stride, padding)
        x, weight = channels_last(x), weight.contiguous()
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        shape = (*x.shape[:2], *sides)
        y = torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last)
        sizes = _call(x, y, weight.shape[-1], stride, padding)
        sizes.result = y.data_ptr()
        call("lightfer_depthwise", sizes, x, weight[0].numel(), weight)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        gradient, of_weight = channels_last(gradients[0]), torch.empty(weight.shape)
        of_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        sizes = _call(x, gradient, weight.shape[-1], ctx.stride, ctx.padding)
        sizes.gradient = gradient.data_ptr()
        sizes.result = None if of_x is None else of_x.data_ptr()
        call("lightfer_depthwise_back", sizes, x, weight[0].numel(), weight, of_weight)
        return of_x, of_weight, None, None


def _output_sides(x: Tensor, weight: Tensor, stride: int, padding: int) -> list[int]:
    """Of a call that the C code, which reads raw memory, can take."""
    kernel = weight.shape[-1]
    if not takes(x):
        raise ValueError(
            f"the input is {x.dtype} of shape {tuple(x.shape)} on {x.device}: expected bfloat16 or "
            "float32, (N, C, H, W), not empty, on the CPU"
        )
    if not (1 <= kernel <= LARGEST_KERNEL and stride >= 1 and padding >= 0):
        raise ValueError(
            f"kernel {kernel}, stride {stride}, padding {padding}: expected a kernel of 1 to "
            f"{LARGEST_KERNEL}, a stride of at least 1, a padding of at least 0"
        )
    expected = (x.shape[1], 1, kernel, kernel)
    if weight.shape != expected or (weight.dtype, weight.device) != (torch.float32, x.device):
        raise ValueError(
            f"the weights are {weight.dtype} of shape {tuple(weight.shape)} on {weight.device}: "
            f"expected float32 of shape {expected} on the CPU"
        )
    sides = [(side + 2 * padding - kernel) // stride + 1 for side in x.shape[2:]]
    if min(sides) < 1:
        raise ValueError(
            f"a kernel of {kernel} does not fit in {tuple(x.shape[2:])}, padded by {padding}"
        )
    return sides


def _call(x: Tensor, output: Tensor, kernel: int, stride: int, padding: int) -> Call:
    if output.dtype != x.dtype:
        raise ValueError(f"the gradient is {output.dtype}, expected {x.dtype} as the input")
    images, _, height, width = x.shape
    return Call(
        images=images, height=height, width=width, height_out=output.shape[2],
        width_out=output.shape[3], kernel=kernel, stride=stride, padding=padding,
    )  # fmt: skip
