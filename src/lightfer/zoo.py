"""From a name to a network: with random, shipped or your own weights."""

from pathlib import Path

import torch
from torch import nn

from lightfer.checkpoint import CheckpointError, load_checkpoint
from lightfer.files import shipped
from lightfer.measure.operations import count_operations
from lightfer.models import RACE, ZOO, Architecture

Pretrained = bool | str | Path


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
