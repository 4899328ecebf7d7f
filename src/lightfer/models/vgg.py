"""A slim VGG for 48x48 faces: a yardstick and a teacher, not in the race.

After Simonyan and Zisserman, 2014 (`PAPER`): stacks of 3x3 convolutions between max-pools; see
`DEVIATIONS`. The table is ours: a quarter to a half of VGG-11's channels, which gives the
parameters of a lightweight net with plain convolutions.
With the defaults: 1 764 775 parameters, 139 M multiply-adds at 48x48.
"""

from torch import Tensor, nn

from lightfer.models.blocks import (
    ConvBNAct,
    global_average,
    init_weights,
    scale_channels,
    strides_for,
)

PAPER = "https://arxiv.org/abs/1409.1556"
DEVIATIONS = (  # part of the names that it holds for, sentence
    ("", "the first convolution takes one channel, the classifier has seven outputs"),
    ("", "nine narrow convolutions, each with a batch norm in place of its bias"),
    ("", "three max-pools for five, then a global average and one linear layer for three"),
)

# fmt: off
STAGES = (
    # channels of the 3x3 convolutions; a max-pool 2x2 stands between two stages
    ( 32,  32),
    ( 64,  64),
    (128, 128),
    (256, 256, 256),
)
STRIDES = (1, 2, 2, 2)  # first convolution, max-pools
# fmt: on


class SlimVGG(nn.Module):
    """(N, in_channels, H, W) -> (N, num_classes) logits.

    `width` multiplies the channels; `output_stride` divides the input side down to the last map
    (stock 8; 16 lets the first convolution stride).
    """

    def __init__(
        self,
        num_classes: int = 7,
        in_channels: int = 1,
        *,
        width: float = 1.0,
        output_stride: int | None = None,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        stem, *pools = strides_for(STRIDES, output_stride)
        layers: list[nn.Module] = []
        c_in = in_channels
        for stage, pool in zip(STAGES, (1, *pools), strict=True):
            if layers:
                layers.append(nn.MaxPool2d(pool))
            for c_out in (scale_channels(width * channels) for channels in stage):
                layers.append(ConvBNAct(c_in, c_out, kernel=3, stride=1 if layers else stem))
                c_in = c_out
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(c_in, num_classes))
        init_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # (N, 256, H/8, W/8)
        return self.classifier(global_average(x))
