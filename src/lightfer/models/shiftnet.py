"""ShiftNet: spatial convolutions replaced by shifts, which cost no multiply-adds.

Wu et al., 2017, https://arxiv.org/abs/1711.08141. No official code or weights exist; the tables
are reconstructed and confirmed by the published sizes: A 4.1 M parameters and 1.4 G multiply-adds,
B 1.1 M and 371 M at 224x224 (here 4 188 680 and 1424.3 M, 1 183 480 and 370.96 M).
With the defaults (B): 926 711 parameters, 16.6 M multiply-adds at 48x48.

Differs from the paper:
  - the first convolution takes one channel, the classifier has seven outputs
  - the stride stands on the shift, not on the 1x1 convolution behind it: equal values, less
    work
  - shift directions are contiguous channel groups: equal up to a permutation of channels
  - down-sampling shortcut: average pool 3x3, stride 2; the paper's kernel is not confirmed
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from lightfer.models.blocks import global_average, init_weights, strides_for

OUTPUT_STRIDE = 32  # of the stock net


class Group(NamedTuple):
    """A strided block that changes the channels, then `repeats` blocks that keep them."""

    kernel: int
    expansion_first: int
    expansion_rest: int
    channels: int
    repeats: int
    stride: int


# fmt: off
GROUPS = (
    #     k  E  E    c  n  s      channels of ShiftNet-A
    Group(5, 4, 4,  64, 4, 2),
    Group(5, 4, 3, 128, 5, 2),
    Group(3, 3, 2, 256, 6, 2),
    Group(3, 2, 1, 512, 2, 2),
)
# fmt: on
STEM_CHANNELS, STEM_KERNEL, STEM_STRIDE = 32, 7, 2


class Shift(nn.Module):
    """Move each channel by one of the k*k offsets of a k x k window, centre included.

    (N, C, H, W) -> (N, C, H/stride, W/stride)

    With g = C // k**2, channels d*g to (d+1)*g - 1 read `x[h + d // k - k // 2, w + d % k - k // 2]`
    for d = 0 ... k*k - 1; the C % k**2 channels left over, the last ones, do not move. Outside the
    map is zero; nothing wraps around. Computed as a depthwise convolution with frozen one-hot
    kernels, which is exact; it has no parameters and no tensors in the state dict.
    """

    def __init__(self, channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        group = channels // kernel**2
        direction = torch.full((channels,), kernel**2 // 2)
        direction[: group * kernel**2] = torch.arange(kernel**2).repeat_interleave(group)
        weight = nn.functional.one_hot(direction, kernel**2).float()
        weight = weight.view(channels, 1, kernel, kernel)
        self.register_buffer("weight", weight, persistent=False)
        self.weight: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight, None, self.stride, self.kernel // 2, groups=x.shape[1])


class ConvShiftConv(nn.Module):
    """BN, ReLU, 1x1, shift, BN, ReLU, 1x1; added to the input, or beside it where channels grow.

    (N, c_in, H, W) -> (N, c_out, H/stride, W/stride)
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, expansion: int, stride: int) -> None:
        super().__init__()
        self.grows = c_out > c_in
        c_branch = c_out - c_in if self.grows else c_out
        wide = expansion * c_branch
        self.bn1 = nn.BatchNorm2d(c_in)
        self.conv1 = nn.Conv2d(c_in, wide, 1, bias=False)
        self.shift = Shift(wide, kernel, stride)
        self.bn2 = nn.BatchNorm2d(wide)
        self.conv2 = nn.Conv2d(wide, c_branch, 1, bias=False)
        self.shortcut = nn.AvgPool2d(3, stride, padding=1) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        branch = self.conv1(torch.relu(self.bn1(x)))  # (N, wide, H, W)
        branch = self.shift(branch)  # (N, wide, H/stride, W/stride)
        branch = self.conv2(torch.relu(self.bn2(branch)))
        shortcut = self.shortcut(x)
        return torch.cat([shortcut, branch], dim=1) if self.grows else shortcut + branch


class ShiftNet(nn.Module):
    """(N, in_channels, H, W) -> (N, num_classes) logits.

    `width` multiplies every channel count, the stem's included: 1.0 is ShiftNet-A, 0.5 is B.
    `output_stride` divides the input side down to the last map (stock 32; 16 and 8 remove strides
    from the front).
    """

    def __init__(
        self,
        num_classes: int = 7,
        in_channels: int = 1,
        *,
        width: float = 0.5,
        output_stride: int | None = None,
    ) -> None:
        super().__init__()
        stem, *strides = strides_for([STEM_STRIDE, *(g.stride for g in GROUPS)], output_stride)
        c_in = int(STEM_CHANNELS * width)
        self.stem = nn.Conv2d(
            in_channels, c_in, STEM_KERNEL, stem, padding=STEM_KERNEL // 2, bias=False
        )
        groups = []
        for group, stride in zip(GROUPS, strides, strict=True):
            c_out = int(group.channels * width)
            blocks = [ConvShiftConv(c_in, c_out, group.kernel, group.expansion_first, stride)]
            for _ in range(group.repeats):
                blocks.append(ConvShiftConv(c_out, c_out, group.kernel, group.expansion_rest, 1))
            groups.append(nn.Sequential(*blocks))
            c_in = c_out
        self.groups = nn.Sequential(*groups)
        self.norm = nn.BatchNorm2d(c_in)
        self.classifier = nn.Linear(c_in, num_classes)
        init_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.groups(self.stem(x))  # (N, 512 width, H/32, W/32)
        return self.classifier(global_average(torch.relu(self.norm(x))))
