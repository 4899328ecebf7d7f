"""ResNet-18 for small images: a yardstick and a teacher, not in the race.

He et al., 2015 (`PAPER`), Table 1, with the stem of the CIFAR nets; see `DEVIATIONS`.
With the defaults: 11 171 271 parameters, 1247 M multiply-adds at 48x48.
Tensors are named as in torchvision's `resnet18`.
"""

import torch
from torch import Tensor, nn

from lightfer.models.blocks import BatchNormAct, global_average, init_weights, strides_for

PAPER = "https://arxiv.org/abs/1512.03385"
DEVIATIONS = (  # part of the names that it holds for, sentence
    ("", "the first convolution takes one channel, the classifier has seven outputs"),
    (
        "",
        "the stem is a 3x3 convolution of stride 1 without max-pool, as is common for 32x32 images",
    ),
)

CHANNELS = (64, 128, 256, 512)
STRIDES = (1, 1, 2, 2, 2)  # stem, four layers of two blocks


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; (N, c_in, H, W) -> (N, c_out, H/stride, W/stride)."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False)
        self.bn1 = BatchNormAct(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.downsample = (
            nn.Identity()
            if stride == 1 and c_in == c_out
            else nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))
        )

    def forward(self, x: Tensor) -> Tensor:
        branch = self.bn1(self.conv1(x))  # (N, c_out, H/stride, W/stride)
        branch = self.bn2(self.conv2(branch))
        return torch.relu(branch + self.downsample(x))


class ResNet18(nn.Module):
    """(N, in_channels, H, W) -> (N, num_classes) logits.

    `output_stride` divides the input side down to the last map (stock 8; 16 lets the stem stride).
    """

    def __init__(
        self, num_classes: int = 7, in_channels: int = 1, *, output_stride: int | None = None
    ) -> None:
        super().__init__()
        stem, *strides = strides_for(STRIDES, output_stride)
        c_in = CHANNELS[0]
        self.conv1 = nn.Conv2d(in_channels, c_in, 3, stem, padding=1, bias=False)
        self.bn1 = BatchNormAct(c_in)
        layers = []
        for c_out, stride in zip(CHANNELS, strides, strict=True):
            layers.append(
                nn.Sequential(BasicBlock(c_in, c_out, stride), BasicBlock(c_out, c_out, 1))
            )
            c_in = c_out
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.fc = nn.Linear(c_in, num_classes)
        init_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x))  # (N, 64, H, W)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # (N, 512, H/8, W/8)
        return self.fc(global_average(x))
