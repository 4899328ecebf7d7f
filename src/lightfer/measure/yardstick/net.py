"""The yardstick's network. Frozen: any change to this file makes another yardstick, by its hash.

Plain torch, and nothing else of this package: what a net is measured by must not change with the
net. Every kind of work that the nets do: dense 3x3 convolutions, depthwise and pointwise ones with
batch norms and activations, a residual sum, and memory that is only moved (split, concatenation,
shuffle). `net.safetensors` has its weights, `net.onnx` is the same net with them, exported once.
"""

import torch
from torch import Tensor, nn


def unit(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    """Convolution, batch norm, ReLU."""
    pad = kernel // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, pad, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Block(nn.Module):
    """Pointwise, depthwise, pointwise on half of the channels, plus that half; then a shuffle."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half, inner = channels // 2, 2 * channels
        self.expand, self.depthwise = unit(half, inner, 1), unit(inner, inner, 3, groups=inner)
        self.project = unit(inner, half, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept, used = x.chunk(2, 1)
        used = used + self.project(self.depthwise(self.expand(used)))
        n, c, h, w = x.shape
        x = torch.cat((kept, used), 1).reshape(n, 2, c // 2, h, w)
        return x.transpose(1, 2).reshape(n, c, h, w)


class Yardstick(nn.Module):
    """(N, 1, 48, 48) -> (N, 7)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            unit(1, 32, 3, stride=2),
            Block(32),
            unit(32, 64, 3, stride=2),
            Block(64),
            Block(64),
            unit(64, 128, 3, stride=2),
            Block(128),
            Block(128),
            unit(128, 256, 1),
        )
        self.classifier = nn.Linear(256, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))
