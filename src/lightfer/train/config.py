"""Everything that decides the weights, beside the network, the data and the loss."""

from dataclasses import dataclass, field, fields
from math import cos, pi
from typing import Annotated, Literal

from msgspec import Meta

from lightfer.data.augment import Augmentation, check
from lightfer.data.ferplus import Target
from lightfer.errors import ArgumentError

Precision = Literal["float32", "bfloat16"]
Below1 = Annotated[float, Meta(ge=0, le=0.999)]
Alpha = Annotated[float, Meta(ge=0, le=1e3)]


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run; the recipes differ in these alone."""

    epochs: Annotated[int, Meta(ge=1, le=10**6)] = 36
    batch_size: Annotated[int, Meta(ge=1, le=65_536)] = 64
    optimizer: Literal["sgd", "adamw"] = "adamw"  # sgd: Nesterov, momentum 0.9
    learning_rate: Annotated[float, Meta(ge=1e-12, le=1e3)] = 4e-3  # at the end of the warm-up
    weight_decay: Annotated[float, Meta(ge=0, le=1e3)] = 0.05  # not on norms and biases
    warmup_epochs: Annotated[float, Meta(ge=0, le=1e6)] = 1.0
    schedule: Literal["cosine", "linear"] = "cosine"  # to zero
    clip_norm: Annotated[float, Meta(ge=0, le=1e9)] = 5.0  # of the whole gradient; 0: no clipping
    label_smoothing: Below1 = 0.1  # not of the target "multi-target"
    target: Target = "distribution"  # of FER+'s votes; nothing to labels of one class
    # Per step, of the weights that are evaluated and kept; 0: no average.
    ema_decay: Annotated[float, Meta(ge=0, le=0.999999)] = 0.998
    keep: Literal["best", "final"] = "best"  # epoch: highest validation accuracy, or the last
    initialise: Literal["model", "unit variance"] = "model"  # the latter for nets without norm
    dropout: Below1 | None = None  # share, in place of the model's own
    mixup: Alpha = 0.0  # alpha; 0: images are not mixed
    cutmix: Alpha = 0.0  # alpha; with mixup too, each batch is mixed in one of both ways by chance
    precision: Precision = "float32"  # bfloat16: autocast
    compiled: bool = False  # torch.compile, on a GPU with CUDA graphs (which nobody measured yet)
    # Up to NumPy's highest; PyTorch takes a number made of it and the epoch.
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        """Raises ValueError for a setting that cannot be used. An `augmentation` that is a mapping,
        as in a list of trainings, becomes an `Augmentation`.
        """
        if isinstance(self.augmentation, dict):
            known = {field.name for field in fields(Augmentation)}
            if unknown := ", ".join(sorted(self.augmentation.keys() - known)):
                raise ArgumentError(
                    f"augmentation has no {unknown}; it has {', '.join(sorted(known))}"
                )
            object.__setattr__(self, "augmentation", Augmentation(**self.augmentation))
        check(self)
        if self.warmup_epochs >= self.epochs:
            raise ArgumentError(
                f"warmup_epochs is {self.warmup_epochs}, expected less than epochs, {self.epochs}"
            )

    def rate_at(self, epoch: float) -> float:
        """The learning rate; `epoch` counts from 0 and has a fraction. It rises from a hundredth
        to `learning_rate` in the warm-up, then falls to zero.
        """
        if epoch < self.warmup_epochs:
            return self.learning_rate * (0.01 + 0.99 * epoch / self.warmup_epochs)
        done = (epoch - self.warmup_epochs) / (self.epochs - self.warmup_epochs)
        return self.learning_rate * (
            1 - done if self.schedule == "linear" else (1 + cos(pi * done)) / 2
        )
