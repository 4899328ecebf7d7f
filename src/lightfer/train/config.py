"""Everything that decides the weights, beside the network, the data and the loss."""

from dataclasses import dataclass, field, fields
from math import cos, pi
from typing import Literal

from lightfer.data.augment import Augmentation, check_ranges, check_types
from lightfer.data.ferplus import Target
from lightfer.errors import ArgumentError

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run; the recipes differ in these alone."""

    epochs: int = 36
    batch_size: int = 64
    optimizer: Literal["sgd", "adamw"] = "adamw"  # sgd: Nesterov, momentum 0.9
    learning_rate: float = 4e-3  # at the end of the warm-up
    weight_decay: float = 0.05  # not on norms and biases
    warmup_epochs: float = 1.0
    schedule: Literal["cosine", "linear"] = "cosine"  # to zero
    clip_norm: float = 5.0  # of the gradient over all parameters; 0: no clipping
    label_smoothing: float = 0.1  # not of the target "multi-target"
    target: Target = "distribution"  # of FER+'s votes; nothing to labels of one class
    ema_decay: float = 0.998  # per step, of the weights that are evaluated and kept; 0: no average
    keep: Literal["best", "final"] = "best"  # epoch: highest validation accuracy, or the last
    initialise: Literal["model", "unit variance"] = "model"  # the latter for nets without norm
    dropout: float | None = None  # share, in place of the model's own
    mixup: float = 0.0  # alpha; 0: images are not mixed
    cutmix: float = 0.0  # alpha; with mixup too, each batch is mixed in one of both ways by chance
    precision: Precision = "float32"  # bfloat16: autocast
    compiled: bool = False  # torch.compile, on a GPU with CUDA graphs (which nobody measured yet)
    seed: int = 0
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
        check_types(self)
        check_ranges(
            self,
            epochs=(1, 1e6),
            batch_size=(1, 65_536),
            learning_rate=(1e-12, 1e3),
            seed=(0, 2**32 - 1),  # of NumPy; PyTorch takes a number made of it and the epoch
            weight_decay=(0, 1e3),
            warmup_epochs=(0, 1e6),
            clip_norm=(0, 1e9),
            label_smoothing=(0, 0.999),
            ema_decay=(0, 0.999999),
            mixup=(0, 1e3),
            cutmix=(0, 1e3),
        )
        if self.dropout is not None:
            check_ranges(self, dropout=(0, 0.999))
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
