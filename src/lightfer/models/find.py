"""From what the user names, a model or a weight file, to the weights and the net with them.

Without torch until a net is built.
"""

import os
import re
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lightfer._files import plain_name, sha256_of, shipped
from lightfer.errors import ArgumentError
from lightfer.measure.process import torch_installed
from lightfer.models.weights import Card, CheckpointError, none_shipped, read_checkpoint
from lightfer.results import published_counts

if TYPE_CHECKING:
    from torch import nn


_OWN = re.compile(r"^[\w.]+:[\w.]+=")  # before the file of a network of your own


@dataclass(frozen=True)
class Weights:
    """A model, and the weight file that goes with it; without one its weights are random."""

    key: str  # as it was asked for
    name: str  # of the model
    path: Path | None = None
    sha256: str | None = None
    card: Card | None = None

    def build(self, device: str = "cpu") -> "nn.Module":
        """The network in evaluation mode on `device`, channels last; random weights are equal."""
        import torch

        from lightfer.models.registry import create_model

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            shape = (len(self.card.classes), self.card.input.channels) if self.card else ()
            model = create_model(self.name, self.path or False, *shape).to(device)
        return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def find_weights(key: str | Path, *, needed: bool = False) -> Weights:
    """What `key` names: a weight file, or a model with the weights that are shipped for it, if any.

    A weight file of a network of your own is named with it, `package.module:function=FILE`: no code
    is imported because a file says so. Raises ValueError if there is no such model, CheckpointError
    for a file that cannot be used, and with `needed` where no weights are shipped.
    """
    key = str(key)
    own, file = own_and_file(key)
    path = Path(file) if key.endswith(".safetensors") else shipped(key)
    if path is None:
        _check_name(key)
        if needed:
            raise none_shipped(key)
        return Weights(key, key)
    _, card = read_checkpoint(path)
    if ":" in card.model and f"{card.model}=" != own:
        raise CheckpointError(
            f"{path} says that it is of {card.model}, which is code to import: if you trust it, "
            f"name it, too: {card.model}={path}"
        )
    _check_name(card.model)
    return Weights(key, card.model, path, sha256_of(path), card)


def own_and_file(key: str) -> tuple[str, str]:
    """`package.module:function=`, or nothing, and what stands behind it."""
    file = _OWN.sub("", key)
    return key.removesuffix(file), file


def own_source(name: str) -> str | None:
    """The hash of the file that a net of your own comes from; None of one of this package."""
    if not torch_installed():
        return None
    from lightfer.models.registry import ZOO, architecture

    if plain_name(name) in ZOO:
        return None
    made = architecture(name).constructor
    while isinstance(made, partial):  # whose own module is that of Python
        made = made.func
    module = getattr(made, "__module__", None)
    file = getattr(sys.modules.get(module or ""), "__file__", None)
    return sha256_of(Path(file)) if file else None


def keys_in(text: str) -> tuple[str, ...]:
    """The keys for `find_weights` in a text with commas between them. What names a file that is
    there is one key with its commas, as `runs/mobilenet_v1-first_light,epochs=3-seed0/...`.
    """
    pieces = text.split(",")
    keys: list[str] = []
    while pieces:
        joined = [",".join(pieces[: n + 1]) for n in range(len(pieces))]
        # `Path.is_file` raises where many names are joined to one that is too long.
        is_file = (os.path.isfile(_OWN.sub("", key)) for key in joined)  # noqa: PTH113
        n = next((n for n, found in enumerate(is_file) if found), 0)
        keys.append(joined[n])
        del pieces[: n + 1]
    return tuple(keys)


def _check_name(name: str) -> None:
    """Raises ArgumentError for a model that does not exist, or cannot be built without PyTorch."""
    if torch_installed():
        from lightfer.models.registry import architecture

        architecture(name)
    elif plain_name(name) not in (known := published_counts()):
        raise ArgumentError(
            f"{name}: torch is not installed, and without it only nets with published counts are "
            f"measured ({', '.join(known)}): take one of them, or pip install torch"
        )
