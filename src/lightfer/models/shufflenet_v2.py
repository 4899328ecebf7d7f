"""ShuffleNetV2: split the channels, transform one half, shuffle.

Ma et al., 2018 (`PAPER`), Table 5; where the net differs stands in `DEVIATIONS`.
With the defaults (1.0x): 1 260 347 parameters, 7.97 M multiply-adds at 48x48.
Tensors are named as in torchvision's `shufflenet_v2_x1_0`.
"""

import torch
from torch import Tensor, nn

from lightfer.errors import ArgumentError
from lightfer.models.blocks import ConvBNAct, global_average, init_weights, strides_for

PAPER = "https://arxiv.org/abs/1807.11164"
DEVIATIONS = (  # part of the names that it holds for, sentence
    ("", "the first convolution takes one channel, the classifier has seven outputs"),
    ("_os8", "the max-pool, whose stride would be 1, is left out"),
)

# fmt: off
CHANNELS = {
    # width  stage2 stage3 stage4 conv5
    0.5:     ( 48,    96,   192,  1024),
    1.0:     (116,   232,   464,  1024),
    1.5:     (176,   352,   704,  1024),
    2.0:     (244,   488,   976,  2048),
}
# fmt: on
REPEATS = (4, 8, 4)
STEM_CHANNELS = 24
STRIDES = (2, 2, 2, 2, 2)  # conv1, max-pool, stages 2 to 4


class ShuffleUnit(nn.Module):
    """Two branches, concatenated and shuffled; at stride 1 the first branch is the identity.

    (N, c_in, H, W) -> (N, c_out, H/stride, W/stride)
    """

    def __init__(self, c_in: int, c_out: int, stride: int, split: bool) -> None:
        super().__init__()
        half = c_out // 2
        self.split = split
        self.branch1 = (
            nn.Sequential()
            if split
            else nn.Sequential(
                *ConvBNAct(c_in, c_in, 3, stride, groups=c_in, act=None),
                *ConvBNAct(c_in, half, 1),
            )
        )
        self.branch2 = nn.Sequential(
            *ConvBNAct(half if split else c_in, half, 1),
            *ConvBNAct(half, half, 3, stride, groups=half, act=None),
            *ConvBNAct(half, half, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        keep, transform = x.chunk(2, dim=1) if self.split else (x, x)
        x = torch.cat([self.branch1(keep), self.branch2(transform)], dim=1)
        return channel_shuffle(x, groups=2)  # (N, c_out, H/stride, W/stride)


class ShuffleNetV2(nn.Module):
    """(N, in_channels, H, W) -> (N, num_classes) logits.

    `width` is one of the paper's 0.5, 1.0, 1.5, 2.0; `output_stride` divides the input side down
    to the last map (stock 32; 16 and 8 remove strides from the front).
    """

    def __init__(
        self,
        num_classes: int = 7,
        in_channels: int = 1,
        *,
        width: float = 1.0,
        output_stride: int | None = None,
    ) -> None:
        super().__init__()
        if width not in CHANNELS:
            raise ArgumentError(f"width is {width}, but the paper's Table 5 has {list(CHANNELS)}")
        stem, pool, *strides = strides_for(STRIDES, output_stride)
        *stage_channels, head = CHANNELS[width]
        self.conv1 = ConvBNAct(in_channels, STEM_CHANNELS, kernel=3, stride=stem)
        self.maxpool = nn.MaxPool2d(3, pool, padding=1) if pool > 1 else nn.Identity()
        stages, c_in = [], STEM_CHANNELS
        for c_out, stride, repeats in zip(stage_channels, strides, REPEATS, strict=True):
            units = [ShuffleUnit(c_in, c_out, stride, split=False)]
            units += [ShuffleUnit(c_out, c_out, 1, split=True) for _ in range(repeats - 1)]
            stages.append(nn.Sequential(*units))
            c_in = c_out
        self.stage2, self.stage3, self.stage4 = stages
        self.conv5 = ConvBNAct(c_in, head, kernel=1)
        self.fc = nn.Linear(head, num_classes)
        init_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.conv1(x))  # (N,   24, H/4,  W/4)
        x = self.stage4(self.stage3(self.stage2(x)))  # (N,  464, H/32, W/32)
        x = self.conv5(x)  # (N, 1024, H/32, W/32)
        return self.fc(global_average(x))


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Interleave the channels of `groups` equal groups: (N, C, H, W) -> (N, C, H, W)."""
    return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)
