"""A depthwise convolution on the CPU with a fast gradient of its weights.

oneDNN computes that gradient by a slow reference for kernels of 5x5 and for maps below 4x4: 4 ms
for 5x5, 576 channels of 2x2 and 64 images, where the convolution itself takes 0.1 ms.
`_depthwise.c`, an optional C extension, does it in 0.1 ms.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d

LARGEST_KERNEL = 7  # in `_depthwise.c`


def depthwise_convolution(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """(N, C, H, W) with weights (C, 1, k, k) on the CPU, differentiable once."""
    y = _Depthwise.apply(x, weight, stride, padding)
    assert isinstance(y, Tensor)
    return y


class _Depthwise(torch.autograd.Function):
    """Input (N, C, H, W), weight (C, 1, k, k), stride, padding."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return conv2d(x, weight, None, stride, padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight = ctx.needs_input_grad[:2]
        kernel, width = weight.shape[-1], gradients[0].shape[-1]
        pays = x.dtype == torch.float32 and (kernel > 3 or width < 4)
        by_hand = wants_weight and pays and _LIBRARY is not None
        of_x, of_weight, _ = torch.ops.aten.convolution_backward(
            gradients[0], x, weight, None, [ctx.stride] * 2, [ctx.padding] * 2, [1, 1], False,
            [0, 0], len(weight), [wants_x, wants_weight and not by_hand, False],
        )  # fmt: skip
        if by_hand:
            of_weight = weight_gradient(x, gradients[0], kernel, ctx.stride, ctx.padding)
        return of_x, of_weight, None, None


def weight_gradient(x: Tensor, gradient: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """From input (N, C, H, W) and the output's gradient to that of the weights, (C, 1, k, k).

    float32 on the CPU. Raises RuntimeError where the C extension was not built, ValueError for
    tensors that it cannot take.
    """
    if _LIBRARY is None:
        raise RuntimeError("the C extension was not built")
    _check(x, gradient, kernel, stride, padding)
    x, gradient = (t.contiguous(memory_format=torch.channels_last) for t in (x, gradient))
    result = torch.empty(x.shape[1], 1, kernel, kernel)
    call = _Call(
        x.data_ptr(), gradient.data_ptr(), result.data_ptr(), *x.shape, *gradient.shape[2:],
        kernel, stride, padding, _LIBRARY.parallel, torch.get_num_threads(), 0,
    )  # fmt: skip
    _LIBRARY.gradient(ctypes.byref(call))
    return result


def _check(x: Tensor, gradient: Tensor, kernel: int, stride: int, padding: int) -> None:
    """What the C code, which reads raw memory, takes for granted."""
    kinds = {(t.dtype, t.device.type) for t in (x, gradient)}
    if kinds != {(torch.float32, "cpu")}:
        raise ValueError(f"input and gradient are {kinds}, expected float32 on the CPU")
    if not (1 <= kernel <= LARGEST_KERNEL and stride >= 1 and padding >= 0):
        raise ValueError(
            f"kernel {kernel}, stride {stride}, padding {padding}: expected a kernel of 1 to "
            f"{LARGEST_KERNEL}, a stride of at least 1, a padding of at least 0"
        )
    sides = [(side + 2 * padding - kernel) // stride + 1 for side in x.shape[2:]]
    expected = (*x.shape[:2], *sides)
    if x.ndim != 4 or gradient.shape != expected:
        raise ValueError(f"the gradient has shape {tuple(gradient.shape)}, expected {expected}")


class _Call(ctypes.Structure):
    """`Call` in `_depthwise.c`: pointers to the tensors, sizes, and how to run threads."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("input", "gradient", "result")),
        *((n, ctypes.c_int64) for n in ("images", "channels", "height", "width")),
        *((n, ctypes.c_int64) for n in ("height_out", "width_out", "kernel", "stride", "padding")),
        ("parallel", ctypes.c_void_p),
        *((n, ctypes.c_int64) for n in ("threads", "taken")),
    )


@dataclass(frozen=True)
class _Library:
    """The loaded extension; `parallel` is the address of `GOMP_parallel` in torch's library."""

    gradient: Callable[..., None]
    parallel: int | None


def _load() -> _Library | None:
    here = Path(__file__).parent
    found = [*here.glob("_depthwise*.so"), *here.glob("_depthwise*.pyd")]
    try:
        gradient = ctypes.CDLL(str(found[0])).lightfer_depthwise_gradient
    except (IndexError, OSError):
        return None
    gradient.restype = None
    try:
        torch_cpu = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        parallel = ctypes.cast(torch_cpu.GOMP_parallel, ctypes.c_void_p).value
    except (OSError, AttributeError):  # not Linux, or not built with GNU OpenMP: one thread
        parallel = None
    return _Library(gradient, parallel)


_LIBRARY = _load()
