"""Weight files: safetensors, with the model's card in the header.

Matrices and convolution kernels are stored as float16; biases and batch norms, which lose more,
as float32. Accuracies in a card are those of the rounded file. Nothing is pickled.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from msgspec import Struct
from safetensors import SafetensorError, safe_open

from lightfer._files import check_input, check_keys, write_bytes
from lightfer.errors import LightferError
from lightfer.measure.process import torch_installed
from lightfer.models.contract import (
    CARD_KEY,
    CRC32_KEY,
    InputContract,
    checksum,
    fault_of,
    parts,
    read_weights,
)
from lightfer.results import Accuracy, Component, GridIntensity, Method, published_counts

if TYPE_CHECKING:
    from torch import Tensor

INTENDED_USE = (
    "Research, teaching and benchmarking of small networks: seven posed or spontaneous facial "
    "expressions as labelled in FER2013, on cropped, roughly frontal, grey faces."
)
NOT_INTENDED_USE = (
    "Deciding about people. A face shows an expression, not a feeling. Inferring emotions at work "
    "and in education is prohibited in the EU (Regulation 2024/1689, Article 5(1)(f)). The labels "
    "are noisy and the faces are not a fair sample of people."
)
WEIGHTS_LICENSE = (
    "For research: trained on FER2013, whose images were collected from the web for research and "
    "whose rights are not cleared. The Apache-2.0 licence of the code does not cover the weights."
)


class TrainingCost(Struct, frozen=True, kw_only=True):
    """What a training took; None is unknown. Modelled energy is processor time times a power,
    measured energy that of the components included, over all epochs.
    """

    device: str  # or all of them, where it was continued on another
    threads: int
    cpu_s: float  # processor time over all threads
    energy_j: float | None
    energy_method: Method
    energy_includes: tuple[Component, ...] = ()
    energy_source: str | None = None  # the meters
    energy_reason: str | None = None  # why meters that were read are not among them
    watts_per_thread: float | None
    g_co2e: float | None
    intensity: GridIntensity


class Card(Struct, frozen=True, kw_only=True):
    """What a user must know about a weight file; stands as JSON in the file's header."""

    model: str
    classes: tuple[str, ...]
    input: InputContract
    data_name: str
    data_sha256: dict[str, str]  # split -> hash of its pixels and labels
    trained_on: str
    chosen_on: str
    recipe: str
    config: dict[str, Any]
    seed: int
    epochs: int
    epoch: int  # the one that was kept
    training_s: float  # wall time, pauses included
    code: str
    training: TrainingCost | None = None
    history: tuple[dict[str, float], ...] | None = None  # the fields of `train.Epoch`, per epoch
    fold: str | None = None  # "0/5": trained without this part of the train split
    distillation: dict[str, Any] | None = None  # the teachers, and how much they counted
    validation: Accuracy | None = None
    test: Accuracy | None = None
    temperature: float | None = None  # softmax(logits / temperature) is calibrated on validation
    ece_calibrated: float | None = None  # validation's with it; without it: `validation.ece`
    license: str = WEIGHTS_LICENSE
    intended_use: str = INTENDED_USE
    not_intended_use: str = NOT_INTENDED_USE

    @property
    def labels(self) -> Literal["fer2013", "ferplus", "ferplus8"]:
        """What the network learned of the images: their labels, or FER+'s votes."""
        if self.data_name != "fer+":
            return "fer2013"
        return "ferplus8" if len(self.classes) == 8 else "ferplus"


class CheckpointError(LightferError):
    """A weight file cannot be used; the message says which, why, and what to do."""


def none_shipped(name: str) -> CheckpointError:
    """What to raise where weights of `name` are needed and none come with the package."""
    known = ", ".join(published_counts())
    return CheckpointError(
        f"no weights are shipped for {name}: give a weight file, or one of {known}"
    )


def rounded(weights: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """The tensors as they are stored: float16 where they have more than one dimension."""
    return {
        name: tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
        for name, tensor in weights.items()
    }


def unrounded(weights: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Floating-point tensors as float32, what a network computes with; values stay as they are."""
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in weights.items()
    }


def save_checkpoint(path: Path, weights: "Mapping[str, Tensor]", card: Card) -> None:
    """Round the weights and write them with card and checksum, whole or not at all."""
    from safetensors.torch import save

    # Copies: safetensors takes no two names of one tensor.
    tensors = {name: tensor.contiguous().clone() for name, tensor in rounded(weights).items()}
    about = {CARD_KEY: msgspec.json.encode(card).decode()}
    about[CRC32_KEY] = checksum(*parts(save(tensors, about)))
    write_bytes(path, save(tensors, about))


def load_checkpoint(path: Path) -> "tuple[dict[str, Tensor], Card]":
    """Read the weights as float32, and the card.

    Raises CheckpointError if the file is missing, not safetensors, damaged, has no card, or one
    that cannot be right, or holds numbers that are not finite.
    """
    weights, card = read_checkpoint(path)
    return unrounded(weights), card


def read_checkpoint(path: Path) -> tuple[dict[str, Any], Card]:
    """What the file holds, as tensors, or without PyTorch as arrays; errors as
    of `load_checkpoint`, and InputError for a pipe or device.
    """
    check_input(path)
    framework, all_finite = "np", lambda values: np.isfinite(values).all()
    if torch_installed():
        framework, all_finite = "pt", lambda values: values.isfinite().all()
    try:
        with safe_open(path, framework=framework) as file:
            header = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such weight file") from error
    except (SafetensorError, OSError, TypeError) as error:
        raise CheckpointError(f"{path} is not a readable safetensors file: {error}") from error
    if CARD_KEY not in header:
        raise CheckpointError(
            f"{path} has no lightfer card in its header: make the file with `lightfer train`"
        )
    try:
        read_weights(path)
        check_keys(header[CARD_KEY])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be used: {error}") from error
    try:
        card = msgspec.json.decode(header[CARD_KEY], type=Card)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CheckpointError(f"{path}: its card is not valid: {error}") from error
    if fault := fault_of(card.input, card.classes, card.temperature):
        raise CheckpointError(f"{path}: its card cannot be right: {fault}; get the file again")
    if broken := [name for name, t in weights.items() if not all_finite(t)]:
        raise CheckpointError(
            f"{path} holds numbers that are not finite, first in {broken[0]}: the training "
            "diverged or the file is damaged; get it again"
        )
    return weights, card


def sha256_of_tensors(weights: "Mapping[str, Tensor]") -> str:
    """Of names, types, shapes and values, as they are stored: equal whatever the card says."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(rounded(weights).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def rewrite_card(path: Path, **changes: Any) -> Card:
    """Change fields of a weight file's card, as it is by now: what others wrote into it, and the
    tensors, stay as they are.
    """
    from filelock import FileLock

    target = path.resolve()
    with FileLock(target.with_name(f".{target.name}.lock")):
        weights, card = load_checkpoint(path)
        card = msgspec.structs.replace(card, **changes)
        save_checkpoint(path, weights, card)
    return card
