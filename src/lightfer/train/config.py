"""Everything that decides the weights, beside the network, the data and the loss."""

from dataclasses import dataclass, field
from math import cos, pi
from typing import Literal

from lightfer.data.augment import Augmentation


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
    label_smoothing: float = 0.1
    ema_decay: float = 0.998  # per step, of the weights that are evaluated and kept; 0: no average
    keep: Literal["best", "final"] = "best"  # epoch: highest validation accuracy, or the last
    initialise: Literal["model", "unit variance"] = "model"  # the latter for nets without norm
    dropout: float | None = None  # share, in place of the model's own
    mixup: float = 0.0  # alpha; 0: images are not mixed
    precision: Literal["float32", "bfloat16"] = "float32"  # bfloat16: autocast
    compiled: bool = False  # torch.compile, on a GPU with CUDA graphs (which nobody measured yet)
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs is {self.warmup_epochs}, expected less than epochs, {self.epochs}"
            )

    def rate_at(self, epoch: float) -> float:
        """The learning rate; `epoch` counts from 0 and has a fraction."""
        if epoch < self.warmup_epochs:
            return self.learning_rate * (epoch + 0.01) / self.warmup_epochs
        done = (epoch - self.warmup_epochs) / (self.epochs - self.warmup_epochs)
        return self.learning_rate * (
            1 - done if self.schedule == "linear" else (1 + cos(pi * done)) / 2
        )
