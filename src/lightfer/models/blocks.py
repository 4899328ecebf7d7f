"""Layers and rules that more than one architecture uses. Nothing here knows a paper."""

from collections.abc import Callable, Sequence
from math import prod

from torch import Tensor, nn

Activation = Callable[[], nn.Module]


class ConvBNAct(nn.Sequential):
    """Convolution without bias, batch norm, activation (none if `act` is None).

    (N, c_in, H, W) -> (N, c_out, ceil(H/stride), ceil(W/stride)); tensors `0.*` and `1.*`.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        act: Activation | None = nn.ReLU,
    ) -> None:
        super().__init__(
            nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(c_out),
            *([act()] if act else []),
        )


class BatchNormAct(nn.BatchNorm2d):
    """Batch norm, then an activation: (N, C, H, W) -> the same. Tensors as of the norm alone."""

    def __init__(self, channels: int, act: Activation = nn.ReLU) -> None:
        super().__init__(channels)
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(super().forward(x))


def scale_channels(channels: float, divisor: int = 8) -> int:
    """Round to the nearest multiple of `divisor`, at least `divisor`, never below 90 %.

    The rule of MobileNetV2 and V3 (`_make_divisible` in the authors' TensorFlow code).
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


def strides_for(stock: Sequence[int], output_stride: int | None) -> list[int]:
    """The strides of a net in forward order, the first ones set to 1 until `output_stride` is met.

    Removing strides from the front keeps the parameters and enlarges every later map: the way
    small-image versions of these nets are made. None keeps the stock strides. A net whose stem does
    not stride may also have twice the stock output stride: then its stem strides.

    Raises ValueError where `output_stride` cannot be made so.
    """
    strides = list(stock)
    if strides[0] == 1 and output_stride == 2 * prod(stock):
        strides[0] = 2
    for i, stride in enumerate(strides):
        if prod(strides) == (output_stride or prod(stock)):
            break
        if stride > 1:
            strides[i] = 1
    if prod(strides) != (output_stride or prod(stock)):
        raise ValueError(
            f"output_stride {output_stride} cannot be made from the strides {list(stock)}: "
            f"use {prod(stock)} divided by a power of 2"
        )
    return strides


def init_weights(model: nn.Module) -> None:
    """Convolutions: normal, variance 2 / fan-out. Norms: 1 and 0. Linear: normal 0.01, zero bias.

    He et al., 2015, https://arxiv.org/abs/1502.01852, as torchvision does it for the same nets.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def global_average(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C)"""
    return x.mean((2, 3))
