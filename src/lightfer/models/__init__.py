"""The model zoo: one file per architecture, one row per name.

Names follow torchvision: `_x0_25` is a width where it is not the family's default, `_os16` and
`_os8` an output stride where it is not the stock one. Names, and the names of the tensors in the
weight files, never change.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import nn

from lightfer.models.mobilenet_v1 import MobileNetV1
from lightfer.models.mobilenet_v2 import MobileNetV2
from lightfer.models.mobilenet_v3 import mobilenet_v3_small
from lightfer.models.resnet import ResNet18
from lightfer.models.shiftnet import ShiftNet
from lightfer.models.shiftresnet import ShiftResNet
from lightfer.models.shufflenet_v2 import ShuffleNetV2
from lightfer.models.squeezenet import SqueezeNet
from lightfer.models.vgg import SlimVGG


@dataclass(frozen=True)
class Architecture:
    """One entry of the zoo; calling it builds the net with random weights."""

    name: str
    family: str
    constructor: Callable[..., nn.Module]
    options: dict[str, Any]
    width: float  # factor on the channel counts of the paper's net; ShiftNet: of ShiftNet-A
    output_stride: int  # input side / side of the last feature map
    paper: str  # address
    deviations: tuple[str, ...]  # from the paper, a sentence each

    def __call__(self, num_classes: int = 7, in_channels: int = 1) -> nn.Module:
        """(N, in_channels, H, W) -> (N, num_classes) logits."""
        return self.constructor(num_classes, in_channels, **self.options)


class _Row(NamedTuple):
    name: str
    family: str
    constructor: Callable[..., nn.Module]
    output_strides: tuple[int, ...]  # stock first; every other one makes a name of its own
    options: dict[str, Any]


_32, _16, _8, _4 = (32, 16, 8), (16, 8), (8, 16), (4, 8)
# fmt: off
_ROWS = tuple(_Row(*row) for row in (
    # name                          family           constructor   strides, options
    ("mobilenet_v1",                "mobilenet_v1",  MobileNetV1,        _32, {}),
    ("mobilenet_v1_x0_75",          "mobilenet_v1",  MobileNetV1,        _32, {"width": 0.75}),
    ("mobilenet_v1_x0_5",           "mobilenet_v1",  MobileNetV1,        _32, {"width": 0.5}),
    ("mobilenet_v1_x0_25",          "mobilenet_v1",  MobileNetV1,        _32, {"width": 0.25}),
    ("mobilenet_v1_relu6",          "mobilenet_v1",  MobileNetV1,        _32, {"act": nn.ReLU6}),
    ("mobilenet_v2",                "mobilenet_v2",  MobileNetV2,        _32, {}),
    ("mobilenet_v2_x1_4",           "mobilenet_v2",  MobileNetV2,        _32, {"width": 1.4}),
    ("mobilenet_v2_x0_75",          "mobilenet_v2",  MobileNetV2,        _32, {"width": 0.75}),
    ("mobilenet_v2_x0_5",           "mobilenet_v2",  MobileNetV2,        _32, {"width": 0.5}),
    ("mobilenet_v2_x0_35",          "mobilenet_v2",  MobileNetV2,        _32, {"width": 0.35}),
    ("mobilenet_v3_small",          "mobilenet_v3",  mobilenet_v3_small, _32, {}),
    ("mobilenet_v3_small_x0_75",    "mobilenet_v3",  mobilenet_v3_small, _32, {"width": 0.75}),
    ("shufflenet_v2_x0_5",          "shufflenet_v2", ShuffleNetV2,       _32, {"width": 0.5}),
    ("shufflenet_v2_x1_0",          "shufflenet_v2", ShuffleNetV2,       _32, {"width": 1.0}),
    ("shufflenet_v2_x1_5",          "shufflenet_v2", ShuffleNetV2,       _32, {"width": 1.5}),
    ("shufflenet_v2_x2_0",          "shufflenet_v2", ShuffleNetV2,       _32, {"width": 2.0}),
    *((f"squeezenet{version.replace('.', '_')}{bypass and f'_{bypass}_bypass'}{norm}",
       "squeezenet", SqueezeNet, _16,
       {"version": version, "bypass": bypass or None, "batch_norm": bool(norm)})
      for version in ("1.0", "1.1")
      for bypass in ("", "simple", "complex")
      for norm in ("", "_bn")),
    ("shiftnet_a",                  "shiftnet",      ShiftNet,           _32, {"width": 1.0}),
    ("shiftnet_b",                  "shiftnet",      ShiftNet,           _32, {"width": 0.5}),
    ("shiftnet_small",              "shiftnet",      ShiftNet,            _8, {"table": "small", "width": 1.0}),  # noqa: E501
    *((f"shiftresnet{layers}_e{expansion}", "shiftnet", ShiftResNet, _4,
       {"layers": layers, "expansion": expansion})
      for layers in (20, 56)
      for expansion in (1, 3, 6, 9)),
    ("resnet18_cifar",              "reference",     ResNet18,            _8, {}),
    ("vgg_slim",                    "reference",     SlimVGG,             _8, {}),
    ("vgg_slim_x1_5",               "reference",     SlimVGG,             _8, {"width": 1.5}),
))
# fmt: on

RACE = (
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "shufflenet_v2_x1_0",
    "squeezenet1_0",
    "shiftnet_b",
)
"""The six families at their default width and stock strides: what `bench` measures by default."""


def _entries() -> dict[str, Architecture]:
    zoo = {}
    for row in _ROWS:
        stock = row.output_strides[0]
        docstring = sys.modules[row.constructor.__module__].__doc__ or ""
        for output_stride in row.output_strides:
            name = row.name if output_stride == stock else f"{row.name}_os{output_stride}"
            zoo[name] = Architecture(
                name=name,
                family=row.family,
                constructor=row.constructor,
                options={**row.options, "output_stride": output_stride},
                width=row.options.get("width", 1.0),
                output_stride=output_stride,
                paper=_paper(docstring),
                deviations=(*_deviations(docstring, name), *_resolution(output_stride, stock)),
            )
    return zoo


def _paper(docstring: str) -> str:
    """The first address in the docstring of a model file."""
    return re.findall(r"https://[^\s,;]+", docstring)[0].rstrip(".")


def _deviations(docstring: str, name: str) -> tuple[str, ...]:
    """The list under "Differs from the paper" in the docstring of a model file, as far as it holds.

    An item that begins with parts of names in backquotes holds for names that contain one of them.
    """
    _, _, text = docstring.partition("Differs from the paper:\n")
    items, _, _ = text.partition("\n\n")
    held = []
    for item in re.split(r"^  - ", items, flags=re.M)[1:]:
        sentence = " ".join(item.split())
        condition = re.match(r"((?:`\w+`(?:, )?)+): ", sentence)
        parts = re.findall(r"`(\w+)`", condition[1]) if condition else [""]
        if any(part in name for part in parts):
            held.append(sentence[condition.end() :] if condition else sentence)
    return tuple(held)


def _resolution(output_stride: int, stock: int) -> tuple[str, ...]:
    if output_stride < stock:
        return (f"output stride {output_stride} for {stock}: the first strides of the net are 1",)
    return (
        ()
        if output_stride == stock
        else (f"output stride {output_stride} for {stock}: the first convolution has stride 2",)
    )


ZOO: dict[str, Architecture] = _entries()
