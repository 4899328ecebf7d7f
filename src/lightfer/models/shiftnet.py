"""ShiftNet: spatial convolutions replaced by shifts, which cost no multiply-adds.

Wu et al., 2017 (`PAPER`); where the net differs stands in `DEVIATIONS`. No official code or
weights exist; the tables are reconstructed and confirmed by the published sizes: A 4.1 M parameters
and 1.4 G multiply-adds, B 1.1 M and 371 M at 224x224 (here 4 188 680 and 1424.3 M, 1 183 480 and
370.96 M).
With the defaults (B): 926 711 parameters, 16.6 M multiply-adds at 48x48.

`shiftnet_small` is ours, for 48x48; it is not ShiftNet-C, whose table is not confirmed. It spends
the multiply-adds of B at the resolutions that a small face still has: the stem is 3x3 and keeps
every pixel, three groups end at 6x6 where B ends at 2x2, and since channels double where the side
halves, every block at constant width costs the same 2.36 M. Shifts are 3x3: eight of them, on maps
of 48 to 6 pixels, see the whole face.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lightfer.models.blocks import BatchNormAct, global_average, init_weights, strides_for
from lightfer.models.shift import Shift

PAPER = "https://arxiv.org/abs/1711.08141"
DEVIATIONS = (  # part of the names that it holds for, sentence
    ("", "the first convolution takes one channel, the classifier has seven outputs"),
    (
        "",
        "the stride stands on the shift, not on the 1x1 convolution behind it: equal "
        "values, less work",
    ),
    ("", "shift directions are contiguous channel groups: equal up to a permutation of channels"),
    ("", "down-sampling shortcut: average pool 3x3, stride 2; the paper's kernel is not confirmed"),
    ("_small", "not a net of the paper; its blocks, with a table of our own"),
)


class Group(NamedTuple):
    """A strided block that changes the channels, then `repeats` blocks that keep them."""

    kernel: int
    expansion_first: int
    expansion_rest: int
    channels: int
    repeats: int
    stride: int


# fmt: off
TABLES = {  # channels at width 1, kernel and stride of the stem, and the groups behind it
    "a": (32, 7, 2, (
        #     k  E  E    c  n  s
        Group(5, 4, 4,  64, 4, 2),
        Group(5, 4, 3, 128, 5, 2),
        Group(3, 3, 2, 256, 6, 2),
        Group(3, 2, 1, 512, 2, 2),
    )),
    "small": (16, 3, 1, (
        Group(3, 2, 2,  32, 1, 2),
        Group(3, 2, 2,  64, 2, 2),
        Group(3, 2, 2, 128, 2, 2),
    )),
}
# fmt: on


class ConvShiftConv(nn.Module):
    """BN, ReLU, 1x1, shift, BN, ReLU, 1x1; added to the input, or beside it where channels grow.

    (N, c_in, H, W) -> (N, c_out, H/stride, W/stride)
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, expansion: int, stride: int) -> None:
        super().__init__()
        self.grows = c_out > c_in
        c_branch = c_out - c_in if self.grows else c_out
        wide = expansion * c_branch
        self.bn1 = BatchNormAct(c_in)
        self.conv1 = nn.Conv2d(c_in, wide, 1, bias=False)
        self.shift = Shift(wide, kernel, stride)
        self.bn2 = BatchNormAct(wide)
        self.conv2 = nn.Conv2d(wide, c_branch, 1, bias=False)
        self.shortcut = nn.AvgPool2d(3, stride, padding=1) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        branch = self.conv1(self.bn1(x))  # (N, wide, H, W)
        branch = self.shift.norm_relu(branch, self.bn2)  # (N, wide, H/stride, W/stride)
        branch = self.conv2(branch)
        shortcut = self.shortcut(x)
        return torch.cat([shortcut, branch], dim=1) if self.grows else shortcut + branch


class ShiftNet(nn.Module):
    """(N, in_channels, H, W) -> (N, num_classes) logits.

    `table` is a key of TABLES; `width` multiplies every channel count, the stem's included: of "a",
    1.0 is ShiftNet-A, 0.5 is B. `output_stride` divides the input side down to the last map ("a":
    stock 32, 16 and 8 remove strides from the front; "small": stock 8, 16 lets the stem stride).
    """

    def __init__(
        self,
        num_classes: int = 7,
        in_channels: int = 1,
        *,
        table: str = "a",
        width: float = 0.5,
        output_stride: int | None = None,
    ) -> None:
        super().__init__()
        stem_channels, kernel, stem_stride, rows = TABLES[table]
        stem, *strides = strides_for([stem_stride, *(g.stride for g in rows)], output_stride)
        c_in = int(stem_channels * width)
        self.stem = nn.Conv2d(in_channels, c_in, kernel, stem, padding=kernel // 2, bias=False)
        groups = []
        for group, stride in zip(rows, strides, strict=True):
            c_out = int(group.channels * width)
            blocks = [ConvShiftConv(c_in, c_out, group.kernel, group.expansion_first, stride)]
            for _ in range(group.repeats):
                blocks.append(ConvShiftConv(c_out, c_out, group.kernel, group.expansion_rest, 1))
            groups.append(nn.Sequential(*blocks))
            c_in = c_out
        self.groups = nn.Sequential(*groups)
        self.norm = BatchNormAct(c_in)
        self.classifier = nn.Linear(c_in, num_classes)
        init_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.groups(self.stem(x))  # (N, 256, H/32, W/32)
        return self.classifier(global_average(self.norm(x)))
