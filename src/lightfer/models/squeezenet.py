"""SqueezeNet: fire modules.

Iandola et al., 2016 (`PAPER`), Table 1; version 1.1 and the bypass nets as in the authors'
repository, https://github.com/forresti/SqueezeNet. Where the nets differ stands in `DEVIATIONS`.
With the defaults (1.0): 729 607 parameters, 21.1 M multiply-adds at 48x48.
Tensors are named as in torchvision's `squeezenet1_0`.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lightfer.errors import ArgumentError
from lightfer.models.blocks import BatchNormAct, global_average, strides_for

PAPER = "https://arxiv.org/abs/1602.07360"
DEVIATIONS = (  # part of the names that it holds for, sentence
    ("", "the first convolution takes one channel, conv10 has seven outputs"),
    ("_bn", "a batch norm after every convolution but conv10, to train from scratch"),
    *(
        (part, "the authors published bypasses for 1.0 only; the same fire modules have them here")
        for part in ("1_1_simple", "1_1_complex")
    ),
)


class Fire(NamedTuple):
    """One fire module: channels of the squeeze, expand 1x1 and expand 3x3 convolutions."""

    squeeze: int
    expand1x1: int
    expand3x3: int


# fmt: off
FIRES = {
    #        s    e1   e3
    2: Fire(16,  64,  64),
    3: Fire(16,  64,  64),
    4: Fire(32, 128, 128),
    5: Fire(32, 128, 128),
    6: Fire(48, 192, 192),
    7: Fire(48, 192, 192),
    8: Fire(64, 256, 256),
    9: Fire(64, 256, 256),
}
VERSIONS = {
    # channels and kernel of the stem; fires that a max-pool follows, as one does the stem
    "1.0": (96, 7, (4, 8)),
    "1.1": (64, 3, (3, 5)),
}
# fmt: on
STRIDES = (2, 2, 2, 2)  # stem and three pools: this net ends at 1/16
CONV10_BIAS = 3.0  # softmax does not see it, but with 0 its ReLU can silence a rare class for good
BYPASSES = (None, "simple", "complex")
IDENTITY_BYPASS = (3, 5, 7, 9)  # around these, input and output have the same shape
CONV_BYPASS = (2, 4, 6, 8)  # the complex bypass adds a 1x1 convolution around these


class FireModule(nn.Module):
    """Squeeze 1x1, then expand 1x1 and 3x3 side by side; (N, c_in, H, W) -> (N, e1 + e3, H, W)."""

    def __init__(self, c_in: int, fire: Fire, batch_norm: bool, bypass: nn.Module | None) -> None:
        super().__init__()
        norm = BatchNormAct if batch_norm else lambda channels: nn.ReLU()
        self.squeeze = nn.Conv2d(c_in, fire.squeeze, 1)
        self.squeeze_norm = norm(fire.squeeze)
        self.expand1x1 = nn.Conv2d(fire.squeeze, fire.expand1x1, 1)
        self.expand1x1_norm = norm(fire.expand1x1)
        self.expand3x3 = nn.Conv2d(fire.squeeze, fire.expand3x3, 3, padding=1)
        self.expand3x3_norm = norm(fire.expand3x3)
        self.bypass = bypass

    def forward(self, x: Tensor) -> Tensor:
        squeezed = self.squeeze_norm(self.squeeze(x))
        expanded = torch.cat(
            [
                self.expand1x1_norm(self.expand1x1(squeezed)),
                self.expand3x3_norm(self.expand3x3(squeezed)),
            ],
            dim=1,
        )
        return expanded if self.bypass is None else expanded + self.bypass(x)


class SqueezeNet(nn.Module):
    """(N, in_channels, H, W) -> (N, num_classes) logits, from a ReLU as in the authors' net.

    `version` is "1.0" or "1.1", `bypass` None, "simple" or "complex"; `output_stride` divides the
    input side down to the last map (stock 16; 8 removes the stride of the stem).
    """

    def __init__(
        self,
        num_classes: int = 7,
        in_channels: int = 1,
        *,
        version: str = "1.0",
        bypass: str | None = None,
        batch_norm: bool = False,
        output_stride: int | None = None,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if version not in VERSIONS or bypass not in BYPASSES:
            raise ArgumentError(
                f"version is {version!r} and bypass {bypass!r}, but there are versions "
                f"{list(VERSIONS)} and bypasses {list(BYPASSES)}"
            )
        stem, kernel, pool_after = VERSIONS[version]
        stem_stride, first_pool, *pools = strides_for(STRIDES, output_stride)
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, stem, kernel, stem_stride),
            *([nn.BatchNorm2d(stem)] if batch_norm else []),
            nn.ReLU(),
            _pool(first_pool),
        ]
        c_in, strides = stem, dict(zip(pool_after, pools, strict=True))
        for number, fire in FIRES.items():
            c_out = fire.expand1x1 + fire.expand3x3
            around = _bypass(bypass, number, c_in, c_out, batch_norm)
            layers.append(FireModule(c_in, fire, batch_norm, around))
            if number in strides:
                layers.append(_pool(strides[number]))
            c_in = c_out
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Conv2d(c_in, num_classes, 1), nn.ReLU()
        )
        self._init_weights()

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # (N, 512, H/16, W/16)
        x = self.classifier(x)  # (N, num_classes, H/16, W/16)
        return global_average(x)

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        conv10 = self.classifier[1]
        assert isinstance(conv10, nn.Conv2d)
        nn.init.normal_(conv10.weight, std=0.01)
        assert conv10.bias is not None
        nn.init.constant_(conv10.bias, CONV10_BIAS)


def _pool(stride: int) -> nn.Module:
    return nn.MaxPool2d(3, stride, ceil_mode=True) if stride > 1 else nn.Identity()


def _bypass(
    kind: str | None, number: int, c_in: int, c_out: int, batch_norm: bool
) -> nn.Module | None:
    if kind is not None and number in IDENTITY_BYPASS:
        return nn.Identity()
    if kind == "complex" and number in CONV_BYPASS:
        conv = nn.Conv2d(c_in, c_out, 1)
        return nn.Sequential(conv, nn.BatchNorm2d(c_out)) if batch_norm else conv
    return None
