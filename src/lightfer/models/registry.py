"""From a name to a network: one row per name, with random, shipped or your own weights.

Names follow torchvision: `_x0_25` is a width where it is not the family's default, `_os16` and
`_os8` an output stride where it is not the stock one. Behind them stand the labels that weights
were trained on where they are not FER2013's: `_ferplus`, `_ferplus8`. Names, and the names of the
tensors in the weight files, never change.
"""

import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from lightfer._files import plain_name, shipped
from lightfer.errors import ArgumentError
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
from lightfer.models.weights import CheckpointError, load_checkpoint, none_shipped

Pretrained = bool | str | Path
ENTRY_POINTS = "lightfer.models"


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


_Row = tuple[str, str, Callable[..., nn.Module], tuple[int, ...], dict[str, Any]]
_32, _16, _8, _4 = (32, 16, 8), (16, 8), (8, 16), (4, 8)
# fmt: off
_ROWS: tuple[_Row, ...] = (  # strides: stock first; every other one makes a name of its own
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
)
# fmt: on

DEFAULT_MODELS = (
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
    for plain, family, constructor, (stock, *others), options in _ROWS:
        file = sys.modules[constructor.__module__]
        for output_stride in (stock, *others):
            name = plain if output_stride == stock else f"{plain}_os{output_stride}"
            deviations = [sentence for part, sentence in file.DEVIATIONS if part in name]
            said = f"output stride {output_stride} for {stock}: the first"
            if output_stride < stock:
                deviations.append(f"{said} strides of the net are 1")
            if output_stride > stock:
                deviations.append(f"{said} convolution has stride 2")
            zoo[name] = Architecture(
                name=name,
                family=family,
                constructor=constructor,
                options={**options, "output_stride": output_stride},
                width=options.get("width", 1.0),
                output_stride=output_stride,
                paper=file.PAPER,
                deviations=tuple(deviations),
            )
    return zoo


ZOO: dict[str, Architecture] = _entries()


def list_models(
    family: str | None = None, *, pretrained: bool = False, labels: str = "fer2013"
) -> list[str]:
    """Names of the zoo, in its order, then those of other packages' entry points; of one `family`,
    or only those with shipped weights, of other `labels` where asked for, as "ferplus".
    """
    names = [*ZOO, *sorted(entry_points(group=ENTRY_POINTS).names - ZOO.keys())]
    if labels != "fer2013":
        names = [f"{name}_{labels}" for name in ZOO]
    return [
        name
        for name in names
        if not (pretrained and not shipped(name))
        and (family is None or family == architecture(name).family)
    ]


def architecture(name: str) -> Architecture:
    """The entry of the zoo called `name`, or a network of your own; either may have labels behind
    its name.

    That is one that an installed package names in its entry points `lightfer.models`, or any
    `package.module:function` that is called as `function(num_classes, in_channels)`.
    Raises ValueError where there is none, naming what is close, or where it is not a network.
    """
    if (plain := plain_name(name)) in ZOO:
        return replace(ZOO[plain], name=name)
    own = entry_points(group=ENTRY_POINTS)
    for known in (name, plain):
        if known in own.names:
            return _own(name, own[known].load)
    if ":" in name:
        return _own(name, lambda: _imported(name))
    from difflib import get_close_matches

    close = get_close_matches(name, [*ZOO, *own.names], n=3) or list(DEFAULT_MODELS)
    raise ArgumentError(
        f"there is no model {name!r}; did you mean {', '.join(close)}? `lightfer models` lists all"
    )


def _imported(name: str) -> Any:
    """What `package.module:function` names, or else the same without labels."""
    module, _, function = name.partition(":")
    found = import_module(module)
    return getattr(found, function if hasattr(found, function) else plain_name(function))


def _own(name: str, load: Callable[[], Any]) -> Architecture:
    """What `load` imports: an `Architecture`, or a function that builds a net."""
    try:
        made = load()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ArgumentError(
            f"model {name!r} cannot be imported: {error}; expected package.module:function, in a "
            "folder on PYTHONPATH"
        ) from error
    if isinstance(made, Architecture):
        return replace(made, name=name)
    if not callable(made):
        raise ArgumentError(
            f"model {name!r} is of type {type(made).__name__}, expected a function that builds a "
            "network, or an Architecture"
        )
    constructor = cast(Callable[..., nn.Module], made)
    return Architecture(
        name=name,
        family="own",
        constructor=constructor,
        options={},
        width=1.0,
        output_stride=_measured_stride(name, constructor),
        paper="",
        deviations=(),
    )


def _measured_stride(name: str, constructor: Callable[..., nn.Module]) -> int:
    """Input side over that of the last map with more than one pixel.

    Raises ValueError if `constructor` does not build a network as `Architecture` calls it.
    """
    sides = [48]

    def look(_: nn.Module, __: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[-1] > 1:
            sides.append(output.shape[-1])

    try:
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            net = constructor(7, 1).eval()
            for module in net.modules():
                if isinstance(module, nn.Conv2d):
                    module.register_forward_hook(look)
            found = str(tuple(net(torch.zeros(2, 1, 48, 48)).shape))
    except Exception as error:  # of any code
        found = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if found != "(2, 7)":
        raise ArgumentError(
            f"model {name!r} called as (num_classes=7, in_channels=1), on images (2, 1, 48, 48), "
            f"gives {found}, expected logits (2, 7): have it build a network of that form"
        )
    return round(48 / sides[-1])


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
    path = shipped(name) if pretrained is True else Path(pretrained)
    if path is None:
        raise none_shipped(name)
    weights, card = load_checkpoint(path)
    if card.model != name:
        raise CheckpointError(f"{path} holds weights of {card.model}, not of {name}")
    if (num_classes, in_channels) != (len(card.classes), card.input.channels):
        raise ArgumentError(
            f"{path} is for {len(card.classes)} classes and {card.input.channels} channel(s), "
            f"not {num_classes} and {in_channels}: load it as it is and replace the layer"
        )
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise CheckpointError(f"{path} does not fit {name}: {said}") from error
    return model.eval()


def describe_model(name: str) -> dict[str, object]:
    """Name, family, width, stride, paper, and counts at 48x48x1/7 and 224x224x3/1000.

    The latter are None for a network of your own that is made for one size of image.
    `weight_bytes` is the size of all tensors of the 48x48x1/7 net as float32; a weight file, which
    holds kernels as float16, has about half of it.
    """
    arch = architecture(name)
    with torch.device("meta" if plain_name(name) in ZOO else "cpu"):  # shapes are enough
        small, large = count_operations(arch(), (1, 1, 48, 48)), None
        with nullcontext() if plain_name(name) in ZOO else suppress(Exception):
            large = count_operations(arch(1000, 3), (1, 3, 224, 224))
    return {
        "name": name,
        "family": arch.family,
        "width": arch.width,
        "output_stride": arch.output_stride,
        "params": small.params,
        "macs": small.macs,
        "params_imagenet": large and large.params,
        "macs_imagenet": large and large.macs,
        "weight_bytes": small.weight_bytes,
        "pretrained": shipped(name) is not None,
        "paper": arch.paper,
        "deviations": list(arch.deviations),
    }
