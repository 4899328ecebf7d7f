"""MobileNetV3-Small: torchvision's model, patched for one grey channel and seven classes.

Howard et al., 2019 (`PAPER`), Table 2; where the net differs stands in `DEVIATIONS`.
With the defaults: 1 524 743 parameters, 3.98 M multiply-adds at 48x48.
The one net here that is not written from scratch; its table stands in torchvision's
`mobilenetv3.py`. Tensors are named as in torchvision's `mobilenet_v3_small`.
"""

from torch import nn

from lightfer.models._torchvision import import_torchvision
from lightfer.models.blocks import strides_for

PAPER = "https://arxiv.org/abs/1905.02244"
DEVIATIONS = (  # part of the names that it holds for, sentence
    ("", "the first convolution takes one channel, the classifier has seven outputs"),
    ("_x0_75", "the last hidden layer is scaled too, as in torchvision (timm keeps 1024)"),
)

STEM_STRIDE = 2


def mobilenet_v3_small(
    num_classes: int = 7,
    in_channels: int = 1,
    *,
    width: float = 1.0,
    output_stride: int | None = None,
) -> nn.Module:
    """Build the net: (N, in_channels, H, W) -> (N, num_classes) logits.

    `width` multiplies the channel counts; `output_stride` divides the input side down to the last
    map (stock 32; 16 and 8 remove strides from the front).
    """
    mobilenetv3 = import_torchvision("torchvision.models.mobilenetv3")
    rows, last_channel = mobilenetv3._mobilenet_v3_conf("mobilenet_v3_small", width_mult=width)
    stem_stride, *strides = strides_for([STEM_STRIDE, *(r.stride for r in rows)], output_stride)
    for row, stride in zip(rows, strides, strict=True):
        row.stride = stride
    model = mobilenetv3.MobileNetV3(rows, last_channel, num_classes=num_classes)
    rgb = model.features[0][0]
    model.features[0][0] = nn.Conv2d(
        in_channels, rgb.out_channels, 3, stem_stride, padding=1, bias=False
    )
    nn.init.kaiming_normal_(model.features[0][0].weight, mode="fan_out")
    return model
