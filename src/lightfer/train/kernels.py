"""The optional C extension `_kernels.c`: what it takes, and how it is called.

Values are channels last, bfloat16 or float32, on the CPU.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor

from lightfer.models.extension import load_extension

LARGEST_KERNEL = 7  # of a depthwise convolution
_BLOCK = 32  # channels, `BLOCK` in `_kernels.c`
_PARTS = 64  # `MOST_PARTS`

_LIBRARY = load_extension(__file__, "_kernels")


class Call(ctypes.Structure):
    """`Call` in `_kernels.c`: pointers to the tensors, sizes, and how to run threads."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("x", "gradient", "result", "sums", "arranged")),
        *((n, ctypes.c_int64) for n in ("images", "channels", "height", "width")),
        *((n, ctypes.c_int64) for n in ("height_out", "width_out", "kernel", "stride", "padding")),
        *((n, ctypes.c_int64) for n in ("bfloat16", "activation")),
        ("parallel", ctypes.c_void_p),
        *((n, ctypes.c_int64) for n in ("threads", "parts", "taken")),
        ("work", ctypes.c_void_p),
    )


def takes(x: Tensor) -> bool:
    """Whether the extension is there and computes with tensors like `x`, (N, C, H, W)."""
    return (
        _LIBRARY is not None
        and x.device.type == "cpu"
        and x.dtype in (torch.bfloat16, torch.float32)
        and x.ndim == 4
        and x.numel() > 0
    )


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def call(function: str, sizes: Call, x: Tensor, rows: int, *more: Tensor | float | None) -> None:
    """Call a function of the extension with room for `rows` numbers of each channel.

    Tensors go as addresses, numbers as doubles. Raises RuntimeError where it was not built.
    """
    if _LIBRARY is None:
        raise RuntimeError("the C extension was not built")
    padded = -(-x.shape[1] // _BLOCK) * _BLOCK
    sums, arranged = torch.empty(_PARTS * rows * padded), torch.empty(rows * padded)
    sizes.x, sizes.sums, sizes.arranged = x.data_ptr(), sums.data_ptr(), arranged.data_ptr()
    sizes.channels, sizes.bfloat16 = x.shape[1], x.dtype == torch.bfloat16
    sizes.parallel, sizes.threads = _LIBRARY.parallel, torch.get_num_threads()
    run: Any = getattr(_LIBRARY.functions, function)
    run.restype = None
    run(ctypes.byref(sizes), *map(_argument, more))


def _argument(value: Tensor | float | None) -> ctypes.c_void_p | ctypes.c_double:
    if isinstance(value, Tensor):
        return ctypes.c_void_p(value.data_ptr())
    return ctypes.c_void_p() if value is None else ctypes.c_double(value)
