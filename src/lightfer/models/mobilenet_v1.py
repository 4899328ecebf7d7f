"""MobileNetV1: depthwise separable convolutions.

Howard et al., 2017 (`PAPER`), Table 1; where the net differs stands in `DEVIATIONS`.
With the defaults: 3 213 575 parameters, 28.5 M multiply-adds at 48x48.
Tensors are named as in timm's `mobilenetv1_100`, which has ReLU6 where the paper has ReLU.
`mobilenet_v1_relu6` is that net.
"""

from typing import NamedTuple

from torch import Tensor, nn

from lightfer.models.blocks import (
    Activation,
    BatchNormAct,
    global_average,
    init_weights,
    strides_for,
)

PAPER = "https://arxiv.org/abs/1704.04861"
DEVIATIONS = (  # part of the names that it holds for, sentence
    ("", "the first convolution takes one channel, the classifier has seven outputs"),
    (
        "",
        "the last depthwise layer has stride 1: the paper's Table 1 prints 2, all "
        "published code has 1",
    ),
    ("_relu6", "ReLU6 for ReLU, as in the authors' TensorFlow code and timm"),
)


class Stage(NamedTuple):
    """`repeats` blocks of `channels`, of which only the first one strides."""

    channels: int
    repeats: int
    stride: int


# fmt: off
STAGES = (
    #        c  n  s
    Stage(  64, 1, 1),
    Stage( 128, 2, 2),
    Stage( 256, 2, 2),
    Stage( 512, 6, 2),
    Stage(1024, 2, 2),
)
# fmt: on
STEM_CHANNELS, STEM_STRIDE = 32, 2


class DepthwiseSeparable(nn.Module):
    """Depthwise 3x3, then pointwise 1x1, each with batch norm and activation.

    (N, c_in, H, W) -> (N, c_out, H/stride, W/stride)
    """

    def __init__(self, c_in: int, c_out: int, stride: int, act: Activation) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(c_in, c_in, 3, stride, padding=1, groups=c_in, bias=False)
        self.bn1 = BatchNormAct(c_in, act)
        self.conv_pw = nn.Conv2d(c_in, c_out, 1, bias=False)
        self.bn2 = BatchNormAct(c_out, act)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv_dw(x))  # (N, c_in,  H/stride, W/stride)
        return self.bn2(self.conv_pw(x))  # (N, c_out, H/stride, W/stride)


class MobileNetV1(nn.Module):
    """(N, in_channels, H, W) -> (N, num_classes) logits.

    `width` multiplies every channel count (the paper: 1, 0.75, 0.5, 0.25); `output_stride` divides
    the input side down to the last map (stock 32; 16 and 8 remove strides from the front).
    """

    def __init__(
        self,
        num_classes: int = 7,
        in_channels: int = 1,
        *,
        width: float = 1.0,
        output_stride: int | None = None,
        dropout: float = 0.2,
        act: Activation = nn.ReLU,
    ) -> None:
        super().__init__()
        stem, *strides = strides_for([STEM_STRIDE, *(s.stride for s in STAGES)], output_stride)
        c_in = int(STEM_CHANNELS * width)
        self.conv_stem = nn.Conv2d(in_channels, c_in, 3, stem, padding=1, bias=False)
        self.bn1 = BatchNormAct(c_in, act)
        stages = []
        for stage, stride in zip(STAGES, strides, strict=True):
            c_out = int(stage.channels * width)
            stages.append(
                nn.Sequential(
                    DepthwiseSeparable(c_in, c_out, stride, act),
                    *(DepthwiseSeparable(c_out, c_out, 1, act) for _ in range(stage.repeats - 1)),
                )
            )
            c_in = c_out
        self.blocks = nn.Sequential(*stages)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(c_in, num_classes)
        init_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv_stem(x))  # (N,   32, H/2,  W/2)
        x = self.blocks(x)  # (N, 1024, H/32, W/32)
        return self.classifier(self.dropout(global_average(x)))
