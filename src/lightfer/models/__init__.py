"""The model zoo: one file per architecture, one row per name.

Names follow torchvision: `_x0_25` is a width where it is not the family's default, `_os16` and
`_os8` an output stride where it is not the stock one. Names, and the names of the tensors in the
weight files, never change.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from torch import nn

from lightfer.models import (
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    shiftnet,
    shufflenet_v2,
    squeezenet,
)


@dataclass(frozen=True)
class Architecture:
    """One entry of the zoo; calling it builds the net with random weights."""

    name: str
    family: str
    constructor: Callable[..., nn.Module]
    options: dict[str, Any]
    width: float
    output_stride: int
    paper: str
    deviations: tuple[str, ...]

    def __call__(self, num_classes: int = 7, in_channels: int = 1) -> nn.Module:
        """(N, in_channels, H, W) -> (N, num_classes) logits."""
        return self.constructor(num_classes, in_channels, **self.options)


# fmt: off
_STOCK: tuple[tuple[str, str, ModuleType, Callable[..., nn.Module], dict[str, Any]], ...] = (
    # name                         family           file           constructor, options
    ("mobilenet_v1",               "mobilenet_v1",  mobilenet_v1,  mobilenet_v1.MobileNetV1, {}),
    ("mobilenet_v1_x0_75",         "mobilenet_v1",  mobilenet_v1,  mobilenet_v1.MobileNetV1, {"width": 0.75}),
    ("mobilenet_v1_x0_5",          "mobilenet_v1",  mobilenet_v1,  mobilenet_v1.MobileNetV1, {"width": 0.5}),
    ("mobilenet_v1_x0_25",         "mobilenet_v1",  mobilenet_v1,  mobilenet_v1.MobileNetV1, {"width": 0.25}),
    ("mobilenet_v2",               "mobilenet_v2",  mobilenet_v2,  mobilenet_v2.MobileNetV2, {}),
    ("mobilenet_v2_x1_4",          "mobilenet_v2",  mobilenet_v2,  mobilenet_v2.MobileNetV2, {"width": 1.4}),
    ("mobilenet_v2_x0_75",         "mobilenet_v2",  mobilenet_v2,  mobilenet_v2.MobileNetV2, {"width": 0.75}),
    ("mobilenet_v2_x0_5",          "mobilenet_v2",  mobilenet_v2,  mobilenet_v2.MobileNetV2, {"width": 0.5}),
    ("mobilenet_v2_x0_35",         "mobilenet_v2",  mobilenet_v2,  mobilenet_v2.MobileNetV2, {"width": 0.35}),
    ("mobilenet_v3_small",         "mobilenet_v3",  mobilenet_v3,  mobilenet_v3.mobilenet_v3_small, {}),
    ("mobilenet_v3_small_x0_75",   "mobilenet_v3",  mobilenet_v3,  mobilenet_v3.mobilenet_v3_small, {"width": 0.75}),
    ("shufflenet_v2_x0_5",         "shufflenet_v2", shufflenet_v2, shufflenet_v2.ShuffleNetV2, {"width": 0.5}),
    ("shufflenet_v2_x1_0",         "shufflenet_v2", shufflenet_v2, shufflenet_v2.ShuffleNetV2, {"width": 1.0}),
    ("shufflenet_v2_x1_5",         "shufflenet_v2", shufflenet_v2, shufflenet_v2.ShuffleNetV2, {"width": 1.5}),
    ("shufflenet_v2_x2_0",         "shufflenet_v2", shufflenet_v2, shufflenet_v2.ShuffleNetV2, {"width": 2.0}),
    ("squeezenet1_0",              "squeezenet",    squeezenet,    squeezenet.SqueezeNet, {"version": "1.0"}),
    ("squeezenet1_0_bn",           "squeezenet",    squeezenet,    squeezenet.SqueezeNet, {"version": "1.0", "batch_norm": True}),
    ("squeezenet1_1",              "squeezenet",    squeezenet,    squeezenet.SqueezeNet, {"version": "1.1"}),
    ("squeezenet1_1_bn",           "squeezenet",    squeezenet,    squeezenet.SqueezeNet, {"version": "1.1", "batch_norm": True}),
    ("shiftnet_a",                 "shiftnet",      shiftnet,      shiftnet.ShiftNet, {"width": 1.0}),
    ("shiftnet_b",                 "shiftnet",      shiftnet,      shiftnet.ShiftNet, {"width": 0.5}),
)
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
    for name, family, file, constructor, options in _STOCK:
        for output_stride in sorted({file.OUTPUT_STRIDE, 16, 8}, reverse=True):
            stock = output_stride == file.OUTPUT_STRIDE
            key = name if stock else f"{name}_os{output_stride}"
            zoo[key] = Architecture(
                name=key,
                family=family,
                constructor=constructor,
                options=options if stock else {**options, "output_stride": output_stride},
                width=options.get("width", 1.0),
                output_stride=output_stride,
                paper=_paper(file),
                deviations=_deviations(file),
            )
    return zoo


def _paper(file: ModuleType) -> str:
    """The first address in the docstring of a model file."""
    return re.findall(r"https://[^\s,;]+", file.__doc__ or "")[0].rstrip(".")


def _deviations(file: ModuleType) -> tuple[str, ...]:
    """The list under "Differs from the paper" in the docstring of a model file."""
    _, _, text = (file.__doc__ or "").partition("Differs from the paper:\n")
    items, _, _ = text.partition("\n\n")
    return tuple(" ".join(item.split()) for item in re.split(r"^  - ", items, flags=re.M)[1:])


ZOO: dict[str, Architecture] = _entries()
