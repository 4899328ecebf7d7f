"""From a name to a network: one row per name, with random, shipped or your own weights.

Names follow torchvision: `_x0_25` is a width where it is not the family's default, `_os16` and
`_os8` an output stride where it is not the stock one. Names, and the names of the tensors in the
weight files, never change.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from lightfer._files import shipped
from lightfer.measure.operations import count_operations
from lightfer.models.mobilenet_v1 import MobileNetV1
from lightfer.models.mobilenet_v2 import MobileNetV2
from lightfer.models.mobilenet_v3 import mobilenet_v3_small
from lightfer.models.resnet import ResNet18
from lightfer.models.shiftnet import ShiftNet
from lightfer.models.shiftresnet import ShiftResNet
from lightfer.models.shufflenet_v2 import ShuffleNetV2
from lightfer.models.squeezenet import SqueezeNet
from lightfer.models.vgg import SlimVGG
from lightfer.models.weights import CheckpointError, load_checkpoint

Pretrained = bool | str | Path


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


def list_models(family: str | None = None, *, pretrained: bool = False) -> list[str]:
    """Names of the zoo, in its order; of one `family`, or only those with shipped weights."""
    return [
        name
        for name, architecture in ZOO.items()
        if family in (None, architecture.family) and not (pretrained and not shipped(name))
    ]


def architecture(name: str) -> Architecture:
    """The entry of the zoo called `name`. Raises ValueError, naming what is close to it."""
    if name not in ZOO:
        from difflib import get_close_matches

        close = get_close_matches(name, ZOO, n=3) or list(RACE)
        raise ValueError(
            f"there is no model {name!r}; did you mean {', '.join(close)}? "
            "`lightfer models` lists all"
        )
    return ZOO[name]


def create_model(
    name: str,
    pretrained: Pretrained = False,
    num_classes: int = 7,
    in_channels: int = 1,
) -> nn.Module:
    """Build a network: (N, in_channels, 48, 48) -> (N, num_classes) logits, in evaluation mode.

    `pretrained`: False for random weights, True for those shipped with the package (trained on
    FER2013), or the path of a weight file that `lightfer train` wrote.

    Raises ValueError for an unknown name or a shape that the weights do not have, CheckpointError
    for a weight file that cannot be used or belongs to another model.
    """
    arch = architecture(name)
    model = arch(num_classes, in_channels)
    if pretrained is False:
        return model.eval()
    if pretrained is True:
        path = shipped(name)
        if path is None:
            with_weights = ", ".join(list_models(pretrained=True)) or "none"
            raise CheckpointError(
                f"no weights are shipped for {name}; they are for: {with_weights}"
            )
    else:
        path = Path(pretrained)
    weights, card = load_checkpoint(path)
    if card.model != name:
        raise CheckpointError(f"{path} holds weights of {card.model}, not of {name}")
    if (num_classes, in_channels) != (len(card.classes), card.input.channels):
        raise ValueError(
            f"{path} is for {len(card.classes)} classes and {card.input.channels} channel(s), "
            f"not {num_classes} and {in_channels}: load it as it is and replace the layer"
        )
    model.load_state_dict(weights)
    return model.eval()


def describe_model(name: str) -> dict[str, object]:
    """Name, family, width, stride, paper, and counts at 48x48x1/7 and 224x224x3/1000.

    `weight_bytes` is the size of all tensors of the 48x48x1/7 net as float32; a weight file, which
    holds kernels as float16, has about half of it.
    """
    arch = architecture(name)
    with torch.device("meta"):  # shapes are enough
        small = count_operations(arch(), (1, 1, 48, 48))
        large = count_operations(arch(1000, 3), (1, 3, 224, 224))
    return {
        "name": name,
        "family": arch.family,
        "width": arch.width,
        "output_stride": arch.output_stride,
        "params": small.params,
        "macs": small.macs,
        "params_imagenet": large.params,
        "macs_imagenet": large.macs,
        "weight_bytes": small.weight_bytes,
        "pretrained": shipped(name) is not None,
        "paper": arch.paper,
        "deviations": list(arch.deviations),
    }
