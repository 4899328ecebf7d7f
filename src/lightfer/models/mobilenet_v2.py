"""MobileNetV2: inverted residuals with linear bottlenecks.

Sandler et al., 2018 (`PAPER`), Table 2; where the net differs stands in `DEVIATIONS`.
With the defaults: 2 232 263 parameters, 16.2 M multiply-adds at 48x48.
Tensors are named as in torchvision's `mobilenet_v2`.
"""

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn

from lightfer.models.blocks import (
    ConvBNAct,
    global_average,
    init_weights,
    scale_channels,
    strides_for,
)

PAPER = "https://arxiv.org/abs/1801.04381"
DEVIATIONS = (  # part of the names that it holds for, sentence
    ("", "the first convolution takes one channel, the classifier has seven outputs"),
)


class Stage(NamedTuple):
    """One row of Table 2: `repeats` blocks, of which only the first one strides."""

    expansion: int
    channels: int
    repeats: int
    stride: int


# fmt: off
STAGES = (
    #     t    c  n  s      column names of the paper
    Stage(1,  16, 1, 1),
    Stage(6,  24, 2, 2),
    Stage(6,  32, 3, 2),
    Stage(6,  64, 4, 2),
    Stage(6,  96, 3, 1),
    Stage(6, 160, 3, 2),
    Stage(6, 320, 1, 1),
)
# fmt: on
STEM_CHANNELS, STEM_STRIDE = 32, 2
HEAD_CHANNELS = 1280


class InvertedResidual(nn.Module):
    """Widen 1x1, filter depthwise 3x3, narrow 1x1; add the input where the shapes allow it.

    (N, c_in, H, W) -> (N, c_out, H/stride, W/stride)
    """

    def __init__(self, c_in: int, c_out: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = c_in * expansion
        self.residual = stride == 1 and c_in == c_out
        self.conv = nn.Sequential(
            *([ConvBNAct(c_in, wide, kernel=1, act=nn.ReLU6)] if expansion > 1 else []),
            ConvBNAct(wide, wide, kernel=3, stride=stride, groups=wide, act=nn.ReLU6),
            # Linear on purpose: a ReLU here would destroy the narrow representation (section 3.2).
            nn.Conv2d(wide, c_out, 1, bias=False),
            nn.BatchNorm2d(c_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    """(N, in_channels, H, W) -> (N, num_classes) logits.

    `width` multiplies the channel counts, rounded to multiples of 8; the head never shrinks below
    1280. `output_stride` divides the input side down to the last map (stock 32; 16 and 8 remove
    strides from the front).
    """

    def __init__(
        self,
        num_classes: int = 7,
        in_channels: int = 1,
        *,
        width: float = 1.0,
        output_stride: int | None = None,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        stem_stride, *strides = strides_for(
            [STEM_STRIDE, *(s.stride for s in STAGES)], output_stride
        )
        stem = scale_channels(STEM_CHANNELS * width)
        last = scale_channels(STAGES[-1].channels * width)
        head = scale_channels(HEAD_CHANNELS * max(1.0, width))
        self.features = nn.Sequential(
            ConvBNAct(in_channels, stem, kernel=3, stride=stem_stride, act=nn.ReLU6),
            *_blocks(stem, width, strides),
            ConvBNAct(last, head, kernel=1, act=nn.ReLU6),
        )
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(head, num_classes))
        init_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # (N, 1280, H/32, W/32)
        return self.classifier(global_average(x))


def _blocks(c_in: int, width: float, strides: list[int]) -> Iterator[InvertedResidual]:
    for stage, stride in zip(STAGES, strides, strict=True):
        c_out = scale_channels(stage.channels * width)
        for s in (stride, *[1] * (stage.repeats - 1)):
            yield InvertedResidual(c_in, c_out, stage.expansion, stride=s)
            c_in = c_out
