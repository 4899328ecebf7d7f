"""The shift: one operator, one definition, two ways to compute it with equal results.

Wu et al., 2017, https://arxiv.org/abs/1711.08141. With g = C // k**2, channels d*g to (d+1)*g - 1
read `x[h * stride + d // k - k // 2, w * stride + d % k - k // 2]` for d = 0 ... k*k - 1; the
C % k**2 channels left over, the last ones, do not move. Outside the map is zero, nothing wraps
around.

  - `shift_convolution`: a depthwise convolution with frozen one-hot kernels. For export (one ONNX
    node), on any device, for the gradient at stride 2, and where the extension is missing.
  - `shift_copy`, the operator `lightfer::shift`: block copies by the optional C extension
    `_shift.c`, on the CPU, NCHW or channels last, with torch's own threads. Its gradient at stride
    1 is the shift in the opposite directions. For inference batch norm and ReLU follow in
    `shift_norm_relu` while the numbers are in the cache.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d

from lightfer.models.blocks import BatchNormAct
from lightfer.models.extension import load_extension

_BYTES_PER_THREAD = 64 * 1024  # of the output; below, waking a thread costs more than it saves


def shift_weight(channels: int, kernel: int) -> Tensor:
    """The shift as a depthwise filter: (channels, 1, kernel, kernel), a single 1 per channel."""
    group = channels // kernel**2
    direction = torch.full((channels,), kernel**2 // 2)
    direction[: group * kernel**2] = torch.arange(kernel**2).repeat_interleave(group)
    one_hot = direction[:, None] == torch.arange(kernel**2)
    return one_hot.float().view(channels, 1, kernel, kernel)


def shift_convolution(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """Shift by convolution with `shift_weight`: (N, C, H, W) -> (N, C, H/stride, W/stride).

    Under autocast on the CPU in float32: depthwise gradients in bfloat16 are several times slower.
    """
    if x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            return shift_convolution(x.float(), weight, stride)
    return conv2d(x, weight, None, stride, weight.shape[-1] // 2, groups=x.shape[1])


class Shift(nn.Module):
    """Move each channel by one of the k*k offsets of a k x k window, centre included.

    (N, C, H, W) -> (N, C, H/stride, W/stride), rounded up. The definition stands at the top of
    this file. No parameters and no tensors in the state dict.
    """

    one_hot = True  # its kernels: for who counts operations on the meta device, without numbers

    def __init__(self, channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.register_buffer("weight", shift_weight(channels, kernel), persistent=False)
        self.weight: Tensor

    def forward(self, x: Tensor) -> Tensor:
        if not copies_win(x, self.stride):
            return shift_convolution(x, self.weight, self.stride)
        if _is_watched(x):
            return shift_copy(x, self.kernel, self.stride)
        return _run(x, self.kernel, self.stride)

    def norm_relu(self, x: Tensor, norm: BatchNormAct) -> Tensor:
        """`norm(shift(x))`, in one pass where that is possible; `norm` ends with a ReLU."""
        mean, variance = norm.running_mean, norm.running_var
        if norm.training or mean is None or variance is None:
            return norm(self(x))
        tensors = (norm.weight, norm.bias, mean, variance)
        one_pass = x.dtype == torch.float32 and copies_win(x, self.stride)
        if not one_pass or _needs_gradient(x, *tensors):
            return norm(self(x))
        if _is_watched(x):
            return shift_norm_relu(x, self.kernel, self.stride, *tensors, norm.eps)
        return _run(x, self.kernel, self.stride, tensors, norm.eps)


def _needs_gradient(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(t.requires_grad for t in tensors)


def _is_watched(x: Tensor) -> bool:
    """Whether torch has to see an operator, for a gradient, a compiler or whoever records calls.
    Where it need not, the way around its dispatcher saves a small block a tenth of its time."""
    return (
        torch.compiler.is_compiling()
        or _needs_gradient(x)
        or type(x) is not Tensor
        or torch._C._len_torch_dispatch_stack() > 0
    )


def copies_win(x: Tensor, stride: int = 1) -> bool:
    """Whether the C extension is there and is meant for `x`: on the CPU, no export, and no
    gradient at a stride above 1, whose scattered copies are no faster in channels last."""
    return (
        _LIBRARY is not None
        and x.device.type == "cpu"
        and (stride == 1 or not _needs_gradient(x))
        and not torch.compiler.is_exporting()
        and not torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
    )


@torch.library.custom_op("lightfer::shift", mutates_args=(), device_types="cpu")
def shift_copy(x: Tensor, kernel: int, stride: int, opposite: bool = False) -> Tensor:
    """Shift by block copies: (N, C, H, W) -> (N, C, H/stride, W/stride) in the format of `x`.

    `opposite` changes the sign of every offset; with stride 1 that is the gradient of the shift.
    Raises RuntimeError where the C extension was not built.
    """
    return _run(x, kernel, stride, opposite=opposite)


@torch.library.custom_op("lightfer::shift_norm_relu", mutates_args=(), device_types="cpu")
def shift_norm_relu(
    x: Tensor,
    kernel: int,
    stride: int,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    eps: float,
) -> Tensor:
    """`shift_copy`, then batch norm by running statistics, then ReLU. float32, no gradient."""
    return _run(x, kernel, stride, (weight, bias, mean, variance), eps)


@shift_copy.register_fake
def _(x: Tensor, kernel: int, stride: int, opposite: bool = False) -> Tensor:
    return _empty_output(x, stride)


@shift_norm_relu.register_fake
def _(x: Tensor, kernel: int, stride: int, *norm: Tensor | float) -> Tensor:
    return _empty_output(x, stride)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
    if ctx.stride == 1:
        return shift_copy(gradient, ctx.kernel, 1, not ctx.opposite), None, None, None
    weight = shift_weight(gradient.shape[1], ctx.kernel).to(gradient)
    weight = weight.flip(2, 3) if ctx.opposite else weight
    left_over = [(size - 1) % ctx.stride for size in ctx.size]  # rows, columns not read
    moved = conv_transpose2d(
        gradient, weight, None, ctx.stride, ctx.kernel // 2, left_over, len(weight)
    )
    return moved, None, None, None


def _setup_context(ctx: Any, inputs: tuple[Tensor, int, int, bool], output: Tensor) -> None:
    x, ctx.kernel, ctx.stride, ctx.opposite = inputs
    ctx.size = x.shape[2:]


shift_copy.register_autograd(_backward, setup_context=_setup_context)


class _Call(ctypes.Structure):
    """`Call` in `_shift.c`: sizes, pointers to the tensors, and how to run threads."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("input", "output")),
        *((n, ctypes.c_int64) for n in ("images", "channels", "height", "width", "kernel")),
        *((n, ctypes.c_int64) for n in ("stride", "item_bytes", "channels_last", "opposite")),
        ("parallel", ctypes.c_void_p),
        ("threads", ctypes.c_int64),
        *((n, ctypes.c_void_p) for n in ("gamma", "beta", "mean", "variance")),
        ("epsilon", ctypes.c_double),
    )


_LIBRARY = load_extension(__file__, "_shift")


def _empty_output(x: Tensor, stride: int) -> Tensor:
    n, c, h, w = x.shape
    shape = (n, c, (h + stride - 1) // stride, (w + stride - 1) // stride)
    return torch.empty(
        shape,
        dtype=x.dtype,
        device=x.device,
        memory_format=torch.channels_last if _channels_last(x) else torch.contiguous_format,
    )


def _channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def _run(
    x: Tensor,
    kernel: int,
    stride: int,
    norm: Sequence[Tensor] = (),
    eps: float = 0.0,
    opposite: bool = False,
) -> Tensor:
    if _LIBRARY is None:
        raise RuntimeError("the C extension was not built, use shift_convolution in its place")
    y, channels_last = _empty_output(x, stride), _channels_last(x)
    x = x if channels_last else x.contiguous()
    norm = [t.contiguous() for t in norm]
    threads = min(torch.get_num_threads(), 1 + y.nbytes // _BYTES_PER_THREAD)
    call = _Call(
        x.data_ptr(), y.data_ptr(), *x.shape, kernel, stride, x.element_size(), channels_last,
        opposite, _LIBRARY.parallel, threads, *(t.data_ptr() for t in norm),
        epsilon=eps,
    )  # fmt: skip
    if _LIBRARY.functions.lightfer_shift(ctypes.byref(call)) != 0:
        raise MemoryError(f"no memory to shift a tensor of shape {tuple(x.shape)}")
    return y
