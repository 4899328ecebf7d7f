"""ShiftResNet: a CIFAR residual network whose spatial convolutions are shifts.

Wu et al., 2017 (`PAPER`); tables as in the authors' code,
https://github.com/alvinwan/shiftresnet-cifar, which differs from the paper's ShiftNet: the block
is post-activation and its shortcut is never concatenated. Where the net differs from that stands
in `DEVIATIONS`.
With the defaults (20 layers, expansion 3): 95 159 parameters, 36.3 M multiply-adds at 48x48.
"""

from torch import Tensor, nn

from lightfer.errors import ArgumentError
from lightfer.models.blocks import ConvBNAct, global_average, init_weights, strides_for
from lightfer.models.shift import Shift

PAPER = "https://arxiv.org/abs/1711.08141"
DEVIATIONS = (  # part of the names that it holds for, sentence
    ("", "the first convolution takes one channel, the classifier has seven outputs"),
    (
        "",
        "the stride stands on the shift, not on the 1x1 convolution behind it: equal "
        "values, less work",
    ),
)

# fmt: off
REPEATS = {
    # layers: blocks per stage
    20:  3,
    56:  9,
    110: 18,
}
CHANNELS = (16, 32, 64)
STRIDES = (1, 1, 2, 2)  # stem, three stages
# fmt: on


class ShiftBlock(nn.Module):
    """Widen 1x1, shift 3x3, narrow 1x1, each convolution with BN and ReLU; add the shortcut.

    (N, c_in, H, W) -> (N, c_out, H/stride, W/stride)
    """

    def __init__(self, c_in: int, c_out: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = c_out * expansion
        self.expand = ConvBNAct(c_in, wide, kernel=1)
        self.shift = Shift(wide, 3, stride)
        self.project = ConvBNAct(wide, c_out, kernel=1)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and c_in == c_out
            else ConvBNAct(c_in, c_out, kernel=1, stride=stride, act=None)
        )

    def forward(self, x: Tensor) -> Tensor:
        # No activation behind the addition, as in the authors' code.
        return self.project(self.shift(self.expand(x))) + self.shortcut(x)


class ShiftResNet(nn.Module):
    """(N, in_channels, H, W) -> (N, num_classes) logits.

    `layers` is 20, 56 or 110; `expansion` multiplies the channels inside a block (the authors: 1,
    3, 6, 9); `output_stride` divides the input side down to the last map (stock 4; 8 lets the stem
    stride).
    """

    def __init__(
        self,
        num_classes: int = 7,
        in_channels: int = 1,
        *,
        layers: int = 20,
        expansion: int = 3,
        output_stride: int | None = None,
    ) -> None:
        super().__init__()
        if layers not in REPEATS:
            raise ArgumentError(f"layers is {layers}, but the authors' nets have {list(REPEATS)}")
        stem, *strides = strides_for(STRIDES, output_stride)
        self.stem = ConvBNAct(in_channels, CHANNELS[0], kernel=3, stride=stem)
        stages, c_in = [], CHANNELS[0]
        for c_out, stride in zip(CHANNELS, strides, strict=True):
            blocks = [ShiftBlock(c_in, c_out, expansion, stride)]
            blocks += [ShiftBlock(c_out, c_out, expansion, 1) for _ in range(REPEATS[layers] - 1)]
            stages.append(nn.Sequential(*blocks))
            c_in = c_out
        self.stages = nn.Sequential(*stages)
        self.classifier = nn.Linear(c_in, num_classes)
        init_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (N, 16, H, W)
        x = self.stages(x)  # (N, 64, H/4, W/4)
        return self.classifier(global_average(x))
